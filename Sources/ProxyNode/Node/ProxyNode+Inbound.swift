internal import AgentAPI
internal import AgentOperations
internal import LinuxKernel
internal import Netlink
internal import RPC

extension ProxyNode {
    typealias AddInboundCall = TypedCall<AddInboundRequest, AddInboundResponse>
    typealias RemoveInboundCall = TypedCall<RemoveInboundRequest, RemoveInboundResponse>

    func addInbound(
        _ request: AddInboundRequest, _ call: AddInboundCall
    ) throws(CallFailure) {
        try enqueue(request.vpcID) { [self] done in
            do throws(CallFailure) {
                let managed = try usable(request.vpcID)
                let route = try InboundRoute(
                    request.inbound ?? InboundAddress(), in: managed.network,
                    addedAt: WallClock.nanoseconds)
                try add(route, to: managed, call, done)
            } catch {
                call.finish(error)
                done()
            }
        }
    }

    private func add(
        _ route: InboundRoute, to managed: ManagedNetwork, _ call: AddInboundCall,
        _ done: @escaping () -> Void
    ) throws(CallFailure) {
        let id = managed.network.id
        let hardware = try check(route, in: managed)
        if let former = managed.inbound[route.address], managed.state == .ready {
            call.finish(with: AddInboundResponse(inbound: former.message, existed: true))
            return done()
        }
        try journal.commit { draft in
            draft.put(route, of: id)
            draft.add(.inboundAdded(route.message), of: id)
        }
        managed.inbound[route.address] = route
        var steps: [NetworkStep] = [
            .setNeighbour(route.sandbox, hardware), .lead(route.address, to: route.sandbox),
        ]
        if managed.holds {
            steps += [.add(route.interface, link: WantedNetwork.uplinkName), .announce]
        }
        change(managed, steps) { [self] failure in
            if let failure {
                takeBack(route, of: managed, failure)
                call.finish(CallFailure(failure))
            } else {
                log.info(
                    "led an address to a sandbox",
                    ["vpc.id": .text(id), "address": .text("\(route.address)")])
                call.finish(with: AddInboundResponse(inbound: route.message))
            }
            done()
        }
    }

    /// Gives the hardware address of the node.
    private func check(
        _ route: InboundRoute, in managed: ManagedNetwork
    ) throws(CallFailure) -> LinkAddress {
        guard let (node, _) = managed.nodes[route.node] else {
            throw .noNode(route.node, managed.network.id)
        }
        if let former = managed.inbound[route.address], !former.leadsLike(route) {
            throw .isTaken("the address \(route.address)", by: "\(former.sandbox)")
        }
        if let node = managed.nodes.values.first(where: { $0.node.tunnel == route.sandbox }) {
            throw .isTaken("the address \(route.sandbox)", by: node.node.id)
        }
        // One sandbox can have several addresses.
        if let other = managed.inbound.values.first(where: {
            $0.sandbox == route.sandbox && $0.node != route.node
        }) {
            throw .isTaken("the address \(route.sandbox)", by: other.node)
        }
        guard managed.inbound.count < InboundRoute.most else { throw .tooManyInbound }
        return node.hardware
    }

    private func takeBack(
        _ route: InboundRoute, of managed: ManagedNetwork, _ failure: HostFailure
    ) {
        let id = managed.network.id
        managed.inbound[route.address] = nil
        managed.state = .broken
        managed.problem = "\(failure)"
        do throws(CallFailure) {
            try journal.commit { draft in
                draft.remove(route, of: id)
                draft.put(managed)
                draft.add(.undone(.init(problem: "\(failure)")), of: id)
                draft.add(.changed(message(managed, nodes: .none)), of: id)
            }
        } catch {
            log.error(
                "the record cannot be written", ["vpc.id": .text(id), "error": LogValue(error)])
        }
    }

    func removeInbound(
        _ request: RemoveInboundRequest, _ call: RemoveInboundCall
    ) throws(CallFailure) {
        try enqueue(request.vpcID) { [self] done in
            do throws(CallFailure) {
                let managed = try usable(request.vpcID)
                guard let address = IPv4Address(request.address),
                    let route = managed.inbound[address]
                else { throw .noInbound(request.address, request.vpcID) }
                try remove(route, from: managed, call, done)
            } catch {
                call.finish(error)
                done()
            }
        }
    }

    private func remove(
        _ route: InboundRoute, from managed: ManagedNetwork, _ call: RemoveInboundCall,
        _ done: @escaping () -> Void
    ) throws(CallFailure) {
        let id = managed.network.id
        try journal.commit { draft in
            draft.remove(route, of: id)
            draft.add(.inboundRemoved(.init(address: "\(route.address)")), of: id)
        }
        managed.inbound[route.address] = nil
        var steps: [NetworkStep] = [.leadNowhere(route.address, from: route.sandbox)]
        if managed.holds {
            steps.append(.remove(route.interface, link: WantedNetwork.uplinkName))
        }
        if !managed.inbound.values.contains(where: { $0.sandbox == route.sandbox }) {
            steps.append(.removeNeighbour(route.sandbox))
        }
        change(managed, steps) { [self] failure in
            if let failure {
                managed.state = .broken
                managed.problem = "\(failure)"
                record("an address could not be taken away", managed)
                call.finish(CallFailure(failure))
            } else {
                log.info(
                    "led an address nowhere",
                    ["vpc.id": .text(id), "address": .text("\(route.address)")])
                call.finish(with: RemoveInboundResponse())
            }
            done()
        }
    }
}
