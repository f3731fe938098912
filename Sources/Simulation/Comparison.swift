/// What the functions of one class met, or all of them.
public struct KindOutcome: Equatable, Sendable {
    public let kind: String
    public internal(set) var functions = 0
    public internal(set) var invocations = 0
    public internal(set) var made = 0
    /// How long those waited that found none ready, sorted; in microseconds.
    public internal(set) var coldWaits: [Int] = []
    public internal(set) var idleGiBSeconds = 0.0
    public internal(set) var busyGiBSeconds = 0.0
    public internal(set) var timeline: Timeline
    private let readyWait: Int

    init(kind: String, readyWait: Int, timeline: Timeline) {
        self.kind = kind
        self.readyWait = readyWait
        self.timeline = timeline
    }

    public var coldShare: Double {
        invocations == 0 ? 0 : Double(coldWaits.count) / Double(invocations)
    }

    /// By the nearest rank: so many of a thousand waited at most that long, in microseconds.
    public func wait(perMille: Int) -> Int {
        guard invocations > 0 else { return 0 }
        let rank = max(1, (invocations * perMille + 999) / 1000)
        // What was ready has waited for the same short time; that may lie between cold ones.
        let shorter = coldWaits.partitioningIndex { $0 >= readyWait }
        let warm = invocations - coldWaits.count
        if rank <= shorter { return coldWaits[rank - 1] }
        if rank <= shorter + warm { return readyWait }
        return coldWaits[rank - warm - 1]
    }

    mutating func add(_ outcome: PoolOutcome, memoryMiB: Int) {
        functions += 1
        invocations += outcome.invocations
        made += outcome.made
        coldWaits += outcome.coldWaits
        let scale = Double(memoryMiB) / 1024 / 1e6
        idleGiBSeconds += Double(outcome.idle) * scale
        busyGiBSeconds += Double(outcome.busy) * scale
        timeline.add(outcome.timeline)
    }

    mutating func sort() { coldWaits.sort() }
}

extension Timeline {
    mutating func add(_ other: Timeline) {
        for place in idle.indices {
            idle[place] += other.idle[place]
            busy[place] += other.busy[place]
            cold[place] += other.cold[place]
        }
    }
}

extension Array where Element == Int {
    /// The first place from which on the condition holds, where it never ceases to.
    func partitioningIndex(where holds: (Int) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if holds(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

/// A trace under one way of keeping instances: each class, and all of them.
public struct SimulationOutcome: Equatable, Sendable {
    public let keeping: Keeping
    public let kinds: [KindOutcome]
    public let total: KindOutcome

    public init(_ trace: Trace, _ keeping: Keeping, costs: StartCosts, parts: Int) {
        self.keeping = keeping
        let end = trace.length
        func none(_ kind: String) -> KindOutcome {
            KindOutcome(
                kind: kind, readyWait: costs.ready, timeline: Timeline(parts: parts, length: end))
        }
        var kinds = trace.kinds.map(none)
        var total = none("all")
        for function in trace.functions {
            let run = PoolRun(keeping, costs: costs, end: end, parts: parts)
            let outcome = run.run(function.invocations)
            total.add(outcome, memoryMiB: function.memoryMiB)
            guard let place = kinds.firstIndex(where: { $0.kind == function.kind }) else {
                continue
            }
            kinds[place].add(outcome, memoryMiB: function.memoryMiB)
        }
        for place in kinds.indices { kinds[place].sort() }
        total.sort()
        self.kinds = kinds
        self.total = total
    }
}
