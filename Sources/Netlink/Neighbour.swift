/// An address of a link.
public struct LinkAddressing: Hashable, Sendable {
    public var link: InterfaceIndex
    public var address: IPv4Address
    /// How many bits of it are common to what is on the link.
    public var prefixLength: UInt8
    /// The address at the other end of a link that has but two.
    public var peer: IPv4Address?

    public init(
        _ address: IPv4Address, prefixLength: UInt8, on link: InterfaceIndex,
        peer: IPv4Address? = nil
    ) {
        self.link = link
        self.address = address
        self.prefixLength = prefixLength
        self.peer = peer
    }

    init?(_ message: NetlinkMessage) {
        var header = NetlinkReader(message.payload)
        guard message.type == RouteMessage.newAddress, header.number(UInt8.self) != nil,
            let length = header.number(UInt8.self), header.take(2) != nil,
            let index = header.number(UInt32.self), let attributes = message.attributes(after: 8),
            let address = attributes.address(2) ?? attributes.address(1)
        else { return nil }
        let other = attributes.address(1)
        self.init(
            address, prefixLength: length, on: InterfaceIndex(rawValue: index),
            peer: other == address ? nil : other)
    }
}

extension NetlinkWriter {
    /// struct ifaddrmsg; IFA_ADDRESS, IFA_LOCAL
    fileprivate mutating func addressing(_ addressing: LinkAddressing) {
        put(AddressFamily.ipv4)
        put(addressing.prefixLength)
        put(UInt16(0))
        put(addressing.link.rawValue)
        attribute(1, addressing.peer ?? addressing.address)
        attribute(2, addressing.address)
    }
}

extension NetlinkBatch {
    public mutating func addAddress(_ addressing: LinkAddressing) {
        add(
            RouteMessage.newAddress, [.create, .replace], "add address",
            "\(addressing.address)/\(addressing.prefixLength)"
        ) { $0.addressing(addressing) }
    }

    public mutating func deleteAddress(_ addressing: LinkAddressing) {
        add(
            RouteMessage.deleteAddress, [], "delete address",
            "\(addressing.address)/\(addressing.prefixLength)"
        ) { $0.addressing(addressing) }
    }
}

extension NetlinkSocket {
    /// The addresses of all links.
    public func addresses() throws(NetlinkError) -> [LinkAddressing] {
        try list(RouteMessage.listAddresses, "addresses", LinkAddressing.init) {
            $0.put(UInt32(AddressFamily.ipv4))
            $0.put(UInt32(0))
        }
    }
}

/// Who has an address on a link. It stays until it is taken away: nothing is asked on the link.
public struct Neighbour: Hashable, Sendable {
    public var address: IPv4Address
    public var link: InterfaceIndex
    public var linkAddress: LinkAddress?

    public init(_ address: IPv4Address, at linkAddress: LinkAddress?, on link: InterfaceIndex) {
        self.address = address
        self.link = link
        self.linkAddress = linkAddress
    }

    init?(_ message: NetlinkMessage) {
        var header = NetlinkReader(message.payload)
        guard message.type == RouteMessage.newNeighbour, header.number(UInt32.self) != nil,
            let index = header.number(UInt32.self), let attributes = message.attributes(after: 12),
            let address = attributes.address(1)
        else { return nil }
        self.init(
            address, at: attributes[2].flatMap { LinkAddress(bytes: $0) },
            on: InterfaceIndex(rawValue: index))
    }
}

/// Where frames for an address leave a VXLAN tunnel: a line of its forwarding table.
public struct ForwardingEntry: Hashable, Sendable {
    /// All zeros for every address that no other line has.
    public var linkAddress: LinkAddress
    public var link: InterfaceIndex
    /// The machine at which the tunnel ends.
    public var remote: IPv4Address?

    public init(_ linkAddress: LinkAddress, at remote: IPv4Address?, on link: InterfaceIndex) {
        self.linkAddress = linkAddress
        self.link = link
        self.remote = remote
    }

    init?(_ message: NetlinkMessage) {
        var header = NetlinkReader(message.payload)
        guard message.type == RouteMessage.newNeighbour, header.number(UInt32.self) != nil,
            let index = header.number(UInt32.self), let attributes = message.attributes(after: 12),
            let address = attributes[2].flatMap({ LinkAddress(bytes: $0) })
        else { return nil }
        self.init(
            address, at: attributes.address(1), on: InterfaceIndex(rawValue: index))
    }
}

extension NetlinkWriter {
    /// struct ndmsg: NUD_PERMANENT, with flags of NTF_….
    private mutating func neighbourHeader(_ family: UInt8, _ link: InterfaceIndex, flags: UInt8) {
        put(UInt32(family))
        put(link.rawValue)
        put(UInt16(0x80))
        put(flags)
        put(UInt8(0))
    }

    fileprivate mutating func neighbour(_ neighbour: Neighbour) {
        neighbourHeader(AddressFamily.ipv4, neighbour.link, flags: 0)
        attribute(1, neighbour.address)
        if let address = neighbour.linkAddress { attribute(2, address.bytes) }
    }

    /// NTF_SELF: the table of the tunnel, not that of a bridge above it.
    fileprivate mutating func forwarding(_ entry: ForwardingEntry) {
        neighbourHeader(AddressFamily.bridge, entry.link, flags: 2)
        attribute(2, entry.linkAddress.bytes)
        if let remote = entry.remote { attribute(1, remote) }
    }
}

extension NetlinkBatch {
    /// Says who has an address, whoever had it before.
    public mutating func addNeighbour(_ neighbour: Neighbour) {
        add(
            RouteMessage.newNeighbour, [.create, .replace], "add neighbour",
            "\(neighbour.address)"
        ) { $0.neighbour(neighbour) }
    }

    public mutating func deleteNeighbour(_ neighbour: Neighbour) {
        add(RouteMessage.deleteNeighbour, [], "delete neighbour", "\(neighbour.address)") {
            $0.neighbour(neighbour)
        }
    }

    /// Says where frames for an address go. For all zeros it adds one more end: there can be
    /// several, of which each gets a copy, and the kernel replaces none of them.
    public mutating func addForwarding(_ entry: ForwardingEntry) {
        add(
            RouteMessage.newNeighbour,
            entry.linkAddress == .zero ? [.create, .append] : [.create, .replace],
            "add forwarding", "\(entry.linkAddress)"
        ) { $0.forwarding(entry) }
    }

    public mutating func deleteForwarding(_ entry: ForwardingEntry) {
        add(RouteMessage.deleteNeighbour, [], "delete forwarding", "\(entry.linkAddress)") {
            $0.forwarding(entry)
        }
    }
}

extension NetlinkSocket {
    /// The neighbours of all links.
    public func neighbours() throws(NetlinkError) -> [Neighbour] {
        try list(RouteMessage.listNeighbours, "neighbours", Neighbour.init) {
            // struct ndmsg of version 4
            $0.put(UInt32(AddressFamily.ipv4))
            $0.put(UInt64(0))
        }
    }

    /// The forwarding table of a tunnel.
    public func forwarding(of link: InterfaceIndex) throws(NetlinkError) -> [ForwardingEntry] {
        try list(RouteMessage.listNeighbours, "forwarding", ForwardingEntry.init) {
            $0.put(UInt32(AddressFamily.bridge))
            $0.put(link.rawValue)
            $0.put(UInt32(0))
        }
    }
}
