import AgentAPI
import Jail
import RPC
import SandboxModel
import Testing

@testable import Agent

@Suite struct MeasuredOverheadTests {
    private static func cost(_ own: UInt64, _ kernel: UInt64?, pids: UInt64 = 1) -> SandboxCost {
        SandboxCost(initBytes: own << 10, kernelBytes: kernel.map { $0 << 10 }, pids: pids)
    }

    @Test("of alcove-init's memory the most counts, of the kernel's the least")
    func samples() {
        var measured = MeasuredOverhead(Self.cost(100, 700), at: 1)
        measured.add(Self.cost(60, 500, pids: 2), at: 2)
        measured.add(Self.cost(80, nil), at: 3)
        #expect(measured.resources == Resources(memoryBytes: 600 << 10, pids: 2))
        #expect(measured.samples == 3 && measured.atNanoseconds == 3)
        #expect(measured.source.hasSuffix("kernel memory of its cgroup, of 3 sandboxes"))
        let other = MeasuredOverhead(Self.cost(100, nil), at: 1)
        #expect(other.resources == Resources(memoryBytes: 100 << 10, pids: 1))
        #expect(other.source.hasPrefix("PSS of alcove-init, of 1 sandbox; no memory controller"))
    }

    @Test("what was measured on another kernel or by another agent is not taken over")
    func record() {
        let here = MeasuredOverhead.circumstances(kernel: "6.1.0-13-amd64", version: "1.2.3")
        for kernel in [nil, UInt64(3)] {
            let measured = MeasuredOverhead(Self.cost(100, kernel), at: 7)
            let text = measured.text(in: here)
            #expect(MeasuredOverhead(text, in: here) == measured)
            for other in ["6.1.0-14-amd64 1.2.3", "6.1.0-13-amd64 1.2.4", ""] {
                #expect(MeasuredOverhead(text, in: other) == nil)
            }
            // Whatever is cut off, it is all of it or nothing.
            for count in 0..<text.count
            where MeasuredOverhead(String(text.prefix(count)), in: here)
                == measured
            { Issue.record("\(count) characters are enough") }
        }
        #expect(MeasuredOverhead("\(here)\n1 x 1 1 1", in: here) == nil)
        #expect(MeasuredOverhead("\(here)\n1 - 1 0 1", in: here) == nil)
    }

    @Test("it is measured of sandboxes that run, told, reserved, and known after a restart")
    func life() throws {
        let node = try TestNode()
        node.agent.costDelay = .zero
        let floor = try #require(node.agent.capacity().overheads.first)
        #expect(floor.measured == nil && floor.measuredAtNanoseconds == 0 && floor.source.isEmpty)
        // Less than what the agent came with is told, and does not count.
        node.world.plan([Self.cost(100, nil)])
        try node.start(node.create("small"))
        let overhead = { node.agent.capacity().overheads.first }
        node.run { overhead()?.measuredAtNanoseconds != 0 }
        #expect(overhead()?.measured == AgentAPI.Resources(memoryBytes: 100 << 10, pids: 1))
        #expect(overhead()?.fixed == floor.fixed)
        // More does, for those that come after.
        let before = node.agent.admission.reserved.memoryBytes
        node.world.plan([Self.cost(3000, nil)])
        try node.start(node.create("large"))
        #expect(node.agent.admission.reserved.memoryBytes == 2 * before)
        node.run { overhead()?.fixed?.memoryBytes == 3000 << 10 }
        try node.create("next")
        let step = node.agent.admission.reserved.memoryBytes - 2 * before
        #expect(step == before - 1 << 20 + 3000 << 10)
        let known = node.agent.measuredOverheads
        try node.restart()
        #expect(node.agent.measuredOverheads == known && known[.process]?.samples == 2)
        #expect(node.agent.admission.reserved.memoryBytes == 3 * step)
    }

    @Test("after enough of them no more are looked at, and one that cannot be is no sample")
    func enough() throws {
        let node = try TestNode { $0.sandboxesLimit = 30 }
        node.agent.costDelay = .zero
        node.world.plan([SandboxCost](repeating: Self.cost(1, nil), count: 20))
        for index in 0..<12 {
            try node.start(node.create("s\(index)"))
            node.run { !node.agent.isMeasuringCost }
        }
        #expect(node.agent.measuredOverheads[.process]?.samples == MeasuredOverhead.mostSamples)
        var left = 0
        while node.world.nextCost() != nil { left += 1 }
        #expect(left == 20 - MeasuredOverhead.mostSamples)

        let other = try TestNode()
        other.agent.costDelay = .zero
        try other.start(other.create("a"))
        other.run { !other.agent.isMeasuringCost }
        #expect(other.agent.measuredOverheads.isEmpty)
    }
}
