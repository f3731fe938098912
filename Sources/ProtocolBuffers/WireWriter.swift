/// Appends fields to bytes.
public struct WireWriter: Sendable {
    @usableFromInline var storage: [UInt8]

    /// What was there, and all that was written since.
    public var bytes: [UInt8] { storage }

    /// - Parameter bytes: what comes before the message: a frame's header, for one.
    public init(after bytes: [UInt8] = []) {
        storage = bytes
    }

    // MARK: Fields

    /// A field without presence: written unless it is at its default.
    @inlinable public mutating func singular<Kind: WireKind>(
        _ kind: Kind.Type, _ number: UInt32, _ value: Kind.Value
    ) {
        if !Kind.isDefault(value) { present(kind, number, value) }
    }

    /// A field with presence: written when it is there, even if at its default.
    @inlinable public mutating func optional<Kind: WireKind>(
        _ kind: Kind.Type, _ number: UInt32, _ value: Kind.Value?
    ) {
        if let value { present(kind, number, value) }
    }

    /// A field that is there.
    @inlinable public mutating func present<Kind: WireKind>(
        _ kind: Kind.Type, _ number: UInt32, _ value: Kind.Value
    ) {
        appendTag(number, Kind.wireType)
        Kind.write(value, into: &self)
    }

    /// A repeated field with a tag for each element.
    @inlinable public mutating func repeated<Kind: WireKind>(
        _ kind: Kind.Type, _ number: UInt32, _ values: [Kind.Value]
    ) {
        for value in values { present(kind, number, value) }
    }

    /// A repeated field of numbers behind one tag.
    @inlinable public mutating func packed<Kind: PackableKind>(
        _ kind: Kind.Type, _ number: UInt32, _ values: [Kind.Value]
    ) {
        guard !values.isEmpty else { return }
        appendTag(number, .lengthDelimited)
        let start = beginLength()
        for value in values { Kind.write(value, into: &self) }
        endLength(from: start)
    }

    /// A map, in the order of its keys.
    @inlinable public mutating func map<Key: MapKeyKind, Value: WireKind>(
        _ key: Key.Type, _ value: Value.Type, _ number: UInt32, _ entries: [Key.Value: Value.Value]
    ) {
        for entry in entries.sorted(by: { Key.precedes($0.key, $1.key) }) {
            appendTag(number, .lengthDelimited)
            let start = beginLength()
            present(key, 1, entry.key)
            present(value, 2, entry.value)
            endLength(from: start)
        }
    }

    // MARK: Values

    @inlinable public mutating func appendTag(_ number: UInt32, _ type: WireType) {
        appendVarint(UInt64(number) << 3 | UInt64(type.rawValue))
    }

    @inlinable public mutating func appendVarint(_ value: UInt64) {
        if value < 0x80 {
            append(UInt8(truncatingIfNeeded: value))
        } else {
            appendLongVarint(value)
        }
    }

    @inlinable mutating func append(_ byte: UInt8) {
        storage.append(byte)
    }

    @usableFromInline mutating func appendLongVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            storage.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        storage.append(UInt8(truncatingIfNeeded: rest))
    }

    @inlinable public mutating func appendFixed<Bits: FixedWidthInteger>(_ value: Bits) {
        var rest = value
        for _ in 0..<(Bits.bitWidth / 8) {
            append(UInt8(truncatingIfNeeded: rest))
            rest >>= 8
        }
    }

    public mutating func appendText(_ text: String) {
        appendVarint(UInt64(text.utf8.count))
        storage.append(contentsOf: text.utf8)
    }

    public mutating func appendBytes(_ value: [UInt8]) {
        appendVarint(UInt64(value.count))
        storage.append(contentsOf: value)
    }

    @inlinable public mutating func appendMessage<Value: Message>(_ value: Value) {
        let start = beginLength()
        value.encode(into: &self)
        endLength(from: start)
    }

    /// Leaves the one byte that most lengths take. What is written until ``endLength(from:)`` has
    /// its length there; a longer one moves it, once for each message around it.
    @usableFromInline mutating func beginLength() -> Int {
        storage.append(0)
        return storage.count
    }

    @usableFromInline mutating func endLength(from start: Int) {
        let length = storage.count - start
        if length < 0x80 {
            storage[start - 1] = UInt8(truncatingIfNeeded: length)
            return
        }
        var varint = WireWriter()
        varint.appendLongVarint(UInt64(length))
        storage.replaceSubrange((start - 1)..<start, with: varint.bytes)
    }
}
