import SandboxModel
import TestSupport

/// What a driver of a sandbox acts on, without a host: a process that lives on when the agent
/// dies, what is left of it, and the agent's own memory. Reports come late and in order.
struct SandboxWorld {
    enum Process {
        case none, settingUp, running, frozen
    }

    enum KnownEnd {
        case ended, failed
    }

    var process = Process.none
    /// What is written where a later agent finds it.
    var end: KnownEnd?
    var hasRemains = false
    var isReserved = true
    var isRemoved = false
    var graceRuns = false
    /// Reports that the agent has not yet read. They die with it.
    var reports: [SandboxLifecycle.Event] = []
    /// What must not happen, and did.
    var wrongs: [String] = []

    mutating func perform(_ action: SandboxLifecycle.Action) {
        if isRemoved { wrongs.append("\(action) after the removal") }
        switch action {
        case .launch:
            if process != .none || hasRemains { wrongs.append("launched over remains") }
            process = .settingUp
            hasRemains = true
        case .adopt:
            if process == .none { wrongs.append("nothing to adopt") }
        case .freeze:
            guard process == .running else { return }
            process = .frozen
            reports.append(.paused)
        case .thaw:
            guard process == .frozen else { return }
            process = .running
            reports.append(.resumed)
        // What is frozen takes no signal until it goes on.
        case .signal: graceRuns = true
        case .awaitStart: graceRuns = true
        case .kill: finish(process == .settingUp ? .failed : .ended)
        case .clear:
            process = .none
            end = nil
            hasRemains = false
            graceRuns = false
        case .release: isReserved = false
        case .remove:
            if isReserved || hasRemains { wrongs.append("removed with \(self)") }
            isRemoved = true
        }
    }

    private mutating func finish(_ how: KnownEnd) {
        guard process != .none else { return }
        process = .none
        end = how
        reports.append(how == .ended ? .ended : .startFailed)
    }

    /// Something happens by itself.
    mutating func go(_ random: inout SeededRandom) {
        switch process {
        case .settingUp where Int.random(in: 0..<4, using: &random) == 0: finish(.failed)
        case .settingUp:
            process = .running
            reports.append(.started)
        case .running where graceRuns || Int.random(in: 0..<8, using: &random) == 0:
            finish(.ended)
        case .running, .frozen, .none: break
        }
    }

    mutating func letGracePass() {
        guard graceRuns else { return }
        graceRuns = false
        reports.append(.graceOver)
    }

    /// The agent dies, and a new one has read the record.
    mutating func restart(in state: SandboxLifecycle.State) {
        reports = []
        graceRuns = false
        isReserved = state.holdsReservation
    }

    /// What the new agent finds; it waits until a set-up is over.
    mutating func found(_ random: inout SeededRandom) -> SandboxLifecycle.Event {
        if process == .settingUp { go(&random) }
        reports = []
        switch (process, end) {
        case (.running, _), (.settingUp, _): return .recoveredRunning
        case (.frozen, _): return .recoveredPaused
        case (.none, .ended?): return .recoveredEnded
        case (.none, .failed?): return .recoveredFailed
        case (.none, nil): return .recoveredNothing
        }
    }
}
