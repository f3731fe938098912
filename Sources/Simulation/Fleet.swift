/// Many nodes, each with a pool of its own, and a load that grows within a second.
///
/// Every node has one function. Who spreads the starts knows nothing of the nodes: either each
/// start goes to a node by chance, or they go round, so that each node has its starts at even
/// intervals.
public struct Fleet: Hashable, Sendable {
    public enum Routing: String, CaseIterable, Sendable {
        case random
        case even
    }

    public var nodes: Int
    /// Starts a second on each node, before.
    public var rate: Double
    /// How many times that they become.
    public var factor: Double
    /// The typical time that one runs; they vary by half and double.
    public var durationSeconds: Double
    /// So long before the load grows, and from then on.
    public var secondsBefore: Int
    public var secondsAfter: Int
    public var routing: Routing
    public var seed: UInt64

    public init(
        nodes: Int = 10_000, rate: Double = 4, factor: Double = 2, durationSeconds: Double = 0.5,
        secondsBefore: Int = 120, secondsAfter: Int = 30, routing: Routing = .random,
        seed: UInt64 = 1
    ) {
        precondition(nodes > 0 && rate > 0 && factor >= 1, "a fleet without load")
        precondition(durationSeconds > 0 && secondsBefore > 0 && secondsAfter > 0)
        self.nodes = nodes
        self.rate = rate
        self.factor = factor
        self.durationSeconds = durationSeconds
        self.secondsBefore = secondsBefore
        self.secondsAfter = secondsAfter
        self.routing = routing
        self.seed = seed
    }

    /// Before that it is not looked at: pools begin empty.
    public var secondsToSettle: Int { secondsBefore / 2 }

    public func run(_ keeping: Keeping, costs: StartCosts) -> FleetOutcome {
        var outcome = FleetOutcome(keeping: keeping, fleet: self)
        var seeds = SimulatedRandom(seed: seed)
        let end = (secondsBefore + secondsAfter) * 1_000_000
        for _ in 0..<nodes {
            let invocations = invocations(SimulatedRandom(seed: seeds.next()))
            let run = PoolRun(keeping, costs: costs, end: end, parts: 1)
            outcome.add(invocations, run.run(invocations))
        }
        outcome.sort()
        return outcome
    }

    /// Starts of one node.
    private func invocations(_ seeded: SimulatedRandom) -> [Trace.Invocation] {
        var random = seeded
        var invocations: [Trace.Invocation] = []
        let change = Double(secondsBefore)
        let end = change + Double(secondsAfter)
        var time = 0.0
        var load = routing == .even ? random.unit() : random.exponential(mean: 1)
        while true {
            // The time at which so much load has come, more of it while the rate grows.
            time = self.time(ofLoad: load, change: change)
            guard time < end else { return invocations }
            let duration = durationSeconds * Mathematics.exponential(random.normal() * 0.5)
            invocations.append(
                Trace.Invocation(arrival: Int(time * 1e6), duration: max(1, Int(duration * 1e6))))
            load += routing == .even ? 1 : random.exponential(mean: 1)
        }
    }

    private func time(ofLoad load: Double, change: Double) -> Double {
        let before = rate * change
        if load <= before { return load / rate }
        let growth = rate * (factor - 1)
        let during = rate + growth / 2
        let rest = load - before
        if rest >= during { return change + 1 + (rest - during) / (rate * factor) }
        // rate · t + growth · t² / 2 = rest
        let root = (rate * rate + 2 * growth * rest).squareRoot()
        return change + 2 * rest / (rate + root)
    }
}

/// What the starts of a fleet met.
public struct FleetOutcome: Equatable, Sendable {
    /// The starts of a time.
    public struct Part: Equatable, Sendable {
        public internal(set) var starts = 0
        /// How long those waited that found none ready, sorted; in microseconds.
        public internal(set) var waits: [Int] = []

        public var coldShare: Double { starts == 0 ? 0 : Double(waits.count) / Double(starts) }

        /// Of those that waited, by the nearest rank.
        public func wait(perMille: Int) -> Int {
            waits.isEmpty ? 0 : waits[max(1, (waits.count * perMille + 999) / 1000) - 1]
        }
    }

    public let keeping: Keeping
    public let fleet: Fleet
    /// From when the pools have settled until the load grows.
    public internal(set) var before = Part()
    /// From then on.
    public internal(set) var after = Part()
    /// Each second since the simulation's beginning.
    public internal(set) var seconds: [Part]
    /// Ready ones on average, on each node, over the whole time.
    public internal(set) var meanIdle = 0.0

    init(keeping: Keeping, fleet: Fleet) {
        self.keeping = keeping
        self.fleet = fleet
        seconds = Array(repeating: Part(), count: fleet.secondsBefore + fleet.secondsAfter)
    }

    mutating func add(_ invocations: [Trace.Invocation], _ outcome: PoolOutcome) {
        for invocation in invocations {
            seconds[min(invocation.arrival / 1_000_000, seconds.count - 1)].starts += 1
        }
        for (arrival, wait) in zip(outcome.coldArrivals, outcome.coldWaits) {
            seconds[min(arrival / 1_000_000, seconds.count - 1)].waits.append(wait)
        }
        let length = Double(seconds.count) * 1e6 * Double(fleet.nodes)
        meanIdle += Double(outcome.idle) / length
    }

    mutating func sort() {
        for (second, part) in seconds.enumerated() where second >= fleet.secondsToSettle {
            if second < fleet.secondsBefore {
                before.starts += part.starts
                before.waits += part.waits
            } else {
                after.starts += part.starts
                after.waits += part.waits
            }
        }
        for place in seconds.indices { seconds[place].waits.sort() }
        before.waits.sort()
        after.waits.sort()
    }
}
