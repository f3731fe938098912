import CInitProtocol
import Foundation
import TestSupport
import Testing

@Suite("What no host should send to a guest", .needs(.root))
struct GuestFuzzTests {
    /// Frames as a host sends them, one after the other.
    private static let good: [UInt8] = {
        var start = Start("/bin/true", ["true", "word"])
        start.flags = Int32(ALCOVE_GUEST_INPUT)
        start.limits = [(7, 64, 64)]
        return start.frame.bytes + Frame.text(ALCOVE_FRAME_INPUT, "some input").bytes
            + Frame.value(ALCOVE_FRAME_SIGNAL, 28).bytes
            + Frame.value(ALCOVE_FRAME_RESIZE, 10 << 16 | 20).bytes
            + Frame(kind: ALCOVE_FRAME_INPUT_END).bytes
    }()

    private static let noise = [UInt8](repeating: 0xff, count: 4096)

    private static func mutated(_ bytes: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let place = Int.random(in: 0..<max(1, bytes.count), using: &random)
            guard place < bytes.count else { continue }
            switch Int.random(in: 0..<5, using: &random) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes[place] ^= 1 << UInt8.random(in: 0...7, using: &random)
            case 2: bytes.remove(at: place)
            case 3: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
            default: bytes.removeSubrange(place...)
            }
        }
        return bytes
    }

    @Test("Frames that end anywhere harm nothing")
    func truncated() throws {
        let guest = try GuestInit.ready()
        for count in 0..<Self.good.count {
            let connection = try guest.connect()
            connection.send(Array(Self.good.prefix(count)))
            try guest.settle()
            connection.close()
        }
        #expect(try guest.run(.shell("exit 3")).outcome().last == exited(3))
    }

    @Test(
        "Mutated frames of a command harm nothing but the command",
        arguments: 1...4 as ClosedRange<UInt64>)
    func mutated(seed: UInt64) throws {
        let guest = try GuestInit.ready()
        var random = SeededRandom(seed: seed)
        var refused = 0
        for _ in 0..<1000 {
            let connection = try guest.connect()
            connection.send(Self.mutated(Self.good, &random))
            // Whatever it waits for, in the end this is none.
            while connection.send(Self.noise) {}
            while let frame = connection.next() {
                if frame.kind == ALCOVE_FRAME_REFUSED { refused += 1 }
            }
        }
        #expect(refused > 100, "seed \(seed)")
        #expect(try guest.run(.shell("exit 3")).outcome().last == exited(3), "seed \(seed)")
        #expect(try guest.descriptorCount() < 20, "seed \(seed)")
    }

    @Test(
        "Mutated frames on the link end the machine in order, or nothing",
        arguments: 1...8 as ClosedRange<UInt64>)
    func link(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let good =
            Frame(kind: ALCOVE_FRAME_ASK_STATISTICS).bytes
            + Frame.text(ALCOVE_FRAME_HOSTNAME, "name").bytes + Self.good
            + Frame(kind: ALCOVE_FRAME_ASK_STATISTICS).bytes
        for _ in 0..<20 {
            let guest = try GuestInit.ready()
            guest.link.send(Self.mutated(good, &random))
            while guest.link.send(Self.noise) {}
            while guest.link.next() != nil {}
            #expect(guest.wait() == 128 + SIGHUP, "seed \(seed)")
        }
    }
}
