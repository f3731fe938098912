internal import Jail
internal import LinuxKernel
internal import SandboxModel

/// What makes sandboxes of one kind run. Lifecycle, limits, logs and API drive this and never ask
/// which kind it is.
///
/// All of it may take time, so none of it is called on the loop's thread. ``prepare(_:)`` and
/// ``PreparedStart/start()`` are called on the spawner's thread alone.
protocol SandboxEngine: AnyObject, Sendable {
    var kind: IsolationKind { get }
    /// The least that a sandbox of this kind costs beyond what it asks for.
    var overhead: Overhead { get }

    /// Whether ``makeReady(_:)`` has something to do, which takes time.
    func needsTime(for order: EngineOrder) -> Bool
    /// Does what would hold up others if ``prepare(_:)`` had to do it. May be called on any thread.
    func makeReady(_ order: EngineOrder) throws(SandboxError)
    /// Checks all that can be checked before a start, and lays the start out.
    func prepare(_ order: EngineOrder) throws(SandboxError) -> any PreparedStart
    /// Finds out what became of a sandbox that an earlier agent started, or was about to.
    func recover(_ order: EngineOrder) throws(SandboxError) -> EngineRecovery
    /// Ends and removes what no sandbox of these numbers owns.
    func removeOrphans(keeping numbers: Set<Int64>) throws(SandboxError) -> [Orphan]
    /// The numbers of sandboxes that have folders, rising.
    func numbers() -> [Int64]
    /// Ends and removes what is there of a sandbox, but for its logs. Nothing of it is no error.
    func clear(_ number: Int64) throws(SandboxError)
    /// Where the logs of a sandbox are, while it runs and after.
    func folder(of number: Int64) -> SandboxFolder
}

extension SandboxEngine {
    func needsTime(for order: EngineOrder) -> Bool { false }
    func makeReady(_ order: EngineOrder) throws(SandboxError) {}
}

/// Which sandbox is meant, in the words of the engine.
struct EngineOrder: Sendable {
    /// Given once, never again: names of cgroups and folders are made of it.
    let number: Int64
    let spec: SandboxSpec
    /// Which limits hold, once that is known.
    let limits: [LimitStatus]
    let logBytes: UInt64
    /// What it is made of, where that is not the directory which the specification names.
    var source: ImageSource?
    /// What of its network is in the sandbox, where it has one.
    var network: InnerNetwork?
}

/// A sandbox that could start at once.
protocol PreparedStart: AnyObject, Sendable {
    /// Which limits hold.
    var limits: [LimitStatus] { get }
    /// Makes the file system of a sandbox with scratch space on the disk, which comes first. It
    /// may be called on any thread but the spawner's.
    func makeScratch() throws(SandboxError)
    /// Lets go of what was made, where nothing is to come of it. The same threads may call it.
    func discard()
    /// Makes ahead what can be: the start does it where this was not called.
    func layGround() throws(SandboxError)
    /// Starts it; gives back before its workload runs.
    ///
    /// - Parameter network: none for a loopback alone.
    func start(_ network: NetworkOrder?) throws(SandboxError) -> any EngineSandbox
}

enum EngineRecovery: Sendable {
    case running(any EngineSandbox)
    case ended(SandboxOutcome)
    case neverStarted
}

/// Something that belonged to no sandbox, and is gone.
struct Orphan: Sendable {
    /// `cgroup` or `file`.
    let kind: String
    let name: String
}

/// A sandbox that runs, or is about to. What its members change is its own, so they may be called
/// on any thread, on one at a time.
protocol EngineSandbox: AnyObject, Sendable {
    var pid: Int32 { get }
    var progress: LastingSandbox.Progress { get }
    /// Stages of the start, once the workload runs, for the agent that started it.
    var timeline: [SandboxOutcome.Moment] { get }
    /// Readable when there is something to ``collect()``; nil where nothing will come.
    var reportDescriptor: Int32? { get }
    /// Readable when it has ended.
    var processDescriptor: Int32 { get }
    /// Takes what was reported so far.
    func collect()
    /// However it ends from here on, it ends because its time is over.
    func markTimedOut()
    func send(_ signal: Signal) throws(SandboxError)
    /// Ends everything inside, at once.
    func kill() throws(SandboxError)
    func setFrozen(_ frozen: Bool) throws(SandboxError)
    var isFrozen: Bool { get }
    @discardableResult
    func update(
        _ limits: Limits, policy: SandboxSpec.LimitPolicy
    ) throws(SandboxError) -> [LimitStatus]
    func statistics() -> SandboxStatistics
    /// What it costs the node beside its workload; nil where that cannot be told.
    func cost() -> SandboxCost?
    func execute(_ request: ExecRequest) throws(SandboxError) -> ExecSession
    /// The outcome, once it has ended. The same again until what it was made of is cleared.
    func finish() throws(SandboxError) -> SandboxOutcome?
}
