import GuestMemory
import LinuxKernel
import TestSupport
import Testing

@Suite struct GuestMemoryTests {
    private static let megabyte: UInt64 = 1 << 20

    private static func at(_ address: UInt64) -> GuestAddress { GuestAddress(rawValue: address) }

    @Test("numbers and bytes come back as they were stored")
    func values() throws {
        let memory = try GuestMemory.make(bytes: Self.megabyte)
        try memory.store64(0x1122_3344_5566_7788, Self.at(0x1000))
        #expect(try memory.load64(Self.at(0x1000)) == 0x1122_3344_5566_7788)
        #expect(try memory.load32(Self.at(0x1004)) == 0x1122_3344)
        #expect(try memory.load16(Self.at(0x1002)) == 0x5566)
        #expect(try memory.load8(Self.at(0x1007)) == 0x11)
        try memory.write([1, 2, 3, 4, 5], 1..<4, to: Self.at(Self.megabyte - 3))
        let end = GuestRange(Self.at(Self.megabyte - 4), count: 4)
        #expect(try memory.bytes(in: end) == [0, 2, 3, 4])
    }

    @Test("nothing outside is reached, whatever the numbers are")
    func bounds() throws {
        let memory = try GuestMemory.make(bytes: Self.megabyte)
        let places: [(UInt64, Int)] = [
            (Self.megabyte, 1), (Self.megabyte - 1, 2), (.max, 1), (.max - 7, 16), (0, .max),
            (0, -1), (0xffff_ffff_0000_0000, 0x1_0000), (1 << 63, 8),
            (GuestMemory.gapStart.rawValue, 1), (GuestMemory.gapEnd.rawValue, 1),
        ]
        for (start, count) in places {
            let range = GuestRange(Self.at(start), count: count)
            #expect(!memory.contains(range))
            #expect(throws: GuestMemoryError(range)) { try memory.bytes(in: range) }
            #expect(throws: GuestMemoryError.self) { try memory.hostAddress(of: range) }
        }
        #expect(throws: GuestMemoryError.self) { try memory.load64(Self.at(Self.megabyte - 7)) }
        #expect(throws: GuestMemoryError.self) { try memory.store8(0, Self.at(Self.megabyte)) }
        #expect(throws: GuestMemoryError.self) {
            try memory.write([1, 2], to: Self.at(Self.megabyte - 1))
        }
    }

    @Test("a number at an odd place is none")
    func alignment() throws {
        let memory = try GuestMemory.make(bytes: Self.megabyte)
        #expect(throws: GuestMemoryError.self) { try memory.load16(Self.at(0x1001)) }
        #expect(throws: GuestMemoryError.self) { try memory.load64(Self.at(0x1004)) }
        #expect(throws: GuestMemoryError.self) { try memory.store32(1, Self.at(0x1002)) }
    }

    @Test("memory goes around the place of the devices, and takes no more than is touched")
    func gap() throws {
        let memory = try GuestMemory.make(bytes: 5 << 30)
        #expect(memory.regions.map(\.start) == [Self.at(0), GuestMemory.gapEnd])
        #expect(memory.regions.map(\.count).reduce(0, +) == memory.count)
        let last = Self.at(GuestMemory.gapEnd.rawValue + (2 << 30) - 8)
        try memory.store64(7, last)
        #expect(try memory.load64(last) == 7)
        #expect(throws: GuestMemoryError.self) { try memory.load8(last.advanced(by: 8)) }
        let across = GuestRange(
            Self.at(GuestMemory.gapStart.rawValue - 4), count: 8)
        #expect(!memory.contains(across))
    }

    @Test("what is given back reads as zero, and its neighbours stay")
    func discard() throws {
        let memory = try GuestMemory.make(bytes: Self.megabyte)
        for page in 0..<4 as Range<UInt64> { try memory.store8(1, Self.at(page * 4096)) }
        try memory.discard(GuestRange(Self.at(4096 - 1), count: 2 * 4096))
        let left = try (0..<4 as Range<UInt64>).map { try memory.load8(Self.at($0 * 4096)) }
        #expect(left == [1, 0, 1, 1])
    }
}
