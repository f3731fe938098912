import Foundation
import GuestMemory
import LinuxKernel
import TestSupport
import Testing
import Virtio

/// Devices that are saved, and others that go on for the same driver.
@Suite struct DeviceSavingTests {
    /// A second device behind the same memory, as it was saved.
    private func goOn(
        _ driver: TestDriver, with device: any VirtioDevice, _ bytes: [UInt8]? = nil
    ) throws -> (transport: VirtioTransport, line: SharedCounter) {
        let line = try SharedCounter()
        let transport = try VirtioTransport(
            device, memory: driver.memory, loop: driver.loop, line: line)
        try transport.listen()
        var reader = StateReader(bytes ?? save(driver.transport))
        try transport.restore(from: &reader)
        try reader.finish()
        return (transport, line)
    }

    private func save(_ transport: VirtioTransport) -> [UInt8] {
        var writer = StateWriter()
        transport.save(into: &writer)
        return writer.bytes
    }

    @Test("a driver goes on with another device where it was, and finds what it had set")
    func entropy() throws {
        let driver = try TestDriver(EntropyDevice())
        driver.begin()
        #expect(try driver.request(room: [16], to: 0).count == 16)
        // One that the device has not seen, and an interrupt that was not acknowledged.
        let offered = try driver.offer(room: [32], to: 0)
        let (transport, _) = try goOn(driver, with: EntropyDevice())
        #expect(transport.isRunning && transport.read(at: 0x70, count: 4) == 15)
        #expect(transport.read(at: 0x60, count: 4) == 1)
        var done: [(head: UInt16, written: Int)] = []
        driver.run {
            done += (try? driver.collect(0)) ?? []
            return !done.isEmpty
        }
        #expect(done.first?.head == offered.head && done.first?.written == 32)
    }

    @Test("what a disk began is ended before it is saved, and is not done again")
    func block() throws {
        let workers = try Workers(threads: 1, queue: 8, named: "disk")
        defer { workers.stop() }
        let file = try MemoryFile.make("disk")
        try file.setSize(64 << 10)
        func device() throws -> BlockDevice {
            try BlockDevice(file.duplicate(), isReadOnly: false, workers: workers)
        }
        let driver = try TestDriver(try device())
        driver.begin()
        // Writes, and a flush that waits for them: on a thread that comes to them in its time.
        let header: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]
        let data = [UInt8](repeating: 7, count: 512)
        for _ in 0..<3 { try driver.offer([header, data], room: [1], to: 0) }
        try driver.offer([[4] + [UInt8](repeating: 0, count: 15)], room: [1], to: 0)
        driver.kick(0)
        let bytes = save(driver.transport)
        let done = try driver.collect(0)
        #expect(done.count == 4)
        #expect(try file.read(atMost: 512, at: 3 * 512) == data)
        let second = try device()
        let (transport, _) = try goOn(driver, with: second, bytes)
        #expect(transport.reading { second.counters.writes } == 0)
        #expect(transport.read(at: 0x60, count: 4) == 1)
    }

    @Test("a device of another kind, size or address is refused")
    func different() throws {
        let workers = try Workers(threads: 1, queue: 8, named: "disk")
        defer { workers.stop() }
        let file = try MemoryFile.make("disk")
        try file.setSize(64 << 10)
        let disk = try TestDriver(
            try BlockDevice(file.duplicate(), isReadOnly: false, workers: workers))
        let sockets = try TestDriver(SocketDevice(cid: 3))
        #expect(throws: StateFault.self) { _ = try goOn(disk, with: EntropyDevice()) }
        #expect(throws: StateFault.self) {
            _ = try goOn(
                disk,
                with: try BlockDevice(file.duplicate(), isReadOnly: true, workers: workers))
        }
        #expect(throws: StateFault.self) { _ = try goOn(sockets, with: SocketDevice(cid: 4)) }
        let bytes = save(disk.transport)
        try file.setSize(32 << 10)
        #expect(throws: StateFault.self) {
            _ = try goOn(
                disk, with: try BlockDevice(file.duplicate(), isReadOnly: false, workers: workers),
                bytes)
        }
    }

    @Test("whatever a saved state says, a device takes it or refuses it")
    func mutated() throws {
        let environment = ProcessInfo.processInfo.environment
        let inputs = environment["FUZZ_INPUTS"].flatMap { Int($0) } ?? 300
        let workers = try Workers(threads: 1, queue: 8, named: "disk")
        defer { workers.stop() }
        let file = try MemoryFile.make("disk")
        try file.setSize(64 << 10)
        guard let limit = TokenBucket.Limit(perSecond: 1000, burst: 1000) else { return }
        let makers: [() throws -> any VirtioDevice] = [
            { EntropyDevice() }, { BalloonDevice() }, { SocketDevice(cid: 3) },
            { ConsoleDevice(limit: limit) { $0.count } },
            { try BlockDevice(file.duplicate(), isReadOnly: false, workers: workers) },
        ]
        for (index, make) in makers.enumerated() {
            let driver = try TestDriver(try make())
            driver.begin()
            let good = save(driver.transport)
            _ = try goOn(driver, with: try make(), good)
            var random = SeededRandom(seed: UInt64(index))
            for _ in 0..<inputs {
                var bytes = good
                for _ in 0...random.next() % 4 {
                    let place = Int(random.next() % UInt64(bytes.count))
                    switch random.next() % 4 {
                    case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
                    case 1: bytes[place] ^= 1 << UInt8(random.next() % 8)
                    case 2: bytes.removeSubrange(place..<min(bytes.count, place + 4))
                    default: bytes.insert(0xff, at: place)
                    }
                    if bytes.isEmpty { break }
                }
                guard let (transport, _) = try? goOn(driver, with: try make(), bytes) else {
                    continue
                }
                // It goes on with that, and comes to rest.
                for queue in transport.doorbells.indices {
                    transport.write(UInt64(queue), at: 0x50, count: 4)
                }
                var isDone = false
                driver.loop.enqueue {}
                driver.run {
                    defer { isDone = true }
                    return isDone
                }
            }
        }
    }
}
