internal import AgentAPI
internal import Netlink

/// An address of the tenant's network that leads to a sandbox.
struct InboundRoute: Hashable, Sendable {
    let address: IPv4Address
    /// The sandbox's own in the tunnel.
    let sandbox: IPv4Address
    /// The node that it is on.
    let node: String
    let addedAt: Int64

    static let most = 1024

    /// As the uplink has it.
    var interface: InterfaceAddress { InterfaceAddress(address, length: 32) }

    var message: InboundAddress {
        InboundAddress(
            address: "\(address)", tunnelAddress: "\(sandbox)", nodeID: node,
            addedAtNanoseconds: addedAt)
    }

    /// Whether both lead to the same place.
    func leadsLike(_ other: InboundRoute) -> Bool {
        (address, sandbox, node) == (other.address, other.sandbox, other.node)
    }
}

extension InboundRoute {
    init(
        _ message: InboundAddress, in network: TenantNetwork, addedAt: Int64
    ) throws(CallFailure) {
        let address = try NetworkRules.address(message.address, "inbound.address")
        let taken = [network.address.address, network.gateway].compactMap { $0 } + network.egress
        guard !taken.contains(address), !network.tunnel.prefix.contains(address) else {
            throw .invalid(
                "inbound.address", "is the uplink's, its gateway's, a fixed one or of the tunnel")
        }
        let sandbox = try NetworkRules.address(message.tunnelAddress, "inbound.tunnel_address")
        let others = [network.tunnel.address] + network.peers.map(\.tunnel)
        guard InterfaceAddress(sandbox, length: network.tunnel.length).isOfHost,
            network.tunnel.prefix.contains(sandbox), !others.contains(sandbox)
        else {
            throw .invalid(
                "inbound.tunnel_address",
                "is no other address of the tunnel \(network.tunnel.prefix)")
        }
        try NetworkRules.checkID(message.nodeID, "inbound.node_id")
        self.init(address: address, sandbox: sandbox, node: message.nodeID, addedAt: addedAt)
    }
}
