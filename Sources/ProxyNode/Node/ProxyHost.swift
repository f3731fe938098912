internal import LinuxKernel
internal import Netlink

/// What the kernel refused to do for a VPC.
struct HostFailure: Error, Hashable, Sendable {
    /// What was to be done: a step, or a look.
    let what: String
    /// One line, without a full stop.
    let reason: String
    /// The node does not have what the uplink is made of, or has something else of that name.
    let isOfUplink: Bool

    init(_ what: String, _ reason: String, isOfUplink: Bool = false) {
        self.what = what
        self.reason = reason
        self.isOfUplink = isOfUplink
    }
}

extension HostFailure: CustomStringConvertible {
    var description: String { "\(what): \(reason)" }
}

/// What went through a VPC.
struct NetworkStatistics: Hashable, Sendable {
    struct Link: Hashable, Sendable {
        var receivedBytes: UInt64 = 0
        var receivedPackets: UInt64 = 0
        var receivedDropped: UInt64 = 0
        var sentBytes: UInt64 = 0
        var sentPackets: UInt64 = 0
        var sentDropped: UInt64 = 0
    }

    struct Count: Hashable, Sendable {
        var packets: UInt64 = 0
        var bytes: UInt64 = 0
    }

    var tunnel = Link()
    var uplink = Link()
    var connections: UInt64 = 0
    var counts: [RuleSet.Counter: Count] = [:]
}

/// What tells a proxy whether it is cut off.
struct NetworkLook: Hashable, Sendable {
    /// Packets that have come through the tunnel.
    let received: UInt64
    let isUplinkUp: Bool
}

/// The kernel of the proxy node, as far as VPCs need it. One thread at a time uses it.
protocol ProxyHost: Sendable {
    /// Ids of the VPCs of which there is something.
    func networks() throws(HostFailure) -> [String]

    /// What there is of a VPC; nothing without a namespace.
    func find(_ id: String) throws(HostFailure) -> FoundNetwork?

    /// Performs steps in their order, and stops at the first that fails.
    func perform(_ steps: [NetworkStep], for id: String) throws(HostFailure)

    func statistics(of id: String) throws(HostFailure) -> NetworkStatistics

    /// What other proxies are asked by, through the tunnel of a VPC.
    func echoes(of id: String) throws(HostFailure) -> InternetSocket

    func look(at id: String) throws(HostFailure) -> NetworkLook

    /// Where the namespace of a VPC is pinned.
    func path(of id: String) -> String
}

extension ProxyHost {
    /// Brings about what should be. Gives how many changes that took.
    func settle(_ wanted: WantedNetwork) throws(HostFailure) -> Int {
        let steps = NetworkPlan.steps(from: try find(wanted.id), to: wanted)
        try perform(steps, for: wanted.id)
        return steps.count
    }

    /// Leaves nothing of a VPC.
    func remove(_ id: String, uplink: TenantNetwork.Uplink?) throws(HostFailure) {
        try perform(NetworkPlan.removal(of: try find(id), uplink: uplink), for: id)
    }
}
