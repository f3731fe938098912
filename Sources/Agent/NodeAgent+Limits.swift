internal import AgentAPI
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// Limits that change while a sandbox runs.
///
/// What is to change is written down before: an agent that dies between the two leaves limits of
/// which nobody knows whether they are the old or the new ones, and the next one sets the new ones
/// again. Until it is known, the larger of both is reserved.
extension NodeAgent {
    /// Changes limits of a running sandbox: what is set changes, the rest stays.
    func update(
        _ managed: ManagedSandbox, _ wanted: AgentAPI.Limits, _ policy: AgentAPI.LimitPolicy,
        then done: @escaping (Result<Void, CallFailure>) -> Void
    ) {
        do throws(CallFailure) {
            guard let running = managed.running, !managed.isFinishing,
                managed.state == .running || managed.state == .paused
            else {
                throw .wrongState(managed, "limits are changed of one that runs or is paused")
            }
            guard managed.limitChange == nil else {
                throw .wrongState(managed, "its limits are being changed")
            }
            let change = LimitChange(
                id: managed.id, limits: wanted, limitPolicy: policy)
            let mode = try mode(of: change)
            try begin(change, of: managed)
            let limits = SandboxModel.Limits(wanted)
            offload(for: managed, to: workers) { () throws(SandboxError) in
                try running.update(limits, policy: mode)
            } then: { [self] result in
                settle(change, of: managed, result)
                done(result.map { _ in }.mapError { CallFailure($0) })
            }
        } catch {
            done(.failure(error))
        }
    }

    private func mode(
        of change: LimitChange
    ) throws(CallFailure) -> SandboxModel.SandboxSpec.LimitPolicy {
        let mode = try change.limitPolicy.model(field: "limit_policy")
        return settings.allLimitsAreBestEffort ? .bestEffort : mode
    }

    /// Reserves, and writes down what is to be done.
    private func begin(
        _ change: LimitChange, of managed: ManagedSandbox
    ) throws(CallFailure) {
        let before = admission.reservation(of: managed.id) ?? .none
        let both = before.orMore(request(of: change.spec(of: managed), on: managed.engine))
        if case .refused(let shortages) = admission.reserve(both, for: managed.id) {
            throw .noRoom(shortages)
        }
        do throws(CallFailure) {
            try journal.commit { $0.put(change, of: managed) }
        } catch {
            _ = admission.adopt(before, for: managed.id)
            throw error
        }
        managed.limitChange = change
        capacityChanged()
    }

    /// It is known by now what holds.
    private func settle(
        _ change: LimitChange, of managed: ManagedSandbox,
        _ result: Result<[SandboxModel.LimitStatus], SandboxError>
    ) {
        managed.limitChange = nil
        if case .success(let statuses) = result {
            managed.spec.limits = change.applied(to: managed)
            managed.sandbox.spec?.limits = AgentAPI.Limits(managed.spec.limits)
            managed.sandbox.limits = statuses.map { AgentAPI.LimitStatus($0) }
        }
        if case .success = result { keepNote(of: managed) }
        if managed.state.holdsReservation {
            let reserved = request(of: managed.spec, on: managed.engine)
            _ = admission.adopt(reserved, for: managed.id)
        }
        journal.record { draft in
            draft.removeChange(of: managed)
            guard case .success = result else { return }
            draft.put(managed, removes: managed.state == .stopping(removes: true))
            draft.putRequested(managed)
            draft.add(
                .resourcesUpdated(
                    .init(
                        limits: managed.sandbox.spec?.limits, statuses: managed.sandbox.limits)),
                of: managed.id)
        }
        capacityChanged()
    }

    // MARK: - After a restart

    /// What a restored sandbox holds: the larger of both, where a change was under way.
    func reservation(ofRestored managed: ManagedSandbox) -> SandboxModel.Resources {
        let before = request(of: managed.spec, on: managed.engine)
        guard let change = managed.limitChange else { return before }
        return before.orMore(request(of: change.spec(of: managed), on: managed.engine))
    }

    /// Brings a change to its end that an earlier agent began.
    func finishLimitChange(of managed: ManagedSandbox) {
        guard let change = managed.limitChange else { return }
        let result: Result<[SandboxModel.LimitStatus], SandboxError>
        do throws(SandboxError) {
            guard let running = managed.running,
                let limits = change.limits.map({ SandboxModel.Limits($0) }),
                let mode = try? mode(of: change)
            else {
                throw SandboxError(.unavailable, "nothing of it runs any more")
            }
            result = .success(try running.update(limits, policy: mode))
        } catch {
            result = .failure(error)
        }
        settle(change, of: managed, result)
    }
}

/// As it was asked for.
typealias LimitChange = UpdateResourcesRequest

extension LimitChange {
    /// As it is with the change.
    fileprivate func spec(of managed: ManagedSandbox) -> SandboxModel.SandboxSpec {
        var spec = managed.spec
        spec.limits = applied(to: managed)
        return spec
    }

    fileprivate func applied(to managed: ManagedSandbox) -> SandboxModel.Limits {
        var merged = managed.spec.limits
        if let limits { merged.update(with: limits) }
        return merged
    }
}

extension SandboxModel.Resources {
    /// Of each kind, what is more.
    func orMore(_ other: SandboxModel.Resources) -> SandboxModel.Resources {
        var result = self
        for kind in Kind.allCases { result[kind] = max(self[kind], other[kind]) }
        return result
    }
}
