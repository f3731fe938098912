internal import AgentAPI
internal import LinuxKernel
internal import RPC
internal import SandboxModel

extension NodeAgent {
    /// Asks a sandbox to stop, ends it when its grace is over; done when nothing of it runs.
    ///
    /// - Parameters:
    ///   - grace: nil for that of the specification.
    ///   - signal: nil for the one that its image names, or SIGTERM.
    /// - Returns: an action for one who no longer waits.
    @discardableResult
    func stop(
        _ managed: ManagedSandbox, grace: Duration?, signal: Signal?,
        then done: @escaping (Result<Void, CallFailure>) -> Void
    ) -> () -> Void {
        let before = (managed.stopGrace, managed.stopSignal, managed.sandbox.outcome)
        if managed.graceTimer == nil {
            managed.stopGrace = grace ?? managed.usualStopGrace
            managed.stopSignal = signal ?? managed.usualStopSignal
        }
        if managed.state == .created {
            managed.sandbox.outcome = AgentAPI.Outcome(
                .failed("it was stopped before it was started"))
        }
        let token = managed.onEnded.add { done(.success(())) }
        do throws(CallFailure) {
            try request(.stopRequested(atOnce: grace == .zero), of: managed)
        } catch {
            managed.onEnded.remove(token)
            (managed.stopGrace, managed.stopSignal, managed.sandbox.outcome) = before
            done(.failure(error))
            return {}
        }
        steps.reached(.stopWritten)
        if managed.state.hasEnded {
            // As it was asked for, perhaps long before.
            for tell in managed.onEnded.take() { tell(()) }
        }
        return { managed.onEnded.remove(token) }
    }

    /// Removes a sandbox that has ended or was never started, or by force one that runs; done when
    /// nothing of it is left.
    ///
    /// - Returns: an action for one who no longer waits.
    @discardableResult
    func delete(
        _ managed: ManagedSandbox, force: Bool,
        then done: @escaping (Result<Void, CallFailure>) -> Void
    ) -> () -> Void {
        let token = managed.onRemoved.add { done(.success(())) }
        do throws(CallFailure) {
            try request(.deleteRequested(force: force), of: managed)
        } catch {
            managed.onRemoved.remove(token)
            done(.failure(error))
            return {}
        }
        return { managed.onRemoved.remove(token) }
    }
}
