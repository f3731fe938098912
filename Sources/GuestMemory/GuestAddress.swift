/// An address in a guest's physical memory.
public struct GuestAddress: RawRepresentable, Hashable, Comparable, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    public static func < (first: GuestAddress, second: GuestAddress) -> Bool {
        first.rawValue < second.rawValue
    }

    /// So many bytes further on. It may lie outside of every memory, which whoever uses it checks.
    public func advanced(by count: UInt64) -> GuestAddress {
        GuestAddress(rawValue: rawValue &+ count)
    }
}

extension GuestAddress: CustomStringConvertible {
    public var description: String { "0x\(String(rawValue, radix: 16))" }
}

/// Bytes of a guest's memory, as it names them: whether they are there is checked on use.
public struct GuestRange: Hashable, Sendable {
    public let start: GuestAddress
    public let count: Int

    public init(_ start: GuestAddress, count: Int) {
        self.start = start
        self.count = count
    }

    /// A part of it. The parts of a range that is there are there.
    public func dropFirst(_ count: Int) -> GuestRange {
        precondition(count >= 0 && count <= self.count, "a part of the range")
        return GuestRange(start.advanced(by: UInt64(count)), count: self.count - count)
    }

    public func prefix(_ count: Int) -> GuestRange {
        GuestRange(start, count: min(count, self.count))
    }
}

/// A guest named memory that it does not have, or at an odd address what must not be there.
public struct GuestMemoryError: Error, Hashable, Sendable {
    public let range: GuestRange

    public init(_ range: GuestRange) {
        self.range = range
    }
}

extension GuestMemoryError: CustomStringConvertible {
    public var description: String {
        "\(range.count) bytes at \(range.start) are no memory of the guest"
    }
}
