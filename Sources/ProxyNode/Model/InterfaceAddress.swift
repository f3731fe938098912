internal import Netlink

extension IPv4Address {
    /// Whether one host can have it: neither this host, loopback, link-local, multicast nor above.
    var isOfHost: Bool {
        guard let first = bytes.first else { return false }
        return first != 0 && first != 127 && first < 224 && rawValue >> 16 != 0xA9FE
    }
}

extension IPv4Prefix {
    func contains(_ other: IPv4Prefix) -> Bool {
        length <= other.length && contains(other.address)
    }

    /// By the first address.
    static func isBefore(_ left: IPv4Prefix, _ right: IPv4Prefix) -> Bool {
        (left.address, left.length) < (right.address, right.length)
    }
}

/// An address of a link, with how much of it the link's segment shares.
struct InterfaceAddress: Hashable, Comparable, Sendable {
    let address: IPv4Address
    /// 0 to 32.
    let length: UInt8

    init(_ address: IPv4Address, length: UInt8) {
        self.address = address
        self.length = min(length, 32)
    }

    /// Reads `10.1.0.5/24`.
    init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        // The length as that of a prefix, whose rules for numbers hold.
        guard parts.count == 2, let address = IPv4Address(parts[0]),
            let length = IPv4Prefix("0.0.0.0/\(parts[1])")?.length
        else { return nil }
        self.init(address, length: length)
    }

    var prefix: IPv4Prefix { IPv4Prefix(containing: address, length: length) }

    /// Whether the address is of one host of the segment: not its first and last, which stand for
    /// the segment itself.
    var isOfHost: Bool {
        address.isOfHost
            && (length > 30 || address != prefix.address && address != prefix.last)
    }

    static func < (left: InterfaceAddress, right: InterfaceAddress) -> Bool {
        (left.address, left.length) < (right.address, right.length)
    }
}

extension InterfaceAddress: CustomStringConvertible {
    var description: String { "\(address)/\(length)" }
}

extension LinkAddress {
    /// That of the end of a tunnel with an address, as nodes and proxies both know it without
    /// telling each other.
    init(ofTunnel address: IPv4Address) {
        self.init(local: address.rawValue)
    }

    static func isBefore(_ left: LinkAddress, _ right: LinkAddress) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }
}
