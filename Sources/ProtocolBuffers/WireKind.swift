/// A type of protocol buffers: how its values look on the wire. Named as in `.proto` files.
public protocol WireKind {
    associatedtype Value
    static var wireType: WireType { get }
    /// What a field without presence has when it is not on the wire.
    static var defaultValue: Value { get }
    static func isDefault(_ value: Value) -> Bool
    /// Appends the value without a tag.
    static func write(_ value: Value, into writer: inout WireWriter)
    /// Reads the value behind its tag, whose wire type was checked.
    static func read(_ field: Field, from reader: inout WireReader) throws(WireError) -> Value
}

/// Numbers: many of them can be packed behind one tag.
public protocol PackableKind: WireKind {}

/// Keys of maps, which are written in their order.
public protocol MapKeyKind: WireKind where Value: Hashable {
    static func precedes(_ left: Value, _ right: Value) -> Bool
}

extension MapKeyKind where Value: Comparable {
    @inlinable public static func precedes(_ left: Value, _ right: Value) -> Bool { left < right }
}

/// Numbers that are varints after some rearrangement of their bits.
public protocol VarintKind: PackableKind where Value: Equatable {
    static func bits(_ value: Value) -> UInt64
    static func value(_ bits: UInt64) -> Value
}

extension VarintKind {
    @inlinable public static var wireType: WireType { .varint }
    @inlinable public static var defaultValue: Value { value(0) }
    @inlinable public static func isDefault(_ value: Value) -> Bool { bits(value) == 0 }

    @inlinable public static func write(_ value: Value, into writer: inout WireWriter) {
        writer.appendVarint(bits(value))
    }

    @inlinable public static func read(
        _ field: Field, from reader: inout WireReader
    ) throws(WireError) -> Value {
        value(try reader.varint())
    }
}

/// Negative numbers take ten bytes.
public enum Int32Kind: VarintKind, MapKeyKind {
    public typealias Value = Int32
    @inlinable public static func bits(_ value: Int32) -> UInt64 {
        UInt64(bitPattern: Int64(value))
    }
    @inlinable public static func value(_ bits: UInt64) -> Int32 {
        Int32(truncatingIfNeeded: bits)
    }
}

public enum Int64Kind: VarintKind, MapKeyKind {
    public typealias Value = Int64
    @inlinable public static func bits(_ value: Int64) -> UInt64 { UInt64(bitPattern: value) }
    @inlinable public static func value(_ bits: UInt64) -> Int64 { Int64(bitPattern: bits) }
}

public enum UInt32Kind: VarintKind, MapKeyKind {
    public typealias Value = UInt32
    @inlinable public static func bits(_ value: UInt32) -> UInt64 { UInt64(value) }
    @inlinable public static func value(_ bits: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: bits)
    }
}

public enum UInt64Kind: VarintKind, MapKeyKind {
    public typealias Value = UInt64
    @inlinable public static func bits(_ value: UInt64) -> UInt64 { value }
    @inlinable public static func value(_ bits: UInt64) -> UInt64 { bits }
}

/// Small negative numbers are short: the sign is the lowest bit.
public enum SInt32Kind: VarintKind, MapKeyKind {
    public typealias Value = Int32
    @inlinable public static func bits(_ value: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: (value << 1) ^ (value >> 31)))
    }
    @inlinable public static func value(_ bits: UInt64) -> Int32 {
        let low = UInt32(truncatingIfNeeded: bits)
        return Int32(bitPattern: low >> 1) ^ -Int32(bitPattern: low & 1)
    }
}

public enum SInt64Kind: VarintKind, MapKeyKind {
    public typealias Value = Int64
    @inlinable public static func bits(_ value: Int64) -> UInt64 {
        UInt64(bitPattern: (value << 1) ^ (value >> 63))
    }
    @inlinable public static func value(_ bits: UInt64) -> Int64 {
        Int64(bitPattern: bits >> 1) ^ -Int64(bitPattern: bits & 1)
    }
}

public enum BoolKind: VarintKind, MapKeyKind {
    public typealias Value = Bool
    @inlinable public static func bits(_ value: Bool) -> UInt64 { value ? 1 : 0 }
    @inlinable public static func value(_ bits: UInt64) -> Bool { bits != 0 }
    @inlinable public static func precedes(_ left: Bool, _ right: Bool) -> Bool { !left && right }
}

public enum EnumKind<Value: OpenEnumeration>: VarintKind {
    @inlinable public static func bits(_ value: Value) -> UInt64 {
        Int32Kind.bits(value.rawValue)
    }
    @inlinable public static func value(_ bits: UInt64) -> Value {
        Value(rawValue: Int32Kind.value(bits))
    }
}

/// Numbers of four or eight bytes, the lowest first.
public protocol FixedKind: PackableKind {
    associatedtype Bits: FixedWidthInteger & UnsignedInteger
    static func bits(_ value: Value) -> Bits
    static func value(_ bits: Bits) -> Value
}

extension FixedKind {
    @inlinable public static var wireType: WireType {
        Bits.bitWidth == 32 ? .fixed32 : .fixed64
    }
    @inlinable public static var defaultValue: Value { value(0) }
    /// By its bits: the negative zero is no default.
    @inlinable public static func isDefault(_ value: Value) -> Bool { bits(value) == 0 }

    @inlinable public static func write(_ value: Value, into writer: inout WireWriter) {
        writer.appendFixed(bits(value))
    }

    @inlinable public static func read(
        _ field: Field, from reader: inout WireReader
    ) throws(WireError) -> Value {
        value(try reader.fixed(Bits.self))
    }
}

public enum Fixed32Kind: FixedKind, MapKeyKind {
    public typealias Value = UInt32
    @inlinable public static func bits(_ value: UInt32) -> UInt32 { value }
    @inlinable public static func value(_ bits: UInt32) -> UInt32 { bits }
}

public enum Fixed64Kind: FixedKind, MapKeyKind {
    public typealias Value = UInt64
    @inlinable public static func bits(_ value: UInt64) -> UInt64 { value }
    @inlinable public static func value(_ bits: UInt64) -> UInt64 { bits }
}

public enum SFixed32Kind: FixedKind, MapKeyKind {
    public typealias Value = Int32
    @inlinable public static func bits(_ value: Int32) -> UInt32 { UInt32(bitPattern: value) }
    @inlinable public static func value(_ bits: UInt32) -> Int32 { Int32(bitPattern: bits) }
}

public enum SFixed64Kind: FixedKind, MapKeyKind {
    public typealias Value = Int64
    @inlinable public static func bits(_ value: Int64) -> UInt64 { UInt64(bitPattern: value) }
    @inlinable public static func value(_ bits: UInt64) -> Int64 { Int64(bitPattern: bits) }
}

public enum FloatKind: FixedKind {
    public typealias Value = Float
    @inlinable public static func bits(_ value: Float) -> UInt32 { value.bitPattern }
    @inlinable public static func value(_ bits: UInt32) -> Float { Float(bitPattern: bits) }
}

public enum DoubleKind: FixedKind {
    public typealias Value = Double
    @inlinable public static func bits(_ value: Double) -> UInt64 { value.bitPattern }
    @inlinable public static func value(_ bits: UInt64) -> Double { Double(bitPattern: bits) }
}

public enum StringKind: MapKeyKind {
    public typealias Value = String
    @inlinable public static var wireType: WireType { .lengthDelimited }
    @inlinable public static var defaultValue: String { "" }
    @inlinable public static func isDefault(_ value: String) -> Bool { value.isEmpty }

    /// By bytes, as other implementations order them.
    @inlinable public static func precedes(_ left: String, _ right: String) -> Bool {
        left.utf8.lexicographicallyPrecedes(right.utf8)
    }

    @inlinable public static func write(_ value: String, into writer: inout WireWriter) {
        writer.appendText(value)
    }

    @inlinable public static func read(
        _ field: Field, from reader: inout WireReader
    ) throws(WireError) -> String {
        try reader.text(field)
    }
}

public enum BytesKind: WireKind {
    public typealias Value = [UInt8]
    @inlinable public static var wireType: WireType { .lengthDelimited }
    @inlinable public static var defaultValue: [UInt8] { [] }
    @inlinable public static func isDefault(_ value: [UInt8]) -> Bool { value.isEmpty }

    @inlinable public static func write(_ value: [UInt8], into writer: inout WireWriter) {
        writer.appendBytes(value)
    }

    @inlinable public static func read(
        _ field: Field, from reader: inout WireReader
    ) throws(WireError) -> [UInt8] {
        try reader.byteString()
    }
}

public enum MessageKind<Value: Message>: WireKind {
    @inlinable public static var wireType: WireType { .lengthDelimited }
    @inlinable public static var defaultValue: Value { Value() }
    /// Messages have presence: an empty one is not the same as none.
    @inlinable public static func isDefault(_ value: Value) -> Bool { false }

    @inlinable public static func write(_ value: Value, into writer: inout WireWriter) {
        writer.appendMessage(value)
    }

    @inlinable public static func read(
        _ field: Field, from reader: inout WireReader
    ) throws(WireError) -> Value {
        var value = Value()
        let outer = try reader.enter()
        try value.decode(from: &reader)
        reader.leave(to: outer)
        return value
    }
}
