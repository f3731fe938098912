import LinuxKernel
import Testing

@testable import RPC

@Suite struct EventLoopTests {
    @Test("jobs of many threads come each once, in each thread's order")
    func jobs() throws {
        let loop = try EventLoop(named: "test")
        let seen = Locked<[[Int]]>(Array(repeating: [], count: 4))
        let thread = try loop.start()
        let workers = try Workers(threads: 4, queue: 10)
        for worker in 0..<4 {
            let accepted = workers.run {
                for number in 0..<1000 {
                    loop.enqueue { seen.with { $0[worker].append(loop.isCurrent ? number : -1) } }
                }
            }
            #expect(accepted)
        }
        workers.stop()
        #expect(!workers.run {})
        loop.stop()
        thread.join()
        #expect(seen.with { $0 } == Array(repeating: Array(0..<1000), count: 4))
        #expect(!loop.enqueue {})
    }

    @Test("actions come in the order of their times, and not when they were called off")
    func timers() throws {
        let loop = try EventLoop(named: "test")
        let seen = Locked<[Int]>([])
        loop.enqueue {
            for span in [30, 10, 20, 0] {
                _ = loop.schedule(after: .milliseconds(span)) { seen.with { $0.append(span) } }
            }
            let off = loop.schedule(after: .milliseconds(5)) { seen.with { $0.append(-1) } }
            loop.cancel(off)
            _ = loop.schedule(after: .seconds(Int64.max)) { seen.with { $0.append(-2) } }
            _ = loop.schedule(after: .milliseconds(40)) { loop.stop() }
        }
        try loop.start().join()
        #expect(seen.with { $0 } == [0, 10, 20, 30])
    }

    @Test("a full queue of workers refuses a job")
    func fullQueue() throws {
        let workers = try Workers(threads: 1, queue: 2)
        let gate = Locked((isOpen: false, hasStarted: false))
        workers.run {
            gate.with { $0.hasStarted = true }
            gate.signalAll()
            gate.wait { $0.isOpen ? () : nil }
        }
        gate.wait { $0.hasStarted ? () : nil }
        #expect(workers.run {} && workers.run {} && !workers.run {})
        gate.with { $0.isOpen = true }
        gate.signalAll()
        workers.stop()
    }
}
