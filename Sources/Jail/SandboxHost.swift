public import LinuxKernel
public import SandboxModel

/// What a process needs to start sandboxes, opened once: alcove-init and the place of its cgroups.
public final class SandboxHost {
    public let hierarchy: CgroupHierarchy
    /// The folder of its sandboxes' cgroups.
    public let cgroupPath: String?
    let places: DiskPlaces
    let isDedicated: Bool
    /// Absent in a host that only plans.
    let initProgram: Descriptor?
    /// Absent on a host without a version 2 tree.
    let cgroups: CgroupParent?
    private var nextSandbox: UInt32 = 0
    private var spareCgroups: [SpareCgroup] = []
    private var nullDevice: Descriptor?

    /// A place for what cannot be copied, in an array.
    private final class SpareCgroup {
        var cgroup: Cgroup?

        init(_ cgroup: consuming Cgroup?) {
            self.cgroup = cgroup
        }
    }

    public static let standardCgroupParent = "alcove"

    /// Descriptors that a child keeps until it executes stand above those that alcove-init gets.
    static let firstDescriptor: Int32 = 11

    /// - Parameters:
    ///   - initProgram: path of alcove-init on the host.
    ///   - limits: those that sandboxes will ask for; each needs its controller.
    ///   - cgroupParent: the name of the folder of the sandboxes' cgroups. `alcove run` sweeps its
    ///     own for what killed commands left: sandboxes that are to last need another one.
    ///   - isDedicated: the calling thread does nothing but start sandboxes: it gives up for good
    ///     what no sandbox may gain, so that each need not do it anew.
    ///   - places: whose disks are limited besides those of images that are directories.
    public init(
        initProgram path: String, limits: Set<Limits.Kind>,
        hierarchy: CgroupHierarchy = .detect(), isDedicated: Bool = false,
        cgroupParent: String = SandboxHost.standardCgroupParent, places: DiskPlaces = DiskPlaces()
    ) throws(SandboxError) {
        self.hierarchy = hierarchy
        self.isDedicated = isDedicated
        self.places = places
        cgroupPath = hierarchy.root.map { $0 + "/" + cgroupParent }
        initProgram = try Self.openInit(path)
        cgroups = try Self.openCgroups(cgroupPath, hierarchy, limits)
        guard isDedicated else { return }
        do throws(SystemCallError) {
            try Capabilities.dropBoundingSet()
        } catch {
            throw SandboxError(.notPermitted, "\(error)", hint: "starting a sandbox needs root")
        }
    }

    private init(planningOn hierarchy: CgroupHierarchy) {
        self.hierarchy = hierarchy
        cgroupPath = hierarchy.root.map { $0 + "/" + Self.standardCgroupParent }
        places = DiskPlaces()
        isDedicated = true
        initProgram = nil
        cgroups = nil
    }

    /// A host for sandboxes that are planned and never started: it opens and makes nothing.
    public static func forPlanning() -> SandboxHost { SandboxHost(planningOn: .detect()) }

    /// A read-only view of alcove-init that stands nowhere in the file system: what a sandbox's
    /// pid 1 is executed from cannot be written through `/proc/1/exe`.
    private static func openInit(_ path: String) throws(SandboxError) -> Descriptor {
        do throws(SystemCallError) {
            let file = try Files.open(path, [.path])
            let view = try Mounts.detachedClone(of: file, [.readOnly], subject: path)
            return try view.raised(toAtLeast: firstDescriptor)
        } catch {
            switch error.errorNumber {
            case .noEntry:
                throw SandboxError(
                    .setUpFailed, "alcove-init is not at `\(path)`",
                    hint: "install it beside `alcove` or in /usr/lib/alcove, or name it by"
                        + " ALCOVE_INIT, or for the agent by `sandboxes.init`")
            case .notPermitted, .permissionDenied:
                throw SandboxError(
                    .notPermitted, "\(error)", hint: "starting a sandbox needs root")
            default: throw SandboxError(.setUpFailed, "\(error)")
            }
        }
    }

    private static func openCgroups(
        _ path: String?, _ hierarchy: CgroupHierarchy, _ limits: Set<Limits.Kind>
    ) throws(SandboxError) -> CgroupParent? {
        guard let path else { return nil }
        do throws(SystemCallError) {
            return try CgroupParent.open(
                path, below: hierarchy,
                delegating: Set(limits.map(\.rawValue)).intersection(hierarchy.controllers))
        } catch {
            throw SandboxError(
                error.errorNumber == .permissionDenied ? .notPermitted : .setUpFailed, "\(error)",
                hint: "sandboxes get their cgroups below `\(path)`")
        }
    }

    /// Makes cgroups ahead of time, for as many starts. One is used once, like a new one.
    public func poolCgroups(_ count: Int) throws(SandboxError) {
        do throws(SystemCallError) {
            for _ in 0..<count { spareCgroups.append(SpareCgroup(try newCgroup())) }
        } catch {
            throw SandboxError(.setUpFailed, "make cgroups ahead: \(error)")
        }
    }

    /// The cgroup of the next sandbox: from the pool if there is one.
    func makeCgroup() throws(SystemCallError) -> Cgroup? {
        if let spare = spareCgroups.popLast() { return spare.cgroup.take() }
        return try newCgroup()
    }

    private func newCgroup() throws(SystemCallError) -> Cgroup? {
        guard cgroups != nil else { return nil }
        let process = ThisProcess.identifier
        while true {
            nextSandbox &+= 1
            let name = "\(CgroupParent.sandboxPrefix)\(process)-\(nextSandbox)"
            do throws(SystemCallError) {
                if let cgroup = try cgroups?.create(name) { return cgroup }
            } catch {
                // Left by a process of the same number that was killed.
                if error.errorNumber != .exists { throw error }
            }
        }
    }

    /// The standard input of workloads that have none.
    func null() throws(SystemCallError) -> Int32 {
        if nullDevice.number < 0 { nullDevice = try Files.open("/dev/null", .readWrite) }
        return nullDevice.number
    }

    /// Removes what killed processes of this kind left behind. Gives the names of the cgroups.
    @discardableResult
    public func removeAbandoned() -> [String] {
        cgroups?.removeAbandoned() ?? []
    }
}

/// A sandbox that could start at once: checked, planned, its program laid out. Starts any number
/// of times.
public final class PreparedSandbox {
    public let spec: SandboxSpec
    public let plan: SandboxPlan
    /// Which limits hold.
    public let limits: [LimitStatus]
    let lowered: LoweredPlan
    let image: ImageTree
    let host: SandboxHost
    let lasting: Lasting?
    private let settings: [(file: String, value: String)]
    private let namespaces: Namespaces

    /// - Parameter lasting: the sandbox outlives its starter, and is started by
    ///   ``startLasting(in:cgroup:network:)``.
    public init(
        _ spec: SandboxSpec, image: consuming ImageTree, on host: SandboxHost,
        network: SandboxPlan.Network = .new, filter: SeccompProgram? = nil,
        diesWithStarter: Bool = true, lasting: Lasting? = nil,
        failing: LoweredPlan.InjectedFailure? = nil
    ) throws(SandboxError) {
        let node = NodeCapabilities.detect(
            hierarchy: host.hierarchy, image: image.kept(in: host.places, of: spec),
            scratch: host.places.scratchStatus(of: spec), for: spec)
        let spec = spec.fitted(to: node)
        limits = try spec.validate(on: node)
        try image.checkMountPoints(for: spec.root)
        try image.checkNameFile(of: spec)
        try image.checkWorkingDirectory(of: spec)
        let executable = try image.resolveProgram(of: spec)
        let cgroup = host.cgroupPath.map { $0 + "/" + CgroupParent.sandboxPrefix + "…" }
        let plan = SandboxPlan(
            for: spec, on: node, cgroup: cgroup, network: network,
            boundingSet: host.isDedicated && spec.identityMaps.isEmpty ? .host : .child)
        try lasting?.validate()
        let initOptions =
            (lasting != nil ? "l" : diesWithStarter ? "d" : "") + (spec.terminal ? "t" : "")
            + (spec.machine != nil ? "m" : "") + (spec.machine?.hasLink == true ? "n" : "")
        lowered = LoweredPlan(
            plan, of: spec, filter: filter ?? .standard(denial: spec.deniedCalls),
            executable: executable, initOptions: initOptions.isEmpty ? "-" : initOptions,
            lasting: lasting, failing: failing)
        namespaces = plan.namespaces
        settings = spec.cgroupSettings(on: node)
        self.spec = spec
        self.plan = plan
        self.image = image
        self.host = host
        self.lasting = lasting
    }

    /// Whether it is made of this directory. What stands in it may have changed meanwhile: the
    /// start says so then.
    public func isMade(of other: borrowing ImageTree) -> Bool { image.isSame(as: other) }

    /// The calls that the child makes from `clone3` to `exec`, in order, each with the index of
    /// its step.
    public var childCalls: [(step: Int, name: String)] { lowered.program.listing }

    /// Starts the sandbox.
    ///
    /// - Parameters:
    ///   - streams: the workload's standard streams; they stay the caller's. With a terminal they
    ///     are not used.
    ///   - network: the descriptor of a pooled network namespace, for a plan that joins one.
    public func start(
        streams: (input: Int32, output: Int32, error: Int32) = (0, 1, 2), network: Int32? = nil
    ) throws(SandboxError) -> RunningSandbox {
        precondition(lasting == nil, "a lasting sandbox has no streams of its starter")
        guard spec.scratchPlace == .memory else {
            throw SandboxError(
                .unavailable, "scratch space on the disk is made for lasting sandboxes alone",
                hint: "have the agent run it")
        }
        let requested = MonotonicClock.nanoseconds
        let cgroup = try perform(
            .createCgroup(path: host.cgroupPath ?? "")
        ) {
            () throws(SystemCallError) in try host.makeCgroup()
        }
        try limit(cgroup)
        let resources = try makeResources()
        // The child moves them, and frees the numbers that alcove-init gets before.
        let input = try Self.raised(streams.input)
        let output = try Self.raised(streams.output)
        let error = try Self.raised(streams.error)
        defer {
            withExtendedLifetime(input) {}
            withExtendedLifetime(output) {}
            withExtendedLifetime(error) {}
        }
        let run = try makeRun(
            resources,
            streams: (
                max(input.number, streams.input), max(output.number, streams.output),
                max(error.number, streams.error)
            ), network: network)
        let prepared = MonotonicClock.nanoseconds
        let child = try startChild(run, cgroup: cgroup, resources)
        let times = RunningSandbox.StartTimes(
            requested: requested, prepared: prepared)
        return RunningSandbox(
            self, run: run, child: child, cgroup: cgroup, report: resources.reportReader,
            terminal: resources.terminalHost, times: times)
    }

    /// A stream under a number that is out of the way; nothing for one that is already.
    private static func raised(_ stream: Int32) throws(SandboxError) -> Descriptor? {
        guard (3..<SandboxHost.firstDescriptor).contains(stream) else { return nil }
        do throws(SystemCallError) {
            return try Descriptor.duplicate(
                ofNumber: stream, atLeast: SandboxHost.firstDescriptor)
        } catch {
            throw SandboxError(.setUpFailed, "hand over a stream: \(error)")
        }
    }

    /// A run of the program with all that every start gives it.
    func makeRun(
        _ resources: borrowing StartResources,
        streams: (input: Int32, output: Int32, error: Int32), network: Int32?,
        scratch: Int32 = -1, link: Int32 = -1
    ) throws(SandboxError) -> CallRun {
        let run = try perform(creation) {
            () throws(SystemCallError) in try CallRun(of: lowered.program, sharing: sharing)
        }
        let slots = lowered.slots
        run.set(slots.image, to: resources.image.rawValue)
        run.set(slots.scratch, to: scratch)
        run.set(slots.initProgram, to: host.initProgram.number)
        run.set(slots.report, to: resources.reportWriter.rawValue)
        run.set(slots.streams[0], to: streams.input)
        run.set(slots.streams[1], to: streams.output)
        run.set(slots.streams[2], to: streams.error)
        run.set(slots.network, to: network ?? -1)
        run.set(slots.link, to: link)
        run.set(slots.terminal, to: resources.terminalChild.number)
        run.set(slots.maps, to: resources.mapsReader.number)
        run.set(slots.mapsWriter, to: resources.mapsWriter.number)
        return run
    }

    /// With a memory limit the child must not take this process along when it runs into it. It
    /// needs this thread at work while it waits for its identity maps.
    private var sharing: CallRun.Sharing {
        guard settings.contains(where: { $0.file == "memory.max" }) else { return .atOnce }
        return spec.identityMaps.isEmpty ? .inTurn : .copied
    }

    /// The plan's step that makes the process.
    var creation: PlanStep {
        for step in plan.steps { if case .createProcess = step { return step } }
        preconditionFailure("every plan creates a process")
    }

    /// - Parameter file: the report's, of a lasting sandbox.
    func startChild(
        _ run: CallRun, cgroup: borrowing Cgroup?, _ resources: borrowing StartResources,
        file: Int32 = -1
    ) throws(SandboxError) -> ChildProcess {
        let descriptor = cgroup.number
        let report = resources.reportWriter.rawValue
        let child = try perform(creation) { () throws(SystemCallError) in
            try run.start(
                namespaces: namespaces, cgroup: descriptor, report: report, file: file)
        }
        do throws(SystemCallError) {
            try writeIdentityMaps(for: child.pid, resources)
        } catch {
            // The child runs in memory of this process, and holds its cgroup, until it has ended.
            try? child.send(.kill)
            var interests = [Readiness.Interest(child.pidfd.rawValue)]
            try? Readiness.wait(for: &interests)
            _ = try? child.reap()
            throw SandboxError(.setUpFailed, "write identity maps: \(error)")
        }
        return child
    }
}

extension PreparedSandbox {
    /// What one start needs besides the cgroup.
    struct StartResources: ~Copyable {
        let image: Descriptor
        let reportReader: Descriptor
        let reportWriter: Descriptor
        let terminalHost: Descriptor?
        let terminalChild: Descriptor?
        let mapsReader: Descriptor?
        let mapsWriter: Descriptor?
    }

    func makeResources() throws(SandboxError) -> StartResources {
        try perform(.cloneImage(path: spec.image)) { () throws(SystemCallError) in
            let image = try Mounts.detachedClone(
                of: image.directory, [.readOnly, .noSetUserID, .noDevices], subject: spec.image)
            let report = try Pipe.make(nonBlocking: true)
            let reportReader = Descriptor(owning: report.reader)
            let reportWriter = try Descriptor(owning: report.writer).raised(
                toAtLeast: SandboxHost.firstDescriptor)
            let terminal = spec.terminal && lasting == nil ? try DescriptorPassing.makePair() : nil
            let terminalHost = terminal.map { Descriptor(owning: $0.reader) }
            let terminalChild = terminal.map { Descriptor(owning: $0.writer) }
            let maps = spec.identityMaps.isEmpty ? nil : try Pipe.make()
            return StartResources(
                image: image, reportReader: reportReader, reportWriter: reportWriter,
                terminalHost: terminalHost, terminalChild: terminalChild,
                mapsReader: maps.map { Descriptor(owning: $0.reader) },
                mapsWriter: maps.map { Descriptor(owning: $0.writer) })
        }
    }

    func limit(_ cgroup: borrowing Cgroup?) throws(SandboxError) {
        for (file, value) in settings {
            do throws(SystemCallError) {
                switch cgroup {
                case .some(let cgroup): try cgroup.write(value, to: file)
                case .none: break
                }
            } catch {
                // A kernel without swap has no limit of it either.
                if file == "memory.swap.max", error.errorNumber == .noEntry,
                    !Files.exists("/proc/swaps")
                {
                    continue
                }
                let step = PlanStep.limitCgroup(file: file, value: value)
                throw SandboxError(.unavailable, "\(step): \(error.errorNumber)")
            }
        }
    }

    private func writeIdentityMaps(
        for pid: Int32, _ resources: borrowing StartResources
    ) throws(SystemCallError) {
        guard !spec.identityMaps.isEmpty else { return }
        let text = spec.identityMaps.map { "\($0.inside) \($0.outside) \($0.count)\n" }.joined()
        try Files.write(text, to: "/proc/\(pid)/uid_map")
        try Files.write(text, to: "/proc/\(pid)/gid_map")
        switch resources.mapsWriter {
        case .some(let writer): try writer.write("\n")
        case .none: break
        }
    }

    /// Performs a step of the host, whose failure reads as the step and the reason.
    func perform<Result: ~Copyable>(
        _ step: PlanStep, _ body: () throws(SystemCallError) -> Result
    ) throws(SandboxError) -> Result {
        do throws(SystemCallError) {
            return try body()
        } catch {
            guard error.errorNumber != .notPermitted else {
                throw SandboxError(
                    .notPermitted, "\(step): \(error)", hint: "starting a sandbox needs root")
            }
            throw SandboxError(setUp: "\(step): \(error)", error.errorNumber)
        }
    }
}

extension SandboxPlan {
    /// The namespaces that the child is created in.
    var namespaces: Namespaces {
        var result: Namespaces = []
        for case .createProcess(let names, _) in steps {
            for name in names { result.insert(name.kernelNamespace) }
        }
        return result
    }
}

extension PlanStep.Namespace {
    var kernelNamespace: Namespaces {
        switch self {
        case .mount: .mount
        case .pid: .pid
        case .ipc: .ipc
        case .uts: .uts
        case .network: .network
        case .user: .user
        }
    }
}
