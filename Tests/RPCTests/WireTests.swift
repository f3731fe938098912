import Testing

@testable import RPC

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

@Suite struct CallTimeoutTests {
    @Test(
        "a timeout is up to 8 digits and a unit",
        arguments: [
            ("1n", 1), ("1u", 1000), ("1m", 1_000_000), ("1S", 1_000_000_000),
            ("2M", 120_000_000_000), ("1H", 3_600_000_000_000), ("0S", 0), ("00000001n", 1),
            ("99999999H", UInt64.max), ("99999999m", 99_999_999_000_000), ("", nil), ("1", nil),
            ("S", nil), ("123456789S", nil), ("1s", nil), ("1 S", nil), ("-1S", nil), ("+1S", nil),
            ("1.5S", nil), ("1SS", nil),
        ] as [(String, UInt64?)])
    func parse(text: String, nanoseconds: UInt64?) {
        #expect(CallTimeout.nanoseconds(bytes(text)) == nanoseconds)
    }
}

@Suite struct Base64Tests {
    @Test(
        "bytes become text without padding, and come back with it or without",
        arguments: [
            ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"), ("foobar", "Zm9vYmFy"),
        ])
    func known(plain: String, text: String) {
        #expect(Base64.encode(bytes(plain)) == bytes(text))
        #expect(Base64.decode(bytes(text)) == bytes(plain))
        let padding = String(repeating: "=", count: (4 - text.count % 4) % 4)
        #expect(Base64.decode(bytes(text + padding)) == bytes(plain))
    }

    @Test("other text is refused", arguments: ["A", "AAAAA", "A=", "AA=", "AA=A", "A-A_", "AA\n="])
    func refused(text: String) {
        #expect(Base64.decode(bytes(text)) == nil)
    }
}

@Suite struct StatusTests {
    @Test(
        "a message is percent-encoded",
        arguments: [
            ("plain text ~", "plain text ~"), ("100 %", "100 %25"), ("a\nb", "a%0Ab"),
            ("ü", "%C3%BC"), ("🙈", "%F0%9F%99%88"), ("\u{7f}", "%7F"), ("", ""),
        ])
    func encoded(message: String, expected: String) {
        #expect(Status(.unknown, message).encodedMessage == bytes(expected))
    }

    @Test("a long message is cut between characters, within the bound")
    func long() {
        for text in ["x", "ü", "🙈", "aü"] {
            let message = String(repeating: text, count: 5000)
            let encoded = Status(.unknown, message).encodedMessage
            #expect(encoded.count <= Status.longestMessage)
            #expect(encoded.count > Status.longestMessage - 16)
            #expect(encoded.suffix(3) == bytes("...")[...])
            let percents = encoded.dropLast(3).count { $0 == UInt8(ascii: "%") }
            #expect(percents % text.utf8.count { $0 > 127 }.clamped == 0)
        }
    }
}

extension Int {
    fileprivate var clamped: Int { Swift.max(self, 1) }
}

@Suite struct MetadataTests {
    @Test("what cannot be sent is refused with a reason")
    func refused() throws {
        var metadata = Metadata()
        for name in ["", "Upper", "a b", "a\n", "ü", "grpc-status", "content-type", "te", ":path"] {
            #expect(throws: Metadata.Invalid.self, "\(name)") { try metadata.add(name, "x") }
        }
        for value in ["a\nb", "ü", "\u{7f}", " a", "a "] {
            #expect(throws: Metadata.Invalid.self, "\(value)") { try metadata.add("x", value) }
        }
        #expect(throws: Metadata.Invalid.self) { try metadata.add("x-bin", "text") }
        #expect(throws: Metadata.Invalid.self) { try metadata.add("x", [1]) }
        #expect(metadata.isEmpty)
        try metadata.add("x-a.b_c-1", "")
        try metadata.add("x-bin", [0, 255])
        #expect(metadata["x-a.b_c-1"] == "" && metadata.binary("x-bin") == [0, 255])
        #expect(metadata["x-bin"] == nil && metadata.binary("x-a.b_c-1") == nil)
    }

    @Test("bytes that come joined are taken apart")
    func joined() throws {
        var metadata = Metadata()
        try metadata.receive("x-bin", bytes("AQ==,Ag, Aw"))
        #expect(metadata.entries.map(\.value) == [.binary([1]), .binary([2]), .binary([3])])
    }
}

@Suite struct MessageAssemblerTests {
    @Test("messages are cut from pieces of any size", arguments: 0..<50 as Range<UInt64>)
    func pieces(seed: UInt64) {
        var generator = SeededGenerator(seed)
        let messages = (0..<Int.random(in: 1...20, using: &generator)).map { _ in
            (0..<Int.random(in: 0...300, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
        }
        let wire = messages.flatMap { MessageAssembler.prefix($0.count) + $0 }
        var assembler = MessageAssembler(limit: 300)
        var result: [[UInt8]] = []
        var start = 0
        while start < wire.count {
            let end = min(wire.count, start + Int.random(in: 1...100, using: &generator))
            assembler.append(Array(wire[start..<end]))
            start = end
            while case .message(let message) = assembler.next() { result.append(message) }
        }
        #expect(result == messages, "seed \(seed)")
        #expect(assembler.count == 0)
    }

    @Test("what was taken does not pile up while something is always left")
    func bounded() {
        var assembler = MessageAssembler(limit: 1000)
        let wire = MessageAssembler.prefix(995) + [UInt8](repeating: 1, count: 995)
        for _ in 0..<10 { assembler.append(wire) }
        for _ in 0..<10000 {
            assembler.append(wire)
            #expect(assembler.next() == .message([UInt8](repeating: 1, count: 995)))
            #expect(assembler.count == 10000 && assembler.footprint < 100_000)
        }
    }

    @Test("a message is judged by its first bytes")
    func refused() {
        func outcome(_ bytes: [UInt8]) -> MessageAssembler.Outcome {
            var assembler = MessageAssembler(limit: 10)
            assembler.append(bytes)
            return assembler.next()
        }
        #expect(outcome([]) == .partial)
        #expect(outcome([0, 0, 0, 0]) == .partial)
        #expect(outcome([0, 0, 0, 0, 0]) == .message([]))
        #expect(outcome([0, 0, 0, 0, 10]) == .partial)
        #expect(outcome([0, 0, 0, 0, 11]) == .tooLong(length: 11))
        #expect(outcome([0, 255, 255, 255, 255]) == .tooLong(length: 4_294_967_295))
        #expect(outcome([1, 0, 0, 0, 0]) == .compressed)
        #expect(outcome([2, 0, 0, 0, 0]) == .malformed)
    }
}

@Suite struct OutgoingBytesTests {
    @Test("what goes in comes out, in any pieces", arguments: 0..<30)
    func pieces(seed: UInt64) {
        var generator = SeededGenerator(seed)
        var outgoing = OutgoingBytes()
        var expected: [UInt8] = []
        var result: [UInt8] = []
        for _ in 0..<300 {
            let message = [UInt8](
                repeating: .random(in: 0...255, using: &generator),
                count: .random(in: 0...5000, using: &generator))
            outgoing.appendMessage(message)
            expected += MessageAssembler.prefix(message.count) + message
            var room = [UInt8](repeating: 0, count: .random(in: 0...6000, using: &generator))
            var span = room.mutableSpan
            let count = outgoing.take(into: &span)
            result += room[..<count]
            #expect(outgoing.count == expected.count - result.count, "seed \(seed)")
        }
        var room = [UInt8](repeating: 0, count: outgoing.count)
        var span = room.mutableSpan
        #expect(outgoing.take(into: &span) == room.count && outgoing.isEmpty)
        #expect(result + room == expected, "seed \(seed)")
    }
}

extension OutgoingBytesTests {
    @Test("what was taken does not pile up while something is always left")
    func bounded() {
        var outgoing = OutgoingBytes()
        var room = [UInt8](repeating: 0, count: 1005)
        for _ in 0..<10 { outgoing.appendMessage([UInt8](repeating: 1, count: 1000)) }
        for _ in 0..<10000 {
            outgoing.appendMessage([UInt8](repeating: 1, count: 1000))
            var span = room.mutableSpan
            #expect(outgoing.take(into: &span) == 1005)
            #expect(outgoing.count == 10050 && outgoing.bytes.count < 100_000)
        }
    }
}

/// SplitMix64: the same numbers for a seed on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
