/// A sandbox's life.
///
/// ```
///             ┌───────────────────── recovered: nothing there ────┐
///             ▼                                                   │
///         ┌───────┐ start   ┌────────┐ started  ┌───────┐ paused  ┌──────┐
///  ──────►│created├────────►│starting├─────────►│running│◄───────►│paused│
///         └───┬───┘         └───┬────┘          └───┬───┘ resumed └──┬───┘
///             │                 │ stop              │ stop           │ stop
///             │                 ▼                   ▼                ▼
///             │ stop        ┌─────────────────────────────────────────┐
///             │             │                stopping                 │
///             │             └───────────────────┬─────────────────────┘
///             ▼                                 │ ended
///         ┌──────┐  start failed, or lost       ▼
///         │failed│◄── from any of these     ┌───────┐
///         └───┬──┘                          │stopped│◄── ended, from any of these
///             │ delete                      └───┬───┘
///             ▼                                 ▼ delete
///         ┌───────────────────────────────────────────┐
///         │ removing: nothing more happens to it      │
///         └───────────────────────────────────────────┘
/// ```
///
/// (`recovered: nothing there` leads from starting to created.) A deletion by force stops it first
/// and removes it when it has ended. A created sandbox is removed at once.
///
/// Pure: an event goes in, and what to do comes out. One driver for each sandbox performs that, in
/// order, and feeds in what came of it; the state that is accepted is written down before anything
/// is done. Reports of what is past already are ignored, requests that do not fit are denied with
/// the reason, and requests that ask for what is so or is under way are ignored: whoever asked
/// waits for the state like the one before.
public struct SandboxLifecycle: Hashable, Sendable {
    public enum State: Hashable, Sendable {
        /// Reserved and written down. Nothing of it runs.
        case created
        case starting
        case running
        /// Every process inside is frozen.
        case paused
        /// Asked to stop. With `removes` it was killed, and is removed once it has ended.
        case stopping(removes: Bool)
        /// The workload ended.
        case stopped
        /// It never ran its workload, or was lost.
        case failed
        /// Its removal was decided and is under way.
        case removing

        public static let all: [State] = [
            .created, .starting, .running, .paused, .stopping(removes: false),
            .stopping(removes: true), .stopped, .failed, .removing,
        ]
    }

    public enum Event: Hashable, Sendable {
        case startRequested
        /// The workload runs.
        case started
        /// It did not come to run the workload. What a start made is still there.
        case startFailed
        case pauseRequested
        case paused
        case resumeRequested
        case resumed
        /// With a grace, or at once.
        case stopRequested(atOnce: Bool)
        /// The grace that began with `signal` or `awaitStart` is over.
        case graceOver
        /// The workload ended, and how is known.
        case ended
        case deleteRequested(force: Bool)
        /// The agent started again and found it at work.
        case recoveredRunning
        /// The agent started again and found it frozen.
        case recoveredPaused
        /// The agent started again and found how it ended.
        case recoveredEnded
        /// The agent started again and found that it did not come to run its workload.
        case recoveredFailed
        /// The agent started again and found neither it nor its end.
        case recoveredNothing

        public static let all: [Event] = [
            .startRequested, .started, .startFailed, .pauseRequested, .paused, .resumeRequested,
            .resumed, .stopRequested(atOnce: false), .stopRequested(atOnce: true), .graceOver,
            .ended, .deleteRequested(force: false), .deleteRequested(force: true),
            .recoveredRunning, .recoveredPaused, .recoveredEnded, .recoveredFailed,
            .recoveredNothing,
        ]
    }

    /// What the driver does. Doing one a second time changes nothing.
    public enum Action: Hashable, Sendable {
        /// Start the workload; then `started` or `startFailed`.
        case launch
        /// Take over what an earlier agent started: its output, its end.
        case adopt
        /// Freeze every process; then `paused`.
        case freeze
        /// Let them go on; then `resumed`.
        case thaw
        /// Send the signal to stop, and begin the grace; then `ended` or `graceOver`.
        case signal
        /// Begin the grace; the signal is sent when the workload runs.
        case awaitStart
        /// End every process, frozen or not; then `ended`, or `startFailed` if it never ran.
        case kill
        /// End and remove what of it is on the node: processes, cgroup, mounts, network. Its record
        /// and its logs stay.
        case clear
        /// Give back what was reserved for it.
        case release
        /// Remove its logs and its record: nothing is left.
        case remove
    }

    /// Why a request does not fit the state.
    public enum Denial: String, CaseIterable, Hashable, Sendable {
        case notStarted = "it was not started"
        case stillStarting = "it is still starting"
        case isRunning = "it is not stopped"
        case isPaused = "it is paused"
        case isStopping = "it is being stopped"
        case hasEnded = "it has ended"
        case isRemoved = "it is being removed"

        /// What to do about it, where there is something to do.
        public var hint: String? {
            switch self {
            case .notStarted: "start it first"
            case .stillStarting: "wait until it runs"
            case .isRunning: "stop it first, or delete it by force"
            case .isPaused: "resume it first"
            case .isStopping: nil
            case .hasEnded: "a sandbox runs once: delete it, and create another"
            case .isRemoved: nil
            }
        }
    }

    public enum Decision: Hashable, Sendable {
        /// The state from now on, which may be the same, and what to do, in this order.
        case accept(State, [Action])
        case ignore
        case deny(Denial)
    }

    public private(set) var state: State

    public init(_ state: State = .created) {
        self.state = state
    }

    /// Decides, and takes the new state if there is one.
    public mutating func handle(_ event: Event) -> Decision {
        let decision = Self.decide(event, in: state)
        if case .accept(let next, _) = decision { state = next }
        return decision
    }
}

extension SandboxLifecycle.State {
    /// Whether something of it may run.
    public var isLive: Bool {
        switch self {
        case .starting, .running, .paused, .stopping: true
        case .created, .stopped, .failed, .removing: false
        }
    }

    /// Whether the node keeps room for it.
    public var holdsReservation: Bool {
        switch self {
        case .created, .starting, .running, .paused, .stopping: true
        case .stopped, .failed, .removing: false
        }
    }

    /// Whether it has ended: whoever waits for it has an answer.
    public var hasEnded: Bool {
        switch self {
        case .stopped, .failed, .removing: true
        case .created, .starting, .running, .paused, .stopping: false
        }
    }
}
