import GuestMemory
import LinuxKernel
import TestSupport
import Testing

@testable import Virtio

/// Keeps the thread of a disk until it is opened.
private final class Gate: Sendable {
    private let isOpen = Locked(false)

    init(_ workers: Workers) {
        workers.run(isBounded: false) { [isOpen] in isOpen.wait { $0 ? () : nil } }
    }

    func open() {
        isOpen.with { $0 = true }
        isOpen.signalAll()
    }
}

extension DiskBench {
    /// Waits for the ends of so many requests. Gives them in order.
    @discardableResult
    fileprivate func finish(_ count: Int) throws -> [UInt16] {
        var order: [UInt16] = []
        driver.run {
            order += ((try? self.driver.collect(0)) ?? []).map(\.head)
            return order.count >= count || self.driver.transport.failure != nil
        }
        try #require(order.count == count)
        return order
    }
}

@Suite struct BlockWorkTests {
    private static let sector = [UInt8](repeating: 1, count: 512)

    @Test("a flush ends after the writes that were asked for before it")
    func flushOrder() throws {
        let bench = try DiskBench(threads: 4)
        for round in 0..<200 {
            for place in 0..<2 {
                let header = DiskBench.header(1, sector: UInt64(round + place))
                try bench.driver.offer([header, Self.sector], room: [1], to: 0)
            }
            let flush = try bench.driver.offer([DiskBench.header(4)], room: [1], to: 0).head
            bench.driver.kick(0)
            let last = try #require(try bench.finish(3).last)
            #expect(last == flush)
        }
        #expect(bench.device.counters.flushes == 200)
    }

    @Test("no more is in flight than the queue holds, though heads are offered again and again")
    func flightBound() throws {
        let bench = try DiskBench(queueSize: 4)
        let gate = Gate(bench.workers)
        try bench.driver.offer([DiskBench.header(1), Self.sector], room: [1], to: 0)
        // The same head, more often than there are descriptors.
        let available = bench.driver.queues[0].layout.available
        for index in 1...8 as ClosedRange<UInt16> {
            try bench.driver.memory.store16(
                try bench.driver.memory.load16(available.advanced(by: 4)),
                available.advanced(by: 4 + UInt64(index % 4) * 2))
            try bench.driver.memory.store16Releasing(index, available.advanced(by: 2))
            bench.driver.kick(0)
            #expect(bench.device.counters.writes <= 4)
        }
        #expect(bench.device.counters.writes == 4)
        gate.open()
        let used = bench.driver.queues[0].layout.used.advanced(by: 2)
        bench.driver.run { (try? bench.driver.memory.load16Acquiring(used)) == 8 }
        #expect(bench.device.counters.writes == 8)
    }

    @Test("a reset waits for what is at the guest's memory, and drops what waits")
    func reset() throws {
        let bench = try DiskBench()
        let gate = Gate(bench.workers)
        try bench.driver.offer([DiskBench.header(1, sector: 9), Self.sector], room: [1], to: 0)
        try bench.driver.offer([DiskBench.header(4)], room: [1], to: 0)
        bench.driver.kick(0)
        bench.driver.set(0x70, 0)
        gate.open()
        bench.driver.begin()
        #expect(
            try bench.ask([DiskBench.header(0, sector: 9)], room: [513]).data
                == [
                    UInt8
                ](repeating: 9, count: 512))
        #expect(bench.device.counters.writes == 1)
    }

    @Test("resets in the middle of work leave the disk working", arguments: 0..<10)
    func resets(seed: UInt64) throws {
        var generator = SeededRandom(seed: seed)
        let bench = try DiskBench(threads: 2)
        for _ in 0..<100 {
            bench.driver.begin()
            for _ in 0..<Int.random(in: 1...5, using: &generator) {
                let kind = ([0, 1, 4, 11, 13] as [UInt32]).randomElement(using: &generator) ?? 0
                let data = kind > 4 ? DiskBench.extent(3, 1) : Self.sector
                try bench.driver.offer([DiskBench.header(kind), data], room: [513], to: 0)
            }
            bench.driver.kick(0)
        }
        bench.driver.begin()
        #expect(try bench.ask([DiskBench.header(0, sector: 200)], room: [513]).status == 0)
        #expect(bench.driver.transport.failure == nil)
    }

    @Test("a transport that is gone is not told of what ends later")
    func abandoned() throws {
        let file = try MemoryFile.make("disk")
        try file.setSize(1 << 20)
        let workers = try Workers(threads: 1, queue: 1)
        let gate = Gate(workers)
        let loop: EventLoop
        do {
            let driver = try TestDriver(
                try BlockDevice(file, isReadOnly: false, workers: workers))
            driver.begin()
            try driver.offer([DiskBench.header(1), Self.sector], room: [1], to: 0)
            driver.kick(0)
            loop = driver.loop
        }
        gate.open()
        workers.stop()
        var turns = 0
        loop.enqueue {}
        loop.runOnThisThread {
            turns += 1
            return turns > 1
        }
    }

    @Test("limits let requests wait, and the rest follows when they are lifted")
    func limits() throws {
        let bench = try DiskBench(
            limits: TransferLimits(operations: TokenBucket.Limit(perSecond: 1, burst: 2)))
        for _ in 0..<4 {
            try bench.driver.offer([DiskBench.header(0)], room: [513], to: 0)
        }
        bench.driver.kick(0)
        try bench.finish(2)
        #expect(bench.device.counters.throttled == 1)
        // What waits is not asked for again.
        bench.driver.kick(0)
        #expect(bench.device.counters.throttled == 1)
        bench.driver.transport.withDevice { _ in bench.device.setLimits(.none) }
        try bench.finish(2)
        #expect(bench.device.counters.reads == 4)
    }

    @Test("disks share a budget, of which reads and writes take apart")
    func budget() throws {
        let budget = DiskBudget()
        let one = TransferLimits(bytes: TokenBucket.Limit(perSecond: 1, burst: 512))
        budget.change(reads: one, writes: one)
        let benches = [try DiskBench(budget: budget), try DiskBench(budget: budget)]
        func ask(_ bench: DiskBench, writes: Bool = false) throws {
            if writes {
                let sector = [UInt8](repeating: 1, count: 512)
                try bench.driver.offer([DiskBench.header(1), sector], room: [1], to: 0)
            } else {
                try bench.driver.offer([DiskBench.header(0)], room: [513], to: 0)
            }
            bench.driver.kick(0)
        }
        try ask(benches[0])
        try benches[0].finish(1)
        // What is left for reads is nothing, on either disk.
        try ask(benches[1])
        #expect(benches[1].device.counters.throttled == 1)
        try ask(benches[0], writes: true)
        try benches[0].finish(1)
        #expect(benches[0].device.counters.throttled == 0)
        try ask(benches[0], writes: true)
        #expect(benches[0].device.counters.throttled == 1)
        // A disk's own limits hold beside it.
        budget.change(reads: .none, writes: .none)
        for bench in benches {
            bench.driver.transport.withDevice { _ in bench.device.limitsChanged() }
            try bench.finish(1)
        }
        benches[1].driver.transport.withDevice { _ in
            benches[1].device.setLimits(
                TransferLimits(operations: TokenBucket.Limit(perSecond: 1, burst: 1)))
        }
        for _ in 0..<2 { try ask(benches[1]) }
        try benches[1].finish(1)
        #expect(benches[1].device.counters.throttled == 2)
        #expect(budget.limits.reads == .none && budget.limits.writes == .none)
    }

    @Test("a disk that waits for a limit keeps nothing alive that nobody needs")
    func throttledAndGone() throws {
        weak var loop: EventLoop?
        do {
            let bench = try DiskBench(
                limits: TransferLimits(operations: TokenBucket.Limit(perSecond: 1, burst: 1)))
            for _ in 0..<2 {
                try bench.driver.offer([DiskBench.header(0)], room: [513], to: 0)
            }
            bench.driver.kick(0)
            try bench.finish(1)
            #expect(bench.device.counters.throttled == 1)
            loop = bench.driver.loop
        }
        #expect(loop == nil)
    }

    @Test("what waits for a limit goes on by itself when the time has come")
    func limitsByTime() throws {
        let bench = try DiskBench(
            limits: TransferLimits(bytes: TokenBucket.Limit(perSecond: 1 << 20, burst: 512)))
        for _ in 0..<5 {
            try bench.driver.offer([DiskBench.header(0)], room: [513], to: 0)
        }
        bench.driver.kick(0)
        try bench.finish(5)
        #expect(bench.device.counters.throttled >= 1)
        // A limit that is set anew holds, and a reset does not evade it.
        let limits = TransferLimits(operations: TokenBucket.Limit(perSecond: 1, burst: 1))
        bench.driver.transport.withDevice { _ in bench.device.setLimits(limits) }
        #expect(bench.device.limits == limits)
        for _ in 0..<3 {
            bench.driver.begin()
            try bench.driver.offer([DiskBench.header(0)], room: [513], to: 0)
            bench.driver.kick(0)
        }
        #expect(bench.device.counters.reads == 6)
    }
}
