internal import AgentAPI
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// What a running sandbox goes through.
extension NodeAgent {
    /// Freezes every process inside, or lets them go on; done when it is so.
    func setPaused(
        _ managed: ManagedSandbox, _ paused: Bool,
        then done: @escaping (Result<Void, CallFailure>) -> Void
    ) {
        do throws(CallFailure) {
            guard !managed.isChangingPause else {
                throw .wrongState(managed, "it is being paused or resumed")
            }
            // What has happened before must be written down: else it could be done any number of
            // times while nothing can be.
            try journal.catchUp()
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
        offload(for: managed, to: workers) { () throws(SandboxError) in
            try running.setFrozen(frozen)
        } then: { [self] result in
            managed.isChangingPause = false
            let told: Result<Void, CallFailure>
            switch result {
            case .success:
                note(frozen ? .paused : .resumed, of: managed)
                told =
                    managed.state == (frozen ? .paused : .running)
                    ? .success(()) : .failure(.wrongState(managed, "it was stopped meanwhile"))
            case .failure(let error): told = .failure(CallFailure(error))
            }
            for tell in managed.onPauseChanged.take() { tell(told) }
        }
    }
}
