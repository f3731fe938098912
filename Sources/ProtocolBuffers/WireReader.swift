/// A field's number, and how its value is encoded.
public struct Field: Equatable, Sendable {
    public let number: UInt32
    public let type: WireType

    @inlinable init(number: UInt32, type: WireType) {
        self.number = number
        self.type = type
    }

    /// The largest number of a field.
    public static let largestNumber: UInt32 = 536_870_911
}

/// Reads fields from bytes that anybody may have sent: every access is checked, what a message
/// costs is bounded, and nothing traps.
public struct WireReader: Sendable {
    @usableFromInline let bytes: [UInt8]
    @usableFromInline var position: Int
    /// Where the message that is read now ends.
    @usableFromInline var end: Int
    private var depth = 0
    private var elements = 0
    private let limits: WireLimits

    /// - Parameter range: must lie within `bytes`.
    public init(
        _ bytes: [UInt8], in range: Range<Int>, limits: WireLimits = WireLimits()
    ) throws(WireError) {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= bytes.count,
            "a message lies within its bytes")
        guard range.count <= limits.bytes else {
            throw .tooLong(bytes: range.count, limit: limits.bytes)
        }
        self.bytes = bytes
        self.limits = limits
        position = range.lowerBound
        end = range.upperBound
    }

    /// Where in the bytes it reads next.
    public var offset: Int { position }

    // MARK: Fields

    @usableFromInline static let longestTag = 5

    /// The next field's tag; nil at the end of the message.
    @inlinable public mutating func nextField() throws(WireError) -> Field? {
        guard position < end else { return nil }
        let start = position
        let tag = try varint()
        let number = tag >> 3
        // Some implementations take a longer one whose further bytes say nothing; Google's do not.
        guard position - start <= Self.longestTag, number > 0,
            number <= UInt64(Field.largestNumber),
            let type = WireType(rawValue: UInt8(truncatingIfNeeded: tag & 7))
        else { throw .badTag(tag) }
        return Field(number: UInt32(truncatingIfNeeded: number), type: type)
    }

    /// A field that is a single value, with or without presence.
    @inlinable public mutating func singular<Kind: WireKind>(
        _ kind: Kind.Type, _ field: Field
    ) throws(WireError) -> Kind.Value {
        try expect(Kind.wireType, field)
        return try Kind.read(field, from: &self)
    }

    /// A repeated field of texts, byte strings or messages: one element.
    @inlinable public mutating func repeated<Kind: WireKind>(
        _ kind: Kind.Type, _ field: Field, into values: inout [Kind.Value]
    ) throws(WireError) {
        try expect(Kind.wireType, field)
        try countElement()
        values.append(try Kind.read(field, from: &self))
    }

    /// A repeated field of numbers: one element, or many behind one tag.
    @inlinable public mutating func packable<Kind: PackableKind>(
        _ kind: Kind.Type, _ field: Field, into values: inout [Kind.Value]
    ) throws(WireError) {
        if field.type == Kind.wireType {
            values.append(try Kind.read(field, from: &self))
            return
        }
        try expect(.lengthDelimited, field)
        let range = try delimited()
        let outer = end
        position = range.lowerBound
        end = range.upperBound
        while position < end { values.append(try Kind.read(field, from: &self)) }
        end = outer
    }

    /// A message, merged into what of it was read before.
    @inlinable public mutating func message<Value: Message>(
        _ field: Field, into value: inout Value
    ) throws(WireError) {
        try expect(.lengthDelimited, field)
        let outer = try enter()
        try value.decode(from: &self)
        leave(to: outer)
    }

    @inlinable public mutating func message<Value: Message>(
        _ field: Field, into value: inout Value?
    ) throws(WireError) {
        var merged = value ?? Value()
        value = nil
        try message(field, into: &merged)
        value = merged
    }

    /// One entry of a map: the last one of a key holds.
    @inlinable public mutating func map<Key: MapKeyKind, Value: WireKind>(
        _ key: Key.Type, _ value: Value.Type, _ field: Field,
        into entries: inout [Key.Value: Value.Value]
    ) throws(WireError) {
        try expect(.lengthDelimited, field)
        try countElement()
        let outer = try enter()
        var itsKey = Key.defaultValue
        var itsValue = Value.defaultValue
        while let part = try nextField() {
            switch part.number {
            case 1: itsKey = try singular(key, part)
            case 2: itsValue = try singular(value, part)
            default: try skip(part)
            }
        }
        leave(to: outer)
        entries[itsKey] = itsValue
    }

    /// A message that is read by a function.
    public mutating func message(
        _ field: Field, _ read: (inout WireReader) throws(WireError) -> Void
    ) throws(WireError) {
        try expect(.lengthDelimited, field)
        let outer = try enter()
        try read(&self)
        leave(to: outer)
    }

    /// Passes over an unknown field, a whole group too.
    public mutating func skip(_ field: Field) throws(WireError) {
        switch field.type {
        case .varint: _ = try varint()
        case .fixed64: try advance(8)
        case .fixed32: try advance(4)
        case .lengthDelimited: position = try delimited().upperBound
        case .startGroup: try skipGroup(field)
        case .endGroup: throw .unmatchedGroup(field: field.number)
        }
    }

    private mutating func skipGroup(_ group: Field) throws(WireError) {
        var open = [group.number]
        while let innermost = open.last {
            guard depth + open.count <= limits.depth else { throw .tooDeep(limit: limits.depth) }
            guard let field = try nextField() else { throw .truncated }
            if field.type == .startGroup {
                open.append(field.number)
            } else if field.type != .endGroup {
                try skip(field)
            } else if field.number == innermost {
                open.removeLast()
            } else {
                throw .unmatchedGroup(field: field.number)
            }
        }
    }

    // MARK: Values

    @inlinable public mutating func varint() throws(WireError) -> UInt64 {
        if position < end, bytes[position] < 0x80 {
            position += 1
            return UInt64(bytes[position - 1])
        }
        return try longVarint()
    }

    @usableFromInline mutating func longVarint() throws(WireError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < end {
            let byte = bytes[position]
            position += 1
            // Of the tenth byte only the lowest bit has room; the others are lost.
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
            guard shift < 70 else { throw .varintTooLong }
        }
        throw .truncated
    }

    @inlinable public mutating func fixed<Bits: FixedWidthInteger & UnsignedInteger>(
        _: Bits.Type
    ) throws(WireError) -> Bits {
        let start = position
        try advance(Bits.bitWidth / 8)
        var value: Bits = 0
        for index in (start..<position).reversed() {
            value = value << 8 | Bits(bytes[index])
        }
        return value
    }

    public mutating func text(_ field: Field) throws(WireError) -> String {
        let range = try delimited()
        guard let text = String(validating: bytes[range], as: UTF8.self) else {
            throw .badText(field: field.number)
        }
        position = range.upperBound
        return text
    }

    public mutating func byteString() throws(WireError) -> [UInt8] {
        let range = try delimited()
        position = range.upperBound
        return Array(bytes[range])
    }

    /// Reads a length, and gives the bytes that it spans, without passing over them.
    @usableFromInline mutating func delimited() throws(WireError) -> Range<Int> {
        let length = try varint()
        guard length <= UInt64(end - position) else { throw .truncated }
        return position..<(position + Int(length))
    }

    @usableFromInline mutating func advance(_ count: Int) throws(WireError) {
        guard count <= end - position else { throw .truncated }
        position += count
    }

    @inlinable func expect(_ type: WireType, _ field: Field) throws(WireError) {
        guard field.type == type else {
            throw .wrongWireType(field: field.number, found: field.type)
        }
    }

    /// Goes into a message, up to its end; gives the end of the one around it.
    @usableFromInline mutating func enter() throws(WireError) -> Int {
        guard depth < limits.depth else { throw .tooDeep(limit: limits.depth) }
        depth += 1
        let range = try delimited()
        let outer = end
        end = range.upperBound
        return outer
    }

    @usableFromInline mutating func leave(to outer: Int) {
        depth -= 1
        position = end
        end = outer
    }

    @usableFromInline mutating func countElement() throws(WireError) {
        guard elements < limits.elements else {
            throw .tooManyElements(limit: limits.elements)
        }
        elements += 1
    }
}
