import GuestMemory
import LinuxKernel
import TestSupport
import Testing

@testable import Virtio

/// A console whose output is kept.
private final class ConsoleBench {
    let device: ConsoleDevice
    let driver: TestDriver
    let output = Locked<[UInt8]>([])

    /// - Parameter most: how much is taken at once.
    init(perSecond: UInt64 = 1, burst: UInt64 = 1 << 20, most: Int = .max) throws {
        let limit = try #require(TokenBucket.Limit(perSecond: perSecond, burst: burst))
        device = ConsoleDevice(limit: limit) { [output] bytes in
            output.with { $0 += bytes.prefix(most) }
            return min(bytes.count, most)
        }
        driver = try TestDriver(device)
        driver.begin()
    }

    func send(_ bytes: [UInt8]) -> Int {
        var taken = 0
        driver.transport.withDevice { (_) throws(DeviceFault) in
            taken = try device.send(bytes)
        }
        return taken
    }
}

@Suite struct ConsoleDeviceTests {
    @Test("what the guest writes comes out, in order")
    func output() throws {
        let bench = try ConsoleBench()
        try bench.driver.offer([Array("hello".utf8), Array(", ".utf8)], to: 1)
        try bench.driver.offer([Array("world".utf8)], room: [3], to: 1)
        try bench.driver.offer([[UInt8](repeating: 1, count: 10_000)], to: 1)
        bench.driver.kick(1)
        #expect(try bench.driver.collect(1).map(\.written) == [0, 0, 0])
        #expect(
            bench.output.with { $0 } == Array("hello, world".utf8)
                + [UInt8](repeating: 1, count: 10_000))
        #expect(bench.device.counters.outputBytes == 10_012)
        #expect(bench.device.counters.droppedBytes == 0)
    }

    @Test("what is beyond the limit, or not taken, is dropped and counted, and nobody waits")
    func bound() throws {
        let bench = try ConsoleBench(burst: 8192)
        for _ in 0..<16 {
            try bench.driver.offer([[UInt8](repeating: 1, count: 65536)], to: 1)
        }
        bench.driver.kick(1)
        #expect(try bench.driver.collect(1).count == 16)
        #expect(bench.device.counters.outputBytes == 8192)
        #expect(bench.device.counters.droppedBytes == 16 * 65536 - 8192)

        let slow = try ConsoleBench(most: 3)
        try slow.driver.offer([[1, 2, 3, 4, 5]], to: 1)
        slow.driver.kick(1)
        #expect(slow.output.with { $0 } == [1, 2, 3])
        #expect(slow.device.counters.droppedBytes == 2)
    }

    @Test("what the host sends waits for room of the driver's, up to a bound")
    func input() throws {
        let bench = try ConsoleBench()
        let taken = Locked(0)
        bench.device.whenInputTaken = { taken.with { $0 += 1 } }
        #expect(bench.send([1, 2, 3, 4, 5]) == 5)
        #expect(try bench.driver.request(room: [1, 2], to: 0) == [1, 2, 3])
        #expect(try bench.driver.request(room: [8], to: 0) == [4, 5])
        #expect(taken.with { $0 } == 2)
        let offered = try bench.driver.offer(room: [4], to: 0)
        bench.driver.kick(0)
        #expect(try bench.driver.collect(0).isEmpty)
        #expect(bench.send([9]) == 1)
        #expect(try bench.driver.collect(0).map(\.written) == [1])
        #expect(try bench.driver.memory.load8(offered.room[0].start) == 9)

        let many = [UInt8](repeating: 1, count: 40_000)
        #expect(bench.send(many) == 40_000)
        #expect(bench.send(many) == ConsoleDevice.mostInput - 40_000)
        #expect(bench.send(many) == 0)
        var rest = 0
        while rest < ConsoleDevice.mostInput {
            rest += try bench.driver.request(room: [5000], to: 0).count
        }
        #expect(rest == ConsoleDevice.mostInput && bench.send([1]) == 1)
        // A driver that begins anew gets nothing of what was for the one before.
        bench.driver.begin()
        #expect(bench.send([7]) == 1)
        #expect(try bench.driver.request(room: [4], to: 0) == [7])
    }

    @Test("input for a driver that has no queue for it waits without any work")
    func noQueue() throws {
        let bench = try ConsoleBench()
        bench.driver.begin(leavingOut: [0])
        #expect(bench.driver.transport.isRunning)
        #expect(bench.send([1]) == 1)
        bench.driver.kick(0)
        var interest = [Readiness.Interest(bench.driver.transport.doorbells[0].descriptor)]
        try Readiness.wait(for: &interest, waits: false)
        #expect(!interest[0].isReady)
    }

    @Test("the driver is told of the terminal's size")
    func size() throws {
        let bench = try ConsoleBench()
        #expect(bench.driver.register(0x100) == 25 << 16 | 80)
        bench.driver.transport.withDevice { _ in bench.device.setSize(columns: 132, rows: 50) }
        #expect(bench.driver.register(0x100) == 50 << 16 | 132)
        #expect(bench.driver.register(0x60) == 2)
    }

    @Test("requests the wrong way round are given back empty")
    func wrongWay() throws {
        let bench = try ConsoleBench()
        #expect(bench.send([1, 2]) == 2)
        try bench.driver.offer([[1]], to: 0)
        try bench.driver.offer(room: [1], to: 1)
        bench.driver.kick(0)
        bench.driver.kick(1)
        #expect(try bench.driver.collect(0).map(\.written) == [0])
        #expect(try bench.driver.collect(1).map(\.written) == [0])
        #expect(try bench.driver.request(room: [4], to: 0) == [1, 2])
    }
}
