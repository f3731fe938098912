/// What a sandbox may use at most. Nothing is limited that is not named.
public struct Limits: Hashable, Sendable {
    /// Memory with swap and page cache.
    public var memoryBytes: UInt64?
    /// Thousandths of a CPU.
    public var milliCPUs: UInt32?
    /// Processes and threads, the sandbox's own first process included.
    public var pids: UInt32?
    /// Bytes a second to and from the disk that holds the image, and that of the scratch space,
    /// where that is on one.
    public var readBytesPerSecond: UInt64?
    public var writeBytesPerSecond: UInt64?

    public init() {}

    /// The parts of a limit, each with its controller.
    public enum Kind: String, CaseIterable, Hashable, Sendable {
        case memory, cpu, pids, io
    }

    /// Which limits are asked for.
    public var kinds: [Kind] {
        var kinds: [Kind] = []
        if memoryBytes != nil { kinds.append(.memory) }
        if milliCPUs != nil { kinds.append(.cpu) }
        if pids != nil { kinds.append(.pids) }
        if readBytesPerSecond != nil || writeBytesPerSecond != nil { kinds.append(.io) }
        return kinds
    }

    /// The smallest limits under which a process can start at all.
    public static let smallestMemoryBytes: UInt64 = 1 << 20
    public static let smallestMilliCPUs: UInt32 = 10
    /// The sandbox's own first process, and the workload.
    public static let smallestPids: UInt32 = 2
    public static let smallestBytesPerSecond: UInt64 = 4096
    public static let smallestScratchBytes: UInt64 = 64 << 10
    /// A file system needs some of it itself.
    public static let smallestDiskScratchBytes: UInt64 = 4 << 20
    /// No more blocks can be numbered.
    public static let largestDiskScratchBytes: UInt64 = 16 << 40
}

/// What a limit came to: whether the host enforces it.
public struct LimitStatus: Hashable, Sendable {
    public let kind: Limits.Kind
    /// What was asked for, in words.
    public let request: String
    /// Why it does not hold; nothing when it does.
    public let reason: String?

    public init(kind: Limits.Kind, request: String, reason: String?) {
        self.kind = kind
        self.request = request
        self.reason = reason
    }

    public var holds: Bool { reason == nil }
}

/// A path that a sandbox sees nothing behind.
public struct MaskedPath: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        case file, directory
    }

    public let path: String
    public let kind: Kind

    public init(_ path: String, _ kind: Kind) {
        self.path = path
        self.kind = kind
    }

    /// What tells of the host as a whole, or acts on it. Container runtimes mask some of these;
    /// the others open to the number 0, which root inside has, and tell what every other sandbox
    /// makes the kernel do. Each costs a start about 5 µs where the kernel has it.
    public static let candidates = [
        MaskedPath("/proc/acpi", .directory), MaskedPath("/proc/allocinfo", .file),
        MaskedPath("/proc/asound", .directory), MaskedPath("/proc/dynamic_debug", .directory),
        MaskedPath("/proc/interrupts", .file), MaskedPath("/proc/kcore", .file),
        MaskedPath("/proc/key-users", .file), MaskedPath("/proc/keys", .file),
        MaskedPath("/proc/kmsg", .file), MaskedPath("/proc/kpagecgroup", .file),
        MaskedPath("/proc/kpagecount", .file), MaskedPath("/proc/kpageflags", .file),
        MaskedPath("/proc/latency_stats", .file), MaskedPath("/proc/lock_stat", .file),
        MaskedPath("/proc/mtrr", .file), MaskedPath("/proc/profile", .file),
        MaskedPath("/proc/pagetypeinfo", .file), MaskedPath("/proc/pressure", .directory),
        MaskedPath("/proc/sched_debug", .file), MaskedPath("/proc/scsi", .directory),
        MaskedPath("/proc/slabinfo", .file), MaskedPath("/proc/sysrq-trigger", .file),
        MaskedPath("/proc/timer_list", .file), MaskedPath("/proc/timer_stats", .file),
        MaskedPath("/proc/vmallocinfo", .file),
    ]

    /// What container runtimes make read-only.
    public static let readOnlyCandidates = [
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
    ]
}

/// What a node has to give, and what it can enforce.
public struct NodeCapabilities: Hashable, Sendable {
    public var memoryBytes: UInt64
    public var milliCPUs: UInt32
    /// Controllers that the node can apply to a sandbox.
    public var limitKinds: Set<Limits.Kind>
    /// Whether there is a version 2 cgroup tree at all, to kill and freeze by.
    public var cgroupParent: String?
    /// The hierarchy's mode, for messages.
    public var cgroupMode: String
    /// What below `/proc` exists on this kernel and is masked.
    public var maskedPaths: [MaskedPath]
    public var readOnlyPaths: [String]
    /// The disk below the image, as `major:minor`, for `io.max`.
    public var imageDisk: String?
    /// The one below scratch space on disk.
    public var scratchDisk: String?
    /// The largest hard limits that a process can get, where there is a bound.
    public var largestProcessLimits: [ProcessLimitSetting.Resource: UInt64]

    public init(
        memoryBytes: UInt64, milliCPUs: UInt32, limitKinds: Set<Limits.Kind>,
        cgroupParent: String?, cgroupMode: String, maskedPaths: [MaskedPath],
        readOnlyPaths: [String],
        imageDisk: String? = nil, scratchDisk: String? = nil,
        largestProcessLimits: [ProcessLimitSetting.Resource: UInt64] = [:]
    ) {
        self.memoryBytes = memoryBytes
        self.milliCPUs = milliCPUs
        self.limitKinds = limitKinds
        self.cgroupParent = cgroupParent
        self.cgroupMode = cgroupMode
        self.maskedPaths = maskedPaths
        self.readOnlyPaths = readOnlyPaths
        self.imageDisk = imageDisk
        self.scratchDisk = scratchDisk
        self.largestProcessLimits = largestProcessLimits
    }
}

extension SandboxSpec {
    /// Says of each limit whether this node enforces it, in the order of ``Limits/Kind``.
    public func limitStatuses(on node: NodeCapabilities) -> [LimitStatus] {
        limits.kinds.map { kind in
            LimitStatus(
                kind: kind, request: limits.request(for: kind),
                reason: obstacle(to: kind, on: node))
        }
    }

    /// Why a node does not enforce limits of a kind; nothing when it does.
    func obstacle(to kind: Limits.Kind, on node: NodeCapabilities) -> String? {
        guard node.limitKinds.contains(kind) else {
            return "no cgroup v2 `\(kind.rawValue)` controller (\(node.cgroupMode) mode)"
        }
        guard kind == .io else { return nil }
        // The kernel bounds what goes to a disk, by the disk's number.
        guard node.imageDisk != nil else { return "the image is on no disk of its own" }
        guard scratchPlace == .memory || node.scratchDisk != nil else {
            return "the scratch space is on no disk of its own"
        }
        return nil
    }
}

extension Limits {
    /// A limit in words: `128 MiB`.
    func request(for kind: Kind) -> String {
        switch kind {
        case .memory: return Self.bytes(memoryBytes ?? 0)
        case .cpu:
            return Self.cpus(UInt64(milliCPUs ?? 0))
        case .pids: return "\(pids ?? 0) processes"
        case .io:
            let parts = [("read", readBytesPerSecond), ("write", writeBytesPerSecond)]
            return parts.compactMap { name, rate in
                rate.map { "\(name) \(Self.bytes($0))/s" }
            }.joined(separator: ", ")
        }
    }

    private static let units: [(name: String, shift: UInt64)] = [
        ("GiB", 30), ("MiB", 20), ("KiB", 10),
    ]

    /// Bytes exactly, in the largest unit that needs no more than one decimal: `1.5 GiB`.
    static func bytes(_ count: UInt64) -> String {
        // Of the tenths of a power of two only the halves are whole.
        for (name, shift) in units where count >> shift > 0 && count % (1 << (shift - 1)) == 0 {
            return "\(tenths(of: count, shift)) \(name)"
        }
        return "\(count) B"
    }

    /// Bytes in the largest unit that fits, with one decimal, and never more than there are: for
    /// what a node has.
    static func roundedBytes(_ count: UInt64) -> String {
        guard let (name, shift) = units.first(where: { count >> $0.shift > 0 }) else {
            return "\(count) B"
        }
        return "\(tenths(of: count, shift)) \(name)"
    }

    /// A number of units with one decimal, rounded down, or none where it is zero.
    private static func tenths(of count: UInt64, _ shift: UInt64) -> String {
        let tenth = ((count & ((1 << shift) - 1)) * 10) >> shift
        return "\(count >> shift)" + (tenth == 0 ? "" : ".\(tenth)")
    }

    /// Thousandths of a CPU as people write them: `0.5 CPU`.
    static func cpus(_ milli: UInt64) -> String {
        let (whole, part) = milli.quotientAndRemainder(dividingBy: 1000)
        guard part > 0 else { return "\(whole) CPU" }
        var digits = String(String(1000 + part).dropFirst())
        while digits.hasSuffix("0") { digits.removeLast() }
        return "\(whole).\(digits) CPU"
    }
}
