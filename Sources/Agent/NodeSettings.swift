public import Netlink
public import SandboxModel

/// What the operator decided about the node.
public struct NodeSettings: Sendable {
    /// Empty: the host's name.
    public var nodeName = ""
    /// What schedulers may choose nodes by.
    public var labels: [String: String] = [:]
    public var stateDirectory = "/var/lib/alcove"
    /// Where scratch space on the disk is made. Its disk is the one that sandboxes reserve of.
    public var scratchDirectory = "/var/lib/alcove/scratch"
    /// The cgroup below which all sandboxes stand.
    public var cgroupParent = "alcoved"
    /// Empty: where `InitLocation` finds it.
    public var initProgram = ""
    /// What of the node's resources sandboxes may not reserve.
    public var keptBack = Resources()
    /// How many times over a resource may be reserved, in thousandths.
    public var overCommit = OverCommit.none
    public var sandboxesLimit: UInt64 = 1000
    public var addressesLimit: UInt64 = 1000
    /// What a sandbox without a limit reserves.
    public var defaultRequest = Resources()
    public var startsInFlight = 16
    public var startsQueued = 1024
    public var startQueueTimeout = Duration.seconds(10)
    /// Bound of the logs of one sandbox.
    public var logBytes: UInt64 = 4 << 20
    public var eventsKept: UInt64 = 100_000
    public var allowsProcessIsolation = true
    /// When microVMs are offered.
    public enum MicroVMs: String, Sendable {
        /// Where KVM runs a guest's kernel fast, and what they run from is there.
        case auto
        /// Also where KVM is slow. What is missing ends the agent.
        case always
        case never
    }
    public var microVMs = MicroVMs.auto
    /// The directory that microVMs run from. Empty: where `MonitorLocation` finds it.
    public var monitorDirectory = ""
    /// A limit that cannot be enforced does not keep a sandbox from running, whatever it asks for.
    public var allLimitsAreBestEffort = false
    /// The control plane's socket; nil without one.
    public var controlPlane: String?
    /// Network namespaces that are made ahead.
    public var spareNetworks = 4

    /// Networks of sandboxes beyond their loopback.
    public struct Networks: Sendable {
        public var slots: IPv4Prefix
        public var uplink: IPv4Prefix
        public var link: String
        /// Where the router's namespace is pinned.
        public var router: String
        public var managementPrefixes: [IPv4Prefix]
        public var underlay: IPv4Address?
        public var tunnelPort: UInt16
        public var mtu: UInt32
        /// Empty: those that the node asks.
        public var nameServers: [IPv4Address]
        public var leastReady: Int
        public var mostReady: Int

        public init(
            slots: IPv4Prefix, uplink: IPv4Prefix, link: String, router: String,
            managementPrefixes: [IPv4Prefix], underlay: IPv4Address?, tunnelPort: UInt16,
            mtu: UInt32, nameServers: [IPv4Address], leastReady: Int, mostReady: Int
        ) {
            self.slots = slots
            self.uplink = uplink
            self.link = link
            self.router = router
            self.managementPrefixes = managementPrefixes
            self.underlay = underlay
            self.tunnelPort = tunnelPort
            self.mtu = mtu
            self.nameServers = nameServers
            self.leastReady = leastReady
            self.mostReady = mostReady
        }
    }
    /// Nothing where sandboxes have none.
    public var networks: Networks?
    /// What the images of the store may take, in bytes; 0 without a bound.
    public var imagesCapacity: UInt64 = 0
    /// Whether layers are packed that are imported from now on.
    public var packsImages = false

    public init() {}
}
