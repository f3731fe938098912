import ProtocolBuffers
import TestSupport
import Testing

@Suite struct WireFuzzTests {
    static let seeds: [UInt64] = [1, 2, 3, 0xA1C0, 20_260_101]

    @Test("random messages come back as they went", arguments: seeds)
    func roundTrips(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<300 {
            let message = Everything.random(&random)
            let bytes = message.encoded()
            let read = try Everything(decoding: bytes)
            #expect(read == message, "seed \(seed)")
            #expect(read.encoded() == bytes, "seed \(seed)")
        }
    }

    @Test("random bytes are a message or an error, never a trap", arguments: seeds)
    func randomBytes(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<5000 {
            let bytes = (0..<Int.random(in: 0...60, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            check(bytes, seed)
        }
    }

    @Test("changed messages are a message or an error, never a trap", arguments: seeds)
    func mutated(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<300 {
            let bytes = Everything.random(&random).encoded()
            guard !bytes.isEmpty else { continue }
            for _ in 0..<10 {
                var changed = bytes
                for _ in 0...Int.random(in: 0...2, using: &random) {
                    let place = Int.random(in: 0..<changed.count, using: &random)
                    switch Int.random(in: 0...2, using: &random) {
                    case 0: changed[place] ^= 1 << UInt8.random(in: 0...7, using: &random)
                    case 1: changed[place] = .random(in: 0...255, using: &random)
                    default: changed.insert(.random(in: 0...255, using: &random), at: place)
                    }
                }
                check(changed, seed)
                check(Array(changed.prefix(.random(in: 0...changed.count, using: &random))), seed)
            }
        }
    }

    /// What is read from any bytes can be written and read again.
    private func check(_ bytes: [UInt8], _ seed: UInt64) {
        do throws(WireError) {
            let message = try Everything(decoding: bytes)
            let written = message.encoded()
            let again = try Everything(decoding: written)
            #expect(again.encoded() == written, "seed \(seed): \(bytes)")
        } catch {
            #expect(!error.description.isEmpty)
        }
    }
}

extension Everything {
    /// A message with some of its fields set.
    static func random(_ random: inout SeededRandom, depth: Int = 0) -> Everything {
        var message = Everything()
        message.setNumbers(&random)
        message.setOthers(&random)
        message.setLists(&random)
        if Bool.random(using: &random) { message.choice = .random(&random) }
        if depth < 3 {
            message.children = list(&random) { Everything.random(&$0, depth: depth + 1) }
        }
        return message
    }

    private mutating func setNumbers(_ random: inout SeededRandom) {
        let bits = { (random: inout SeededRandom) in
            random.next() >> UInt64.random(in: 0...63, using: &random)
        }
        if Bool.random(using: &random) { aDouble = .random(in: -1e9...1e9, using: &random) }
        if Bool.random(using: &random) { aFloat = -0.0 }
        if Bool.random(using: &random) { anInt32 = Int32(truncatingIfNeeded: bits(&random)) }
        if Bool.random(using: &random) { anInt64 = Int64(bitPattern: bits(&random)) }
        if Bool.random(using: &random) { aUint32 = UInt32(truncatingIfNeeded: bits(&random)) }
        if Bool.random(using: &random) { aUint64 = bits(&random) }
        if Bool.random(using: &random) { aSint32 = Int32(truncatingIfNeeded: bits(&random)) }
        if Bool.random(using: &random) { aSint64 = Int64(bitPattern: bits(&random)) }
        if Bool.random(using: &random) { aFixed32 = UInt32(truncatingIfNeeded: bits(&random)) }
        if Bool.random(using: &random) { aFixed64 = bits(&random) }
        if Bool.random(using: &random) { anSfixed32 = Int32(truncatingIfNeeded: bits(&random)) }
        if Bool.random(using: &random) { anSfixed64 = Int64(bitPattern: bits(&random)) }
    }

    private mutating func setOthers(_ random: inout SeededRandom) {
        aBool = Bool.random(using: &random)
        if Bool.random(using: &random) { aString = .randomText(&random) }
        if Bool.random(using: &random) { someBytes = Self.list(&random) { UInt8($0.next() & 255) } }
        aColor = .random(&random)
        if Bool.random(using: &random) { anInner = .random(&random) }
        if Bool.random(using: &random) { maybeInt32 = .random(in: -1...1, using: &random) }
        if Bool.random(using: &random) { maybeString = .randomText(&random) }
        if Bool.random(using: &random) { maybeDouble = 0 }
        if Bool.random(using: &random) { maybeBytes = [] }
        if Bool.random(using: &random) { maybeColor = .random(&random) }
        if Bool.random(using: &random) {
            deep = .init(level: .high, deeper: .init(inner: .random(&random)))
        }
        last = Bool.random(using: &random)
    }

    private mutating func setLists(_ random: inout SeededRandom) {
        int32s = Self.list(&random) { Int32(truncatingIfNeeded: $0.next()) }
        sint64s = Self.list(&random) { Int64(bitPattern: $0.next()) }
        fixed32s = Self.list(&random) { UInt32(truncatingIfNeeded: $0.next()) }
        doubles = Self.list(&random) { .random(in: -1...1, using: &$0) }
        bools = Self.list(&random) { .random(using: &$0) }
        strings = Self.list(&random) { .randomText(&$0) }
        byteStrings = Self.list(&random) { [UInt8($0.next() & 255)] }
        colors = Self.list(&random) { .random(&$0) }
        inners = Self.list(&random) { .random(&$0) }
        unpacked = Self.list(&random) { $0.next() }
        for name in Self.list(&random, { String.randomText(&$0) }) { byName[name] = 7 }
        for number in Self.list(&random, { Int64(bitPattern: $0.next()) }) {
            byNumber[number] = .random(&random)
        }
        byTruth = Bool.random(using: &random) ? [true: "", false: "x"] : [:]
        for number in Self.list(&random, { UInt32(truncatingIfNeeded: $0.next()) }) {
            colorsByNumber[number] = .random(&random)
        }
    }

    fileprivate static func list<Element>(
        _ random: inout SeededRandom, _ make: (inout SeededRandom) -> Element
    ) -> [Element] {
        guard Bool.random(using: &random) else { return [] }
        return (0..<Int.random(in: 0...4, using: &random)).map { _ in make(&random) }
    }
}

extension Everything.Inner {
    static func random(_ random: inout SeededRandom) -> Self {
        Self(
            count: .random(in: 0...300, using: &random),
            names: Everything.list(&random) { .randomText(&$0) })
    }
}

extension Everything.Choice {
    static func random(_ random: inout SeededRandom) -> Self {
        switch Int.random(in: 0...4, using: &random) {
        case 0: .text(.randomText(&random))
        case 1: .inner(.random(&random))
        case 2: .number(.random(in: -2...2, using: &random))
        case 3: .raw([1, 2, 3])
        default: .color(.random(&random))
        }
    }
}

extension Color {
    static func random(_ random: inout SeededRandom) -> Self {
        Self(rawValue: .random(in: -2...8, using: &random))
    }
}

extension String {
    fileprivate static func randomText(_ random: inout SeededRandom) -> String {
        let pieces = ["a", "ß", "漢", "🏝", "\u{0}", "z", "0123456789"]
        return (0..<Int.random(in: 0...20, using: &random)).map { _ in
            pieces[Int.random(in: 0..<pieces.count, using: &random)]
        }.joined()
    }
}
