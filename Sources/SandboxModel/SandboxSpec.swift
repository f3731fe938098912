/// A sandbox as its user asked for it. ``validate(on:)`` says whether it makes sense.
public struct SandboxSpec: Equatable, Sendable {
    /// What the workload may write below `/`.
    public enum Root: Hashable, Sendable {
        /// Nothing: the image itself, read-only.
        case readOnly
        /// Everything, in scratch space that goes away with the sandbox.
        case writable
    }

    /// Where scratch space is: what the sandbox writes to its root, `/tmp` and `/dev/shm`.
    public enum ScratchPlace: String, CaseIterable, Hashable, Sendable {
        case memory
        /// In a file system of its own, whose space is taken before the sandbox starts.
        case disk
    }

    /// What to do about a limit that the host cannot enforce.
    public enum LimitPolicy: String, CaseIterable, Hashable, Sendable {
        case strict
        case bestEffort = "best-effort"
    }

    /// The workload's user and group inside.
    public struct User: Hashable, Sendable {
        public var user: UInt32
        public var group: UInt32

        public init(user: UInt32, group: UInt32) {
            self.user = user
            self.group = group
        }

        public static let root = User(user: 0, group: 0)
        /// For one whose user is none.
        public static let hint =
            "give USER or USER:GROUP as numbers, or a name in the image's /etc/passwd"

        /// Whether an image may have a user of this name, perhaps with a group by its number.
        public static func canBeNamed(_ text: String) -> Bool {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            guard let first = parts.first?.unicodeScalars.first,
                first == "_" || first.properties.isAlphabetic, !text.utf8.contains(0)
            else { return false }
            return parts.count == 1 || (parts.count == 2 && UInt32(parts[1]) != nil)
        }
    }

    /// A span of user or group numbers inside, and where it begins outside.
    public struct IdentityMap: Hashable, Sendable {
        public var inside: UInt32
        public var outside: UInt32
        public var count: UInt32

        public init(inside: UInt32, outside: UInt32, count: UInt32) {
            self.inside = inside
            self.outside = outside
            self.count = count
        }
    }

    /// Path of the image's directory tree.
    public var image: String
    /// The command and its arguments.
    public var command: [String]
    /// `NAME=value` entries; nothing is inherited.
    public var environment: [String]
    public var workingDirectory: String
    public var root: Root
    public var hostname: String
    public var user: User
    /// A user namespace of its own, with these maps, or none.
    public var identityMaps: [IdentityMap]
    public var limits: Limits
    public var limitPolicy: LimitPolicy
    /// Bounds of a single process, as `setrlimit` knows them.
    public var processLimits: [ProcessLimitSetting]
    public var scratchPlace: ScratchPlace
    /// What the sandbox may write: its root's changes, `/tmp` and `/dev/shm` together.
    public var scratchBytes: UInt64
    /// A terminal as the workload's standard streams.
    public var terminal: Bool
    /// What a system call that the policy denies does.
    public var deniedCalls: CallPolicy.Denial
    public var timeout: Duration?
    /// Set where the workload is the monitor of a microVM.
    public var machine: MachineParts?
    /// A file of the host that says who is asked for names, where the sandbox has a network.
    public var nameFile: String?

    public init(image: String, command: [String]) {
        self.image = image
        self.command = command
        environment = Self.defaultEnvironment
        workingDirectory = "/"
        root = .writable
        hostname = "sandbox"
        user = .root
        identityMaps = []
        limits = Limits()
        limitPolicy = .strict
        processLimits = ProcessLimitSetting.standard
        scratchPlace = .memory
        scratchBytes = 64 << 20
        terminal = false
        deniedCalls = .kill
        timeout = nil
        machine = nil
        nameFile = nil
    }

    /// What runs, in the words of whoever asked for it.
    public var program: String { machine?.workload ?? command.first ?? "" }

    /// Whether a network namespace that the host made ahead of time will do. A user namespace may
    /// only join what it owns, and so makes its own.
    public var canJoinNetwork: Bool { identityMaps.isEmpty }

    public static let defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    public static let defaultEnvironment = ["PATH=" + defaultPath, "HOME=/"]
}

/// A bound of a single process: a number of `setrlimit`, by its name.
public struct ProcessLimitSetting: Hashable, Sendable {
    public enum Resource: String, CaseIterable, Hashable, Sendable {
        case cpuSeconds = "cpu"
        case fileSize = "fsize"
        case stack
        case core
        case processes = "nproc"
        case openFiles = "nofile"
        case lockedMemory = "memlock"
        case addressSpace = "as"
        case messageQueues = "msgqueue"
        case realTimePriority = "rtprio"
    }

    public var resource: Resource
    public var soft: UInt64
    public var hard: UInt64
    /// Nobody asked for it, so less will do where a host has less.
    public var isStandard: Bool

    public init(_ resource: Resource, soft: UInt64, hard: UInt64, isStandard: Bool = false) {
        self.resource = resource
        self.soft = soft
        self.hard = hard
        self.isStandard = isStandard
    }

    /// No core files, no real-time priority, and as many descriptors as a server needs.
    public static let standard = [
        ProcessLimitSetting(.core, soft: 0, hard: 0, isStandard: true),
        ProcessLimitSetting(.openFiles, soft: 1024, hard: 4096, isStandard: true),
        ProcessLimitSetting(.realTimePriority, soft: 0, hard: 0, isStandard: true),
    ]
}
