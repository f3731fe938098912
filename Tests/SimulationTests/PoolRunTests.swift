import SandboxModel
import Simulation
import TestSupport
import Testing

/// The simulator against what can be known without it.
@Suite struct PoolRunTests {
    private func trace(
        _ invocations: [(arrival: Int, duration: Int)], memoryMiB: Int = 1024
    ) -> Trace {
        Trace(functions: [
            Trace.Function(
                name: "f", kind: "k", memoryMiB: memoryMiB,
                invocations: invocations.map {
                    Trace.Invocation(arrival: $0.arrival, duration: $0.duration)
                })
        ])
    }

    private func random(_ seed: UInt64) -> [(arrival: Int, duration: Int)] {
        var random = SeededRandom(seed: seed)
        var now = 0
        return (0..<2000).map { _ in
            now += Int.random(in: 0...(Bool.random(using: &random) ? 50 : 5000), using: &random)
            return (now, Int.random(in: 1...9000, using: &random))
        }
    }

    @Test("without a pool each one waits for its own, and nothing is idle")
    func none() {
        let costs = StartCosts(cold: 70, ready: 3)
        let outcome = SimulationOutcome(trace(random(1)), .none, costs: costs, parts: 5).total
        #expect(outcome.invocations == 2000 && outcome.coldWaits.count == 2000)
        #expect(outcome.made == 2000 && outcome.idleGiBSeconds == 0)
        #expect(outcome.wait(perMille: 500) == 70 && outcome.wait(perMille: 1000) == 70)
    }

    @Test("with keep-alive the waits and idle times are those of a naive model", arguments: 1...6)
    func keepAlive(seed: UInt64) {
        let kept = [0, 100, 4000, 20_000, 100_000, 1 << 40][Int(seed) - 1]
        let invocations = random(seed)
        let costs = StartCosts(cold: 700, ready: 3)
        let outcome = SimulationOutcome(
            trace(invocations), .keepAlive(kept), costs: costs, parts: 7
        ).total
        // Every instance in a list: when it is free. The one that was free last is taken.
        var instances: [Int] = []
        var cold = 0
        var idle = 0
        let end = invocations.last?.arrival ?? 0
        for (arrival, duration) in invocations {
            for free in instances where free + kept <= arrival { idle += min(kept, end - free) }
            instances.removeAll { $0 + kept <= arrival }
            var wait = costs.ready
            let free = instances.indices.filter { instances[$0] <= arrival }
                .max { instances[$0] < instances[$1] }
            if let free {
                idle += arrival - instances[free]
                instances.remove(at: free)
            } else {
                cold += 1
                wait = costs.cold
            }
            instances.append(arrival + wait + duration)
        }
        for free in instances where free < end { idle += min(end, free + kept) - free }
        #expect(outcome.coldWaits.count == cold, "seed \(seed)")
        #expect((outcome.idleGiBSeconds - Double(idle) / 1e6).magnitude < 1e-6, "seed \(seed)")
    }

    @Test("what was made is what ran, and its parts over time add up", arguments: 1...6)
    func conservation(seed: UInt64) {
        let trace = TraceGenerator(seed: seed, functionsOfEach: 1, seconds: 3000)
            .trace(of: [.steady, .bursty, .spiky])
        let policy = Keeping.policy(PoolPolicy.Settings(leadSeconds: 0.1))
        for keeping in [Keeping.none, .keepAlive(60_000_000), policy] {
            let costs = StartCosts(cold: 100_000)
            let outcome = SimulationOutcome(trace, keeping, costs: costs, parts: 10)
            #expect(outcome == SimulationOutcome(trace, keeping, costs: costs, parts: 10))
            #expect(outcome.total.invocations == trace.count)
            #expect(outcome.total.made >= outcome.total.coldWaits.count)
            #expect(outcome.kinds.reduce(0) { $0 + $1.invocations } == trace.count)
            #expect(outcome.total.timeline.cold.reduce(0, +) == outcome.total.coldWaits.count)
            #expect(outcome.total.coldWaits.allSatisfy { (0...costs.cold).contains($0) })
            // Each works as long as its invocations last and wait, whoever keeps it.
            for (place, kind) in outcome.kinds.enumerated() {
                let function = trace.functions[place]
                let lasting = function.invocations.reduce(0) { $0 + $1.duration }
                let warm = kind.invocations - kind.coldWaits.count
                let waits = kind.coldWaits.reduce(0, +) + warm * costs.ready
                let busy = Double(lasting + waits) / 1e6 * Double(function.memoryMiB) / 1024
                #expect((kind.busyGiBSeconds - busy).magnitude < 1e-6 * busy)
            }
        }
    }

    @Test("one that is being made serves whoever waits, for the rest of that time")
    func takenOver() {
        let settings = PoolPolicy.Settings(least: 1, leadSeconds: 0)
        let outcome = SimulationOutcome(
            trace([(40, 10), (45, 10), (500, 10)]), .policy(settings),
            costs: StartCosts(cold: 100, ready: 1), parts: 1
        ).total
        // Begun at 0 and at 40; the third finds the two that have been used.
        #expect(outcome.coldWaits == [60, 95] && outcome.made == 3)
    }

    @Test("a node that makes only so many a second lets others wait their turn")
    func interval() {
        let outcome = SimulationOutcome(
            trace([(0, 1), (0, 1), (0, 1)]), .none,
            costs: StartCosts(cold: 100, ready: 1, interval: 30), parts: 1
        ).total
        #expect(outcome.coldWaits == [100, 130, 160])
        #expect([1, 334, 667, 1000].map { outcome.wait(perMille: $0) } == [100, 130, 160, 160])
    }
}
