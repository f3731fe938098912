internal import AgentAPI
internal import Netlink

/// Another proxy of a VPC, which has the same fixed addresses: one of them at a time.
struct OtherProxy: Hashable, Sendable {
    let tunnel: IPv4Address
    let underlay: IPv4Address
    let hardware: LinkAddress
    /// Of those that are alive the lowest has the addresses.
    let rank: UInt8

    static let most = 7

    var peer: TunnelPeer { TunnelPeer(address: tunnel, hardware: hardware, underlay: underlay) }

    var message: ProxyPeer {
        ProxyPeer(
            tunnelAddress: "\(tunnel)", underlayAddress: "\(underlay)",
            tunnelHardwareAddress: "\(hardware)", rank: UInt32(rank))
    }
}

extension OtherProxy {
    private static let field = "spec.peers"

    static func rank(_ number: UInt32, _ field: String) throws(CallFailure) -> UInt8 {
        guard let rank = UInt8(exactly: number) else {
            throw .invalid(field, "is not between 0 and 255")
        }
        return rank
    }

    /// - Parameters:
    ///   - tunnel: the proxy's own.
    ///   - rank: the proxy's own.
    static func all(
        _ peers: [ProxyPeer], tunnel: InterfaceAddress, rank: UInt8
    ) throws(CallFailure) -> [OtherProxy] {
        guard peers.count <= most else {
            throw .invalid(field, "are \(peers.count), not 0 to \(most)")
        }
        var others: [OtherProxy] = []
        for peer in peers {
            let other = try OtherProxy(peer, in: tunnel)
            let ranks = [rank] + others.map(\.rank)
            guard !ranks.contains(other.rank) else {
                throw .invalid(field, "have the rank \(other.rank) twice, or it is this proxy's")
            }
            let isTaken = others.contains {
                $0.tunnel == other.tunnel || $0.hardware == other.hardware
                    || $0.underlay == other.underlay
            }
            guard !isTaken else {
                throw .invalid(field, "have an address of \(other.tunnel) twice")
            }
            others.append(other)
        }
        return others
    }

    private init(_ peer: ProxyPeer, in own: InterfaceAddress) throws(CallFailure) {
        let tunnel = try NetworkRules.address(peer.tunnelAddress, "\(Self.field).tunnel_address")
        guard InterfaceAddress(tunnel, length: own.length).isOfHost,
            own.prefix.contains(tunnel), tunnel != own.address
        else {
            throw .invalid(
                "\(Self.field).tunnel_address", "is no other address of the tunnel \(own.prefix)")
        }
        let text = peer.tunnelHardwareAddress
        let hardware = text.isEmpty ? LinkAddress(ofTunnel: tunnel) : LinkAddress(text)
        guard let hardware, hardware.isOfOne, hardware != LinkAddress(ofTunnel: own.address) else {
            throw .invalid(
                "\(Self.field).tunnel_hardware_address", "is no hardware address of another proxy",
                hint: "as in `02:ac:64:60:00:02`")
        }
        self.init(
            tunnel: tunnel,
            underlay: try NetworkRules.address(
                peer.underlayAddress, "\(Self.field).underlay_address"), hardware: hardware,
            rank: try Self.rank(peer.rank, "\(Self.field).rank"))
    }
}
