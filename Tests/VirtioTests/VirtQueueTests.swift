import GuestMemory
import TestSupport
import Testing

@testable import Virtio

/// A queue of 8 whose driver is the test.
private struct Bench {
    let memory: GuestMemory
    var driver: DriverQueue
    var queue: VirtQueue
    var chain = DescriptorChain()

    init(usesEventIndex: Bool = false) throws {
        memory = try GuestMemory.make(bytes: 1 << 20)
        let layout = QueueLayout(
            size: 8, descriptors: GuestAddress(rawValue: 0x1000),
            available: GuestAddress(rawValue: 0x2000), used: GuestAddress(rawValue: 0x3000))
        driver = DriverQueue(layout, memory)
        queue = try VirtQueue(layout, in: memory, usesEventIndex: usesEventIndex)
    }

    mutating func fault() -> DeviceFault? {
        do throws(DeviceFault) {
            _ = try queue.take(into: &chain)
            return nil
        } catch {
            return error
        }
    }
}

@Suite struct VirtQueueTests {
    @Test("chains come whole and in order, around the ring many times")
    func order() throws {
        var bench = try Bench()
        for round in 0..<100 as Range<UInt64> {
            let start = GuestAddress(rawValue: 0x8000 + round * 16)
            let head = try bench.driver.offer([
                (GuestRange(start, count: 4), false), (GuestRange(start, count: 9), true),
                (GuestRange(start, count: 2), true),
            ])
            #expect(try bench.queue.take(into: &bench.chain))
            #expect(bench.chain.head == head)
            #expect(bench.chain.readable == [GuestRange(start, count: 4)])
            #expect(bench.chain.writableCount == 11)
            #expect(try !bench.queue.take(into: &bench.chain))
            try bench.queue.giveBack(head, written: 11)
            let given = try bench.driver.collect()
            #expect(given.map(\.head) == [head] && given.map(\.written) == [11])
        }
    }

    @Test("a chain that goes round ends the queue")
    func loops() throws {
        for next in 0..<3 as Range<UInt16> {
            var bench = try Bench()
            for index in 0..<3 as Range<UInt16> {
                try bench.driver.write(
                    index, address: 0x8000, count: 1, flags: 1, next: index == 2 ? next : index + 1)
            }
            try bench.driver.publish(0)
            #expect(bench.fault() == .endlessChain(head: 0))
        }
    }

    @Test("what points outside is found: a head, a next, memory, an index")
    func outside() throws {
        var bench = try Bench()
        try bench.driver.publish(8)
        #expect(bench.fault() == .descriptorOutsideTable(8))

        bench = try Bench()
        try bench.driver.write(0, address: 0x8000, count: 1, flags: 1, next: 8)
        try bench.driver.publish(0)
        #expect(bench.fault() == .descriptorOutsideTable(8))

        for (address, count) in [
            (1 << 20, 1), ((1 << 20) - 1, 2), (UInt64.max, 1), (UInt64.max, .max), (0, .max),
        ] as [(UInt64, UInt32)] {
            bench = try Bench()
            try bench.driver.write(0, address: address, count: count, flags: 0, next: 0)
            try bench.driver.publish(0)
            let range = GuestRange(GuestAddress(rawValue: address), count: Int(count))
            #expect(bench.fault() == .outsideMemory(GuestMemoryError(range)))
        }

        bench = try Bench()
        try bench.memory.store16(9, bench.driver.layout.available.advanced(by: 2))
        #expect(bench.fault() == .tooManyAvailable(offered: 9, size: 8))
    }

    @Test("empty parts, and parts to read after parts to write, are refused")
    func shapes() throws {
        var bench = try Bench()
        try bench.driver.write(0, address: 0x8000, count: 0, flags: 0, next: 0)
        try bench.driver.publish(0)
        #expect(bench.fault() == .emptyDescriptor(head: 0))

        bench = try Bench()
        try bench.driver.write(0, address: 0x8000, count: 1, flags: 3, next: 1)
        try bench.driver.write(1, address: 0x8000, count: 1, flags: 0, next: 0)
        try bench.driver.publish(0)
        #expect(bench.fault() == .readableAfterWritable(head: 0))
    }

    @Test("indirect tables are followed, and those that are none are refused")
    func indirect() throws {
        var bench = try Bench()
        let table = DriverQueue(
            QueueLayout(
                size: 8, descriptors: GuestAddress(rawValue: 0x5000),
                available: GuestAddress(rawValue: 0x6000),
                used: GuestAddress(rawValue: 0x7000)), bench.memory)
        try table.write(0, address: 0x8000, count: 5, flags: 1, next: 1)
        try table.write(1, address: 0x9000, count: 6, flags: 2, next: 0)
        try bench.driver.write(0, address: 0x5000, count: 32, flags: 4, next: 0)
        try bench.driver.publish(0)
        #expect(try bench.queue.take(into: &bench.chain))
        #expect(bench.chain.readableCount == 5 && bench.chain.writableCount == 6)

        let bad: [(address: UInt64, count: UInt32, flags: UInt16)] = [
            (0x5000, 31, 4), (0x5000, 0, 4), (0x5004, 32, 4), (0x5000, 16 * 9, 4), (0x5000, 32, 5),
        ]
        for (address, count, flags) in bad {
            bench = try Bench()
            try bench.driver.write(0, address: address, count: count, flags: flags, next: 1)
            try bench.driver.publish(0)
            #expect(bench.fault() == .badIndirectTable(head: 0))
        }
        // A table within a table.
        bench = try Bench()
        try bench.memory.store64(0x5000, GuestAddress(rawValue: 0x5000))
        try bench.memory.store32(16, GuestAddress(rawValue: 0x5008))
        try bench.memory.store16(4, GuestAddress(rawValue: 0x500c))
        try bench.driver.write(0, address: 0x5000, count: 16, flags: 4, next: 0)
        try bench.driver.publish(0)
        #expect(bench.fault() == .badIndirectTable(head: 0))
    }

    @Test("with event indices an interrupt comes when its entry does, otherwise as flags say")
    func interrupts() throws {
        var bench = try Bench(usesEventIndex: true)
        let event = bench.driver.layout.available.advanced(by: 4 + 8 * 2)
        try bench.memory.store16(1, event)
        try bench.queue.giveBack(0, written: 0)
        #expect(try !bench.queue.wantsInterrupt())
        try bench.queue.giveBack(0, written: 0)
        #expect(try bench.queue.wantsInterrupt())
        #expect(try !bench.queue.wantsInterrupt())

        bench = try Bench()
        try bench.queue.giveBack(0, written: 0)
        #expect(try bench.queue.wantsInterrupt())
        try bench.memory.store16(1, bench.driver.layout.available)
        try bench.queue.giveBack(0, written: 0)
        #expect(try !bench.queue.wantsInterrupt())
    }

    @Test("queues of random bytes end in a fault or a request within memory", arguments: 0..<40)
    func garbage(seed: UInt64) throws {
        var generator = SeededRandom(seed: seed)
        for _ in 0..<500 {
            var bench = try Bench(usesEventIndex: .random(using: &generator))
            try bench.fill(using: &generator)
            for _ in 0..<8 {
                guard bench.fault() == nil else { break }
                for range in bench.chain.readable + bench.chain.writable {
                    #expect(bench.memory.contains(range) && range.count > 0, "seed \(seed)")
                }
                #expect(bench.chain.readable.count + bench.chain.writable.count <= 8)
            }
        }
    }
}

extension Bench {
    /// Numbers of which many nearly make sense.
    fileprivate mutating func fill(using generator: inout SeededRandom) throws {
        for index in 0..<8 as Range<UInt16> {
            let addresses: [UInt64] = [
                0x1000, 0x1010, 0x8000, (1 << 20) - 1, .random(in: 0...(.max), using: &generator),
            ]
            let counts: [UInt32] = [
                0, 1, 16, 32, 128, 4096, .random(in: 0...(.max), using: &generator),
            ]
            try driver.write(
                index, address: addresses.randomElement(using: &generator) ?? 0,
                count: counts.randomElement(using: &generator) ?? 0,
                flags: .random(in: 0...7, using: &generator),
                next: .random(in: 0...9, using: &generator))
        }
        for _ in 0..<Int.random(in: 0...9, using: &generator) {
            try driver.publish(.random(in: 0...8, using: &generator))
        }
    }
}
