public import KVM
public import LinuxKernel

/// What was found on a host. ``HostReport`` says what it means.
public struct HostFacts: Sendable {
    /// Whether a thing is there, where that can be found out.
    public enum Presence: Hashable, Sendable {
        case present, absent
        /// This process may not look.
        case unknown
    }

    /// The state of `/dev/kvm`.
    public enum Device: Hashable, Sendable {
        case absent
        case notPermitted
        /// It does not open, and why.
        case broken(String)
        /// It opens, with the version of its interface.
        case open(version: Int64)
    }

    /// The state of alcove-init.
    public enum Program: Hashable, Sendable {
        case absent, notExecutable, executable
    }

    public struct OpenFileLimit: Hashable, Sendable {
        public var soft: UInt64
        public var hard: UInt64

        public init(soft: UInt64, hard: UInt64) {
            self.soft = soft
            self.hard = hard
        }
    }

    public var release = ""
    public var architecture = ""
    public var interfaces: Set<KernelInterface> = []
    /// Names in `/proc/self/ns`.
    public var namespaces: Set<String> = []
    /// `/proc/sys/user/max_user_namespaces`
    public var largestUserNamespaceCount: UInt64?
    /// `/proc/sys/kernel/seccomp/actions_avail`
    public var seccompActions: Set<String> = []
    public var hasPressure = false

    public var effectiveUser: UInt32 = 65534
    /// Numbers of the capabilities in the effective set.
    public var capabilities: Set<Int32> = []
    public var openFiles: OpenFileLimit?

    public var cgroups = CgroupHierarchy(mode: .legacy, root: nil, controllers: [])
    public var cgroupKill = Presence.unknown
    public var cgroupFreeze = Presence.unknown

    public var fileSystems: Set<String> = []

    public var memoryBytes: UInt64 = 0
    public var cpuCount = 0
    public var initPath = ""
    public var initProgram = Program.absent
    public var trial = SandboxTrial.notTried(reason: "not asked for")

    public var kvm = Device.absent
    public var guestSpeed = GuestSpeed.notMeasured

    /// Nothing found: for tests that say what is there.
    public init() {}
}
