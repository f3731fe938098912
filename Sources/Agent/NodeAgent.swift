internal import AgentAPI
internal import AgentOperations
internal import HostNetwork
internal import Jail
internal import LinuxKernel
internal import RPC
internal import SandboxModel
internal import Store

/// The agent of a node: the policy of all that its socket offers.
///
/// Everything here lives on the loop's thread, which also serves the socket, so there is nothing to
/// lock, and a call that changes nothing is answered where it was read. What takes time goes to the
/// spawner (all that makes processes) or to the workers, and comes back by the loop.
///
/// A change is written down before it is made: see ``Journal``. What happened by itself, as the end
/// of a sandbox, is taken in first and written down as soon as that can be.
final class NodeAgent: @unchecked Sendable {
    let loop: EventLoop
    /// Changed by ``reload(_:)`` alone.
    var settings: NodeSettings
    let journal: Journal
    let engines: [SandboxModel.IsolationKind: any SandboxEngine]
    /// The one thread that starts sandboxes.
    let spawner: Workers
    let workers: Workers
    /// Those that take in the ends of sandboxes and remove what is left: nothing that could wait
    /// for long stands in their way.
    let undertakers: Workers
    let steps: StepCounter
    let log: Log
    let metrics: AgentMetrics
    var gaugeTimer: ScheduledAction?
    let logHub: LogHub
    let identity: NodeIdentity

    var registry = SandboxRegistry()
    var images = ImageRegistry()
    let stored: StoredImages
    /// Nothing where sandboxes have no networks.
    var networks: SandboxNetworks?
    var names: NameForwarder?
    var prober: ProxyProber?
    /// By their ids.
    var vpcs: [String: JoinedVPC] = [:]
    var networkTimer: ScheduledAction?
    /// What the node has.
    var total: SandboxModel.Resources
    var admission: Admission
    var gate: StartGate<String>
    var gateTimer: ScheduledAction?
    /// Those that the gate has let in, and that begin next.
    var startable: [String] = []
    var isBeginning = false
    var drain: DrainState?
    var drainTimer: ScheduledAction?
    /// Told when no sandbox is left that is not stopped.
    var whenDrained: [() -> Void] = []
    var capacityVersion: UInt64 = 1
    var capacityWatchers: [UInt64: () -> Void] = [:]
    var measuredOverheads: [SandboxModel.IsolationKind: MeasuredOverhead] = [:]
    var isMeasuringCost = false
    /// How long a workload runs before its sandbox's cost is measured.
    var costDelay = Duration.seconds(1)
    let processors = ProcessorUse()
    var measured: (load: NodeLoad, at: UInt64)?
    let startedAt = WallClock.nanoseconds
    let bootedAt = WallClock.bootNanoseconds
    var lastCapacityWatcher: UInt64 = 0
    /// Why no microVMs are offered, if so.
    var microVMObstacle: String?
    /// Limits of which kinds this node can enforce.
    let limitKinds: Set<SandboxModel.Limits.Kind>
    private var lastNumber: Int64

    private static let numberKey = "number-base"

    /// - Parameter engines: at least one.
    init(
        loop: EventLoop, settings: NodeSettings, store: Store, engines: [any SandboxEngine],
        spawner: Workers, workers: Workers, undertakers: Workers, log: Log,
        metrics: AgentMetrics, death: DeathAt?
    ) throws(AgentError) {
        self.loop = loop
        self.settings = settings
        self.engines = Dictionary(uniqueKeysWithValues: engines.map { ($0.kind, $0) })
        self.spawner = spawner
        self.workers = workers
        self.undertakers = undertakers
        self.log = log
        self.metrics = metrics
        limitKinds = NodeCapabilities.detect().limitKinds
        steps = StepCounter(death: death)
        logHub = LogHub(loop: loop)
        total = Self.total(settings)
        admission = Admission(
            total: total, keptBack: settings.keptBack, overCommit: settings.overCommit)
        gate = StartGate(limit: settings.startsInFlight, queueLimit: settings.startsQueued)
        stored = StoredImages(try ImageDepot(settings))
        do throws(StoreError) {
            journal = try Journal(store, eventsKept: settings.eventsKept, loop: loop)
            identity = try NodeIdentity(settings, store)
            // Numbers of this life of the agent begin behind all that an earlier one can have
            // given, written down or not.
            let base = Self.number(in: try store.value(Self.numberKey))
            lastNumber = base + 1 << 32
            try Self.write(base: lastNumber, to: journal)
        } catch {
            throw AgentError(error)
        }
        journal.onWritten = { [metrics] events, nanoseconds in
            metrics.events.add(UInt64(events))
            metrics.commits.record(nanoseconds: nanoseconds)
        }
        journal.history.onWatchersChange = { [unowned self] in gaugesChanged() }
        followMeasures()
        journal.onFailureChange = { [unowned self] in noteRecordFailure() }
    }

    /// On a full disk it goes with the first change that can be written, which is before any that
    /// gives a number.
    private static func write(base: Int64, to journal: Journal) throws(StoreError) {
        let bytes = Array("\(base)".utf8)
        var change = Change()
        change.set(numberKey, to: bytes)
        do throws(StoreError) {
            try journal.store.commit(change)
        } catch {
            guard error.kind == .full else { throw error }
            journal.setLater(numberKey, to: bytes)
        }
    }

    /// Numbers from here on are behind those that are there already.
    func passNumber(_ number: Int64) {
        lastNumber = max(lastNumber, (number >> 32 + 1) << 32)
        journal.setLater(Self.numberKey, to: Array("\(lastNumber)".utf8))
    }

    /// A number that no other sandbox of this node has or had.
    func nextNumber() -> Int64 {
        lastNumber += 1
        return lastNumber
    }

    private static func number(in bytes: [UInt8]?) -> Int64 {
        bytes.flatMap { Int64(String(decoding: $0, as: UTF8.self)) } ?? 0
    }

    private static func total(_ settings: NodeSettings) -> SandboxModel.Resources {
        let load = NodeLoad.measure(settings, ProcessorUse())
        return SandboxModel.Resources(
            milliCPUs: UInt64(Machine.cpuCount) * 1000, memoryBytes: load.memoryTotal,
            pids: load.pidsLimit, diskBytes: load.diskTotal, addresses: settings.addressesLimit,
            sandboxes: settings.sandboxesLimit)
    }

    private func noteRecordFailure() {
        if let failure = journal.failure {
            metrics.storeFailures.add()
            log.error(
                "the record cannot be written", ["error": LogValue(failure.error)])
        } else {
            log.info("the record can be written again")
        }
        capacityChanged()
    }

    // MARK: - Hops

    /// Does something that takes time on another thread, and goes on with its result on the
    /// loop's.
    ///
    /// - Parameter isBounded: false for what cannot be refused.
    func offload<Value: Sendable>(
        to threads: Workers, isBounded: Bool = true,
        _ work: @escaping @Sendable () throws(SandboxError) -> Value,
        then next: @escaping (Result<Value, SandboxError>) -> Void
    ) {
        let loop = loop
        // Made and called on the loop's thread; the others only carry it.
        let next = UncheckedBox(next)
        let accepted = threads.run(isBounded: isBounded) {
            let result: Result<Value, SandboxError>
            do throws(SandboxError) {
                result = .success(try work())
            } catch {
                result = .failure(error)
            }
            loop.enqueue { next.value(result) }
        }
        guard !accepted else { return }
        loop.enqueue {
            next.value(
                .failure(
                    SandboxError(
                        .unavailable, "too much waits to be done on this node",
                        hint: "try again in a moment")))
        }
    }

    /// The same for what changes a sandbox: after all that was to be done to it before, and never
    /// refused. No more of it may wait than the state of the sandbox allows.
    func offload<Value: Sendable>(
        for managed: ManagedSandbox, to threads: Workers,
        _ work: @escaping @Sendable () throws(SandboxError) -> Value,
        then next: @escaping (Result<Value, SandboxError>) -> Void
    ) {
        managed.jobs.append { [self] in
            offload(to: threads, isBounded: false, work) { [self] result in
                next(result)
                managed.isBusy = false
                doNext(managed)
            }
        }
        doNext(managed)
    }

    private func doNext(_ managed: ManagedSandbox) {
        guard !managed.isBusy, !managed.jobs.isEmpty else { return }
        managed.isBusy = true
        managed.jobs.removeFirst()()
    }

    // MARK: - Specifications

    func order(for managed: ManagedSandbox) -> EngineOrder {
        EngineOrder(
            number: managed.number, spec: managed.spec,
            limits: managed.sandbox.limits.compactMap(\.model), logBytes: settings.logBytes,
            source: managed.source,
            network: managed.sandbox.spec?.network == nil ? nil : networks?.inner)
    }

    /// The specification as the model has it, with the image's directory and its user's number.
    func resolved(_ wanted: AgentAPI.SandboxSpec) throws(CallFailure) -> SandboxModel.SandboxSpec {
        try resolved(wanted, inDirectory: images.directory(of: wanted.image))
    }

    func resolved(
        _ wanted: AgentAPI.SandboxSpec, inDirectory directory: String
    ) throws(CallFailure) -> SandboxModel.SandboxSpec {
        var spec = try wanted.model { name in
            (try? ImageTree.open(directory))?.user(named: name)
        }
        spec.image = directory
        if settings.allLimitsAreBestEffort { spec.limitPolicy = .bestEffort }
        return spec
    }

    /// The engine of a kind; AUTO takes the strongest that is offered.
    func engine(
        for wanted: AgentAPI.IsolationKind
    ) throws(CallFailure) -> any SandboxEngine {
        switch wanted {
        case .auto:
            if let engine = engines[.microvm] ?? engines[.process] { return engine }
        case .process: if let engine = engines[.process] { return engine }
        case .microvm: if let engine = engines[.microvm] { return engine }
        case .unrecognized: break
        }
        throw CallFailure(
            .failedPrecondition, reason: "isolation_not_offered",
            "this node offers no sandboxes of the kind asked for",
            hint: "`alcove info` shows the kinds, and why one is not offered")
    }
}
