internal import LinuxKernel
internal import Netlink

/// A link as the kernel describes it, with what a proxy needs to know beside what ``Link`` says.
struct DescribedLink {
    let index: InterfaceIndex
    let name: String
    let isUp: Bool
    /// It is up, and there is somebody at its other end.
    let isRunning: Bool
    let mtu: UInt32
    let address: LinkAddress?
    /// Empty for hardware.
    let kind: String
    /// The number of the other end of a veth, in its namespace.
    let peer: InterfaceIndex?
    /// The bridge that it is in.
    let master: InterfaceIndex?
    /// What somebody noted on it.
    let alias: String?
    let statistics: NetworkStatistics.Link
    private let tunnel: NetlinkAttributes?

    /// RTM_GETLINK
    static let listing: UInt16 = 18
    /// RTM_NEWLINK
    static let change: UInt16 = 16

    /// `struct ifinfomsg` and `IFLA_…`.
    private enum Attribute {
        static let address: UInt16 = 1
        static let name: UInt16 = 3
        static let mtu: UInt16 = 4
        static let link: UInt16 = 5
        static let master: UInt16 = 10
        static let info: UInt16 = 18
        static let alias: UInt16 = 20
        static let statistics: UInt16 = 23
        static let infoKind: UInt16 = 1
        static let infoData: UInt16 = 2
    }

    init?(_ message: NetlinkMessage) {
        guard message.payload.count >= 16, let attributes = message.attributes(after: 16),
            let name = attributes.text(Attribute.name)
        else { return nil }
        let header = Array(message.payload.prefix(16))
        index = InterfaceIndex(rawValue: Self.number(header, at: 4))
        isUp = Self.number(header, at: 8) & 1 != 0
        // IFF_RUNNING
        isRunning = Self.number(header, at: 8) & 0x40 != 0
        self.name = name
        mtu = attributes.number(Attribute.mtu) ?? 0
        address = attributes[Attribute.address].flatMap { LinkAddress(bytes: $0) }
        peer = attributes.number(Attribute.link).map { InterfaceIndex(rawValue: $0) }
        master = attributes.number(Attribute.master).map { InterfaceIndex(rawValue: $0) }
        alias = attributes.text(Attribute.alias)
        let info = attributes.nested(Attribute.info)
        kind = info?.text(Attribute.infoKind) ?? ""
        tunnel = kind == "vxlan" ? info?.nested(Attribute.infoData) : nil
        statistics = Self.statistics(attributes[Attribute.statistics].map { Array($0) } ?? [])
    }

    private static func number(_ bytes: [UInt8], at offset: Int) -> UInt32 {
        bytes[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// `struct rtnl_link_stats64`: 64 bits each.
    private static func statistics(_ bytes: [UInt8]) -> NetworkStatistics.Link {
        func number(_ place: Int) -> UInt64 {
            guard bytes.count >= place * 8 + 8 else { return 0 }
            return bytes[place * 8..<place * 8 + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        return NetworkStatistics.Link(
            receivedBytes: number(2), receivedPackets: number(0), receivedDropped: number(6),
            sentBytes: number(3), sentPackets: number(1), sentDropped: number(7))
    }

    /// Of the end of a tunnel: `IFLA_VXLAN_ID`, `LOCAL`, `PORT`, `LEARNING`.
    var found: FoundTunnel? {
        guard let tunnel, let vni = tunnel.number(1, as: UInt32.self),
            let local = tunnel.address(4),
            let port = tunnel.networkNumber(15, as: UInt16.self),
            tunnel.number(7, as: UInt8.self) == 0, let address
        else { return nil }
        return FoundTunnel(
            link: TunnelLink(vni: vni, port: port, local: local, mtu: mtu, hardware: address),
            isUp: isUp)
    }
}

extension NetlinkSocket {
    func describedLinks() throws(NetlinkError) -> [DescribedLink] {
        var links: [DescribedLink] = []
        try collect(
            DescribedLink.listing, "links",
            {
                $0.put(UInt64(0))
                $0.put(UInt64(0))
            }
        ) { message throws(NetlinkError) in
            if let link = DescribedLink(message) { links.append(link) }
        }
        return links
    }

    /// The neighbours of a link that stay whatever happens: `NUD_PERMANENT`.
    func lastingNeighbours(
        of link: InterfaceIndex
    ) throws(NetlinkError) -> [IPv4Address: LinkAddress] {
        var found: [IPv4Address: LinkAddress] = [:]
        // RTM_GETNEIGH with struct ndmsg of version 4
        try collect(
            30, "neighbours",
            {
                $0.put(UInt32(2))
                $0.put(UInt64(0))
            }
        ) { message throws(NetlinkError) in
            let header = Array(message.payload.prefix(12))
            guard header.count == 12, let attributes = message.attributes(after: 12),
                UInt32(header[4]) | UInt32(header[5]) << 8 | UInt32(header[6]) << 16
                    | UInt32(header[7]) << 24 == link.rawValue,
                header[8] & 0x80 != 0, let address = attributes.address(1),
                let hardware = attributes[2].flatMap({ LinkAddress(bytes: $0) })
            else { return }
            found[address] = hardware
        }
        return found
    }
}
