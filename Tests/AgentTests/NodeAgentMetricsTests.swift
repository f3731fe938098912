import AgentAPI
import AgentOperations
import ImageStore
import LinuxKernel
import RPC
import SandboxModel
import Testing

@testable import Agent

/// What takes no time on a real host, or goes wrong there at random, and is counted all the same.
/// The rest is counted by `metrics.py`, on a real one.
@Suite struct NodeAgentMetricsTests {
    @Test("starts are counted while they go on and wait, and by what came of them")
    func starts() throws {
        let node = try TestNode {
            $0.startsInFlight = 1
            $0.startsQueued = 2
        }
        let names = ["slow", "left", "late", "refused"]
        let sandboxes = try names.map { try node.create($0) }
        node.world.plan([.waits])
        let soon = MonotonicClock.nanoseconds(after: .milliseconds(250))
        for (index, managed) in sandboxes.enumerated() {
            node.agent.start(managed, deadline: index == 2 ? soon : nil) { _ in }
        }
        node.run { node.metric("alcove_sandbox_starts_total", "refused") == 1 }
        node.run { node.metric("alcove_sandbox_starts_total", "expired") == 1 }
        try node.settle()
        node.agent.setGauges()
        #expect(node.metric("alcove_starts_in_flight") == 1)
        #expect(node.metric("alcove_starts_queued") == 1)
        #expect(node.metric("alcove_sandboxes", "starting") == 1)
        try node.delete(sandboxes[1], force: true)
        #expect(node.metric("alcove_sandbox_starts_total", "abandoned") == 1)
        let process = try node.process(of: sandboxes[0])
        process.run()
        node.run { sandboxes[0].state == .running }
        #expect(node.metric("alcove_sandbox_starts_total", "running") == 1)
        #expect(node.metric("alcove_sandbox_start_seconds_count", "total") == 1)
    }

    @Test("an import that the node's own disk fails is counted as that")
    func imports() throws {
        let node = try TestNode()
        let failure = CallFailure(ImageError(.storage, "write: Input/output error"))
        node.agent.count(import: .failure(failure), nanoseconds: 1)
        #expect(node.metric("alcove_image_imports_total", "failed") == 1)
        #expect(node.metric("alcove_image_imports_total", "invalid") == 0)
    }

    @Test("sandboxes are counted in states that do not last")
    func states() throws {
        let node = try TestNode()
        let (stopping, removing) = (try node.create("a"), try node.create("b"))
        for managed in [stopping, removing] {
            try node.start(managed)
            try node.process(of: managed).ignoreSignals()
        }
        node.agent.stop(stopping, grace: .seconds(3600), signal: nil) { _ in }
        node.world.hold(.finish)
        node.agent.delete(removing, force: true) { _ in }
        node.agent.setGauges()
        #expect(node.metric("alcove_sandboxes", "stopping") == 2)
        node.world.releaseAll()
        try node.process(of: stopping).kill()
        node.run { stopping.state.hasEnded && node.agent.registry.count == 1 }
        try node.settle()
        node.world.hold(.clear)
        node.agent.delete(stopping, force: false) { _ in }
        node.agent.setGauges()
        #expect(node.metric("alcove_sandboxes", "removing") == 1)
        node.world.releaseAll()
    }

    @Test("what the node could not do is counted, and what became of sandboxes without a trace")
    func failures() throws {
        let node = try TestNode()
        node.world.fail(.prepare)
        let failure = #expect(throws: CallFailure.self) { try node.create("a") }
        // As the call that it is of counts it.
        node.agent.count(creation: .failure(try #require(failure)))
        #expect(node.metric("alcove_sandbox_creates_total", "failed") == 1)
        let (lost, failed, greedy) = (
            try node.create("lost"), try node.create("failed"), try node.create("greedy")
        )
        try node.start(lost)
        node.world.fail(.finish)
        try node.process(of: lost).kill()
        node.run { lost.state.hasEnded }
        node.world.plan([.failsInSetUp])
        #expect(throws: CallFailure.self) { try node.start(failed) }
        try node.start(greedy)
        try node.process(of: greedy).runOutOfMemory()
        node.run { greedy.state.hasEnded }
        #expect(node.metric("alcove_sandbox_ends_total", "lost") == 1)
        #expect(node.metric("alcove_sandbox_ends_total", "set_up_failed") == 1)
        #expect(node.metric("alcove_sandbox_ends_total", "out_of_memory") == 1)
        #expect(node.metric("alcove_sandbox_starts_total", "failed") == 1)
        try node.breakRecord()
        #expect(throws: CallFailure.self) { try node.create("b") }
        #expect(node.metric("alcove_store_failures_total") == 1)
        node.repairRecord()
    }

    @Test("the node's amounts are there before anything happens")
    func amounts() throws {
        let node = try TestNode { $0.sandboxesLimit = 7 }
        node.agent.setGauges()
        #expect(node.metric("alcove_node_sandbox_slots", "total") == 7)
        #expect(node.metric("alcove_node_memory_bytes", "used") ?? 0 > 0)
        #expect(node.metric("alcove_store_bytes") ?? 0 > 0)
    }
}

extension TestNode {
    /// The value of a series, by its metric's name and the value of its only label.
    func metric(_ name: String, _ label: String? = nil) -> Double? {
        for line in agent.metrics.text().split(separator: "\n") {
            let parts = line.split(separator: " ")
            guard parts.count == 2 else { continue }
            let series = parts[0].split(separator: "{")
            guard series.first == name[...] else { continue }
            let isMeant =
                label.map { series.last?.hasSuffix("=\"\($0)\"}") == true } ?? (series.count == 1)
            if isMeant { return Double(parts[1]) }
        }
        return nil
    }
}
