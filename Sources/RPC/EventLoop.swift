public import LinuxKernel

/// One thread that waits for descriptors, times and jobs of other threads, and calls what belongs
/// to them. What it calls must not block.
public final class EventLoop: @unchecked Sendable {
    /// Whom a descriptor's events are told to.
    package protocol Handler: AnyObject {
        func isReady(_ events: PollEvents)
    }

    private struct Inbox {
        var jobs: [@Sendable () -> Void] = []
        var isClosed = false
    }

    private static let inboxToken: UInt64 = 0
    private static let timerToken: UInt64 = 1

    private let name: String
    private let poll: EventPoll
    private let counter: EventCounter
    private let timer: Timer
    private let inbox = Locked(Inbox())
    private let thread = Locked<UInt64?>(nil)

    // What follows belongs to the loop's thread.
    private var identity: UInt64 = 0
    private var handlers: [UInt64: any Handler] = [:]
    private var lastToken = EventLoop.timerToken
    private var timers = TimerQueue()
    private var armedTime: UInt64?
    private var atTurnEnd: [() -> Void] = []
    private var isStopping = false
    /// Where connections read into before they look at it.
    package var scratch = [UInt8](repeating: 0, count: 65536)

    public init(named name: String = "rpc") throws(SystemCallError) {
        self.name = name
        poll = try EventPoll()
        counter = try EventCounter()
        timer = try Timer()
        try poll.add(counter.descriptor.rawValue, .readable, token: Self.inboxToken)
        try poll.add(timer.descriptor.rawValue, .readable, token: Self.timerToken)
    }

    /// Starts the thread. It ends after `stop`.
    public func start() throws(SystemCallError) -> KernelThread {
        try KernelThread(named: name) { self.run() }
    }

    /// Ends the thread after what it is doing now. Later jobs are dropped.
    public func stop() {
        enqueue { self.isStopping = true }
    }

    /// Calls a job on the loop's thread, soon, after those that were enqueued before. False when
    /// the loop has ended.
    @discardableResult
    public func enqueue(_ job: @escaping @Sendable () -> Void) -> Bool {
        let (accepted, wakes) = inbox.with { inbox in
            guard !inbox.isClosed else { return (false, false) }
            inbox.jobs.append(job)
            return (true, inbox.jobs.count == 1)
        }
        if wakes { counter.signal() }
        return accepted
    }

    /// Whether the caller is on the loop's thread.
    public var isCurrent: Bool { KernelThread.currentIdentity == identity }

    /// Calls an action on this thread after a span of time.
    public func schedule(
        after span: Duration, _ action: @escaping () -> Void
    ) -> ScheduledAction {
        let (seconds, attoseconds) = span.components
        let nanoseconds =
            UInt64(clamping: seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflow) = MonotonicClock.nanoseconds.addingReportingOverflow(
            (nanoseconds.overflow ? .max / 2 : nanoseconds.partialValue)
                + UInt64(clamping: attoseconds / 1_000_000_000))
        return schedule(at: overflow ? .max : sum, action)
    }

    /// The same at a point of the monotonic clock, in nanoseconds.
    public func schedule(
        at time: UInt64, _ action: @escaping () -> Void
    ) -> ScheduledAction {
        checkThread()
        let scheduled = ScheduledAction(deadline: time, action: action)
        timers.insert(scheduled)
        return scheduled
    }

    /// Calls an action off. One that was called already is no error.
    public func cancel(_ action: ScheduledAction) {
        checkThread()
        timers.remove(action)
    }

    // MARK: - For what lives on the loop

    package func add(
        _ descriptor: Int32, _ events: PollEvents, _ handler: any Handler
    ) throws(SystemCallError) -> UInt64 {
        lastToken += 1
        try poll.add(descriptor, events, token: lastToken)
        handlers[lastToken] = handler
        return lastToken
    }

    package func change(_ descriptor: Int32, _ events: PollEvents, token: UInt64) {
        // It fails for a descriptor that is not in the set alone.
        try? poll.change(descriptor, events, token: token)
    }

    package func remove(_ descriptor: Int32, token: UInt64) {
        handlers[token] = nil
        try? poll.remove(descriptor)
    }

    /// Calls an action once at the end of this turn, when all that was ready has been told.
    package func whenTurnEnds(_ action: @escaping () -> Void) {
        atTurnEnd.append(action)
    }

    package func checkThread() {
        precondition(identity == 0 || isCurrent, "it is used on the loop's thread alone")
    }

    // MARK: - The thread

    private func run() {
        identity = KernelThread.currentIdentity
        var batch = EventPoll.Batch(capacity: 128)
        finishTurn()
        while !isStopping {
            do throws(SystemCallError) {
                try poll.wait(into: &batch, waits: atTurnEnd.isEmpty)
            } catch {
                preconditionFailure("waiting for a set of descriptors does not fail: \(error)")
            }
            for index in 0..<batch.count {
                let (token, events) = batch[index]
                switch token {
                case Self.inboxToken: counter.clear()
                case Self.timerToken: timer.clear()
                // One that went away earlier in this turn is told nothing.
                default: handlers[token]?.isReady(events)
                }
            }
            finishTurn()
        }
        inbox.with { inbox in
            inbox.isClosed = true
            inbox.jobs = []
        }
        handlers = [:]
        atTurnEnd = []
        timers = TimerQueue()
    }

    private func finishTurn() {
        let jobs = inbox.with { inbox in
            let jobs = inbox.jobs
            inbox.jobs = []
            return jobs
        }
        for job in jobs { job() }
        runTimers()
        let actions = atTurnEnd
        atTurnEnd = []
        for action in actions { action() }
        armTimer()
    }

    private func runTimers() {
        guard timers.earliest != nil else { return }
        let now = MonotonicClock.nanoseconds
        while let action = timers.takeDue(at: now) { action() }
        if let armedTime, armedTime <= now { self.armedTime = nil }
    }

    /// Sets the timer when it would fire too late. One that fires too early costs a turn, which is
    /// less than setting it for every call that comes and goes.
    private func armTimer() {
        guard let earliest = timers.earliest, earliest < armedTime ?? .max else { return }
        let now = MonotonicClock.nanoseconds
        let span = Int64(clamping: earliest > now ? earliest - now : 1)
        // It fails for what is no timer alone.
        try? timer.start(.nanoseconds(span))
        armedTime = earliest
    }
}
