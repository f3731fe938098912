@testable import ProtocolBuffers
import Testing

/// Bytes as the specification of the format has them, beside the message that they stand for.
@Suite struct WireGoldenTests {
    struct Sample: Sendable, CustomTestStringConvertible {
        let name: String
        let message: Everything
        let bytes: [UInt8]

        init(_ name: String, _ bytes: [UInt8], _ set: (inout Everything) -> Void) {
            self.name = name
            self.bytes = bytes
            var message = Everything()
            set(&message)
            self.message = message
        }

        var testDescription: String { name }
    }

    static let numbers: [Sample] = [
        Sample("nothing", []) { _ in },
        Sample("double 1", [0x09, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F]) { $0.aDouble = 1 },
        Sample("double -0", [0x09, 0, 0, 0, 0, 0, 0, 0, 0x80]) { $0.aDouble = -0.0 },
        Sample("float -2", [0x15, 0, 0, 0, 0xC0]) { $0.aFloat = -2 },
        Sample("int32 1", [0x18, 1]) { $0.anInt32 = 1 },
        Sample("int32 -1", [0x18] + [UInt8](repeating: 0xFF, count: 9) + [1]) {
            $0.anInt32 = -1
        },
        Sample("int32 150", [0x18, 0x96, 0x01]) { $0.anInt32 = 150 },
        Sample("int64 min", [0x20] + [UInt8](repeating: 0x80, count: 9) + [1]) {
            $0.anInt64 = .min
        },
        Sample("uint32 max", [0x28, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]) { $0.aUint32 = .max },
        Sample("uint64 max", [0x30] + [UInt8](repeating: 0xFF, count: 9) + [1]) {
            $0.aUint64 = .max
        },
        Sample("sint32 -1", [0x38, 1]) { $0.aSint32 = -1 },
        Sample("sint32 1", [0x38, 2]) { $0.aSint32 = 1 },
        Sample("sint32 min", [0x38, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]) { $0.aSint32 = .min },
        Sample("sint64 max", [0x40, 0xFE] + [UInt8](repeating: 0xFF, count: 8) + [1]) {
            $0.aSint64 = .max
        },
        Sample("fixed32", [0x4D, 4, 3, 2, 1]) { $0.aFixed32 = 0x0102_0304 },
        Sample("fixed64", [0x51, 8, 7, 6, 5, 4, 3, 2, 1]) {
            $0.aFixed64 = 0x0102_0304_0506_0708
        },
        Sample("sfixed32 -1", [0x5D, 0xFF, 0xFF, 0xFF, 0xFF]) { $0.anSfixed32 = -1 },
        Sample("sfixed64 -2", [0x61, 0xFE] + [UInt8](repeating: 0xFF, count: 7)) {
            $0.anSfixed64 = -2
        },
        Sample("bool", [0x68, 1]) { $0.aBool = true },
        Sample("enum", [0x80, 0x01, 7]) { $0.aColor = .darkBlue },
        Sample("negative enum", [0x80, 0x01] + [UInt8](repeating: 0xFF, count: 9) + [1]) {
            $0.aColor = .negative
        },
        Sample("enum without a name", [0x80, 0x01, 0x64]) { $0.aColor = .unrecognized(100) },
    ]

    static let others: [Sample] = [
        Sample("string", [0x72, 3, 0x41, 0xC3, 0x9F]) { $0.aString = "Aß" },
        Sample("bytes", [0x7A, 2, 0xFF, 0x00]) { $0.someBytes = [0xFF, 0] },
        Sample("empty message", [0x8A, 0x01, 0]) { $0.anInner = .init() },
        Sample("message", [0x8A, 0x01, 4, 0x08, 5, 0x12, 0]) {
            $0.anInner = .init(count: 5, names: [""])
        },
        Sample("optional at its default", [0xA8, 0x01, 0, 0xB2, 0x01, 0, 0xB8, 0x01, 0]) {
            $0.maybeInt32 = 0
            $0.maybeString = ""
            $0.maybeBool = false
        },
        Sample("packed", [0xFA, 0x01, 4, 1, 0, 0x96, 0x01]) { $0.int32s = [1, 0, 150] },
        Sample("packed fixed", [0x8A, 0x02, 8, 1, 0, 0, 0, 2, 0, 0, 0]) { $0.fixed32s = [1, 2] },
        Sample("packed bools", [0x9A, 0x02, 2, 0, 1]) { $0.bools = [false, true] },
        Sample("not packed", [0xC0, 0x02, 0, 0xC0, 0x02, 1]) { $0.unpacked = [0, 1] },
        Sample("strings", [0xA2, 0x02, 1, 0x61, 0xA2, 0x02, 0]) { $0.strings = ["a", ""] },
        Sample(
            "map",
            [0x9A, 0x03, 5, 0x0A, 1, 0x41, 0x10, 0, 0x9A, 0x03, 5, 0x0A, 1, 0x61, 0x10, 3]
        ) { $0.byName = ["a": 3, "A": 0] },
        Sample("map of negative keys", [0xA2, 0x03, 4, 0x08, 1, 0x12, 0]) {
            $0.byNumber = [1: .init()]
        },
        Sample("oneof at its default", [0xEA, 0x03, 0]) { $0.choice = .text("") },
        Sample("oneof with a message", [0xF2, 0x03, 2, 0x08, 1]) {
            $0.choice = .inner(.init(count: 1))
        },
        Sample("large numbers", [0x82, 0x7D, 0, 0xF8, 0xFF, 0xFF, 0xFF, 0x0F, 1]) {
            $0.children = [.init()]
            $0.last = true
        },
    ]

    @Test("a value is written as the format has it", arguments: numbers + others)
    func written(_ sample: Sample) {
        #expect(sample.message.encoded() == sample.bytes)
    }

    @Test("and read from there", arguments: numbers + others)
    func read(_ sample: Sample) throws {
        #expect(try Everything(decoding: sample.bytes) == sample.message)
    }

    @Test(
        "a length of two bytes and of three moves what it measures", arguments: [127, 128, 20000])
    func lengths(count: Int) throws {
        let message = Everything(anInner: .init(names: [String(repeating: "x", count: count)]))
        let bytes = message.encoded()
        #expect(try Everything(decoding: bytes) == message)
        // The tag of two bytes, a length, a tag, a length.
        let inner = count + 1 + (count < 128 ? 1 : count < 16384 ? 2 : 3)
        #expect(bytes.count == inner + 2 + (inner < 128 ? 1 : inner < 16384 ? 2 : 3))
    }

    @Test("what comes before the message stays")
    func prefix() {
        var writer = WireWriter(after: [9, 9])
        Everything(aBool: true).encode(into: &writer)
        #expect(writer.bytes == [9, 9, 0x68, 1])
    }

    @Test("a message among other bytes is read by its range")
    func range() throws {
        let bytes: [UInt8] = [9, 0x68, 1, 9]
        #expect(try Everything(decoding: bytes, in: 1..<3) == Everything(aBool: true))
    }

    @Test("words that Swift keeps for itself are names")
    func keywords() throws {
        let message = Keywords(selfField: "a", in: "b", default: "c", case: .`init`("d"))
        #expect(message.encoded() == [0x0A, 1, 97, 0x12, 1, 98, 0x1A, 1, 99, 0x22, 1, 100])
        #expect(try Keywords(decoding: message.encoded()) == message)
    }
}
