internal import AgentAPI
internal import AgentOperations
internal import LinuxKernel
internal import Netlink
internal import RPC

extension ProxyNode {
    typealias AttachCall = TypedCall<AttachNodeRequest, AttachNodeResponse>
    typealias DetachCall = TypedCall<DetachNodeRequest, DetachNodeResponse>

    // MARK: - Attach

    func attach(_ request: AttachNodeRequest, _ call: AttachCall) throws(CallFailure) {
        try enqueue(request.vpcID) { [self] done in
            do throws(CallFailure) {
                let managed = try usable(request.vpcID)
                let node = try ComputeNode(request.node ?? VPCNode(), in: managed.network)
                try attach(node, to: managed, call, done)
            } catch {
                call.finish(error)
                done()
            }
        }
    }

    /// A VPC whose nodes can change.
    func usable(_ id: String) throws(CallFailure) -> ManagedNetwork {
        let managed = try network(id)
        guard managed.state != .deleting else { throw .isBeingDeleted(id) }
        return managed
    }

    private func attach(
        _ node: ComputeNode, to managed: ManagedNetwork, _ call: AttachCall,
        _ done: @escaping () -> Void
    ) throws(CallFailure) {
        let id = managed.network.id
        let former = managed.nodes[node.id]
        if former?.node == node, managed.state == .ready {
            call.finish(
                with: AttachNodeResponse(
                    vpc: message(managed, nodes: .one(node.id)), existed: true))
            return done()
        }
        for other in managed.network.peers
        where other.tunnel == node.tunnel || other.hardware == node.hardware {
            throw .isTaken("the address \(other.tunnel)", by: "another proxy")
        }
        if let route = managed.inbound.values.first(where: { $0.sandbox == node.tunnel }) {
            throw .isTaken("the address \(node.tunnel)", by: "\(route.address)")
        }
        for (other, _) in managed.nodes.values where other.id != node.id {
            if other.tunnel == node.tunnel {
                throw .isTaken("the address \(node.tunnel)", by: other.id)
            }
            if other.hardware == node.hardware {
                throw .isTaken("the hardware address \(node.hardware)", by: other.id)
            }
        }
        let now = WallClock.nanoseconds
        try journal.commit { draft in
            draft.put(node, attachedAt: now, of: id)
            draft.add(.nodeAttached(node.message(attachedAt: now)), of: id)
        }
        managed.nodes[node.id] = (node, now)
        let its = managed.inbound.values.filter { $0.node == node.id && former?.node != node }
        let steps =
            NetworkPlan.exchange(
                former.map { TunnelPeer($0.node) }, for: TunnelPeer(node),
                by: RuleSet(managed.network))
            + its.map { .setNeighbour($0.sandbox, node.hardware) }
        change(managed, steps) { [self] failure in
            if let failure {
                takeBack(node, of: managed, former: former, failure)
                call.finish(CallFailure(failure))
            } else {
                log.info(
                    "attached a node", ["vpc.id": .text(id), "node.id": .text(node.id)])
                call.finish(with: AttachNodeResponse(vpc: message(managed, nodes: .one(node.id))))
            }
            done()
        }
    }

    /// Performs steps on a VPC that is whole, and otherwise, or when they fail, all that it takes
    /// to make it whole.
    func change(
        _ managed: ManagedNetwork, _ steps: [NetworkStep],
        then next: @escaping (HostFailure?) -> Void
    ) {
        guard managed.state == .ready else { return settle(managed, then: next) }
        let host = host
        let id = managed.network.id
        offload { () throws(HostFailure) in
            try host.perform(steps, for: id)
        } then: { [self] result in
            switch result {
            case .success: next(nil)
            case .failure: settle(managed, then: next)
            }
        }
    }

    private func settle(
        _ managed: ManagedNetwork, then next: @escaping (HostFailure?) -> Void
    ) {
        let host = host
        let wanted = managed.wanted
        offload { () throws(HostFailure) in
            try host.settle(wanted)
        } then: { [self] result in
            switch result {
            case .success:
                if managed.state != .ready {
                    managed.state = .ready
                    managed.problem = ""
                    record("mended a VPC", managed)
                }
                // Its links may be others now.
                watchPeers(of: managed)
                next(nil)
            case .failure(let failure): next(failure)
            }
        }
    }

    private func takeBack(
        _ node: ComputeNode, of managed: ManagedNetwork,
        former: (node: ComputeNode, attachedAt: Int64)?, _ failure: HostFailure
    ) {
        let id = managed.network.id
        managed.nodes[node.id] = former
        managed.state = .broken
        managed.problem = "\(failure)"
        do throws(CallFailure) {
            try journal.commit { draft in
                if let former {
                    draft.put(former.node, attachedAt: former.attachedAt, of: id)
                } else {
                    draft.remove(node: node.id, of: id)
                }
                draft.put(managed)
                draft.add(.undone(.init(problem: "\(failure)")), of: id)
                draft.add(.changed(message(managed, nodes: .none)), of: id)
            }
        } catch {
            log.error(
                "the record cannot be written", ["vpc.id": .text(id), "error": LogValue(error)])
        }
    }

    // MARK: - Detach

    func detach(_ request: DetachNodeRequest, _ call: DetachCall) throws(CallFailure) {
        try enqueue(request.vpcID) { [self] done in
            do throws(CallFailure) {
                let managed = try usable(request.vpcID)
                guard let (node, _) = managed.nodes[request.nodeID] else {
                    throw .noNode(request.nodeID, request.vpcID)
                }
                if let route = managed.inbound.values.first(where: { $0.node == node.id }) {
                    throw .isLedTo(node.id, by: "\(route.address)")
                }
                try detach(node, from: managed, call, done)
            } catch {
                call.finish(error)
                done()
            }
        }
    }

    private func detach(
        _ node: ComputeNode, from managed: ManagedNetwork, _ call: DetachCall,
        _ done: @escaping () -> Void
    ) throws(CallFailure) {
        let id = managed.network.id
        try journal.commit { draft in
            draft.remove(node: node.id, of: id)
            draft.add(.nodeDetached(.init(nodeID: node.id)), of: id)
        }
        managed.nodes[node.id] = nil
        let steps = NetworkPlan.exchange(
            TunnelPeer(node), for: nil, by: RuleSet(managed.network))
        change(managed, steps) { [self] failure in
            if let failure {
                managed.state = .broken
                managed.problem = "\(failure)"
                record("a node could not be taken away", managed)
                call.finish(CallFailure(failure))
            } else {
                log.info(
                    "detached a node", ["vpc.id": .text(id), "node.id": .text(node.id)])
                call.finish(with: DetachNodeResponse(vpc: message(managed, nodes: .none)))
            }
            done()
        }
    }
}

extension TunnelPeer {
    init(_ node: ComputeNode) {
        self.init(address: node.tunnel, hardware: node.hardware, underlay: node.underlay)
    }
}

extension NetworkPlan {
    /// The changes for one node alone, which look at nothing.
    static func exchange(
        _ former: TunnelPeer?, for peer: TunnelPeer?, by rules: RuleSet
    ) -> [NetworkStep] {
        var steps: [NetworkStep] = []
        guard former != peer else { return steps }
        if let former {
            if former.address != peer?.address {
                steps += [.refuse(former.address), .removeNeighbour(former.address)]
            }
            if former.hardware != peer?.hardware || former.underlay != peer?.underlay {
                steps.append(.removeForwarding(former.hardware, former.underlay))
            }
        }
        if let peer {
            steps += [
                .setNeighbour(peer.address, peer.hardware),
                .setForwarding(peer.hardware, peer.underlay),
            ]
            if former?.address != peer.address {
                steps.append(.admit(peer.address, source: rules.source(of: peer.address)))
            }
        }
        return steps
    }
}
