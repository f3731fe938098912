internal import Netlink

/// What the kernel holds for a VPC when all is as it should be.
struct WantedNetwork: Hashable, Sendable {
    /// Names of the links in the namespace.
    static let tunnelName = "tunnel"
    static let uplinkName = "uplink"

    let id: String
    let tunnel: TunnelLink
    let uplink: TenantNetwork.Uplink
    let uplinkAddresses: Set<InterfaceAddress>
    let tunnelAddress: InterfaceAddress
    let routes: Set<GatewayRoute>
    let peers: Set<TunnelPeer>
    /// Other proxies, which are spoken with and not let through.
    let proxies: Set<TunnelPeer>
    /// Addresses of the uplink to those of sandboxes in the tunnel.
    let inbound: [IPv4Address: IPv4Address]
    /// Where the latter are.
    let sandboxes: [IPv4Address: LinkAddress]
    let rules: RuleSet
    /// Whether it says that it is alive to those who ask.
    let answers: Bool

    /// - Parameter holds: whether the fixed addresses are here, and with no other proxy.
    init(
        _ network: TenantNetwork, nodes: some Sequence<ComputeNode>,
        inbound: some Sequence<InboundRoute> = [], holds: Bool = true, answers: Bool = true
    ) {
        let hardware = Dictionary(nodes.map { ($0.id, $0.hardware) }) { $1 }
        self.inbound = Dictionary(inbound.map { ($0.address, $0.sandbox) }) { $1 }
        sandboxes = Dictionary(
            inbound.compactMap { route in hardware[route.node].map { (route.sandbox, $0) } }
        ) { $1 }
        id = network.id
        tunnel = TunnelLink(
            vni: network.vni, port: network.port, local: network.underlay, mtu: network.mtu,
            hardware: network.hardwareAddress)
        uplink = network.uplink
        // The fixed addresses are answered for on the segment, the proxy's own among them or not.
        uplinkAddresses =
            (holds ? network.moving.union(inbound.map(\.interface)) : []).union([network.address])
        tunnelAddress = network.tunnel
        routes = Set(
            network.prefixes.compactMap { prefix in
                guard !network.address.prefix.contains(prefix) else { return nil }
                return network.gateway.map { GatewayRoute(prefix: prefix, gateway: $0) }
            })
        peers = Set(
            nodes.map {
                TunnelPeer(address: $0.tunnel, hardware: $0.hardware, underlay: $0.underlay)
            })
        proxies = Set(network.peers.map(\.peer))
        rules = RuleSet(network)
        self.answers = answers
    }
}

/// The proxy's end of a tunnel.
struct TunnelLink: Hashable, Sendable {
    let vni: UInt32
    let port: UInt16
    let local: IPv4Address
    let mtu: UInt32
    let hardware: LinkAddress
}

/// A route through the uplink.
struct GatewayRoute: Hashable, Sendable {
    let prefix: IPv4Prefix
    let gateway: IPv4Address
}

/// A node at the other end of a tunnel: without it nothing is sent there, since nothing is learned
/// from what comes.
struct TunnelPeer: Hashable, Sendable {
    let address: IPv4Address
    let hardware: LinkAddress
    let underlay: IPv4Address
}

/// What the kernel holds for a VPC, as it was read.
struct FoundNetwork: Hashable, Sendable {
    var tunnel: FoundTunnel?
    var uplink: FoundLink?
    var tunnelAddresses: Set<InterfaceAddress> = []
    var uplinkAddresses: Set<InterfaceAddress> = []
    /// Through gateways, by whomever but the kernel itself.
    var routes: Set<GatewayRoute> = []
    /// Permanent neighbours of the tunnel.
    var neighbours: [IPv4Address: LinkAddress] = [:]
    /// Where frames for a hardware address are sent to.
    var forwarding: [LinkAddress: IPv4Address] = [:]
    /// The mark of the rules that are there.
    var rulesMark: String?
    /// The nodes that these let through.
    var members: Set<IPv4Address> = []
    /// Whether these let it be asked whether it is alive.
    var isAnswering = false
    var inbound: [IPv4Address: IPv4Address] = [:]
    /// Settings of the kernel that are as they should be.
    var settings: Set<KernelSetting> = []
}

struct FoundTunnel: Hashable, Sendable {
    let link: TunnelLink
    let isUp: Bool
}

struct FoundLink: Hashable, Sendable {
    /// As the kernel names it: `veth`, `macvlan`; empty for hardware.
    var kind: String
    var isUp: Bool
    /// What it was called on the proxy node, where it was moved in.
    var formerName: String?
    /// Whether the other end of a veth is up.
    var isPeerUp = true
    /// The bridge of the proxy node that the other end of a veth is in.
    var bridge: String?
}

/// A setting below `/proc/sys/net` of a namespace.
enum KernelSetting: String, CaseIterable, Hashable, Sendable {
    case forwarding = "ipv4/ip_forward"
    /// Nothing of version 6 goes through a proxy, so that none of it is filtered.
    case noVersion6 = "ipv6/conf/all/disable_ipv6"
    case noVersion6Later = "ipv6/conf/default/disable_ipv6"
    /// A tenant's router does not decide where the proxy sends.
    case noRedirects = "ipv4/conf/all/accept_redirects"
    case noRedirectsLater = "ipv4/conf/default/accept_redirects"
    /// A link that comes up tells its segment of its addresses, which another proxy may have had.
    case announces = "ipv4/conf/default/arp_notify"
    /// A flow that another proxy had before goes on, wherever its numbers are.
    case takesFlowsOver = "netfilter/nf_conntrack_tcp_be_liberal"
    /// Other proxies are asked whether they are alive.
    case asksForEchoes = "ipv4/ping_group_range"

    var value: String {
        switch self {
        case .forwarding, .noVersion6, .noVersion6Later, .announces, .takesFlowsOver: "1"
        case .asksForEchoes: "0\t2147483647"
        case .noRedirects, .noRedirectsLater: "0"
        }
    }

    var path: String { "/proc/sys/net/\(rawValue)" }
}
