internal import AgentAPI
internal import AgentOperations
internal import HostNetwork
internal import ImageStore
internal import LinuxKernel
internal import Netlink
internal import RPC
internal import SandboxModel
internal import Store

/// What the agent counts of itself.
extension NodeAgent {
    /// Gauges follow changes after this long, so that many changes cost one look.
    private static let gaugeDelay = Duration.milliseconds(250)

    /// Sets the gauges soon.
    func gaugesChanged() {
        guard gaugeTimer == nil else { return }
        gaugeTimer = loop.schedule(after: Self.gaugeDelay) { [self] in
            gaugeTimer = nil
            setGauges()
        }
    }

    /// What is cheaper to look at than to follow is looked at when somebody asks.
    func followMeasures() {
        let settings = settings
        let mounts = stored.depot.mounts
        metrics.collect { [unowned metrics, processors] in
            let load = NodeLoad.measure(settings, processors)
            metrics.cpus.set(load.milliCPUs, .used)
            metrics.memory.set(load.memoryBytes, .used)
            metrics.pids.set(load.pids, .used)
            metrics.disk.set(load.diskBytes, .used)
            metrics.imageLayers.set(mounts.mountedCount, .mounted)
            metrics.storeBytes.set(Store.size(directory: settings.stateDirectory))
        }
    }

    /// Slots and drops, which are the networks' own to count.
    func followMeasures(of networks: SandboxNetworks) {
        metrics.collect { [unowned metrics] in
            let figures = networks.figures()
            metrics.networkSlots.set(figures.inUse, .used)
            metrics.networkSlots.set(figures.ready, .ready)
            metrics.networkSlots.set(figures.target, .target)
            metrics.networkSlotsMissed.set(UInt64(figures.missed))
            for (counter, packets) in (try? networks.network.drops()) ?? [:] {
                metrics.networkDrops.set(packets, NetworkDropReason(counter))
            }
            for (counter, packets) in (try? networks.network.nodeDrops()) ?? [:] {
                metrics.networkDrops.set(packets, NetworkDropReason(counter))
            }
        }
    }

    private func setProxyGauges() {
        let all = vpcs.values.flatMap { prober?.health(of: $0.number) ?? [] }
        let alive = all.count { $0.liveness.isAlive }
        metrics.networkProxies.set(alive, .alive)
        metrics.networkProxies.set(all.count - alive, .silent)
    }

    func setGauges() {
        setProxyGauges()
        var counts: [SandboxStateLabel: Int] = [:]
        for managed in registry.all { counts[SandboxStateLabel(managed.state), default: 0] += 1 }
        for label in SandboxStateLabel.allCases { metrics.sandboxes.set(counts[label] ?? 0, label) }
        metrics.startsInFlight.set(gate.inFlightCount)
        metrics.startsQueued.set(gate.queuedCount)
        metrics.draining.set(drain != nil)
        let history = journal.history
        metrics.eventsKept.set(history.last + 1 - history.oldest)
        set(total, .total)
        set(admission.allocatable, .allocatable)
        set(admission.reserved, .reserved)
        metrics.addresses.set(remaining, .used)
        metrics.slots.set(remaining, .used)
        metrics.watchers.set(history.watcherCount)
        metrics.unacknowledged.set(journal.unacknowledged)
        setImageGauges()
    }

    private func setImageGauges() {
        let (images, usage) = (stored.contents.images, stored.contents.usage)
        var used: Set<Digest> = []
        for managed in registry.all { used.formUnion(managed.source?.all ?? []) }
        metrics.images.set(images.count, .all)
        metrics.images.set(images.count { $0.summary.isPinned }, .pinned)
        metrics.images.set(images.count { used.contains($0.digest) }, .used)
        metrics.images.set(images.count { !$0.summary.damagedLayers.isEmpty }, .damaged)
        metrics.imageLayers.set(UInt64(usage.layers), .all)
        metrics.imageLayers.set(Set(images.flatMap(\.summary.damagedLayers)).count, .damaged)
        metrics.imageBytes.set(usage.bytes, .used)
        metrics.imageBytes.set(usage.capacityBytes, .capacity)
    }

    /// - Parameter nanoseconds: how long it took.
    func count(import result: Result<ImportResult, CallFailure>, nanoseconds: UInt64) {
        metrics.imports.add(1, ImportResultLabel(result))
        guard case .success(let result) = result else { return }
        if !result.existed { metrics.importTimes.record(nanoseconds: nanoseconds) }
        metrics.imageRemovals.add(UInt64(result.evicted.count), .evicted)
    }

    private func set(_ amounts: SandboxModel.Resources, _ label: AmountLabel) {
        metrics.cpus.set(amounts.milliCPUs, label)
        metrics.memory.set(amounts.memoryBytes, label)
        metrics.pids.set(amounts.pids, label)
        metrics.disk.set(amounts.diskBytes, label)
        metrics.addresses.set(amounts.addresses, label)
        metrics.slots.set(amounts.sandboxes, label)
    }

    func countStart(of managed: ManagedSandbox) {
        metrics.startResults.add(1, .running)
        let timeline = managed.timeline.map { ($0.what, $0.nanoseconds) }
        let asked = managed.startRequestedAt
        let queued = managed.startBegunAt > asked ? managed.startBegunAt - asked : 0
        let recorded =
            managed.startWrittenAt > managed.startBegunAt
            ? managed.startWrittenAt - managed.startBegunAt : 0
        metrics.started(timeline: timeline, waited: (queued, recorded))
    }

    func countEnd(of managed: ManagedSandbox, _ outcome: SandboxOutcome) {
        let hasRun = managed.sandbox.startedAtNanoseconds != 0
        metrics.ends.add(1, EndCause(outcome.ending, hasRun: hasRun))
        if outcome.isFailure, !hasRun { metrics.startResults.add(1, .failed) }
    }

    func count(creation result: Result<Creation, CallFailure>) {
        metrics.creates.add(1, CreateResult(result))
    }
}

extension CreateResult {
    fileprivate init(_ result: Result<Creation, CallFailure>) {
        switch result {
        case .success(let creation): self = creation.existed ? .existed : .created
        case .failure(let failure):
            switch failure.code {
            case .alreadyExists: self = .conflict
            case .resourceExhausted: self = .exhausted
            case .unavailable: self = .unavailable
            case .internal, .unknown, .dataLoss: self = .failed
            default: self = .invalid
            }
        }
    }
}

extension ImportResultLabel {
    fileprivate init(_ result: Result<ImportResult, CallFailure>) {
        switch result {
        case .success(let result): self = result.existed ? .existed : .imported
        case .failure(let failure):
            switch failure.code {
            case .invalidArgument, .failedPrecondition, .alreadyExists: self = .invalid
            case .resourceExhausted: self = .noSpace
            case .cancelled: self = .cancelled
            default: self = .failed
            }
        }
    }
}

extension EndCause {
    fileprivate init(_ ending: SandboxOutcome.Ending, hasRun: Bool) {
        switch ending {
        case .ended(.exited): self = .exited
        case .ended(.signaled): self = .signaled
        case .denied: self = .deniedCall
        case .outOfMemory: self = .outOfMemory
        case .timedOut: self = .timedOut
        case .failed: self = hasRun ? .lost : .setUpFailed
        }
    }
}

extension RecoveryResult {
    /// - Parameter state: in which the earlier agent left it.
    init(_ found: EngineRecovery, in state: SandboxLifecycle.State) {
        switch (state, found) {
        case (.stopping, _): self = .finished
        case (_, .running): self = .adopted
        case (.starting, .neverStarted): self = .undone
        case (_, .ended), (_, .neverStarted): self = .ended
        }
    }
}

extension SandboxStateLabel {
    fileprivate init(_ state: SandboxLifecycle.State) {
        switch state {
        case .created: self = .created
        case .starting: self = .starting
        case .running: self = .running
        case .paused: self = .paused
        case .stopping: self = .stopping
        case .stopped: self = .stopped
        case .failed: self = .failed
        case .removing: self = .removing
        }
    }
}

extension NetworkDropReason {
    fileprivate init(_ counter: RouterCounter) {
        switch counter {
        case .falseSource: self = .falseSource
        case .otherSandbox: self = .otherSandbox
        case .tunnel: self = .tunnel
        case .refusedPrefix: self = .refusedPrefix
        case .notAllowed: self = .notAllowed
        case .router: self = .router
        case .falseNeighbour: self = .falseNeighbour
        }
    }

    fileprivate init(_ counter: NodeCounter) {
        switch counter {
        case .node: self = .node
        case .strangers: self = .strangers
        }
    }
}
