import Foundation
import GuestMemory
import LinuxKernel
import TestSupport
import Testing

@testable import Virtio

/// A disk with its driver, its threads and its file.
final class DiskBench {
    static let sectors = 256

    let device: BlockDevice
    let driver: TestDriver
    let workers: Workers
    let file: Descriptor

    init(
        isReadOnly: Bool = false, limits: TransferLimits = .none, threads: Int = 1,
        features: UInt64 = .max, queueSize: UInt16 = 16, isOnDisk: Bool = false,
        budget: DiskBudget? = nil
    ) throws {
        file =
            isOnDisk
            ? try Files.open(FileManager.default.temporaryDirectory.path, [.readWrite, .unnamed])
            : try MemoryFile.make("disk")
        for sector in 0..<Self.sectors {
            let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: sector), count: 512)
            try file.write(bytes.span, at: UInt64(sector * 512))
        }
        workers = try Workers(threads: threads, queue: 1)
        device = try BlockDevice(
            try file.duplicate(), isReadOnly: isReadOnly, serial: "a-disk", limits: limits,
            budget: budget, workers: workers)
        driver = try TestDriver(device)
        driver.begin(features: features, queueSize: queueSize)
    }

    deinit {
        workers.stop()
    }

    static func header(_ kind: UInt32, sector: UInt64 = 0) -> [UInt8] {
        kind.littleEndianBytes + UInt32(0).littleEndianBytes + sector.littleEndianBytes
    }

    static func extent(_ sector: UInt64, _ count: UInt32, flags: UInt32 = 0) -> [UInt8] {
        sector.littleEndianBytes + count.littleEndianBytes + flags.littleEndianBytes
    }

    /// Makes a request, and gives its status and what was read.
    func ask(_ bytes: [[UInt8]], room: [Int] = [1]) throws -> (status: UInt8, data: [UInt8]) {
        let offered = try driver.offer(bytes, room: room, to: 0)
        let last = try #require(offered.room.last)
        let place = last.start.advanced(by: UInt64(last.count - 1))
        try driver.memory.store8(0xff, place)
        driver.kick(0)
        var done: [(head: UInt16, written: Int)] = []
        driver.run {
            done += (try? self.driver.collect(0)) ?? []
            return !done.isEmpty || self.driver.transport.failure != nil
        }
        #expect(driver.transport.failure == nil)
        var data: [UInt8] = []
        for range in offered.room { data += try driver.memory.bytes(in: range) }
        return (try driver.memory.load8(place), Array(data.dropLast()))
    }

    func content(sector: Int, count: Int = 512) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        #expect(try file.read(into: &span, at: UInt64(sector * 512)) == count)
        return bytes
    }

    func configuration(_ offset: UInt64, _ count: Int) -> UInt64 {
        driver.transport.read(at: 0x100 + offset, count: count)
    }
}

@Suite struct BlockDeviceTests {
    @Test("a driver finds the size of the disk and what it can do")
    func configuration() throws {
        let bench = try DiskBench()
        #expect(bench.configuration(0, 8) == 256)
        #expect(bench.configuration(12, 4) == 254)
        #expect(bench.configuration(20, 4) == 512)
        #expect(bench.configuration(24, 1) == 3)
        #expect(bench.configuration(36, 4) == 1 << 21)
        #expect(bench.configuration(48, 4) == 1 << 16)
        #expect(bench.configuration(56, 1) == 1)
        #expect(bench.device.configuration.count == 60)
        #expect(bench.device.features & 1 << 5 == 0 && bench.device.features & 1 << 9 != 0)
        let readOnly = try DiskBench(isReadOnly: true)
        #expect(readOnly.device.features & 1 << 5 != 0 && readOnly.device.features & 1 << 9 == 0)
    }

    @Test(
        "what is read is what the file has, however the request is cut",
        arguments: [false, true])
    func reading(isOnDisk: Bool) throws {
        let bench = try DiskBench(isOnDisk: isOnDisk)
        let expected = [UInt8](repeating: 7, count: 512) + [UInt8](repeating: 8, count: 512)
        let header = DiskBench.header(0, sector: 7)
        #expect(try bench.ask([header], room: [1024, 1]) == (0, expected))
        #expect(try bench.ask([header], room: [1025]) == (0, expected))
        #expect(try bench.ask([header], room: [3, 1000, 21, 1]) == (0, expected))
        #expect(
            try bench.ask([Array(header.prefix(5)), Array(header.dropFirst(5))], room: [1024, 1])
                == (0, expected))
        #expect(try bench.ask([header + [1, 2, 3]], room: [1024, 1]) == (0, expected))
        #expect(try bench.ask([header], room: [1]) == (0, []))
        #expect(bench.device.counters.reads == 6 && bench.device.counters.readBytes == 5120)
    }

    @Test("what is written is in the file, and durable after a flush")
    func writing() throws {
        let bench = try DiskBench()
        let data = (0..<1024).map { UInt8(truncatingIfNeeded: $0 * 7) }
        let header = DiskBench.header(1, sector: 254)
        #expect(try bench.ask([header, data]).status == 0)
        #expect(try bench.content(sector: 254, count: 1024) == data)
        #expect(try bench.ask([header + data.prefix(1), Array(data.dropFirst())]).status == 0)
        #expect(try bench.ask([DiskBench.header(4)]).status == 0)
        #expect(bench.device.counters.writes == 2 && bench.device.counters.writtenBytes == 2048)
        #expect(bench.device.counters.flushes == 1 && bench.device.counters.errors == 0)
    }

    @Test("a driver that does not flush can write, and its flush is not known")
    func writeThrough() throws {
        let bench = try DiskBench(features: .max & ~(1 << 9))
        let data = [UInt8](repeating: 9, count: 512)
        #expect(try bench.ask([DiskBench.header(1), data]).status == 0)
        #expect(try bench.content(sector: 0) == data)
        #expect(try bench.ask([DiskBench.header(4)]).status == 2)
        #expect(try bench.ask([DiskBench.header(11), DiskBench.extent(1, 1)]).status == 0)
    }

    @Test("sizes that are no sectors, and places beyond the disk, fail and change nothing")
    func bounds() throws {
        let bench = try DiskBench()
        for sector in [256, 255, .max, .max / 512, 1 << 55] as [UInt64] {
            #expect(
                try bench.ask([DiskBench.header(0, sector: sector)], room: [1024, 1]).status == 1)
            let data = [UInt8](repeating: 1, count: 1024)
            #expect(try bench.ask([DiskBench.header(1, sector: sector), data]).status == 1)
        }
        #expect(try bench.ask([DiskBench.header(0)], room: [511, 1]).status == 1)
        #expect(try bench.ask([DiskBench.header(0)], room: [512]).status == 1)
        #expect(try bench.ask([DiskBench.header(1), [1, 2, 3]]).status == 1)
        #expect(try bench.ask([[0, 0, 0, 0]], room: [513]).status == 1)
        #expect(try bench.ask([], room: [513]).status == 1)
        for kind in [2, 3, 5, 12, 14, 0x8000_0000, .max] as [UInt32] {
            #expect(try bench.ask([DiskBench.header(kind)]).status == 2)
        }
        #expect(Files.size(of: bench.file) == UInt64(DiskBench.sectors * 512))
        #expect(try bench.content(sector: 255) == [UInt8](repeating: 255, count: 512))
        #expect(bench.device.counters.errors == 22)
    }

    @Test("a request without room for its status fails the device")
    func noStatus() throws {
        let bench = try DiskBench()
        try bench.driver.offer([DiskBench.header(0)], to: 0)
        bench.driver.kick(0)
        #expect(bench.driver.transport.failure != nil)
        #expect(bench.driver.status & 64 != 0)
    }

    @Test("a read-only disk is not changed by anything")
    func readOnly() throws {
        let bench = try DiskBench(isReadOnly: true)
        let data = [UInt8](repeating: 1, count: 512)
        #expect(try bench.ask([DiskBench.header(1), data]).status == 1)
        for kind in [4, 11, 13] as [UInt32] {
            #expect(try bench.ask([DiskBench.header(kind), DiskBench.extent(0, 8)]).status == 2)
        }
        #expect(try bench.content(sector: 0) == [UInt8](repeating: 0, count: 512))
        #expect(try bench.ask([DiskBench.header(0, sector: 3)], room: [513]).status == 0)
    }

    @Test("the disk tells its name")
    func name() throws {
        let bench = try DiskBench()
        let answer = try bench.ask([DiskBench.header(8)], room: [4, 16, 1])
        #expect(answer.status == 0)
        #expect(answer.data == Array("a-disk".utf8) + [UInt8](repeating: 0, count: 14))
        #expect(try bench.ask([DiskBench.header(8)], room: [20]).status == 1)
        #expect(try bench.ask([DiskBench.header(8)], room: [40, 1]).status == 0)
    }

    @Test("what is given back or cleared reads as zeroes; bad lists change nothing")
    func discarding() throws {
        let zero = [UInt8](repeating: 0, count: 512)
        for (kind, flags) in [(11, 0), (13, 0), (13, 1)] as [(UInt32, UInt32)] {
            let bench = try DiskBench()
            let header = DiskBench.header(kind)
            let list =
                DiskBench.extent(8, 8, flags: flags) + DiskBench.extent(40, 1, flags: flags)
                + DiskBench.extent(256, 0, flags: flags)
            #expect(try bench.ask([header, list]).status == 0)
            for sector in [8, 15, 40] { #expect(try bench.content(sector: sector) == zero) }
            for sector in [7, 16, 39, 41] {
                #expect(try bench.content(sector: sector) != zero)
            }
            let good = DiskBench.extent(30, 1, flags: flags)
            let bad: [[UInt8]] = [
                DiskBench.extent(255, 2), DiskBench.extent(.max, 1), DiskBench.extent(0, .max),
                [1, 2, 3], good + [0], Array(repeatElement(good, count: 16).joined()),
            ]
            for list in bad { #expect(try bench.ask([header, good + list]).status == 1) }
            #expect(try bench.ask([header]).status == 1)
            #expect(try bench.content(sector: 30) != zero)
            #expect(try bench.ask([header, DiskBench.extent(30, 1, flags: 2)]).status == 2)
            #expect(
                try bench.ask([header, DiskBench.extent(30, 1, flags: 1)]).status
                    == (kind == 11 ? 2 : 0))
            #expect(Files.size(of: bench.file) == UInt64(DiskBench.sectors * 512))
        }
    }

    @Test("a file that was cut short fails reads, and the disk goes on")
    func truncated() throws {
        let bench = try DiskBench()
        try bench.file.setSize(8 * 512)
        #expect(try bench.ask([DiskBench.header(0, sector: 7)], room: [1025]).status == 1)
        #expect(try bench.ask([DiskBench.header(0, sector: 7)], room: [513]).status == 0)
    }
}

extension Files {
    fileprivate static func size(of file: borrowing Descriptor) -> UInt64? {
        try? status(of: file).size
    }
}
