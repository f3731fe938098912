internal import AgentAPI
internal import Jail
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// The driver of sandboxes: what happens to one goes into its ``SandboxLifecycle``, and what comes
/// out is written down and then done.
extension NodeAgent {
    /// Takes what somebody asks for. It is written down before anything is done, or refused.
    ///
    /// - Returns: whether there was anything to do; if not, it is so or under way already.
    @discardableResult
    func request(
        _ event: SandboxLifecycle.Event, of managed: ManagedSandbox
    ) throws(CallFailure) -> Bool {
        switch SandboxLifecycle.decide(event, in: managed.state) {
        case .ignore: return false
        case .deny(let denial): throw .denied(managed, denial)
        case .accept(let next, let actions):
            if next != managed.state {
                let before = managed.sandbox
                prepare(managed, for: next)
                do throws(CallFailure) {
                    try journal.commit { draft in
                        write(managed, before: before.state, next, into: &draft)
                    }
                } catch {
                    managed.sandbox = before
                    throw error
                }
                managed.lifecycle = SandboxLifecycle(next)
            }
            perform(actions, on: managed)
            return true
        }
    }

    /// Takes what has happened. It is so whether it can be written down now or later.
    func note(_ event: SandboxLifecycle.Event, of managed: ManagedSandbox) {
        guard
            case .accept(let next, let actions) = SandboxLifecycle.decide(event, in: managed.state)
        else { return }
        if next != managed.state {
            let before = managed.sandbox.state
            prepare(managed, for: next)
            managed.lifecycle = SandboxLifecycle(next)
            journal.record { draft in write(managed, before: before, next, into: &draft) }
        }
        perform(actions, on: managed)
    }

    /// What callers see from the next state on.
    private func prepare(_ managed: ManagedSandbox, for next: SandboxLifecycle.State) {
        // One that is being removed stays, for those who still hold it, as it was.
        managed.sandbox.state = AgentAPI.SandboxState(next) ?? managed.sandbox.state
        if next.hasEnded || next == .created || next == .removing { leaveSlot(managed) }
        guard next.hasEnded else { return }
        managed.sandbox.pid = 0
        if managed.sandbox.endedAtNanoseconds == 0 {
            managed.sandbox.endedAtNanoseconds = WallClock.nanoseconds
        }
    }

    private func write(
        _ managed: ManagedSandbox, before: AgentAPI.SandboxState, _ next: SandboxLifecycle.State,
        into draft: inout Journal.Draft
    ) {
        if next == .removing {
            // What is left of it belongs to nobody from now on, and is removed as such if this
            // agent does not come to it.
            draft.remove(managed)
            draft.add(.removed(.init()), of: managed.id)
            return
        }
        draft.put(managed, removes: next == .stopping(removes: true))
        guard before != managed.sandbox.state else { return }
        draft.add(
            .stateChanged(
                .init(
                    before: before, after: managed.sandbox.state,
                    outcome: next.hasEnded ? managed.sandbox.outcome : nil)),
            of: managed.id)
    }

    // MARK: - Actions

    private func perform(_ actions: [SandboxLifecycle.Action], on managed: ManagedSandbox) {
        for action in actions { perform(action, on: managed) }
        tell(managed)
    }

    private func perform(_ action: SandboxLifecycle.Action, on managed: ManagedSandbox) {
        switch action {
        case .launch: launch(managed)
        case .adopt: if let found = managed.found.take() { attach(found, to: managed) }
        case .freeze: setFrozen(managed, true)
        case .thaw: setFrozen(managed, false)
        case .signal: signal(managed)
        case .awaitStart: beginGrace(managed)
        case .kill: kill(managed)
        case .clear: clear(managed)
        case .release: release(managed)
        case .remove: remove(managed)
        }
    }

    /// Tells those who wait what they wait for, once it is so.
    private func tell(_ managed: ManagedSandbox) {
        giveSlotBack(of: managed)
        switch managed.state {
        case .created, .starting: break
        case .running, .paused: settleStart(managed, .success(()))
        case .stopping: break
        case .stopped, .failed, .removing:
            discardPrepared(of: managed)
            settleStart(managed, .failure(.notStarted(managed)))
            for tell in managed.onPauseChanged.take() { tell(.failure(.ended(managed))) }
            for tell in managed.onEnded.take() { tell(()) }
            drainAdvanced()
        }
    }

    /// Tells those who wait for a start what came of it.
    func settleStart(_ managed: ManagedSandbox, _ result: Result<Void, CallFailure>) {
        leaveGate(managed)
        for tell in managed.onStarted.take() { tell(result) }
    }

    private func signal(_ managed: ManagedSandbox) {
        if managed.graceTimer == nil { beginGrace(managed) }
        if let retry = managed.signalRetry.take() { loop.cancel(retry) }
        do throws(SandboxError) {
            try managed.running?.send(managed.stopSignal)
            steps.reached(.stopSignaled)
        } catch {
            // It is busy with other requests, or frozen still. If it never takes this one, its
            // grace ends it.
            managed.signalRetry = loop.schedule(after: Self.signalPause) { [self] in
                managed.signalRetry = nil
                if managed.state == .stopping(removes: false) { signal(managed) }
            }
        }
    }

    private static let signalPause = Duration.milliseconds(20)

    private func beginGrace(_ managed: ManagedSandbox) {
        managed.graceTimer = loop.schedule(after: managed.stopGrace) { [self] in
            managed.graceTimer = nil
            note(.graceOver, of: managed)
        }
    }

    private func kill(_ managed: ManagedSandbox) {
        guard let running = managed.running else {
            // On its way from the spawner.
            managed.diesWhenAttached = managed.isSpawning
            return
        }
        // What cannot be killed has ended, and its end is on its way.
        try? running.kill()
    }

    /// What its outcome was told from goes away once that is written down, and whatever an earlier
    /// agent left. Of one that is being removed nobody asks for the outcome any more.
    private func clear(_ managed: ManagedSandbox) {
        guard managed.state != .removing else { return clearRemains(of: managed) }
        journal.onceWritten { [self] in clearRemains(of: managed) }
    }

    private func clearRemains(of managed: ManagedSandbox) {
        guard managed.mayHaveRemains else { return }
        managed.mayHaveRemains = false
        let engine = managed.engine
        let number = managed.number
        offload(for: managed, to: undertakers) { () throws(SandboxError) in
            try engine.clear(number)
        } then: { result in
            // Tried again with its removal.
            if case .failure = result { managed.mayHaveRemains = true }
        }
    }

    func release(_ managed: ManagedSandbox) {
        discardPrepared(of: managed)
        if admission.release(managed.id) { capacityChanged() }
    }

    private func remove(_ managed: ManagedSandbox) {
        steps.reached(.deleteWritten)
        let folder = managed.engine.folder(of: managed.number)
        offload(for: managed, to: undertakers) { () throws(SandboxError) in
            try folder.remove()
        } then: { [self] _ in
            steps.reached(.deleteCleared)
            // The id is free when nothing of it is left.
            registry.remove(managed)
            dropImages(of: managed)
            for tell in managed.onRemoved.take() { tell(()) }
        }
    }
}
