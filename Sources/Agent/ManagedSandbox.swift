internal import AgentAPI
internal import HostNetwork
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// One sandbox as the node keeps it. Lives on the loop's thread.
final class ManagedSandbox: @unchecked Sendable {
    let number: Int64
    /// What it was asked to be, for one who asks again.
    let requested: AgentAPI.SandboxSpec
    /// By the monotonic clock: when its start was asked for, when it came through the gate, and
    /// when that was written down.
    var startRequestedAt: UInt64 = 0
    var startBegunAt: UInt64 = 0
    var startWrittenAt: UInt64 = 0
    /// What callers see, and what is written down.
    var sandbox: AgentAPI.Sandbox
    /// Its specification, checked.
    var spec: SandboxModel.SandboxSpec
    let engine: any SandboxEngine
    /// The images of the store that it is made of; nil for a directory.
    var source: ImageSource?
    var lifecycle: SandboxLifecycle

    /// Written down. Nobody sees it before.
    var isCreated = false
    /// Laid out and waiting for its start.
    var prepared: (any PreparedStart)?
    /// The slot of the node's networks that it is about to start with.
    var network: NetworkOrder?
    /// That it had, until nothing is written down of it any more.
    var leavingSlot: SlotIndex?
    /// Being started on the spawner's thread: nobody can act on it.
    var isSpawning = false
    /// It was to be killed meanwhile.
    var diesWhenAttached = false
    /// What the recovery found of it, to be adopted.
    var found: (any EngineSandbox)?
    /// An earlier agent may have left something of it on the node.
    var mayHaveRemains = false
    var running: (any EngineSandbox)?
    /// Its end is being cleared away.
    var isFinishing = false
    var isChangingPause = false
    /// Of its limits; nil when none is under way.
    var limitChange: LimitChange?
    /// How it is asked to stop, and how long it then has.
    var stopSignal = Signal.terminate
    var stopGrace: Duration
    /// Stages of the start, while it runs.
    var timeline: [SandboxOutcome.Moment] = []

    /// What is to be done to it on other threads, one after the other: the next ones, behind the
    /// one that is being done.
    var isBusy = false
    var jobs: [() -> Void] = []

    var reportWatch: Watch?
    var endWatch: Watch?
    var graceTimer: ScheduledAction?
    var timeoutTimer: ScheduledAction?
    /// Until the signal to stop is sent again, to one that did not take it.
    var signalRetry: ScheduledAction?

    var onCreated = Waiters<Result<Void, CallFailure>>()
    var onStarted = Waiters<Result<Void, CallFailure>>()
    var onPauseChanged = Waiters<Result<Void, CallFailure>>()
    var onEnded = Waiters<Void>()
    var onRemoved = Waiters<Void>()

    var id: String { sandbox.id }
    var state: SandboxLifecycle.State { lifecycle.state }

    /// - Parameter requested: nil for the specification that it has.
    init(
        number: Int64, sandbox: AgentAPI.Sandbox, spec: SandboxModel.SandboxSpec,
        engine: any SandboxEngine, lifecycle: SandboxLifecycle,
        requested: AgentAPI.SandboxSpec? = nil
    ) {
        self.number = number
        self.sandbox = sandbox
        self.requested = requested ?? sandbox.spec ?? AgentAPI.SandboxSpec()
        self.spec = spec
        self.engine = engine
        self.lifecycle = lifecycle
        stopGrace = .zero
        stopGrace = usualStopGrace
        stopSignal = usualStopSignal
    }

    /// As its image says, or SIGTERM.
    var usualStopSignal: Signal {
        sandbox.resolved.flatMap { Signal(named: $0.stopSignal) } ?? .terminate
    }

    /// As it was asked for, or what there is without asking.
    var usualStopGrace: Duration {
        sandbox.spec?.stopGraceNanoseconds.map { .nanoseconds(Int64(clamping: $0)) }
            ?? AgentAPI.SandboxSpec.defaultStopGrace
    }
}

/// Those who wait for something that happens once.
struct Waiters<Value> {
    /// By their tokens: of any number that wait, each can leave at once.
    private var actions: [UInt64: (Value) -> Void] = [:]
    private var last: UInt64 = 0

    var count: Int { actions.count }

    @discardableResult
    mutating func add(_ action: @escaping (Value) -> Void) -> UInt64 {
        last += 1
        actions[last] = action
        return last
    }

    /// For one who no longer waits.
    mutating func remove(_ token: UInt64) {
        actions[token] = nil
    }

    /// Those who wait, in the order in which they came; they wait no more.
    mutating func take() -> [(Value) -> Void] {
        guard !actions.isEmpty else { return [] }
        let taken = actions.sorted { $0.key < $1.key }.map(\.value)
        actions = [:]
        return taken
    }
}
