public import Netlink

/// What the operator decided about a node's agent.
///
/// `ConfigurationKey.all` says which key of the file means which of these.
public struct AgentConfiguration: Hashable, Sendable {
    /// A Unix socket that the agent makes.
    public struct Socket: Hashable, Sendable {
        /// Empty: there is none.
        public var path: String
        public var mode: UInt32
        /// A name or a number. Empty: the agent's own.
        public var group: String

        public init(path: String = "", mode: UInt32 = 0o660, group: String = "") {
            self.path = path
            self.mode = mode
            self.group = group
        }
    }

    /// Amounts of what admission counts.
    public struct Amounts: Hashable, Sendable {
        public var milliCPUs: UInt64
        public var memoryBytes: UInt64
        public var pids: UInt64
        public var diskBytes: UInt64

        public init(
            milliCPUs: UInt64 = 0, memoryBytes: UInt64 = 0, pids: UInt64 = 0, diskBytes: UInt64 = 0
        ) {
            self.milliCPUs = milliCPUs
            self.memoryBytes = memoryBytes
            self.pids = pids
            self.diskBytes = diskBytes
        }
    }

    /// What becomes of a sandbox with a limit that the node cannot enforce.
    public enum LimitPolicy: String, CaseIterable, Hashable, Sendable {
        /// It is refused.
        case strict
        /// It runs without, and the answer says so.
        case bestEffort = "best-effort"
    }

    /// How the content of imported layers is kept.
    public enum MicroVMs: String, CaseIterable, Hashable, Sendable {
        case auto, always, never
    }

    public enum ImagesPacking: String, CaseIterable, Hashable, Sendable {
        case none
        case lz4
    }

    /// The networks of sandboxes.
    public struct Networks: Hashable, Sendable {
        public var areOn = false
        /// Each sandbox has one of these addresses on the node.
        public var slots = IPv4Prefix(containing: IPv4Address(100, 64, 0, 0), length: 16)
        /// The cable between the node and the router.
        public var uplink = IPv4Prefix(containing: IPv4Address(100, 127, 255, 252), length: 30)
        public var link = "alcove0"
        public var router = "/run/alcove/router"
        public var managementPrefixes: [IPv4Prefix] = []
        /// This node's address on the network that carries tunnels.
        public var underlay: IPv4Address?
        public var tunnelPort: UInt16 = 4789
        public var mtu: UInt32 = 1450
        /// Empty: those that the node asks itself.
        public var nameServers: [IPv4Address] = []
        public var leastReady = 8
        public var mostReady = 256

        public init() {}
    }

    public enum LogFormat: String, CaseIterable, Hashable, Sendable {
        /// The journal where standard error leads to it, text on a terminal, else JSON.
        case automatic = "auto"
        case json
        case text
        case journald
    }

    /// Empty: the host's name.
    public var nodeName = ""
    public var nodeLabels: [String: String] = [:]

    public var socket = Socket(path: "/run/alcove/agent.sock")
    /// Whose calls are taken. Empty: those of everybody whom the socket's mode lets in.
    public var allowedUsers: [UInt32] = []
    public var monitor = Socket()
    public var keepalive = Duration.zero
    public var keepaliveTimeout = Duration.seconds(20)

    public var stateDirectory = "/var/lib/alcove"
    /// Empty: in the state directory.
    public var scratchDirectory = ""

    /// What images may take. 0: no bound.
    public var imagesCapacity: UInt64 = 0
    public var imagesPacking = ImagesPacking.none

    public var initProgram = ""
    public var cgroupParent = "alcoved"
    public var allowsProcessIsolation = true
    public var microVMs = MicroVMs.auto
    public var monitorDirectory = ""
    public var limitPolicy = LimitPolicy.strict
    public var logBytes: UInt64 = 4 << 20
    public var spareNetworks = 4

    public var networks = Networks()

    public var keptBack = Amounts(memoryBytes: 256 << 20, pids: 512, diskBytes: 1 << 30)
    public var defaultRequest = Amounts(
        milliCPUs: 100, memoryBytes: 64 << 20, pids: 64, diskBytes: 64 << 20)
    public var overCommitCPUPermille: UInt32 = 1000
    public var overCommitMemoryPermille: UInt32 = 1000
    public var sandboxesLimit: UInt64 = 1000
    public var addressesLimit: UInt64 = 1000

    public var startsInFlight = 16
    public var startsQueued = 1024
    public var startQueueTimeout = Duration.seconds(10)

    public var eventsKept: UInt64 = 100_000

    /// Empty: there is none.
    public var controlPlaneSocket = ""

    public var metrics = Socket(path: "/run/alcove/metrics.sock")
    /// On 127.0.0.1. 0: none.
    public var metricsPort: UInt16 = 0

    public var logLevel = LogLevel.info
    public var logFormat = LogFormat.automatic

    /// How long sandboxes may run on after SIGTERM before they are stopped. Zero: they are left
    /// running, for the next agent to adopt.
    public var drainDeadline = Duration.zero

    public init() {}
}
