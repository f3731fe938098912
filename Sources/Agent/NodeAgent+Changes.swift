internal import AgentAPI
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// What a running sandbox goes through.
extension NodeAgent {
    // MARK: - Freezing

    /// Freezes every process inside, or lets them go on; done when it is so.
    func setPaused(
        _ managed: ManagedSandbox, _ paused: Bool,
        then done: @escaping (Result<Void, CallFailure>) -> Void
    ) {
        do throws(CallFailure) {
            guard !managed.isChangingPause else {
                throw .wrongState(managed, "it is being paused or resumed")
            }
            let token = managed.onPauseChanged.add(done)
            do throws(CallFailure) {
                let event: SandboxLifecycle.Event = paused ? .pauseRequested : .resumeRequested
                guard try !request(event, of: managed) else { return }
            } catch {
                managed.onPauseChanged.remove(token)
                throw error
            }
            managed.onPauseChanged.remove(token)
            done(.success(()))
        } catch {
            done(.failure(error))
        }
    }

    /// The freezing comes first, and is written down then: a later agent sees which it is.
    func setFrozen(_ managed: ManagedSandbox, _ frozen: Bool) {
        guard let running = managed.running else { return }
        managed.isChangingPause = true
        offload(to: workers) { () throws(SandboxError) in
            try running.setFrozen(frozen)
        } then: { [self] result in
            managed.isChangingPause = false
            let told: Result<Void, CallFailure>
            switch result {
            case .success:
                note(frozen ? .paused : .resumed, of: managed)
                told = .success(())
            case .failure(let error): told = .failure(CallFailure(error))
            }
            for tell in managed.onPauseChanged.take() { tell(told) }
        }
    }

    // MARK: - Limits

    /// Changes limits of a running sandbox: what is set changes, the rest stays.
    func update(
        _ managed: ManagedSandbox, _ wanted: AgentAPI.Limits, _ policy: AgentAPI.LimitPolicy,
        then done: @escaping (Result<Void, CallFailure>) -> Void
    ) {
        do throws(CallFailure) {
            guard let running = managed.running,
                managed.state == .running || managed.state == .paused
            else {
                throw .wrongState(managed, "limits are changed of one that runs or is paused")
            }
            let change = SandboxModel.Limits(wanted)
            var merged = managed.spec.limits
            merged.update(with: wanted)
            let before = admission.reservation(of: managed.id)
            let after = request(of: merged, on: managed.engine)
            if case .refused(let shortages) = admission.reserve(after, for: managed.id) {
                throw .noRoom(shortages)
            }
            let mode = try policy.model(field: "limit_policy")
            offload(to: workers) { () throws(SandboxError) in
                try running.update(change, policy: mode)
            } then: { [self] result in
                finishUpdate(managed, result.map { (merged, $0) }, before, then: done)
            }
        } catch {
            done(.failure(error))
        }
    }

    private func finishUpdate(
        _ managed: ManagedSandbox,
        _ result: Result<(SandboxModel.Limits, [SandboxModel.LimitStatus]), SandboxError>,
        _ before: SandboxModel.Resources?,
        then done: @escaping (Result<Void, CallFailure>) -> Void
    ) {
        switch result {
        case .failure(let error):
            if let before, managed.state.isLive { _ = admission.adopt(before, for: managed.id) }
            capacityChanged()
            done(.failure(CallFailure(error)))
        case .success(let (limits, statuses)):
            managed.spec.limits = limits
            managed.sandbox.spec?.limits = AgentAPI.Limits(limits)
            managed.sandbox.limits = statuses.map { AgentAPI.LimitStatus($0) }
            journal.record { change in
                change.put(managed)
                change.add(
                    .resourcesUpdated(
                        .init(
                            limits: managed.sandbox.spec?.limits,
                            statuses: managed.sandbox.limits)),
                    of: managed.id)
            }
            capacityChanged()
            done(.success(()))
        }
    }
}
