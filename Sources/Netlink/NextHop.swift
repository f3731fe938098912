/// A gateway that has a number of its own, so that many routes can lead to it. Corresponds to
/// `struct nhmsg`.
public struct NextHop: Hashable, Sendable {
    /// Not 0. Gateways and groups of them share the numbers of a namespace.
    public var number: UInt32
    public var gateway: IPv4Address
    public var link: InterfaceIndex
    /// The gateway is on the link, even if no route says so.
    public var isOnLink: Bool

    public init(
        _ number: UInt32, via gateway: IPv4Address, through link: InterfaceIndex,
        onLink: Bool = false
    ) {
        self.number = number
        self.gateway = gateway
        self.link = link
        isOnLink = onLink
    }
}

/// Gateways among which flows are spread. A flow stays with its gateway while both last: when one
/// comes back, it gets parts of them that were silent for a time, and after a longer one its share.
public struct NextHopGroup: Hashable, Sendable {
    public var number: UInt32
    /// Numbers of gateways.
    public var members: [UInt32]

    /// Into how many parts flows are divided by their hash, of which each has a gateway.
    private static let parts: UInt16 = 256
    /// After how many hundredths of a second without a packet a part may get another gateway.
    private static let patience: UInt32 = 12000
    /// After how many of them parts are dealt out evenly whatever packets they have.
    private static let longest: UInt32 = 60000

    public init(_ number: UInt32, of members: [UInt32]) {
        self.number = number
        self.members = members
    }

    fileprivate func write(to writer: inout NetlinkWriter) {
        writer.nextHopHeader()
        writer.attribute(1, number)
        // NHA_GROUP: struct nexthop_grp for each, all of the same weight.
        writer.attribute(2) {
            for member in members {
                $0.put(member)
                $0.put(UInt32(0))
            }
        }
        // NHA_GROUP_TYPE: NEXTHOP_GRP_TYPE_RES. NHA_RES_GROUP: how many, and for how long.
        writer.attribute(3, UInt16(1))
        writer.nest(12) {
            $0.attribute(1, Self.parts)
            $0.attribute(2, Self.patience)
            $0.attribute(3, Self.longest)
        }
    }
}

extension NetlinkWriter {
    /// struct nhmsg: RTPROT_STATIC for what is made, RTNH_F_ONLINK.
    fileprivate mutating func nextHopHeader(
        family: UInt8 = 0, isMade: Bool = true, isOnLink: Bool = false
    ) {
        put(family)
        put(UInt8(0))
        put(UInt8(isMade ? 4 : 0))
        put(UInt8(0))
        put(UInt32(isOnLink ? 4 : 0))
    }
}

extension NetlinkBatch {
    /// Makes a gateway, or changes the one of that number under all routes that lead to it.
    public mutating func addNextHop(_ hop: NextHop) {
        add(NextHopMessage.new, [.create, .replace], "add gateway", "\(hop.gateway)") {
            $0.nextHopHeader(family: AddressFamily.ipv4, isOnLink: hop.isOnLink)
            // NHA_ID, NHA_OIF, NHA_GATEWAY
            $0.attribute(1, hop.number)
            $0.attribute(5, hop.link.rawValue)
            $0.attribute(6, hop.gateway)
        }
    }

    /// Makes a group, or changes who is in it. Flows of those that stay notice nothing.
    public mutating func addNextHopGroup(_ group: NextHopGroup) {
        add(NextHopMessage.new, [.create, .replace], "add gateways", "\(group.number)") {
            group.write(to: &$0)
        }
    }

    /// Takes a gateway or a group away, with the routes that lead to it alone.
    public mutating func deleteNextHop(_ number: UInt32) {
        add(NextHopMessage.delete, [], "delete gateway", "\(number)") {
            $0.nextHopHeader(isMade: false)
            $0.attribute(1, number)
        }
    }
}

extension NetlinkSocket {
    /// Gateways, and groups of them.
    public func nextHops() throws(NetlinkError) -> (hops: [NextHop], groups: [NextHopGroup]) {
        var hops: [NextHop] = []
        var groups: [NextHopGroup] = []
        try collect(NextHopMessage.list, "gateways", { $0.put(UInt64(0)) }) {
            message throws(NetlinkError) in
            guard message.payload.count >= 8, let attributes = message.attributes(after: 8),
                let number = attributes.number(1, as: UInt32.self)
            else { return }
            if let members = attributes[2] {
                groups.append(NextHopGroup(number, of: Self.members(members)))
            } else if let gateway = attributes.address(6),
                let link = attributes.number(5, as: UInt32.self)
            {
                var header = NetlinkReader(message.payload.dropFirst(4))
                let flags = header.number(UInt32.self) ?? 0
                hops.append(
                    NextHop(
                        number, via: gateway, through: InterfaceIndex(rawValue: link),
                        onLink: flags & 4 != 0))
            }
        }
        return (hops, groups)
    }

    private static func members(_ bytes: ArraySlice<UInt8>) -> [UInt32] {
        var reader = NetlinkReader(bytes)
        var members: [UInt32] = []
        while let member = reader.number(UInt32.self), reader.take(4) != nil {
            members.append(member)
        }
        return members
    }
}

private enum NextHopMessage {
    static let new: UInt16 = 104
    static let delete: UInt16 = 105
    static let list: UInt16 = 106
}
