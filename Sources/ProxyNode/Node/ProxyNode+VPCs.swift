internal import AgentAPI
internal import AgentOperations
internal import LinuxKernel
internal import Netlink
internal import RPC

extension ProxyNode {
    typealias CreateCall = TypedCall<CreateVPCRequest, CreateVPCResponse>
    typealias DeleteCall = TypedCall<DeleteVPCRequest, DeleteVPCResponse>

    // MARK: - Create

    func create(_ request: CreateVPCRequest, _ call: CreateCall) throws(CallFailure) {
        let network = try TenantNetwork(
            id: request.id, request.spec ?? VPCSpec(), underlay: underlay)
        try enqueue(network.id) { [self] done in
            do throws(CallFailure) {
                try create(network, call, done)
            } catch {
                call.finish(error)
                done()
            }
        }
    }

    private func create(
        _ network: TenantNetwork, _ call: CreateCall, _ done: @escaping () -> Void
    ) throws(CallFailure) {
        if let other = networks[network.id] {
            guard other.state != .deleting else { throw .isBeingDeleted(network.id) }
            guard other.network == network else { throw .isAnother(network.id) }
            return confirm(other, call, done)
        }
        try checkOthers(network)
        let managed = ManagedNetwork(
            network, createdAt: WallClock.nanoseconds, state: .creating)
        try journal.commit { draft in
            draft.put(managed)
            draft.add(.changed(message(managed)), of: network.id)
        }
        insert(managed)
        let host = host
        let wanted = managed.wanted
        offload { () throws(HostFailure) in
            do throws(HostFailure) {
                _ = try host.settle(wanted)
            } catch {
                // What cannot be taken back now is in the record as being deleted.
                let isGone = (try? host.remove(network.id, uplink: network.uplink)) != nil
                return Outcome.failed(error, isUndone: isGone)
            }
            return Outcome.done
        } then: { [self] result in
            switch result {
            case .success(.done): finish(managed, call)
            case .success(.failed(let failure, let isUndone)):
                undo(managed, failure, isUndone: isUndone)
                call.finish(CallFailure(failure))
            case .failure(let failure): call.finish(CallFailure(failure))
            }
            done()
        }
    }

    /// Answers for one that is there. A broken one is mended first.
    private func confirm(
        _ managed: ManagedNetwork, _ call: CreateCall, _ done: @escaping () -> Void
    ) {
        change(managed, []) { [self] failure in
            if let failure {
                call.finish(CallFailure(failure))
            } else {
                call.finish(with: CreateVPCResponse(vpc: message(managed), existed: true))
            }
            done()
        }
    }

    private enum Outcome: Sendable {
        case done
        case failed(HostFailure, isUndone: Bool)
    }

    /// What of another VPC stands in the way.
    private func checkOthers(_ network: TenantNetwork) throws(CallFailure) {
        for other in networks.values.map(\.network) {
            if other.vni == network.vni, other.port == network.port {
                throw .isTaken("the tunnel \(network.vni)", by: other.id)
            }
            if let link = other.takenLinks.first(where: network.takenLinks.contains) {
                throw .isTaken("the link `\(link)`", by: other.id)
            }
        }
    }

    private func finish(_ managed: ManagedNetwork, _ call: CreateCall) {
        managed.state = .ready
        watchPeers(of: managed)
        record("created a VPC", managed)
        call.finish(with: CreateVPCResponse(vpc: message(managed)))
    }

    private func undo(_ managed: ManagedNetwork, _ failure: HostFailure, isUndone: Bool) {
        let id = managed.network.id
        log.error("a VPC could not be made", ["vpc.id": .text(id), "error": LogValue(failure)])
        managed.state = .deleting
        managed.problem = "\(failure)"
        do throws(CallFailure) {
            try journal.commit { draft in
                draft.add(.undone(.init(problem: "\(failure)")), of: id)
                if isUndone {
                    draft.remove(managed)
                    draft.add(.deleted(.init()), of: id)
                } else {
                    draft.put(managed)
                    draft.add(.changed(message(managed)), of: id)
                }
            }
        } catch {
            // The record says that it is being created: the next start makes it whole, or says
            // why not.
            return log.error(
                "the record cannot be written", ["vpc.id": .text(id), "error": LogValue(error)])
        }
        if isUndone { drop(managed) }
    }

    /// Writes down how a VPC is now. What cannot be written is found again by the next start.
    func record(_ what: StaticString, _ managed: ManagedNetwork) {
        let id = managed.network.id
        do throws(CallFailure) {
            try journal.commit { draft in
                draft.put(managed)
                draft.add(.changed(message(managed, nodes: .none)), of: id)
            }
            log.info(what, ["vpc.id": .text(id)])
        } catch {
            log.error(
                "the record cannot be written", ["vpc.id": .text(id), "error": LogValue(error)])
        }
    }

    // MARK: - Delete

    func delete(_ request: DeleteVPCRequest, _ call: DeleteCall) throws(CallFailure) {
        try enqueue(request.id) { [self] done in
            do throws(CallFailure) {
                try delete(try network(request.id), call, done)
            } catch {
                call.finish(error)
                done()
            }
        }
    }

    private func delete(
        _ managed: ManagedNetwork, _ call: DeleteCall, _ done: @escaping () -> Void
    ) throws(CallFailure) {
        let before = managed.state
        managed.state = .deleting
        managed.problem = ""
        do throws(CallFailure) {
            try journal.commit { draft in
                draft.put(managed)
                draft.add(.changed(message(managed, nodes: .none)), of: managed.network.id)
            }
        } catch {
            managed.state = before
            throw error
        }
        let host = host
        let network = managed.network
        offload { () throws(HostFailure) in
            try host.remove(network.id, uplink: network.uplink)
        } then: { [self] result in
            do throws(CallFailure) {
                if case .failure(let failure) = result {
                    managed.problem = "\(failure)"
                    throw CallFailure(failure)
                }
                try journal.commit { draft in
                    draft.remove(managed)
                    draft.add(.deleted(.init()), of: network.id)
                }
                drop(managed)
                log.info("deleted a VPC", ["vpc.id": .text(network.id)])
                call.finish(with: DeleteVPCResponse())
            } catch {
                call.finish(error)
            }
            done()
        }
    }
}
