/// Lets a bounded number of starts go on at once, and a bounded number wait in the order in which
/// they came, each until its deadline.
///
/// Pure: its owner says what time it is, in nanoseconds of any clock that does not go back, and
/// keeps one timer for ``nextDeadline``.
public struct StartGate<ID: Hashable & Sendable>: Sendable {
    public enum Answer: Hashable, Sendable {
        /// Go on; say ``finish(_:at:)`` when it is done.
        case go
        /// Behind so many others.
        case queued(ahead: Int)
        /// As many wait as may.
        case full
        /// Its deadline has passed.
        case late
    }

    /// What a step did to those that waited.
    public struct Progress: Hashable, Sendable {
        /// They go on now, in this order.
        public var started: [ID] = []
        /// Their deadlines have passed; they left the queue.
        public var expired: [ID] = []

        public init() {}

        public init(started: [ID], expired: [ID]) {
            self.started = started
            self.expired = expired
        }
    }

    private struct Waiting: Sendable {
        let id: ID
        let deadline: UInt64
    }

    /// How many may go on at once, and how many may wait.
    public private(set) var limit: Int
    public private(set) var queueLimit: Int
    private var inFlight: Set<ID> = []
    private var queue: [Waiting] = []

    /// - Parameter limit: at least 1.
    public init(limit: Int, queueLimit: Int) {
        precondition(limit > 0 && queueLimit >= 0, "a gate that lets nothing through is none")
        self.limit = limit
        self.queueLimit = queueLimit
    }

    public var inFlightCount: Int { inFlight.count }
    public var queuedCount: Int { queue.count }

    /// When the first of those that wait gives up.
    public var nextDeadline: UInt64? { queue.lazy.map(\.deadline).min() }

    /// Asks for one that neither goes on nor waits already.
    ///
    /// Whoever waits comes first: a free place is taken only where nobody does. So expire, before,
    /// what is late.
    public mutating func request(_ id: ID, at now: UInt64, deadline: UInt64) -> Answer {
        precondition(!contains(id), "one id starts once at a time")
        if deadline <= now { return .late }
        if inFlight.count < limit, queue.isEmpty {
            inFlight.insert(id)
            return .go
        }
        guard queue.count < queueLimit else { return .full }
        queue.append(Waiting(id: id, deadline: deadline))
        return .queued(ahead: queue.count - 1)
    }

    /// One that went on is done, well or not. One that is unknown changes nothing.
    public mutating func finish(_ id: ID, at now: UInt64) -> Progress {
        inFlight.remove(id)
        return advance(at: now)
    }

    /// One that waits gives up, and is in no answer. True when it waited.
    @discardableResult
    public mutating func withdraw(_ id: ID) -> Bool {
        guard let index = queue.firstIndex(where: { $0.id == id }) else { return false }
        queue.remove(at: index)
        return true
    }

    /// Takes out those whose time has passed, and lets others go on where there is room.
    public mutating func advance(at now: UInt64) -> Progress {
        var progress = Progress()
        progress.expired = queue.filter { $0.deadline <= now }.map(\.id)
        if !progress.expired.isEmpty { queue.removeAll { $0.deadline <= now } }
        let count = min(queue.count, max(limit - inFlight.count, 0))
        progress.started = queue.prefix(count).map(\.id)
        queue.removeFirst(count)
        inFlight.formUnion(progress.started)
        return progress
    }

    /// Another number may go on at once. More of them do by the next ``advance(at:)``; those that
    /// are too many go on.
    public mutating func resize(to limit: Int) {
        precondition(limit > 0, "a gate that lets nothing through is none")
        self.limit = limit
    }

    /// Another number may wait. Those that are too many wait on.
    public mutating func resizeQueue(to limit: Int) {
        precondition(limit >= 0, "fewer than none cannot wait")
        queueLimit = limit
    }

    public func contains(_ id: ID) -> Bool {
        inFlight.contains(id) || queue.contains { $0.id == id }
    }
}
