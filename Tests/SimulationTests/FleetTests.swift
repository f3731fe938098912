import SandboxModel
import Simulation
import Testing

@Suite struct FleetTests {
    private let costs = StartCosts(cold: 100_000, ready: 400, interval: 20_000)

    @Test("the load grows within a second to its factor, by chance or evenly")
    func load() {
        for routing in Fleet.Routing.allCases {
            let fleet = Fleet(
                nodes: 200, rate: 5, factor: 3, secondsBefore: 10, secondsAfter: 6,
                routing: routing)
            let starts = fleet.run(.none, costs: costs).seconds.map(\.starts)
            for (second, count) in starts.enumerated() {
                let expected = second < 10 ? 1000.0 : second == 10 ? 2000 : 3000
                let chance = routing == .even ? 210 : 6 * expected.squareRoot()
                #expect((Double(count) - expected).magnitude <= chance, "\(second): \(count)")
            }
        }
    }

    @Test("the same seed gives the same outcome, and every start is counted once")
    func sums() {
        let fleet = Fleet(nodes: 50, secondsBefore: 20, secondsAfter: 10)
        let policy = Keeping.policy(PoolPolicy.Settings())
        let outcome = fleet.run(policy, costs: costs)
        #expect(outcome == fleet.run(policy, costs: costs))
        let counted = outcome.seconds.dropFirst(fleet.secondsToSettle)
        #expect(
            outcome.before.starts + outcome.after.starts
                == counted.reduce(0) { $0 + $1.starts })
        #expect(
            outcome.before.waits.count + outcome.after.waits.count
                == counted.reduce(0) { $0 + $1.waits.count })
        #expect(outcome.after.waits == outcome.after.waits.sorted())
        #expect(outcome.after.coldShare < fleet.run(.none, costs: costs).after.coldShare / 100)
    }

    @Test("without a pool all wait, longer where a node makes few a second")
    func slowNodes() {
        let fleet = Fleet(nodes: 20, rate: 20, secondsBefore: 4, secondsAfter: 4)
        let quick = fleet.run(.none, costs: StartCosts(cold: 100_000)).after
        let slow = fleet.run(.none, costs: StartCosts(cold: 100_000, interval: 24_000)).after
        #expect(quick.coldShare == 1 && quick.wait(perMille: 1000) == 100_000)
        #expect(slow.coldShare == 1 && slow.wait(perMille: 500) > 100_000)
    }
}
