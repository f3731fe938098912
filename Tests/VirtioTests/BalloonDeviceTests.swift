import GuestMemory
import LinuxKernel
import TestSupport
import Testing

@testable import Virtio

/// A balloon and its driver. The memory is 1024 pages, of which the last 256 are full of ones.
private final class BalloonBench {
    let device = BalloonDevice()
    let driver: TestDriver

    init(features: UInt64 = .max) throws {
        driver = try TestDriver(device)
        driver.begin(features: features)
        try driver.memory.write(
            [UInt8](repeating: 1, count: 256 * 4096), to: GuestAddress(rawValue: 768 * 4096))
    }

    func isZero(page: UInt64) throws -> Bool {
        let range = GuestRange(GuestAddress(rawValue: page * 4096), count: 4096)
        return try driver.memory.bytes(in: range).allSatisfy { $0 == 0 }
    }

    func inflate(_ pages: [UInt32], queue: Int = 0) throws {
        try driver.offer([pages.flatMap(\.littleEndianBytes)], to: queue)
        driver.kick(queue)
    }

    /// Statistics as a driver writes them.
    static func statistics(_ values: [(UInt16, UInt64)]) -> [UInt8] {
        values.flatMap { $0.0.littleEndianBytes + $0.1.littleEndianBytes }
    }
}

@Suite struct BalloonDeviceTests {
    @Test("pages that are put into the balloon are given back to the host")
    func inflate() throws {
        let bench = try BalloonBench()
        try bench.inflate([900, 902, 901, 901, 1023])
        #expect(try bench.driver.collect(0).map(\.written) == [0])
        for page in [900, 901, 902, 1023] as [UInt64] { #expect(try bench.isZero(page: page)) }
        for page in [899, 903, 1022] as [UInt64] { #expect(try !bench.isZero(page: page)) }
        #expect(bench.device.counters.inflatedPages == 5)
        try bench.inflate([900, 901], queue: 1)
        #expect(try bench.driver.collect(1).count == 1)
        #expect(bench.device.counters.deflatedPages == 2)
        #expect(bench.driver.transport.failure == nil && bench.device.counters.failures == 0)
    }

    @Test("pages outside of memory, and too many of them, fail the device")
    func refused() throws {
        for pages in [[1024], [1023, 1024], [.max], [0, .max]] as [[UInt32]] {
            let bench = try BalloonBench()
            try bench.inflate(pages)
            #expect(bench.driver.transport.failure != nil)
        }
        let bench = try BalloonBench()
        try bench.inflate([UInt32](repeating: 900, count: 1024))
        #expect(bench.driver.transport.failure == nil)
        try bench.inflate([UInt32](repeating: 900, count: 1025))
        #expect(bench.driver.transport.failure == .chainTooLong(head: 1))
    }

    @Test("a request that is no list of numbers gives back what it names in whole")
    func shapes() throws {
        let bench = try BalloonBench()
        try bench.driver.offer([UInt32(800).littleEndianBytes + [1, 2]], to: 0)
        try bench.driver.offer([[1]], to: 0)
        try bench.driver.offer(room: [4], to: 0)
        bench.driver.kick(0)
        #expect(try bench.driver.collect(0).count == 3)
        #expect(try bench.isZero(page: 800))
        #expect(bench.device.counters.inflatedPages == 1)
    }

    private func range(_ start: UInt64, _ count: Int) -> GuestRange {
        GuestRange(GuestAddress(rawValue: start), count: count)
    }

    @Test("free pages that are reported go back, whole ones alone", arguments: [false, true])
    func reporting(hasStatistics: Bool) throws {
        // Queues of features that were not accepted have no number.
        let bench = try BalloonBench(features: hasStatistics ? .max : .max & ~2)
        let queue = hasStatistics ? 3 : 2
        let head = try bench.driver.offer(roomAt: [range(800 * 4096, 3 * 4096)], to: queue)
        let odd = try bench.driver.offer(roomAt: [range(900 * 4096 + 1, 2 * 4096)], to: queue)
        bench.driver.kick(queue)
        #expect(try bench.driver.collect(queue).map(\.head) == [head, odd])
        for page in [800, 802, 901] as [UInt64] { #expect(try bench.isZero(page: page)) }
        for page in [799, 803, 900, 902] as [UInt64] { #expect(try !bench.isZero(page: page)) }
        #expect(bench.device.counters.reportedBytes == 5 * 4096)
    }

    @Test("the target is told to the driver, and what there is to the host")
    func target() throws {
        let bench = try BalloonBench()
        let generation = bench.driver.register(0xfc)
        bench.driver.transport.withDevice { _ in bench.device.setTarget(pages: 0x1_0203) }
        #expect(bench.driver.register(0x100) == 0x1_0203)
        #expect(bench.driver.register(0xfc) != generation)
        #expect(bench.driver.register(0x60) == 2)
        bench.driver.set(0x104, 0x203)
        bench.driver.transport.write(0xff01, at: 0x106, count: 2)
        bench.driver.transport.write(.max, at: 0x100, count: 4)
        bench.driver.transport.write(.max, at: 0x104, count: 8)
        #expect(bench.device.actualPages == 0xff01_0203)
        #expect(bench.device.targetPages == 0x1_0203)
        bench.driver.begin()
        #expect(bench.device.actualPages == 0)
    }

    @Test("statistics come when they are asked for")
    func statistics() throws {
        let bench = try BalloonBench()
        func request() -> Bool {
            var isAsked = false
            bench.driver.transport.withDevice { (_) throws(DeviceFault) in
                isAsked = try bench.device.requestStatistics()
            }
            return isAsked
        }
        #expect(!request())
        // The first room has nothing in it that is known.
        try bench.driver.offer([BalloonBench.statistics([(99, 1)])], to: 2)
        bench.driver.kick(2)
        #expect(bench.device.statistics == nil)
        #expect(try bench.driver.collect(2).isEmpty)
        #expect(request() && !request())
        #expect(try bench.driver.collect(2).count == 1)
        let come = Locked(0)
        bench.device.whenStatisticsCome = { _ in come.with { $0 += 1 } }
        try bench.driver.offer(
            [BalloonBench.statistics([(4, 7 << 30), (200, 1), (5, .max)]) + [1, 2, 3]], to: 2)
        bench.driver.kick(2)
        #expect(come.with { $0 } == 1)
        #expect(bench.device.statistics?[.free] == 7 << 30)
        #expect(bench.device.statistics?[.total] == .max)
        #expect(bench.device.statistics?.values.count == 2)
        // A second room gives the first one back.
        try bench.driver.offer([BalloonBench.statistics([(4, 1)])], to: 2)
        bench.driver.kick(2)
        #expect(try bench.driver.collect(2).count == 1)
        #expect(request())
        bench.driver.begin()
        #expect(!request())
    }
}
