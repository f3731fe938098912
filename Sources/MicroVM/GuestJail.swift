public import Jail
internal import LinuxKernel
public import SandboxModel

/// How a microVM becomes a workload of the jail: its monitor runs there, and what was asked for is
/// handed on to the guest.
///
/// What the jail has is what the monitor needs: its program, the guest's kernel and initial files
/// in a read-only root, `/dev/kvm`, the layers of the image as files, and some memory for sockets.
public struct GuestJail: Sendable {
    /// The directory that becomes the monitor's root.
    public let root: String

    /// Names in the jail.
    enum Place {
        static let monitor = "/alcove-vmm"
        static let kernel = "/vmlinux"
        static let initialFiles = "/initrd.cpio"
        static let sockets = "/tmp/sockets"
        static let control = "/tmp/control"
        static let scratch = "scratch"
        static func layer(_ index: Int) -> String { "layer-\(index)" }
    }

    /// What a guest's link is to have, in the words of the monitor's flags.
    public struct LinkSettings: Equatable, Sendable {
        public var hardwareAddress: String
        /// With the length of its prefix.
        public var address: String
        public var gateway: String
        public var nameServer: String
        public var mtu: UInt32

        public init(
            hardwareAddress: String, address: String, gateway: String, nameServer: String,
            mtu: UInt32
        ) {
            self.hardwareAddress = hardwareAddress
            self.address = address
            self.gateway = gateway
            self.nameServer = nameServer
            self.mtu = mtu
        }
    }

    /// What a guest gets that asks for no memory.
    public static let standardMemoryBytes: UInt64 = 128 << 20
    /// A kernel and its first process need so much to begin with.
    public static let leastMemoryBytes: UInt64 = 64 << 20
    /// What a monitor may use beside the memory of its guest.
    static let monitorMemoryBytes: UInt64 = 32 << 20
    /// Threads of a monitor, alcove-init, and a further command or two for each that runs inside.
    static let monitorPids: UInt32 = 128
    /// Each microVM has a user of its own on the node: these, and as many above them.
    static let firstUser: UInt32 = 0x6000_0000
    static let userCount: Int64 = 0x0fff_ffff

    /// - Parameter directory: with alcove-vmm, vmlinux and initrd.cpio.
    public init(_ directory: String) throws(SandboxError) {
        root = directory
        for name in [Place.monitor, Place.kernel, Place.initialFiles] {
            guard Files.exists(directory + name) else {
                throw SandboxError(
                    .unavailable, "`\(directory)\(name)` is not there",
                    hint: "`rootfs/build-monitor` makes the directory that microVMs run from")
            }
        }
    }

    // MARK: - The start

    /// The sandbox that the jail makes for a guest.
    ///
    /// - Parameters:
    ///   - number: by which its user on the node is told from others.
    ///   - layers: files of the guest's root, the topmost first.
    ///   - scratch: a file with a file system for what the guest writes, where that is on the disk.
    ///     It is the user's that ``user(of:)`` gives.
    ///   - link: how the guest's link is set up, where it has one.
    ///   - held: the limits that the node enforces by cgroups.
    ///   - lasts: whether the sandbox is to outlive its starter.
    public func spec(
        for wanted: SandboxSpec, number: Int64, layers: [String], scratch: String? = nil,
        link: LinkSettings? = nil, held: Set<Limits.Kind>, lasts: Bool = true
    ) throws(SandboxError) -> SandboxSpec {
        try Self.check(wanted)
        var spec = SandboxSpec(image: root, command: [])
        spec.command =
            [Place.monitor]
            + arguments(wanted, layers: layers.count, link: link, lasts: lasts)
        spec.environment = wanted.environment
        spec.root = .readOnly
        spec.hostname = wanted.hostname
        let user = Self.user(of: number)
        spec.user = SandboxSpec.User(user: user, group: user)
        spec.limits = Self.limits(wanted.limits, held: held)
        spec.limitPolicy = wanted.limitPolicy
        // For the monitor's sockets.
        spec.scratchBytes = 1 << 20
        spec.terminal = wanted.terminal
        spec.timeout = wanted.timeout
        var files = layers.enumerated().map {
            MachineParts.File(Place.layer($0.offset), at: $0.element)
        }
        precondition(
            (scratch != nil) == (wanted.scratchPlace == .disk),
            "scratch space on the disk is a file, and in memory it is none")
        if let scratch {
            files.append(MachineParts.File(Place.scratch, at: scratch, isWritable: true))
        }
        spec.machine = MachineParts(
            files: files, hasLink: link != nil, workload: wanted.command.first ?? "")
        return spec
    }

    private static func check(_ wanted: SandboxSpec) throws(SandboxError) {
        if let bytes = wanted.limits.memoryBytes, bytes < leastMemoryBytes {
            throw SandboxError(
                .limitOutOfRange, "\(bytes) bytes of memory are too few for a microVM",
                hint: "give at least \(leastMemoryBytes), or isolation by process")
        }
        guard wanted.identityMaps.isEmpty else {
            throw SandboxError(
                .unavailable, "a microVM has users of its own, which are not mapped",
                hint: "leave the maps out, or take isolation by process")
        }
    }

    /// Who runs the monitor on the node. Sandboxes of one node have different numbers.
    public static func user(of number: Int64) -> UInt32 {
        firstUser + UInt32(number % userCount)
    }

    /// For a sandbox that no agent counts: far from the numbers that one gives.
    public static func number(ofProcess pid: Int32) -> Int64 { userCount / 2 + Int64(pid) }

    /// Processors are whole in a guest; what a fraction of one is left over, the cgroup takes.
    private static func processors(_ limits: Limits) -> Int {
        min(32, max(1, (Int(limits.milliCPUs ?? 1000) + 999) / 1000))
    }

    private static func memoryBytes(_ limits: Limits) -> UInt64 {
        (limits.memoryBytes ?? standardMemoryBytes) / 4096 * 4096
    }

    /// Those of the monitor with its guest, where the node enforces them. A guest's own hold
    /// without a cgroup.
    private static func limits(_ wanted: Limits, held: Set<Limits.Kind>) -> Limits {
        var limits = Limits()
        if held.contains(.memory) {
            limits.memoryBytes = memoryBytes(wanted) + monitorMemoryBytes
        }
        if held.contains(.pids) { limits.pids = monitorPids }
        if held.contains(.cpu) || !hasWholeProcessors(wanted) {
            limits.milliCPUs = wanted.milliCPUs
        }
        return limits
    }

    /// What was asked for, with the limits of the jail: of one that runs already.
    public func jailed(_ wanted: SandboxSpec, held: Set<Limits.Kind>) -> SandboxSpec {
        var spec = wanted
        spec.limits = Self.limits(wanted.limits, held: held)
        return spec
    }

    private static func hasWholeProcessors(_ limits: Limits) -> Bool {
        (limits.milliCPUs ?? 0) % 1000 == 0
    }

    /// Which limits hold, from what the jail's cgroup could do: a guest has no more memory and no
    /// more processors than it was given.
    public static func statuses(_ statuses: [LimitStatus], of wanted: Limits) -> [LimitStatus] {
        statuses.map { status in
            let holds =
                switch status.kind {
                case .memory: true
                case .cpu: status.holds || hasWholeProcessors(wanted)
                // By the guest's kernel, and by the monitor, which moves what its disks read and
                // write.
                case .pids, .io: true
                }
            return LimitStatus(
                kind: status.kind, request: status.request, reason: holds ? nil : status.reason)
        }
    }

    private func arguments(
        _ wanted: SandboxSpec, layers: Int, link: LinkSettings?, lasts: Bool
    ) -> [String] {
        var words = [
            "run", "--kernel", Place.kernel, "--initial-files", Place.initialFiles, "--memory",
            "\(Self.memoryBytes(wanted.limits))", "--cpus", "\(Self.processors(wanted.limits))",
            "--hostname", wanted.hostname, "--sockets", Place.sockets, "--control", Place.control,
            "--report", "3",
        ]
        // The file of a lasting sandbox, which gets the records as well.
        if lasts { words += ["--report", "5"] }
        // What outlives its starter has no input.
        if !lasts, !wanted.terminal { words.append("--input") }
        switch wanted.scratchPlace {
        case .memory: words += ["--scratch", "\(wanted.scratchBytes)"]
        case .disk: words += ["--scratch-disk", "/dev/" + Place.scratch]
        }
        let limits = wanted.limits
        for (flag, value) in [
            ("--pids", limits.pids.map { UInt64($0) }), ("--disk-read", limits.readBytesPerSecond),
            ("--disk-write", limits.writeBytesPerSecond),
        ] {
            if let value { words += [flag, "\(value)"] }
        }
        for index in 0..<layers { words += ["--layer", "/dev/" + Place.layer(index)] }
        if let link {
            words += [
                "--tap-descriptor", "10", "--mac", link.hardwareAddress, "--address", link.address,
                "--gateway", link.gateway, "--name-server", link.nameServer, "--mtu",
                "\(link.mtu)",
            ]
        }
        if wanted.root == .readOnly { words.append("--read-only") }
        if wanted.terminal { words.append("--terminal") }
        let process = ExecRequest(
            command: wanted.command, environment: wanted.environment,
            workingDirectory: wanted.workingDirectory)
        return words + Self.words(of: process, in: wanted)
    }

    /// What is said of a process in the guest. Its program is looked for there: the host mounts
    /// nothing of an image that a guest runs.
    private static func words(of process: ExecRequest, in wanted: SandboxSpec) -> [String] {
        var words = [
            "--user", "\(wanted.user.user):\(wanted.user.group)", "--workdir",
            process.workingDirectory,
        ]
        for program in process.programs { words += ["--program", program] }
        for limit in wanted.processLimits {
            words += [
                "--limit", "\(limit.resource.kernelLimit.rawValue):\(limit.soft):\(limit.hard)",
            ]
        }
        return words + ["--"] + process.command
    }

    // MARK: - Further commands

    /// A command in a guest, as a command in the jail that passes it on.
    public func request(_ request: ExecRequest, in spec: SandboxSpec) throws(SandboxError)
        -> ExecRequest
    {
        try request.validate()
        var words = [Place.monitor, "exec", "--sockets", Place.sockets]
        words.append(request.terminal == nil ? "--input" : "--terminal")
        words += Self.words(of: request, in: spec)
        return ExecRequest(
            command: words, environment: request.environment, workingDirectory: "/",
            terminal: request.terminal)
    }
}
