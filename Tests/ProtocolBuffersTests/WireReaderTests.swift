@testable import ProtocolBuffers
import Testing

@Suite struct WireReaderTests {
    private func error(
        _ bytes: [UInt8], limits: WireLimits = WireLimits()
    ) -> WireError? {
        do throws(WireError) {
            _ = try Everything(decoding: bytes, limits: limits)
            return nil
        } catch { return error }
    }

    @Test(
        "a field that ends early is an error at each byte",
        arguments: WireGoldenTests.numbers + WireGoldenTests.others)
    func truncated(_ sample: WireGoldenTests.Sample) throws {
        for end in sample.bytes.indices.dropFirst() {
            // Between fields a prefix is a message of its own; elsewhere it is an error.
            if let message = try? Everything(decoding: sample.bytes, in: 0..<end) {
                #expect(message.encoded() == Array(sample.bytes[..<end]))
                #expect(message != sample.message)
            } else {
                #expect(error(Array(sample.bytes[..<end])) == .truncated)
            }
        }
    }

    @Test("a length past the end is an error, however large")
    func lengths() {
        #expect(error([0x72, 2, 0x61]) == .truncated)
        #expect(error([0x72, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]) == .truncated)
        #expect(error([0x72] + [UInt8](repeating: 0xFF, count: 9) + [1]) == .truncated)
        // A field inside reaches past the message, yet not past the bytes.
        #expect(error([0x8A, 0x01, 2, 0x12, 3, 0x61, 0x61, 0x61]) == .truncated)
    }

    @Test("varints have at most 10 bytes; needless zeros and bits above 64 are fine")
    func varints() throws {
        let nine = [UInt8](repeating: 0x80, count: 9)
        #expect(try Everything(decoding: [0x30] + nine + [0x01]).aUint64 == 1 << 63)
        #expect(try Everything(decoding: [0x30, 0x85] + nine.dropFirst() + [0]).aUint64 == 5)
        #expect(try Everything(decoding: [0x30] + nine + [0x7F]).aUint64 == 1 << 63)
        #expect(error([0x30] + nine) == .truncated)
        #expect(error([0x30] + nine + [0x80, 0x01]) == .varintTooLong)
        #expect(error([UInt8](repeating: 0x80, count: 10) + [1]) == .varintTooLong)
    }

    @Test("numbers that are too large for their type lose their upper bits")
    func narrowing() throws {
        let large: [UInt8] = [0x81, 0x80, 0x80, 0x80, 0x80, 0x01]
        #expect(try Everything(decoding: [0x18] + large).anInt32 == 1)
        #expect(try Everything(decoding: [0x28] + large).aUint32 == 1)
        #expect(try Everything(decoding: [0x68, 0x80, 0x02]).aBool)
    }

    @Test("tags that no field has are errors")
    func tags() {
        #expect(error([0x00]) == .badTag(0))
        #expect(error([0x06]) == .badTag(6))
        #expect(error([0x0E]) == .badTag(0x0E))
        #expect(error([0x0F]) == .badTag(0x0F))
        #expect(error([0x80, 0x80, 0x80, 0x80, 0x10, 0]) == .badTag(1 << 32))
        // A small number, in more bytes than any number needs.
        #expect(error([0x98, 0x80, 0x80, 0x80, 0x80, 0, 1]) == .badTag(0x18))
    }

    @Test("a known field in another encoding is an error that names it")
    func wireTypes() {
        #expect(error([0x08, 1]) == .wrongWireType(field: 1, found: .varint))
        #expect(error([0x19, 1]) == .wrongWireType(field: 3, found: .fixed64))
        #expect(error([0x1A, 1, 1]) == .wrongWireType(field: 3, found: .lengthDelimited))
        #expect(error([0x70, 1]) == .wrongWireType(field: 14, found: .varint))
        #expect(error([0x88, 0x01, 1]) == .wrongWireType(field: 17, found: .varint))
        #expect(error([0x73, 0x74]) == .wrongWireType(field: 14, found: .startGroup))
        #expect(error([0xFD, 0x01, 1, 0, 0, 0]) == .wrongWireType(field: 31, found: .fixed32))
        #expect(error([0x98, 0x03, 1]) == .wrongWireType(field: 51, found: .varint))
        #expect(error([0xF0, 0x03, 1]) == .wrongWireType(field: 62, found: .varint))
    }

    @Test("unknown fields are passed over, groups with all that is in them")
    func unknown() throws {
        // Field 100 as each type; in the group another group and a string.
        let unknown: [UInt8] =
            [0xA0, 0x06, 0x96, 0x01] + [0xA1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8]
            + [0xA2, 0x06, 2, 0xFF, 0xFF] + [0xA5, 0x06, 1, 2, 3, 4]
            + [0xA3, 0x06, 0x0B, 0x12, 1, 0x24, 0x0C, 0x08, 1, 0xA4, 0x06]
        let read = try Everything(decoding: unknown + [0x68, 1] + unknown)
        #expect(read == Everything(aBool: true))
        #expect(try Nothing(decoding: unknown) == Nothing())
    }

    @Test("a group that does not end, or not as it began, is an error")
    func groups() {
        #expect(error([0xA3, 0x06]) == .truncated)
        #expect(error([0xA3, 0x06, 0x08]) == .truncated)
        #expect(error([0xA4, 0x06]) == .unmatchedGroup(field: 100))
        #expect(error([0xA3, 0x06, 0x0C]) == .unmatchedGroup(field: 1))
        #expect(error([0xA3, 0x06, 0x0B, 0xA4, 0x06, 0x0C]) == .unmatchedGroup(field: 100))
    }

    @Test("depth is bounded, in messages and in groups")
    func depth() throws {
        func nested(_ depth: Int) -> Everything {
            (0..<depth).reduce(into: Everything()) { message, _ in
                message = Everything(children: [message])
            }
        }
        #expect(try Everything(decoding: nested(64).encoded()) == nested(64))
        #expect(error(nested(65).encoded()) == .tooDeep(limit: 64))
        #expect(error(nested(3).encoded(), limits: .init(depth: 2)) == .tooDeep(limit: 2))
        #expect(
            error([UInt8](repeating: 0x0B, count: 100_000), limits: .init(depth: 9))
                == .wrongWireType(field: 1, found: .startGroup))
        let group: [UInt8] = [0xA3, 0x06]
        let groups = [[UInt8]](repeating: group, count: 100_000).flatMap { $0 }
        #expect(error(groups) == .tooDeep(limit: 64))
    }

    @Test("the length of a message and the elements in it are bounded")
    func bounds() throws {
        #expect(error([0x68, 1], limits: .init(bytes: 1)) == .tooLong(bytes: 2, limit: 1))
        let many = Everything(children: [.init(strings: ["", "b"]), .init(byName: ["": 1])])
        #expect(error(many.encoded(), limits: .init(elements: 5)) == nil)
        #expect(
            error(many.encoded(), limits: .init(elements: 4)) == .tooManyElements(limit: 4))
        let numbers = Everything(int32s: [Int32](repeating: 1, count: 9000))
        #expect(error(numbers.encoded(), limits: .init(elements: 0)) == nil)
    }

    @Test(
        "a text that is not UTF-8 is an error that names the field",
        arguments: [
            [0xFF], [0xC3], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80],
        ] as [[UInt8]])
    func texts(bytes: [UInt8]) throws {
        let length = UInt8(bytes.count)
        #expect(error([0x72, length] + bytes) == .badText(field: 14))
        #expect(error([0xA2, 0x02, length] + bytes) == .badText(field: 36))
        #expect(try Everything(decoding: [0x7A, length] + bytes).someBytes == bytes)
    }

    @Test("the last value of a field holds, lists grow, messages are merged")
    func merging() throws {
        let read = try Everything(
            decoding: [0x68, 1, 0x68, 0] + [0x8A, 0x01, 2, 0x08, 1]
                + [0x8A, 0x01, 3, 0x12, 1, 0x61] + [0xFA, 0x01, 1, 1, 0xF8, 0x01, 2]
                + [0xC2, 0x02, 2, 3, 4])
        #expect(read.aBool == false)
        #expect(read.anInner == .init(count: 1, names: ["a"]))
        #expect(read.int32s == [1, 2])
        #expect(read.unpacked == [3, 4])
    }

    @Test("the last one of a oneof holds, and merges with itself alone")
    func oneofs() throws {
        let inner: [UInt8] = [0xF2, 0x03, 2, 0x08, 1]
        let names: [UInt8] = [0xF2, 0x03, 3, 0x12, 1, 0x61]
        let text: [UInt8] = [0xEA, 0x03, 1, 0x61]
        #expect(
            try Everything(decoding: inner + names).choice
                == .inner(.init(count: 1, names: ["a"])))
        #expect(
            try Everything(decoding: inner + text + names).choice == .inner(.init(names: ["a"])))
        #expect(try Everything(decoding: inner + text).choice == .text("a"))
    }

    @Test("entries of maps may lack their parts, and the last one of a key holds")
    func maps() throws {
        let read = try Everything(
            decoding: [0x9A, 0x03, 0] + [0x9A, 0x03, 3, 0x0A, 1, 0x61]
                + [0x9A, 0x03, 5, 0x10, 7, 0x0A, 1, 0x61] + [0xA2, 0x03, 2, 0x08, 5])
        #expect(read.byName == ["": 0, "a": 7])
        #expect(read.byNumber == [5: .init()])
    }

    @Test("a range outside of the bytes is a mistake of the caller")
    func range() async {
        await #expect(processExitsWith: .failure) {
            _ = try WireReader([1, 2], in: 1..<3)
        }
    }

    @Test("each error says what is wrong in one line")
    func words() {
        let errors: [WireError] = [
            .truncated, .varintTooLong, .badTag(7), .wrongWireType(field: 1, found: .fixed32),
            .unmatchedGroup(field: 2), .badText(field: 3), .tooDeep(limit: 4),
            .tooLong(bytes: 5, limit: 4), .tooManyElements(limit: 6),
        ]
        #expect(Set(errors.map(\.description)).count == errors.count)
        #expect(errors.allSatisfy { !$0.description.hasSuffix(".") })
        #expect("\(WireError.badText(field: 3))" == "the text of field 3 is not UTF-8")
    }
}
