internal import AgentAPI
internal import LinuxKernel
internal import MicroVM
internal import RPC
internal import SandboxModel

/// What the node tells of its resources.
extension NodeAgent {
    /// What a sandbox reserves: what it asks for or the default, and what its kind costs.
    func request(
        of spec: SandboxModel.SandboxSpec, on engine: any SandboxEngine
    ) -> SandboxModel.Resources {
        let (disk, overflows) = spec.scratchBytes.addingReportingOverflow(settings.logBytes)
        var request = SandboxModel.Resources.requested(
            by: spec.limits,
            diskBytes: spec.scratchPlace == .disk ? (overflows ? .max : disk) : nil,
            defaults: settings.defaultRequest)
        // A guest has some memory, whether it asks for it or not.
        if engine.kind == .microvm, spec.limits.memoryBytes == nil {
            request.memoryBytes = max(request.memoryBytes, GuestJail.standardMemoryBytes)
        }
        request.addresses = 1
        request.sandboxes = 1
        return overhead(of: engine).added(to: request)
    }

    /// Calls an action after each change, until ``unwatchCapacity(_:)``.
    func watchCapacity(_ wake: @escaping () -> Void) -> UInt64 {
        lastCapacityWatcher += 1
        capacityWatchers[lastCapacityWatcher] = wake
        return lastCapacityWatcher
    }

    func unwatchCapacity(_ token: UInt64) {
        capacityWatchers[token] = nil
    }

    /// Something of it is different: who watches is told soon.
    func capacityChanged() {
        capacityVersion += 1
        for wake in capacityWatchers.values { wake() }
        gaugesChanged()
    }

    /// Measured a moment ago at most: any number of watchers that are told of one change cost one
    /// measurement.
    private func load() -> NodeLoad {
        let now = MonotonicClock.nanoseconds
        if let measured, now - measured.at < Self.loadAge { return measured.load }
        let load = NodeLoad.measure(settings, processors)
        measured = (load, now)
        return load
    }

    private static let loadAge: UInt64 = 20_000_000

    func capacity() -> Capacity {
        let load = load()
        var capacity = Capacity(
            version: capacityVersion, atNanoseconds: WallClock.nanoseconds,
            total: AgentAPI.Resources(total),
            allocatable: AgentAPI.Resources(admission.allocatable),
            reserved: AgentAPI.Resources(admission.reserved),
            inUse: AgentAPI.Resources(load.inUse(sandboxes: UInt64(remaining))))
        capacity.overheads = engines.values.map(overheadMessage)
        capacity.defaultRequest = AgentAPI.Resources(settings.defaultRequest)
        capacity.overCommit = AgentAPI.OverCommit(
            cpuPermille: settings.overCommit.cpuPermille,
            memoryPermille: settings.overCommit.memoryPermille)
        capacity.startsInFlight = UInt32(clamping: gate.inFlightCount)
        capacity.startsLimit = UInt32(clamping: settings.startsInFlight)
        capacity.startsQueued = UInt32(clamping: gate.queuedCount)
        capacity.images = (images.names + stored.names).sorted()
        capacity.cpuPressure = load.cpuPressure
        capacity.memoryPressure = load.memoryPressure
        capacity.ioPressure = load.ioPressure
        capacity.conditions = conditions(load)
        return capacity
    }

    private func conditions(_ load: NodeLoad) -> [Condition] {
        var conditions: [Condition] = []
        if let drain {
            conditions.append(
                Condition(
                    kind: drain.isDone ? .drained : .draining, sinceAtNanoseconds: drain.since,
                    message: drain.isDone
                        ? "no sandbox is left" : "\(remaining) sandboxes are left"))
        }
        if let failure = journal.failure {
            conditions.append(
                Condition(
                    kind: .storeFailed, sinceAtNanoseconds: failure.since,
                    message: "\(failure.error)"))
        }
        let missing = SandboxModel.Limits.Kind.allCases.filter { !limitKinds.contains($0) }
        if !missing.isEmpty {
            let names = missing.map(\.rawValue).joined(separator: ", ")
            conditions.append(
                Condition(
                    kind: .limitsMissing, sinceAtNanoseconds: startedAt,
                    message: "limits of \(names) cannot be enforced here"))
        }
        return conditions + load.conditions
    }
}
