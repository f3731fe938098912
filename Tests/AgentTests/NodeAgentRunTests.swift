import AgentAPI
import LinuxKernel
import ProtocolBuffers
import RPC
import SandboxModel
import TestSupport
import Testing

@testable import Agent
@testable import Store

/// Requests, failures, ends and restarts at random, and what holds after each.
@Suite struct NodeAgentRunTests {
    /// One who called, and what was answered.
    private final class Caller {
        let what: String
        let id: String
        var answers = 0

        init(_ what: String, _ id: String) {
            self.what = what
            self.id = id
        }
    }

    private final class Run {
        let node: TestNode
        let ids = ["a", "b", "c", "d", "e", "f"]
        var random: SeededRandom
        var callers: [Caller] = []
        var log: [String] = []
        /// How many operations came to something.
        var counts: [String: Int] = [:]

        init(seed: UInt64) throws {
            random = SeededRandom(seed: seed)
            node = try TestNode {
                $0.sandboxesLimit = 5
                $0.startsInFlight = 2
                $0.startsQueued = 3
                $0.eventsKept = 100
            }
        }

        var agent: NodeAgent { node.agent }

        func chance(_ part: Int, of whole: Int) -> Bool {
            Int.random(in: 0..<whole, using: &random) < part
        }

        private func call<Value>(
            _ what: String, _ id: String
        ) -> (Result<Value, CallFailure>) -> Void {
            let caller = Caller(what, id)
            callers.append(caller)
            return { [self] result in
                caller.answers += 1
                if case .success = result { counts[what, default: 0] += 1 }
            }
        }

        // MARK: - Operations

        func step() throws {
            let id = ids.randomElement(using: &random) ?? "a"
            if node.recordIsBroken, chance(1, of: 5) { return toggleRecord() }
            if node.world.isHolding, chance(1, of: 4) { return holdOrRelease() }
            if agent.drain != nil, chance(1, of: 5) { return try drainOrEnd() }
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<16: create(id)
            case 16..<68: if let managed = agent.registry[id] { request(managed) }
            case 68..<78: moveProcess()
            case 78..<82: failNext()
            case 82..<87: toggleRecord()
            case 87..<92: holdOrRelease()
            case 92: try drainOrEnd()
            default: if chance(1, of: 2) { try restart() }
            }
        }

        private func create(_ id: String) {
            let memory = UInt64(Int.random(in: 1...3, using: &random)) << 20
            log.append("create \(id) \(memory)")
            if chance(1, of: 3) {
                node.world.plan([chance(1, of: 2) ? .waits : .failsInSetUp])
            }
            var spec = TestNode.spec(memory: memory)
            if chance(1, of: 4) { spec.scratchPlace = .disk }
            agent.create(id, spec, then: call("create", id))
        }

        private func request(_ managed: ManagedSandbox) {
            let id = managed.id
            // As the service finds it.
            guard managed.isCreated, managed.state != .removing else { return }
            // Mostly what makes sense as it is, and whatever else there is.
            let usual: [Int] =
                switch managed.state {
                case .created, .starting: [0]
                case .running: [3, 4, 4, 9, 9]
                case .paused: [4, 9]
                case .stopping, .stopped, .failed, .removing: [7]
                }
            let kind =
                chance(3, of: 4)
                ? usual.randomElement(using: &random) ?? 0 : Int.random(in: 0..<12, using: &random)
            log.append("request \(kind) of \(id) \(managed.state)")
            switch kind {
            case 0..<3: agent.start(managed, deadline: nil, then: call("start", id))
            case 3: agent.setPaused(managed, true, then: call("pause", id))
            case 4: agent.setPaused(managed, false, then: call("resume", id))
            case 5, 6:
                let grace: Duration = chance(1, of: 2) ? .zero : .seconds(3600)
                agent.stop(managed, grace: grace, signal: nil, then: call("stop", id))
            case 7: agent.delete(managed, force: false, then: call("delete", id))
            case 8: agent.delete(managed, force: true, then: call("delete", id))
            case 9:
                let memory = UInt64(Int.random(in: 1...4, using: &random)) << 20
                agent.update(
                    managed, Limits(memoryBytes: memory), .bestEffort, then: call("update", id))
            case 10: agent.stop(managed, grace: nil, signal: nil) { _ in }()
            default: wait(for: managed)
            }
        }

        private func wait(for managed: ManagedSandbox) {
            let told: (Result<Void, CallFailure>) -> Void = call("wait", managed.id)
            if managed.state.hasEnded { return told(.success(())) }
            managed.onEnded.add { told(.success(())) }
        }

        private func failNext() {
            let kind = FakeWorld.Call.allCases.randomElement(using: &random) ?? .start
            // A world that fails the recovery is not one whose sandboxes could be kept.
            guard kind != .recover else { return }
            log.append("fail \(kind)")
            node.world.fail(kind)
        }

        private func toggleRecord() {
            log.append(node.recordIsBroken ? "repair" : "break")
            if node.recordIsBroken { node.repairRecord() } else { try? node.breakRecord() }
        }

        private func holdOrRelease() {
            if node.world.isHolding {
                log.append("release")
                node.world.releaseAll()
            } else {
                let kinds: [FakeWorld.Call] = [
                    .prepare, .makeScratch, .start, .freeze, .update, .finish, .clear,
                ]
                let kind = kinds.randomElement(using: &random) ?? .freeze
                log.append("hold \(kind)")
                node.world.hold(kind)
            }
        }

        private func drainOrEnd() throws {
            guard !node.recordIsBroken else { return }
            log.append("drain")
            if agent.drain == nil {
                try agent.beginDrain(within: chance(1, of: 2) ? .zero : nil)
            } else {
                try agent.endDrain()
            }
        }

        private func restart() throws {
            // What could not be written down is lost with the agent that knew it, and found out
            // anew; that those who called hear nothing is theirs to see.
            log.append("restart")
            callers = []
            try node.restart()
        }

        private func moveProcess() {
            let live = node.world.processes.values.filter { !$0.hasEnded }
            guard
                let process = live.sorted(by: { $0.number < $1.number })
                    .randomElement(using: &random)
            else { return }
            log.append("process \(process.number) \(process.phase)")
            switch process.phase {
            case .settingUp: if chance(1, of: 3) { process.failInSetUp() } else { process.run() }
            case .running:
                switch Int.random(in: 0..<4, using: &random) {
                case 0: process.ignoreSignals()
                case 1: process.exit(code: 1)
                default: break
                }
            case .failed, .ended, .killed, .outOfMemory: break
            }
        }

        // MARK: - What holds

        /// At any time.
        func checkAlways(_ comment: Comment) throws {
            let all = agent.registry.all
            let holders = all.filter { !$0.isCreated || $0.state.holdsReservation }
            #expect(agent.admission.count == holders.count, comment)
            var sum = Resources.none
            for holder in holders {
                let reservation = agent.admission.reservation(of: holder.id)
                #expect(reservation != nil, comment)
                sum = sum.adding(reservation ?? .none)
            }
            #expect(agent.admission.reserved == sum, comment)
            #expect(sum.sandboxes <= 5, comment)
            #expect(callers.allSatisfy { $0.answers <= 1 }, comment)
            #expect(node.world.violations == [], comment)
            for managed in all {
                // Starts that were adopted are not in the gate; whoever waits for one that was
                // asked to stop is told when it has ended.
                let waits = agent.gate.contains(managed.id) || managed.state.isUnsettled
                #expect(waits || managed.onStarted.count == 0, comment)
            }
            try checkRecord(comment)
        }

        private func checkRecord(_ comment: Comment) throws {
            let store = agent.journal.store
            let events = try store.events(from: 1, limit: 100_000)
            let last = Int64(agent.journal.history.last)
            #expect(events.last?.number == last, comment)
            #expect(
                events.map(\.number) == Array(Int64(agent.journal.history.oldest)...last), comment)
            guard agent.journal.failure == nil else { return }
            let stored: [String: Sandbox] = try node.stored(.sandbox)
            let kept = agent.registry.all.filter { $0.isCreated && $0.state != .removing }
            #expect(Set(stored.keys) == Set(kept.map(\.id)), comment)
            for managed in kept {
                #expect(stored[managed.id]?.state == managed.sandbox.state, comment)
                #expect(stored[managed.id]?.spec == managed.sandbox.spec, comment)
                #expect(stored[managed.id]?.outcome == managed.sandbox.outcome, comment)
            }
            let removals = kept.filter { $0.state == .stopping(removes: true) }
            #expect(try node.storedIDs(.removal) == Set(removals.map(\.id)), comment)
            let changes = kept.filter { $0.limitChange != nil }
            #expect(try node.storedIDs(.limitChange) == Set(changes.map(\.id)), comment)
        }

        /// When nothing is left to do.
        func checkSettled(_ comment: Comment) {
            let all = agent.registry.all
            var live: Set<Int64> = []
            for managed in all {
                #expect(managed.isCreated && managed.state != .removing, comment)
                #expect(managed.jobs.isEmpty && !managed.isChangingPause, comment)
                #expect(managed.limitChange == nil, comment)
                #expect((managed.running != nil) == managed.state.isLive, comment)
                if managed.state.isLive {
                    live.insert(managed.number)
                    check(managed, comment)
                }
                if managed.state.hasEnded { #expect(managed.prepared == nil, comment) }
            }
            // What could not be cleared is empty, and goes with the removal or the next agent.
            let there = node.world.processes
            #expect(live.isSubset(of: there.keys), comment)
            #expect(
                there.values.allSatisfy { live.contains($0.number) || $0.hasEnded }, comment)
            let inFlight = all.count { agent.gate.contains($0.id) && $0.state != .created }
            #expect(agent.gate.inFlightCount == inFlight, comment)
            if agent.gate.queuedCount > 0 { #expect(inFlight == 2, comment) }
            for caller in callers where caller.answers == 0 {
                #expect(isWaiting(caller), "\(caller.what) of \(caller.id): \(comment)")
            }
            callers.removeAll { $0.answers == 1 }
        }

        private func check(_ managed: ManagedSandbox, _ comment: Comment) {
            guard let process = node.world.process(managed.number) else { return }
            switch managed.state {
            case .starting: #expect(process.phase == .settingUp, comment)
            case .running: #expect(process.phase == .running && !process.isFrozen, comment)
            case .paused: #expect(process.phase == .running && process.isFrozen, comment)
            default: #expect(!process.hasEnded, comment)
            }
            #expect(process.limits.memoryBytes == managed.spec.limits.memoryBytes, comment)
        }

        /// Whether it is right that one has no answer yet.
        private func isWaiting(_ caller: Caller) -> Bool {
            guard let managed = agent.registry[caller.id] else { return false }
            return switch caller.what {
            case "start":
                agent.gate.contains(caller.id) || managed.state.isUnsettled
            case "stop", "wait": !managed.state.hasEnded
            default: false
            }
        }

        /// All is well again, and everything ends.
        func end() throws {
            node.world.releaseAll()
            node.world.failNothing()
            node.repairRecord()
            node.run { agent.journal.failure == nil }
            try node.settle()
            for managed in agent.registry.all {
                agent.delete(managed, force: true, then: call("delete", managed.id))
            }
            try node.settle()
            #expect(agent.registry.count == 0 && agent.admission.count == 0)
            #expect(agent.gate.inFlightCount == 0 && agent.gate.queuedCount == 0)
            #expect(callers.allSatisfy { $0.answers == 1 })
            try node.restart()
            try node.settle()
            #expect(node.world.processes.isEmpty && node.world.folder.names().isEmpty)
            for kind in [RecordKind.sandbox, .removal, .limitChange, .requested] {
                #expect(try node.storedIDs(kind) == [])
            }
        }
    }

    @Test("whatever is asked for and fails, all is answered, counted and written down once")
    func runs() throws {
        var counts: [String: Int] = [:]
        for seed in 1...12 as ClosedRange<UInt64> {
            let run = try Run(seed: seed)
            for step in 0..<500 { try take(step, of: run, seed) }
            try run.end()
            counts.merge(run.counts, uniquingKeysWith: +)
        }
        let expected = ["create", "start", "pause", "resume", "stop", "delete", "update", "wait"]
        #expect(expected.allSatisfy { counts[$0] ?? 0 > 0 }, "\(counts)")
    }

    private func take(_ step: Int, of run: Run, _ seed: UInt64) throws {
        try run.step()
        let comment: Comment = "seed \(seed), step \(step), \(run.log.suffix(12))"
        try run.checkAlways(comment)
        // Often all comes back before the next one, and often it does not.
        if run.chance(2, of: 3), !run.node.world.isHolding {
            try run.node.settle()
            try run.checkAlways(comment)
            run.checkSettled(comment)
        } else if run.chance(1, of: 2) {
            try run.node.takeTurn()
        }
    }
}

extension SandboxLifecycle.State {
    fileprivate var isUnsettled: Bool {
        switch self {
        case .starting, .stopping: true
        case .created, .running, .paused, .stopped, .failed, .removing: false
        }
    }
}
