/// A message of protocol buffers, version 3. Types that conform are generated.
public protocol Message: Equatable, Sendable {
    /// The full name: `alcove.v1.Sandbox`.
    static var messageName: String { get }

    /// Every field at its default.
    init()

    /// Appends the fields that are not at their default, in the order of their numbers, entries of
    /// maps in the order of their keys: equal messages give equal bytes.
    func encode(into writer: inout WireWriter)

    /// Reads fields up to the reader's end, as the format merges them: the last value of a field
    /// holds, repeated fields grow, messages are merged. Unknown fields are skipped and not kept.
    /// After an error the value is some part of the message.
    mutating func decode(from reader: inout WireReader) throws(WireError)
}

extension Message {
    public init(decoding bytes: [UInt8], limits: WireLimits = WireLimits()) throws(WireError) {
        try self.init(decoding: bytes, in: bytes.indices, limits: limits)
    }

    /// Reads a message that lies among other bytes, without a copy of it.
    ///
    /// - Parameter range: must lie within `bytes`.
    public init(
        decoding bytes: [UInt8], in range: Range<Int>, limits: WireLimits = WireLimits()
    ) throws(WireError) {
        self.init()
        var reader = try WireReader(bytes, in: range, limits: limits)
        try decode(from: &reader)
    }

    public func encoded() -> [UInt8] {
        var writer = WireWriter()
        encode(into: &writer)
        return writer.bytes
    }
}

/// An enumeration of protocol buffers. Any number is a value: one without a name is kept, so that
/// a newer peer's value survives.
public protocol OpenEnumeration: Hashable, Sendable {
    init(rawValue: Int32)
    var rawValue: Int32 { get }
}
