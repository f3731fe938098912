public import SandboxModel

/// Who decides how many instances of a function are there.
public enum Keeping: Hashable, Sendable {
    /// Each invocation makes one and leaves none.
    case none
    /// What an invocation leaves is kept for so many microseconds after its last use.
    case keepAlive(Int)
    /// What the policy of pools asks for.
    case policy(PoolPolicy.Settings)
}

/// What making and taking an instance costs, in microseconds.
public struct StartCosts: Hashable, Sendable {
    /// To make one from nothing, for a pool or for an invocation that waits.
    public var cold: Int
    /// To take one that is ready.
    public var ready: Int
    /// The least time between the beginnings of two on the same node; 0 for no limit.
    public var interval: Int

    public init(cold: Int = 100_000, ready: Int = 400, interval: Int = 0) {
        precondition(cold >= 0 && ready >= 0 && interval >= 0, "a time is not negative")
        self.cold = cold
        self.ready = ready
        self.interval = interval
    }
}

/// What one function's invocations met.
public struct PoolOutcome: Equatable, Sendable {
    public internal(set) var invocations = 0
    /// Of invocations that found none ready: how long each waited, in microseconds.
    public internal(set) var coldWaits: [Int] = []
    /// When each of them arrived.
    public internal(set) var coldArrivals: [Int] = []
    /// How many were made, for the pool or for one that waited.
    public internal(set) var made = 0
    /// Microseconds in which instances were ready or made ahead without work, all added up.
    public internal(set) var idle = 0
    /// Microseconds in which invocations waited or ran, all added up.
    public internal(set) var busy = 0
    /// Both over time, where asked for.
    public internal(set) var timeline: Timeline

    init(timeline: Timeline) { self.timeline = timeline }
}

/// Sums over equal parts of a simulation's time.
public struct Timeline: Equatable, Sendable {
    public let partLength: Int
    public internal(set) var idle: [Double]
    public internal(set) var busy: [Double]
    public internal(set) var cold: [Int]

    public init(parts: Int, length: Int) {
        precondition(parts > 0 && length >= 0, "a time line has parts")
        partLength = max(1, (length + parts) / parts)
        idle = Array(repeating: 0, count: parts)
        busy = idle
        cold = Array(repeating: 0, count: parts)
    }

    /// Adds so many idle and busy ones from one time to another.
    mutating func add(from start: Int, to end: Int, idle idleCount: Int, busy busyCount: Int) {
        guard idleCount + busyCount > 0 else { return }
        var time = start
        while time < end {
            let part = min(time / partLength, idle.count - 1)
            let next = part == idle.count - 1 ? end : min(end, (part + 1) * partLength)
            idle[part] += Double((next - time) * idleCount)
            busy[part] += Double((next - time) * busyCount)
            time = next
        }
    }

    mutating func addCold(at time: Int) { cold[min(time / partLength, cold.count - 1)] += 1 }
}

/// One function with one way of keeping instances, from event to event.
///
/// At the same microsecond first ends what ends, then is ready what is made, then the policy steps,
/// then an invocation arrives.
struct PoolRun: ~Copyable {
    private let keeping: Keeping
    private let costs: StartCosts
    private let end: Int
    private var policy: PoolPolicy?
    private var outcome: PoolOutcome
    private var now = 0
    private var running = TimeHeap()
    /// Since when each is ready, the oldest first. What was used last is taken first.
    private var ready = AgeStack()
    /// When each that is made ahead will be ready, the first one first.
    private var making = TimeQueue()
    private var makerFree = 0
    private var nextStep = 1_000_000
    private var arrivals = 0
    private var peak = 0

    /// - Parameter end: until when what is idle is counted, at least to the last arrival.
    init(_ keeping: Keeping, costs: StartCosts, end: Int, parts: Int) {
        self.keeping = keeping
        self.costs = costs
        self.end = end
        outcome = PoolOutcome(timeline: Timeline(parts: parts, length: end))
        if case .policy(let settings) = keeping { policy = PoolPolicy(settings) }
    }

    /// Runs all, and says what they met.
    consuming func run(_ invocations: [Trace.Invocation]) -> PoolOutcome {
        refill()
        for invocation in invocations {
            advance(to: invocation.arrival)
            start(invocation)
        }
        advance(to: end)
        while let time = running.first {
            // What still runs at the end was begun in time: its work counts, not what is idle.
            outcome.busy += time - end
            _ = running.takeFirst()
        }
        return outcome
    }

    private mutating func advance(to time: Int) {
        while let event = nextEvent(), event <= time {
            account(to: event)
            if running.first == event {
                _ = running.takeFirst()
                leave()
            } else if making.first == event {
                making.removeFirst()
                ready.push(event)
            } else if case .keepAlive(let kept) = keeping, ready.oldest.map({ $0 + kept }) == event
            {
                ready.removeOldest()
            } else {
                step()
            }
        }
        account(to: time)
    }

    private func nextEvent() -> Int? {
        var next = Int.max
        if let time = running.first { next = min(next, time) }
        if let time = making.first { next = min(next, time) }
        if policy != nil { next = min(next, nextStep) }
        if case .keepAlive(let kept) = keeping, let oldest = ready.oldest {
            next = min(next, oldest + kept)
        }
        return next == Int.max ? nil : next
    }

    private mutating func account(to time: Int) {
        let idle = ready.count + making.count
        outcome.idle += (time - now) * idle
        outcome.busy += (time - now) * running.count
        outcome.timeline.add(from: now, to: time, idle: idle, busy: running.count)
        now = time
    }

    private mutating func start(_ invocation: Trace.Invocation) {
        outcome.invocations += 1
        arrivals += 1
        var wait = costs.ready
        if ready.count > 0 {
            ready.removeNewest()
        } else {
            // One that is nearly made serves whoever waits first.
            wait = (making.first ?? make()) - now
            if making.first != nil { making.removeFirst() }
            outcome.coldWaits.append(wait)
            outcome.coldArrivals.append(now)
            outcome.timeline.addCold(at: now)
        }
        running.add(now + wait + invocation.duration)
        peak = max(peak, running.count)
        refill()
    }

    /// Begins to make one, and says when it will be ready.
    private mutating func make() -> Int {
        outcome.made += 1
        let begin = max(now, makerFree)
        makerFree = begin + costs.interval
        return begin + costs.cold
    }

    private mutating func leave() {
        switch keeping {
        case .none: break
        case .keepAlive, .policy: ready.push(now)
        }
    }

    private mutating func refill() {
        guard let decision = policy?.decision, decision.refills else { return }
        let wanted = decision.ready(busy: running.count)
        while ready.count + making.count < wanted { making.add(make()) }
    }

    private mutating func step() {
        nextStep += 1_000_000
        policy?.step(PoolPolicy.Observation(arrivals: arrivals, peak: peak))
        arrivals = 0
        peak = running.count
        guard let decision = policy?.decision else { return }
        let wanted = decision.ready(busy: running.count)
        while ready.count > 0, ready.count + making.count > wanted { ready.removeOldest() }
        refill()
    }
}
