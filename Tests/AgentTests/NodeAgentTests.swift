import AgentAPI
import LinuxKernel
import RPC
import SandboxModel
import Testing

@testable import Agent
@testable import Store

/// One thing at a time that went wrong, or could.
@Suite struct NodeAgentTests {
    @Test("a life from creation to removal leaves nothing behind")
    func life() throws {
        let node = try TestNode()
        let managed = try node.create("a")
        #expect(try node.storedIDs(.sandbox) == ["a"])
        try node.start(managed)
        #expect(managed.state == .running && managed.sandbox.startedAtNanoseconds > 0)
        try node.setPaused(managed, true)
        #expect(managed.state == .paused && node.world.processes.values.allSatisfy(\.isFrozen))
        try node.setPaused(managed, false)
        try node.stop(managed)
        #expect(managed.state == .stopped && node.world.processes.isEmpty)
        #expect(node.agent.admission.count == 0)
        try node.delete(managed)
        #expect(node.agent.registry.count == 0 && node.world.folder.names().isEmpty)
        #expect(try node.storedIDs(.sandbox) == [])
    }

    // MARK: - Scratch space on the disk

    @Test("no start waits for scratch space of another sandbox, and a start waits for its own")
    func scratchOnDisk() throws {
        let node = try TestNode { $0.logBytes = 1 << 20 }
        node.world.hold(.makeScratch)
        var answer: Result<Creation, CallFailure>?
        node.agent.create("disk", TestNode.specOnDisk(8 << 20)) { answer = $0 }
        node.agent.loop.enqueue {}
        node.world.waitFor(.prepare, count: 1)
        var isStarted = false
        node.agent.create("memory", TestNode.spec()) { result in
            guard let managed = try? result.get().managed else { return }
            node.agent.start(managed, deadline: nil) { _ in isStarted = true }
        }
        node.run { isStarted && node.world.count(.makeScratch) == 1 }
        #expect(answer == nil && node.agent.registry["memory"]?.state == .running)
        #expect(node.agent.admission.reserved.diskBytes == 9 << 20)
        node.world.release(.makeScratch)
        node.run { answer != nil }
        let managed = try #require(try answer?.get().managed)
        try node.settle()
        // The next agent has to make it anew.
        try node.restart()
        let same = try #require(node.agent.registry["disk"])
        try node.start(same)
        #expect(managed.prepared != nil && same.state == .running)
        #expect(node.world.count(.makeScratch) == 2 && node.world.violations == [])
        try node.delete(same, force: true)
        #expect(node.agent.admission.reserved.diskBytes == 0)
    }

    @Test("a sandbox whose scratch space cannot be made is refused, or fails, and holds nothing")
    func noScratch() throws {
        let node = try TestNode()
        node.world.fail(.makeScratch)
        let spec = TestNode.specOnDisk(8 << 20)
        #expect(throws: CallFailure.self) { try node.create("a", spec) }
        #expect(node.agent.registry.count == 0 && node.agent.admission.count == 0)
        try node.create("a", spec)
        try node.restart()
        node.world.fail(.makeScratch)
        let managed = try #require(node.agent.registry["a"])
        #expect(throws: CallFailure.self) { try node.start(managed) }
        #expect(managed.state == .failed && node.agent.admission.count == 0)
        let room = node.agent.admission.allocatable.diskBytes
        let error = #expect(throws: CallFailure.self) {
            try node.create("b", TestNode.specOnDisk(room))
        }
        #expect(error?.code == .resourceExhausted && node.agent.admission.count == 0)
    }

    // MARK: - A record that cannot be written

    @Test("a stop that cannot be written down changes nothing")
    func stopNotWritten() throws {
        let node = try TestNode()
        let created = try node.create("created")
        let running = try node.create("running")
        try node.start(running)
        let before = [created.sandbox, running.sandbox]
        try node.breakRecord()
        for managed in [created, running] {
            let error = #expect(throws: CallFailure.self) {
                try node.stop(managed, grace: .seconds(1))
            }
            #expect(error?.reason == "record_not_writable")
            #expect(throws: CallFailure.self) { try node.delete(managed, force: true) }
        }
        #expect([created.sandbox, running.sandbox] == before)
        #expect(running.stopGrace == running.usualStopGrace && running.graceTimer == nil)
        #expect(try node.process(of: running).phase == .running)
        node.repairRecord()
        try node.stop(running)
        try node.start(created)
        #expect(running.state == .stopped && created.state == .running)
    }

    @Test("a creation that cannot be written down gives back what it reserved")
    func creationNotWritten() throws {
        let node = try TestNode()
        try node.breakRecord()
        #expect(throws: CallFailure.self) { try node.create("a") }
        #expect(node.agent.admission.count == 0 && node.agent.registry.count == 0)
        node.repairRecord()
        try node.create("a")
    }

    @Test("what ends while it cannot be written down has ended, and is written down later")
    func endNotWritten() throws {
        let node = try TestNode()
        let managed = try node.create("a")
        try node.start(managed)
        try node.breakRecord()
        try node.process(of: managed).exit(code: 3)
        node.run { managed.state == .stopped }
        #expect(node.agent.admission.count == 0)
        let stale: [String: Sandbox] = try node.stored(.sandbox)
        #expect(stale["a"]?.state == .running)
        node.repairRecord()
        node.run { node.agent.journal.failure == nil }
        let stored: [String: Sandbox] = try node.stored(.sandbox)
        #expect(stored["a"] == managed.sandbox)
    }

    @Test("pausing again and again does not grow what waits to be written")
    func pauseNotWritten() throws {
        let node = try TestNode()
        let managed = try node.create("a")
        try node.start(managed)
        try node.breakRecord()
        try node.setPaused(managed, true)
        let error = #expect(throws: CallFailure.self) { try node.setPaused(managed, false) }
        #expect(error?.reason == "record_not_writable" && managed.state == .paused)
        node.repairRecord()
        try node.setPaused(managed, false)
        #expect(managed.state == .running)
    }

    // MARK: - Limits

    @Test("limits that change are reserved, and not when they are refused")
    func limits() throws {
        let node = try TestNode()
        let managed = try node.create("a", TestNode.spec(memory: 64 << 20))
        try node.start(managed)
        let before = node.agent.admission.reserved
        for (memory, policy): (UInt64, AgentAPI.LimitPolicy) in [
            (1 << 60, .strict), (128 << 20, .unrecognized(7)),
        ] {
            #expect(throws: CallFailure.self) {
                try node.update(managed, memory: memory, policy: policy)
            }
        }
        node.world.fail(.update)
        #expect(throws: CallFailure.self) { try node.update(managed, memory: 128 << 20) }
        try node.breakRecord()
        #expect(throws: CallFailure.self) { try node.update(managed, memory: 128 << 20) }
        node.repairRecord()
        #expect(node.agent.admission.reserved == before)
        #expect(try node.process(of: managed).limits.memoryBytes == 64 << 20)
        #expect(try node.storedIDs(.limitChange) == [])

        try node.update(managed, memory: 128 << 20)
        #expect(node.agent.admission.reserved.memoryBytes == before.memoryBytes + 64 << 20)
        #expect(try node.process(of: managed).limits.memoryBytes == 128 << 20)
        try node.update(managed, memory: 32 << 20)
        #expect(node.agent.admission.reserved.memoryBytes == before.memoryBytes - 32 << 20)
    }

    @Test("while limits change both are reserved, and no other change begins")
    func limitsUnderWay() throws {
        let node = try TestNode()
        let managed = try node.create("a", TestNode.spec(memory: 64 << 20))
        try node.start(managed)
        let before = node.agent.admission.reserved.memoryBytes
        node.world.hold(.update)
        var results: [Result<Void, CallFailure>] = []
        node.agent.update(managed, Limits(memoryBytes: 32 << 20), .bestEffort) {
            results.append($0)
        }
        #expect(node.agent.admission.reserved.memoryBytes == before)
        node.agent.update(managed, Limits(memoryBytes: 96 << 20), .bestEffort) {
            results.append($0)
        }
        #expect(results.count == 1 && (try? results[0].get()) == nil)
        // Its end waits for the change, and the removal for the end.
        node.agent.delete(managed, force: true) { results.append($0) }
        node.world.waitFor(.update, count: 1)
        node.world.releaseAll()
        node.run { results.count == 3 }
        try node.settle()
        #expect(node.agent.registry.count == 0 && node.agent.admission.count == 0)
        #expect(try node.storedIDs(.sandbox) == [] && node.storedIDs(.limitChange) == [])
        #expect(node.world.violations == [])
    }

    // MARK: - The gate

    @Test("one that is to stop while it starts leaves the gate when it runs")
    func gate() throws {
        let node = try TestNode { $0.startsInFlight = 1 }
        let slow = try node.create("slow")
        let next = try node.create("next")
        node.world.plan([.waits])
        var results: [String] = []
        node.agent.start(slow, deadline: nil) { _ in results.append("slow") }
        node.agent.start(next, deadline: nil) { _ in results.append("next") }
        node.agent.stop(slow, grace: .seconds(3600), signal: nil) { _ in results.append("stop") }
        try node.settle()
        #expect(results == [] && slow.state == .stopping(removes: false))
        let process = try node.process(of: slow)
        process.ignoreSignals()
        process.run()
        node.run { next.state == .running }
        #expect(results == ["next"] && slow.state == .stopping(removes: false))
        process.kill()
        node.run { results.count == 3 }
        #expect(slow.state == .stopped && node.agent.gate.inFlightCount == 0)
    }

    @Test("starts that fail at once let any number of others in")
    func manyFailingStarts() throws {
        let node = try TestNode {
            $0.startsInFlight = 1
            $0.startsQueued = 5000
            $0.sandboxesLimit = 5000
            $0.addressesLimit = 5000
        }
        let first = try node.create("first")
        node.world.plan([.waits])
        var failures = 0
        node.agent.start(first, deadline: nil) { _ in }
        var created = 0
        for index in 0..<90 {
            node.agent.create("s\(index)", TestNode.spec()) { _ in created += 1 }
        }
        node.run { created == 90 }
        for managed in node.agent.registry.all where managed !== first {
            node.agent.start(managed, deadline: nil) { result in
                if case .failure = result { failures += 1 }
            }
        }
        try node.settle()
        #expect(node.agent.gate.queuedCount == 90)
        try node.breakRecord()
        try node.process(of: first).run()
        node.run { failures == 90 }
        #expect(node.agent.gate.queuedCount == 0 && node.agent.gate.inFlightCount == 0)
        node.repairRecord()
    }

    @Test("where no start may wait, one that need not goes on")
    func noQueue() throws {
        let node = try TestNode {
            $0.startsQueued = 0
            $0.startQueueTimeout = .zero
        }
        let managed = try node.create("a")
        try node.start(managed)
        #expect(managed.state == .running)
    }

    @Test("a start that waited too long is refused, and can be asked for again")
    func late() throws {
        let node = try TestNode {
            $0.startsInFlight = 1
            $0.startQueueTimeout = .milliseconds(1)
        }
        node.world.plan([.waits])
        let slow = try node.create("slow")
        let other = try node.create("other")
        node.agent.start(slow, deadline: nil) { _ in }
        let error = #expect(throws: CallFailure.self) { try node.start(other) }
        #expect(error?.code == .resourceExhausted && error?.reason == "starts_busy")
        try node.process(of: slow).run()
        node.run { slow.state == .running }
        try node.start(other)
    }

    // MARK: - Ends

    @Test("who no longer waits is forgotten at once")
    func leaving() throws {
        let node = try TestNode()
        let managed = try node.create("a")
        try node.start(managed)
        try node.process(of: managed).ignoreSignals()
        var told = 0
        for _ in 0..<100 {
            node.agent.stop(managed, grace: .seconds(3600), signal: nil) { _ in told += 1 }()
        }
        #expect(managed.onEnded.count == 0)
        node.agent.stop(managed, grace: .zero, signal: nil) { _ in told += 1 }
        node.run { told > 0 }
        #expect(told == 1 && managed.state == .stopped)
    }

    @Test("a stop whose signal is not taken at once asks again before it kills")
    func busySignal() throws {
        let node = try TestNode()
        let managed = try node.create("a")
        try node.start(managed)
        node.world.fail(.signal, times: 3)
        var stopped = false
        node.agent.stop(managed, grace: .seconds(3600), signal: nil) { _ in stopped = true }
        node.run { stopped }
        #expect(node.world.count(.signal) == 4 && managed.state == .stopped)
    }

    @Test("an end that cannot be cleared away is told, and cleared again")
    func endNotCleared() throws {
        let node = try TestNode()
        let managed = try node.create("a")
        try node.start(managed)
        node.world.fail(.finish)
        try node.process(of: managed).exit(code: 0)
        node.run { managed.state.hasEnded }
        try node.settle()
        #expect(managed.state == .failed && node.world.processes.isEmpty)
        #expect(node.agent.admission.count == 0)
    }

    @Test("ends do not wait behind freezes, however many")
    func busyWorkers() throws {
        let node = try TestNode()
        var sandboxes: [ManagedSandbox] = []
        for index in 0..<5 {
            sandboxes.append(try node.create("p\(index)"))
            try node.start(sandboxes[index])
        }
        node.world.hold(.freeze)
        var paused = 0
        for managed in sandboxes.dropLast() {
            node.agent.setPaused(managed, true) { _ in paused += 1 }
        }
        var isRemoved = false
        node.agent.delete(sandboxes[4], force: true) { _ in isRemoved = true }
        node.run { isRemoved }
        #expect(paused == 0)
        node.world.release(.freeze)
        node.run { paused == 4 }
        #expect(sandboxes.filter { $0.state == .paused }.count == 4)
    }

    // MARK: - Removal and drain

    @Test("one that is being removed is not given to who creates it")
    func createWhileRemoving() throws {
        let node = try TestNode()
        let managed = try node.create("a")
        try node.start(managed)
        node.world.hold(.finish)
        var isRemoved = false
        node.agent.delete(managed, force: true) { _ in isRemoved = true }
        var error: CallFailure?
        node.agent.create("a", TestNode.spec()) { result in
            if case .failure(let failure) = result { error = failure }
        }
        #expect(error?.code == .aborted)
        node.world.releaseAll()
        node.run { isRemoved }
        let again = try node.create("a")
        #expect(again.number != managed.number && again.state == .created)
    }

    @Test("a sandbox of more bytes than may be kept is refused")
    func largeSpec() throws {
        let node = try TestNode()
        var spec = TestNode.spec()
        spec.environment = ["A=" + String(repeating: "x", count: 300 << 10)]
        let error = #expect(throws: CallFailure.self) { try node.create("a", spec) }
        #expect(error?.code == .invalidArgument && node.agent.admission.count == 0)
    }

    @Test("a drain that has told that none is left is not followed by a new one")
    func createWhileDraining() throws {
        let node = try TestNode()
        node.world.hold(.prepare)
        var error: CallFailure?
        node.agent.create("a", TestNode.spec()) { result in
            if case .failure(let failure) = result { error = failure }
        }
        try node.agent.beginDrain(within: nil)
        #expect(node.agent.drain?.isDone == true)
        node.world.releaseAll()
        node.run { error != nil }
        #expect(error?.reason == "draining" && node.agent.registry.count == 0)
        try node.agent.endDrain()
        try node.create("a")
    }

    @Test("the deadline of a drain stops what is left, also where that cannot be written down yet")
    func drainDeadline() throws {
        let node = try TestNode()
        let managed = try node.create("a")
        try node.create("b")
        try node.start(managed)
        try node.agent.beginDrain(within: .milliseconds(1))
        try node.breakRecord()
        let failed = { node.agent.journal.failure != nil }
        node.run(until: failed)
        node.repairRecord()
        node.run { node.agent.drain?.isDone == true }
        #expect(node.agent.remaining == 0 && managed.state == .stopped)
    }
}
