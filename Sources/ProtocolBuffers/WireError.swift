/// Why bytes are no message.
public enum WireError: Error, Equatable, Sendable {
    /// They end within a value, or a length reaches past the end of what holds it.
    case truncated
    /// A varint of more than 10 bytes.
    case varintTooLong
    /// A field number of 0 or above 536,870,911, or a wire type that does not exist.
    case badTag(UInt64)
    /// A known field with another encoding than its type has.
    case wrongWireType(field: UInt32, found: WireType)
    /// A group that ends where none began, or with another number than it began with.
    case unmatchedGroup(field: UInt32)
    /// A text that is not UTF-8.
    case badText(field: UInt32)
    case tooDeep(limit: Int)
    case tooLong(bytes: Int, limit: Int)
    case tooManyElements(limit: Int)
}

extension WireError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .truncated: "the message ends within a value"
        case .varintTooLong: "a varint has more than 10 bytes"
        case .badTag(let tag): "\(tag) is no tag of a field"
        case .wrongWireType(let field, let found): "field \(field) is encoded as \(found)"
        case .unmatchedGroup(let field): "group \(field) ends where it did not begin"
        case .badText(let field): "the text of field \(field) is not UTF-8"
        case .tooDeep(let limit): "messages lie in each other deeper than \(limit)"
        case .tooLong(let bytes, let limit):
            "the message has \(bytes) bytes, and \(limit) are accepted"
        case .tooManyElements(let limit): "the message repeats fields more than \(limit) times"
        }
    }
}

/// How a field's value is laid out, from the lowest three bits of its tag.
public enum WireType: UInt8, Sendable, CaseIterable {
    case varint = 0
    case fixed64 = 1
    case lengthDelimited = 2
    /// Begins a group, of which only skipping is supported. Its fields follow up to its end.
    case startGroup = 3
    case endGroup = 4
    case fixed32 = 5
}

/// What a message from outside may cost at most.
public struct WireLimits: Equatable, Sendable {
    /// Length of the whole message.
    public var bytes: Int
    /// How deep messages and groups may lie in each other, the outermost not counted.
    public var depth: Int
    /// Elements of all repeated fields and maps together. Packed numbers do not count, they take
    /// no more memory than a multiple of their bytes; an empty message takes two bytes on the wire
    /// and hundreds in memory.
    public var elements: Int

    public init(bytes: Int = 4 << 20, depth: Int = 64, elements: Int = 1 << 16) {
        self.bytes = bytes
        self.depth = depth
        self.elements = elements
    }
}
