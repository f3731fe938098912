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
    /// Watches of what is always ready, which the kernel does not wait for.
    private var alwaysReady: [UInt64] = []
    private var isStopping = false
    /// Where connections read into before they look at it.
    package var scratch = [UInt8](repeating: 0, count: 65536)

    public init(named name: String = "loop") throws(SystemCallError) {
        self.name = name
        poll = try EventPoll()
        counter = try EventCounter()
        timer = try Timer()
        try poll.add(counter.descriptor.rawValue, .readable, token: Self.inboxToken)
        try poll.add(timer.descriptor.rawValue, .readable, token: Self.timerToken)
    }

    /// Starts the thread. It ends after `stop`.
    public func start() throws(SystemCallError) -> KernelThread {
        try KernelThread(named: name) { self.runOnThisThread() }
    }

    /// Does the loop's work on the thread of the caller, for programs that need no other, until
    /// `stop` or until the condition holds. It is looked at after each turn, and once before the
    /// loop waits at all. Where it was the condition, the loop can run again.
    public func runOnThisThread(until isDone: () -> Bool = { false }) {
        identity = KernelThread.currentIdentity
        var batch = EventPoll.Batch(capacity: 128)
        finishTurn()
        while !isStopping, !isDone() { takeTurn(&batch) }
        if isStopping { end() }
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
        schedule(at: MonotonicClock.nanoseconds(after: span), action)
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

    /// Calls an action on this thread whenever a descriptor is ready, until the watch is
    /// cancelled: again and again while it stays ready. The descriptor stays the caller's, who
    /// cancels the watch before closing it. Regular files are always ready.
    ///
    /// What was closed, hung up or failed is told too, asked for or not.
    @discardableResult
    public func watch(
        _ descriptor: Int32, for events: PollEvents, _ action: @escaping (PollEvents) -> Void
    ) throws(SystemCallError) -> Watch {
        checkThread()
        let watch = Watch(descriptor, events, action, self)
        do throws(SystemCallError) {
            watch.token = try add(descriptor, events, watch)
        } catch {
            // Files that a set of descriptors does not take never make their readers wait.
            guard error.errorNumber == .notPermitted else { throw error }
            handlers[lastToken] = watch
            watch.token = lastToken
            watch.isOfFile = true
            setAlwaysReady(watch, !events.isEmpty)
        }
        return watch
    }

    fileprivate func setAlwaysReady(_ watch: Watch, _ isReady: Bool) {
        alwaysReady.removeAll { $0 == watch.token }
        if isReady { alwaysReady.append(watch.token) }
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

    fileprivate func removeFile(_ watch: Watch) {
        setAlwaysReady(watch, false)
        handlers[watch.token] = nil
    }

    /// Calls an action once at the end of this turn, when all that was ready has been told.
    package func whenTurnEnds(_ action: @escaping () -> Void) {
        atTurnEnd.append(action)
    }

    package func checkThread() {
        precondition(identity == 0 || isCurrent, "it is used on the loop's thread alone")
    }

    // MARK: - The thread

    private func takeTurn(_ batch: inout EventPoll.Batch) {
        do throws(SystemCallError) {
            try poll.wait(into: &batch, waits: atTurnEnd.isEmpty && alwaysReady.isEmpty)
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
        for token in alwaysReady { handlers[token]?.isReady([.readable, .writable]) }
        finishTurn()
    }

    private func end() {
        inbox.with { inbox in
            inbox.isClosed = true
            inbox.jobs = []
        }
        handlers = [:]
        alwaysReady = []
        atTurnEnd = []
        timers.removeAll()
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

/// A descriptor that a loop waits for. Belongs to the loop's thread.
public final class Watch: EventLoop.Handler {
    private let descriptor: Int32
    private var events: PollEvents
    private var action: ((PollEvents) -> Void)?
    private weak var loop: EventLoop?
    fileprivate var token: UInt64 = 0
    fileprivate var isOfFile = false

    fileprivate init(
        _ descriptor: Int32, _ events: PollEvents, _ action: @escaping (PollEvents) -> Void,
        _ loop: EventLoop
    ) {
        self.descriptor = descriptor
        self.events = events
        self.action = action
        self.loop = loop
    }

    /// Waits for something else from now on, or with `[]` for nothing but the end.
    public func change(to events: PollEvents) {
        guard let loop, action != nil, events != self.events else { return }
        loop.checkThread()
        self.events = events
        if isOfFile {
            loop.setAlwaysReady(self, !events.isEmpty)
        } else {
            loop.change(descriptor, events, token: token)
        }
    }

    /// Ends the watch. The action is called no more.
    public func cancel() {
        guard let loop, action != nil else { return }
        loop.checkThread()
        action = nil
        if isOfFile {
            loop.removeFile(self)
        } else {
            loop.remove(descriptor, token: token)
        }
    }

    package func isReady(_ ready: PollEvents) {
        action?(isOfFile ? ready.intersection(events) : ready)
    }
}
