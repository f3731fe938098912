extension SandboxLifecycle {
    /// What an event means in a state. Every pair is written: a new case of either does not
    /// compile until it is thought of everywhere.
    public static func decide(_ event: Event, in state: State) -> Decision {
        switch state {
        case .created: whenCreated(event)
        case .starting: whenStarting(event)
        case .running: whenRunning(event)
        case .paused: whenPaused(event)
        case .stopping(removes: false): whenStopping(event)
        case .stopping(removes: true): whenStoppingToRemove(event)
        case .stopped: whenEnded(event, .stopped)
        case .failed: whenEnded(event, .failed)
        case .removing: whenRemoving(event)
        }
    }

    private static func whenCreated(_ event: Event) -> Decision {
        switch event {
        case .startRequested: .accept(.starting, [.launch])
        // Of a start that was taken back.
        case .started, .startFailed, .paused, .resumed, .graceOver, .ended: .ignore
        case .pauseRequested, .resumeRequested: .deny(.notStarted)
        // It will never run its workload.
        case .stopRequested(atOnce: false), .stopRequested(atOnce: true):
            .accept(.failed, [.release])
        case .deleteRequested(force: false), .deleteRequested(force: true):
            .accept(.removing, [.release, .remove])
        // A start is written down before it is done: whatever is there is of one that was taken
        // back.
        case .recoveredRunning, .recoveredPaused, .recoveredEnded, .recoveredFailed,
            .recoveredNothing:
            .accept(.created, [.clear])
        }
    }

    private static func whenStarting(_ event: Event) -> Decision {
        switch event {
        case .startRequested: .ignore
        case .started: .accept(.running, [])
        case .startFailed, .recoveredFailed: .accept(.failed, [.clear, .release])
        case .pauseRequested, .resumeRequested: .deny(.stillStarting)
        case .paused, .resumed, .graceOver: .ignore
        case .stopRequested(atOnce: false): .accept(.stopping(removes: false), [.awaitStart])
        case .stopRequested(atOnce: true): .accept(.stopping(removes: false), [.kill])
        // What ended has run.
        case .ended, .recoveredEnded: .accept(.stopped, [.clear, .release])
        case .deleteRequested(force: false): .deny(.isRunning)
        case .deleteRequested(force: true): .accept(.stopping(removes: true), [.kill])
        case .recoveredRunning: .accept(.running, [.adopt])
        case .recoveredPaused: .accept(.paused, [.adopt])
        case .recoveredNothing: .accept(.created, [.clear])
        }
    }

    private static func whenRunning(_ event: Event) -> Decision {
        switch event {
        case .startRequested, .started: .ignore
        case .startFailed, .recoveredFailed, .recoveredNothing:
            .accept(.failed, [.clear, .release])
        case .pauseRequested: .accept(.running, [.freeze])
        case .paused: .accept(.paused, [])
        case .resumeRequested, .resumed, .graceOver: .ignore
        case .stopRequested(atOnce: false): .accept(.stopping(removes: false), [.signal])
        case .stopRequested(atOnce: true): .accept(.stopping(removes: false), [.kill])
        case .ended, .recoveredEnded: .accept(.stopped, [.clear, .release])
        case .deleteRequested(force: false): .deny(.isRunning)
        case .deleteRequested(force: true): .accept(.stopping(removes: true), [.kill])
        case .recoveredRunning: .accept(.running, [.adopt])
        case .recoveredPaused: .accept(.paused, [.adopt])
        }
    }

    private static func whenPaused(_ event: Event) -> Decision {
        switch event {
        case .startRequested: .deny(.isPaused)
        case .started, .pauseRequested, .paused, .graceOver: .ignore
        case .startFailed, .recoveredFailed, .recoveredNothing:
            .accept(.failed, [.clear, .release])
        case .resumeRequested: .accept(.paused, [.thaw])
        case .resumed: .accept(.running, [])
        // What is frozen takes no signal.
        case .stopRequested(atOnce: false): .accept(.stopping(removes: false), [.thaw, .signal])
        case .stopRequested(atOnce: true): .accept(.stopping(removes: false), [.kill])
        case .ended, .recoveredEnded: .accept(.stopped, [.clear, .release])
        case .deleteRequested(force: false): .deny(.isRunning)
        case .deleteRequested(force: true): .accept(.stopping(removes: true), [.kill])
        case .recoveredRunning: .accept(.running, [.adopt])
        case .recoveredPaused: .accept(.paused, [.adopt])
        }
    }

    private static func whenStopping(_ event: Event) -> Decision {
        let same = State.stopping(removes: false)
        return switch event {
        case .startRequested, .pauseRequested, .resumeRequested: .deny(.isStopping)
        // Asked to stop before it ran.
        case .started: .accept(same, [.signal])
        case .startFailed, .recoveredFailed, .recoveredNothing:
            .accept(.failed, [.clear, .release])
        // The freezing was under way when it was asked to stop.
        case .paused: .accept(same, [.thaw, .signal])
        case .resumed, .stopRequested(atOnce: false): .ignore
        case .stopRequested(atOnce: true), .graceOver: .accept(same, [.kill])
        case .ended, .recoveredEnded: .accept(.stopped, [.clear, .release])
        case .deleteRequested(force: false): .deny(.isRunning)
        case .deleteRequested(force: true): .accept(.stopping(removes: true), [.kill])
        // How much of its grace had passed is not known: it begins anew.
        case .recoveredRunning: .accept(same, [.adopt, .signal])
        case .recoveredPaused: .accept(same, [.adopt, .thaw, .signal])
        }
    }

    private static func whenStoppingToRemove(_ event: Event) -> Decision {
        switch event {
        case .startRequested, .pauseRequested, .resumeRequested: .deny(.isRemoved)
        // It was killed, and its end will come.
        case .started, .paused, .resumed, .graceOver: .ignore
        case .stopRequested(atOnce: false), .stopRequested(atOnce: true): .ignore
        case .deleteRequested(force: false), .deleteRequested(force: true): .ignore
        case .startFailed, .ended, .recoveredEnded, .recoveredFailed, .recoveredNothing:
            .accept(.removing, [.clear, .release, .remove])
        case .recoveredRunning, .recoveredPaused:
            .accept(.stopping(removes: true), [.adopt, .kill])
        }
    }

    private static func whenEnded(_ event: Event, _ state: State) -> Decision {
        switch event {
        case .startRequested, .pauseRequested, .resumeRequested: .deny(.hasEnded)
        case .started, .startFailed, .paused, .resumed, .graceOver, .ended: .ignore
        case .stopRequested(atOnce: false), .stopRequested(atOnce: true): .ignore
        case .deleteRequested(force: false), .deleteRequested(force: true):
            .accept(.removing, [.clear, .remove])
        // Its end was written down; whether clearing was done is not known.
        case .recoveredRunning, .recoveredPaused, .recoveredEnded, .recoveredFailed,
            .recoveredNothing:
            .accept(state, [.clear])
        }
    }

    private static func whenRemoving(_ event: Event) -> Decision {
        switch event {
        case .startRequested, .pauseRequested, .resumeRequested: .deny(.isRemoved)
        case .started, .startFailed, .paused, .resumed, .graceOver, .ended: .ignore
        case .stopRequested(atOnce: false), .stopRequested(atOnce: true): .ignore
        case .deleteRequested(force: false), .deleteRequested(force: true): .ignore
        // The removal was decided, and not done to its end.
        case .recoveredRunning, .recoveredPaused, .recoveredEnded, .recoveredFailed,
            .recoveredNothing:
            .accept(.removing, [.clear, .release, .remove])
        }
    }
}
