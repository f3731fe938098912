/// Writes messages and their attributes one behind the other, in the order of bytes of this
/// machine, which is little-endian on each that is supported.
public struct NetlinkWriter: Sendable {
    public private(set) var bytes: [UInt8] = []

    init() {}

    mutating func reserve(_ count: Int) { bytes.reserveCapacity(count) }

    public mutating func put(_ value: UInt8) { bytes.append(value) }

    public mutating func put(_ value: UInt16) {
        bytes.append(UInt8(truncatingIfNeeded: value))
        bytes.append(UInt8(truncatingIfNeeded: value >> 8))
    }

    public mutating func put(_ value: UInt32) {
        put(UInt16(truncatingIfNeeded: value))
        put(UInt16(truncatingIfNeeded: value >> 16))
    }

    public mutating func put(_ value: UInt64) {
        put(UInt32(truncatingIfNeeded: value))
        put(UInt32(truncatingIfNeeded: value >> 32))
    }

    public mutating func put(_ value: [UInt8]) { bytes.append(contentsOf: value) }

    public mutating func put(_ address: IPv4Address) { put(address.rawValue.byteSwapped) }

    /// Fills up to a multiple of four.
    mutating func align() {
        while !bytes.count.isMultiple(of: 4) { bytes.append(0) }
    }

    /// Writes an attribute whose content `body` writes: bytes, or further attributes.
    public mutating func attribute(_ type: UInt16, _ body: (inout NetlinkWriter) -> Void) {
        let start = bytes.count
        put(UInt16(0))
        put(type)
        body(&self)
        // struct nlattr has 16 bits for its length. What is longer was not bounded by its maker.
        precondition(bytes.count - start <= Int(UInt16.max), "an attribute of over 65535 bytes")
        set(UInt16(bytes.count - start), at: start)
        align()
    }

    /// Writes an attribute that holds attributes, and says so. Corresponds to `NLA_F_NESTED`.
    public mutating func nest(_ type: UInt16, _ body: (inout NetlinkWriter) -> Void) {
        attribute(type | 0x8000, body)
    }

    public mutating func attribute(_ type: UInt16, _ value: UInt8) {
        attribute(type) { $0.put(value) }
    }

    public mutating func attribute(_ type: UInt16, _ value: UInt16) {
        attribute(type) { $0.put(value) }
    }

    public mutating func attribute(_ type: UInt16, _ value: UInt32) {
        attribute(type) { $0.put(value) }
    }

    public mutating func attribute(_ type: UInt16, _ value: [UInt8]) {
        attribute(type) { $0.put(value) }
    }

    public mutating func attribute(_ type: UInt16, _ value: IPv4Address) {
        attribute(type) { $0.put(value) }
    }

    /// A text with a zero byte at its end.
    public mutating func attribute(_ type: UInt16, _ text: String) {
        attribute(type) {
            for byte in text.utf8 { $0.put(byte) }
            $0.put(UInt8(0))
        }
    }

    /// A number in the order of the network, as netfilter wants them.
    public mutating func attribute(_ type: UInt16, network value: UInt32) {
        attribute(type, value.byteSwapped)
    }

    public mutating func attribute(_ type: UInt16, network value: UInt16) {
        attribute(type, value.byteSwapped)
    }

    public mutating func attribute(_ type: UInt16, network value: UInt64) {
        attribute(type) { $0.put(value.byteSwapped) }
    }

    mutating func set(_ value: UInt16, at offset: Int) {
        bytes[offset] = UInt8(truncatingIfNeeded: value)
        bytes[offset + 1] = UInt8(truncatingIfNeeded: value >> 8)
    }

    mutating func set(_ value: UInt32, at offset: Int) {
        set(UInt16(truncatingIfNeeded: value), at: offset)
        set(UInt16(truncatingIfNeeded: value >> 16), at: offset + 2)
    }

    mutating func append(_ other: NetlinkWriter) { bytes.append(contentsOf: other.bytes) }
}
