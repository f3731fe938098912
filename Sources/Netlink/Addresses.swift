/// An address of version 4 of the Internet Protocol.
public struct IPv4Address: RawRepresentable, Hashable, Comparable, Sendable {
    /// The first byte is the highest.
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    public init(_ first: UInt8, _ second: UInt8, _ third: UInt8, _ fourth: UInt8) {
        rawValue =
            UInt32(first) << 24 | UInt32(second) << 16 | UInt32(third) << 8 | UInt32(fourth)
    }

    /// Reads four numbers with points between, without leading zeros: some read those as octal.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard let byte = UInt8(decimal: part) else { return nil }
            value = value << 8 | UInt32(byte)
        }
        rawValue = value
    }

    /// In the order of the network.
    public var bytes: [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: rawValue >> $0) }
    }

    /// Four bytes in the order of the network.
    init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 4 else { return nil }
        rawValue = bytes.reduce(0) { $0 << 8 | UInt32($1) }
    }

    public func advanced(by count: UInt32) -> IPv4Address {
        IPv4Address(rawValue: rawValue &+ count)
    }

    public static func < (left: IPv4Address, right: IPv4Address) -> Bool {
        left.rawValue < right.rawValue
    }
}

extension IPv4Address: CustomStringConvertible {
    public var description: String {
        bytes.map { String($0) }.joined(separator: ".")
    }
}

/// All addresses that begin with the same bits.
public struct IPv4Prefix: Hashable, Sendable {
    /// The first of them.
    public let address: IPv4Address
    /// How many bits are the same.
    public let length: UInt8

    /// Nothing when the address has bits behind the prefix, or there are more than 32.
    public init?(_ address: IPv4Address, length: UInt8) {
        guard length <= 32, address.rawValue & ~Self.mask(length) == 0 else { return nil }
        self.address = address
        self.length = length
    }

    /// The prefix of a length to which an address belongs.
    public init(containing address: IPv4Address, length: UInt8) {
        let length = min(length, 32)
        self.address = IPv4Address(rawValue: address.rawValue & Self.mask(length))
        self.length = length
    }

    /// A single address.
    public init(_ address: IPv4Address) {
        self.init(containing: address, length: 32)
    }

    /// Reads an address, a slash and a length. An address alone is a prefix of 32 bits.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = IPv4Address(first) else { return nil }
        guard parts.count == 2 else {
            self.init(address)
            return
        }
        guard let length = UInt8(decimal: parts[1]) else { return nil }
        self.init(address, length: length)
    }

    /// Every address there is.
    public static let everything = IPv4Prefix(containing: IPv4Address(0, 0, 0, 0), length: 0)

    public var last: IPv4Address {
        IPv4Address(rawValue: address.rawValue | ~Self.mask(length))
    }

    public func contains(_ other: IPv4Address) -> Bool {
        other.rawValue & Self.mask(length) == address.rawValue
    }

    /// Whether some address is in both.
    public func overlaps(_ other: IPv4Prefix) -> Bool {
        contains(other.address) || other.contains(address)
    }

    private static func mask(_ length: UInt8) -> UInt32 {
        length == 0 ? 0 : ~UInt32(0) << (32 - UInt32(length))
    }
}

extension IPv4Prefix: CustomStringConvertible {
    public var description: String { "\(address)/\(length)" }
}

/// The address of a network card. Corresponds to `ETH_ALEN` bytes.
public struct LinkAddress: Hashable, Sendable {
    public let bytes: [UInt8]

    /// Nothing for another number of bytes than six.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 6 else { return nil }
        self.bytes = Array(bytes)
    }

    /// Reads `02:ac:0a:00:00:01`.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { part in
            part.utf8.count == 2 && part.first != "+" ? UInt8(part, radix: 16) : nil
        }
        guard parts.count == bytes.count else { return nil }
        self.init(bytes: bytes)
    }

    /// Whether one interface can have it: not several, and not nobody.
    public var isOfOne: Bool { (bytes.first ?? 1) & 1 == 0 && self != .zero }

    /// A locally administered one, made from a number.
    public init(local number: UInt32) {
        bytes = [0x02, 0xac] + IPv4Address(rawValue: number).bytes
    }

    /// For what goes to everybody whose address is not known.
    public static let zero = LinkAddress(six: [0, 0, 0, 0, 0, 0])

    private init(six bytes: [UInt8]) {
        self.bytes = bytes
    }
}

extension LinkAddress: CustomStringConvertible {
    public var description: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }
}

extension UInt8 {
    /// Reads digits, at most three of them, without a sign and without leading zeros.
    fileprivate init?(decimal text: some StringProtocol) {
        guard (1...3).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }),
            text.utf8.count == 1 || text.utf8.first != 48
        else { return nil }
        self.init(text, radix: 10)
    }
}
