import Testing

@testable import LinuxKernel

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

    @Test("a loop runs on the caller's thread, again and again, and needs no other")
    func thisThread() throws {
        let loop = try EventLoop(named: "test")
        var count = 0
        for round in 1...3 {
            _ = loop.schedule(after: .milliseconds(1)) { count += 1 }
            loop.runOnThisThread(until: { count == round })
            #expect(loop.isCurrent && count == round)
        }
        loop.runOnThisThread(until: { true })
        loop.stop()
        loop.runOnThisThread()
        #expect(!loop.enqueue {})
    }

    @Test("what waits when a loop ends can be called off afterwards")
    func calledOffAtTheEnd() throws {
        let loop = try EventLoop(named: "test")
        var fired = false
        let actions = (1...3).map { loop.schedule(after: .seconds($0 * 1000)) { fired = true } }
        loop.stop()
        loop.runOnThisThread()
        for action in actions { loop.cancel(action) }
        #expect(!fired)
    }

    @Test("a watch is told while its descriptor is ready, and not after it was cancelled")
    func watch() throws {
        let loop = try EventLoop(named: "test")
        let counter = try EventCounter()
        var seen = 0
        let watch = try loop.watch(counter.descriptor.rawValue, for: .readable) { events in
            if events.contains(.readable) { seen += 1 }
        }
        counter.signal()
        loop.runOnThisThread(until: { seen == 3 })
        watch.change(to: [])
        var turns = 0
        let tick = { loop.whenTurnEnds { turns += 1 } }
        for _ in 0..<5 {
            tick()
            let before = turns
            loop.runOnThisThread(until: { turns > before })
        }
        #expect(seen == 3)
        watch.change(to: .readable)
        loop.runOnThisThread(until: { seen == 4 })
        watch.cancel()
        watch.cancel()
        tick()
        let before = turns
        loop.runOnThisThread(until: { turns > before })
        #expect(seen == 4)
    }

    @Test("a regular file is always ready, and the loop goes on beside it")
    func file() throws {
        let loop = try EventLoop(named: "test")
        let file = try Files.open("/proc/self/exe", [.readOnly])
        var (reads, fired) = (0, false)
        let watch = try loop.watch(file.rawValue, for: .readable) { events in
            #expect(events == .readable)
            reads += 1
        }
        _ = loop.schedule(after: .milliseconds(1)) { fired = true }
        loop.runOnThisThread(until: { fired && reads >= 3 })
        watch.change(to: [])
        let before = reads
        fired = false
        _ = loop.schedule(after: .milliseconds(1)) { fired = true }
        loop.runOnThisThread(until: { fired })
        #expect(reads == before)
        watch.change(to: .readable)
        loop.runOnThisThread(until: { reads > before })
        watch.cancel()
        #expect(throws: SystemCallError.self) { try loop.watch(-1, for: .readable) { _ in } }
    }
}
