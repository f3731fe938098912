/// The wire format of protobuf, as far as the services of gRPC itself take it.
enum WireFormat {
    /// Not a message.
    struct Malformed: Error, Hashable {}

    enum Value: Hashable {
        case number(UInt64)
        case bytes([UInt8])

        var text: String? {
            guard case .bytes(let bytes) = self else { return nil }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    struct Field: Hashable {
        let number: Int
        let value: Value
    }

    /// The fields of a message, in order.
    static func fields(_ bytes: [UInt8]) throws(Malformed) -> [Field] {
        var reader = Reader(bytes: bytes)
        var fields: [Field] = []
        while !reader.isAtEnd { fields.append(try reader.field()) }
        return fields
    }

    private struct Reader {
        let bytes: [UInt8]
        var index = 0

        var isAtEnd: Bool { index == bytes.count }

        mutating func field() throws(Malformed) -> Field {
            let key = try varint()
            let number = Int(truncatingIfNeeded: key >> 3)
            guard number > 0, key >> 3 < 1 << 29 else { throw Malformed() }
            switch key & 7 {
            case 0: return Field(number: number, value: .number(try varint()))
            case 1: return Field(number: number, value: .number(try fixed(8)))
            case 2:
                let length = try varint()
                guard length <= bytes.count - index else { throw Malformed() }
                let start = index
                index += Int(length)
                return Field(number: number, value: .bytes(Array(bytes[start..<index])))
            case 5: return Field(number: number, value: .number(try fixed(4)))
            // Groups are in no message of these services.
            default: throw Malformed()
            }
        }

        private mutating func varint() throws(Malformed) -> UInt64 {
            var value: UInt64 = 0
            for shift in stride(from: 0, to: 70, by: 7) {
                guard index < bytes.count else { throw Malformed() }
                let byte = bytes[index]
                index += 1
                if shift == 63, byte > 1 { throw Malformed() }
                value |= UInt64(byte & 0x7f) << UInt64(shift)
                if byte < 0x80 { return value }
            }
            throw Malformed()
        }

        private mutating func fixed(_ count: Int) throws(Malformed) -> UInt64 {
            guard count <= bytes.count - index else { throw Malformed() }
            var value: UInt64 = 0
            for offset in (0..<count).reversed() {
                value = value << 8 | UInt64(bytes[index + offset])
            }
            index += count
            return value
        }
    }

    /// A message to write.
    struct Writer {
        private(set) var bytes: [UInt8] = []

        /// A field of numbers; zero is the default and is left out.
        mutating func add(_ number: Int, _ value: UInt64) {
            guard value != 0 else { return }
            varint(UInt64(number) << 3)
            varint(value)
        }

        mutating func add(_ number: Int, _ value: [UInt8]) {
            varint(UInt64(number) << 3 | 2)
            varint(UInt64(value.count))
            bytes += value
        }

        mutating func add(_ number: Int, _ value: String) {
            add(number, Array(value.utf8))
        }

        mutating func add(_ number: Int, _ build: (inout Writer) -> Void) {
            var inner = Writer()
            build(&inner)
            add(number, inner.bytes)
        }

        private mutating func varint(_ value: UInt64) {
            var rest = value
            while rest >= 0x80 {
                bytes.append(UInt8(rest & 0x7f) | 0x80)
                rest >>= 7
            }
            bytes.append(UInt8(rest))
        }
    }
}
