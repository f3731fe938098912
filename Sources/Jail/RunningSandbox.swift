public import LinuxKernel
public import SandboxModel

/// A sandbox between its start and its end. Whoever drives it waits for ``processDescriptor`` to
/// become readable, and then calls ``finish()``.
public final class RunningSandbox {
    struct StartTimes {
        let requested: UInt64
        let prepared: UInt64
    }

    private let sandbox: PreparedSandbox
    /// Shared with the child until it executes; kept until the child is reaped.
    private let run: CallRun
    private let child: ChildProcess
    private var cgroup: Cgroup?
    private let report: Descriptor
    private let terminal: Descriptor?
    private let times: StartTimes
    private var reports = ReportReader()
    private var isOver = false
    private var isTimedOut = false

    init(
        _ sandbox: PreparedSandbox, run: CallRun, child: consuming ChildProcess,
        cgroup: consuming Cgroup?, report: consuming Descriptor,
        terminal: consuming Descriptor?, times: StartTimes
    ) {
        self.sandbox = sandbox
        self.run = run
        self.child = child
        self.cgroup = cgroup
        self.times = times
        self.report = report
        self.terminal = terminal
    }

    deinit {
        guard !isOver else { return }
        // Dropped while it runs: nothing of it may stay.
        try? kill()
        var interests = [Readiness.Interest(child.pidfd.rawValue)]
        try? Readiness.wait(for: &interests)
        _ = try? child.reap()
        try? cgroup?.remove()
    }

    /// Readable when the sandbox has ended and waits to be reaped.
    public var processDescriptor: Int32 { child.pidfd.rawValue }
    /// Readable when there is something to ``collect()``.
    public var reportDescriptor: Int32 { report.rawValue }
    /// The pid of its first process, seen from the host.
    public var pid: Int32 { child.pid }
    public var cgroupName: String? { cgroup?.name }

    /// Reads what alcove-init has reported so far.
    public func collect() {
        reports.drain(report)
    }

    /// Whether the workload has been started.
    public var isStarted: Bool { reports.started != nil }

    /// Takes the host's side of the terminal. Waits until the child has made it; nothing when the
    /// child failed before.
    public func takeTerminal() -> Descriptor? {
        switch terminal {
        case .some(let terminal): return try? DescriptorPassing.receive(from: terminal)
        case .none: return nil
        }
    }

    /// Sends a signal to the workload, by alcove-init.
    public func send(_ signal: Signal) throws(SystemCallError) {
        try child.send(signal)
    }

    /// Ends every process inside, at once.
    public func kill() throws(SystemCallError) {
        guard cgroup == nil else {
            try cgroup?.kill()
            return
        }
        try child.send(.kill)
    }

    /// However it ends from here on, it ends because its time is over.
    public func markTimedOut() {
        isTimedOut = true
    }

    public func setFrozen(_ frozen: Bool) throws(SystemCallError) {
        try cgroup?.setFrozen(frozen)
    }

    /// Reaps the sandbox and removes all that it was made of; nothing while it still runs.
    ///
    /// - Parameter withTimeline: whether the outcome tells when each step was reached, which
    ///   takes time to put together.
    public func finish(
        withTimeline: Bool = true
    ) throws(SystemCallError) -> SandboxOutcome? {
        guard let ending = try child.reap() else { return nil }
        let reaped = MonotonicClock.nanoseconds
        isOver = true
        reports.drain(report)
        let outcome = SandboxOutcome(
            ending: self.ending(ending), usage: usage(ending), limits: sandbox.limits,
            timeline: withTimeline
                ? sandbox.timeline(
                    times, run: run, reports: reports.moments + [("reaped", reaped)]) : [])
        // What cannot be removed now is swept later; the outcome is not lost for it.
        try? cgroup?.remove()
        return outcome
    }

    private func ending(_ child: ChildEnding) -> SandboxOutcome.Ending {
        let sandbox = sandbox
        return EndingFinder(
            reports: reports, program: sandbox.spec.program, isTimedOut: isTimedOut,
            describe: { sandbox.describe($0) }
        ).ending(of: child.cause) { cgroup?.number($0, in: "memory.events") ?? 0 }
    }

    private func usage(_ child: ChildEnding) -> SandboxOutcome.Usage {
        SandboxOutcome.Usage(
            userMicroseconds: child.userMicroseconds,
            systemMicroseconds: child.systemMicroseconds,
            peakResidentKilobytes: child.peakResidentKilobytes)
    }
}

extension PreparedSandbox {
    /// When each step of a start was reached.
    ///
    /// - Parameter more: what others tell, by the monotonic clock.
    func timeline(
        _ times: RunningSandbox.StartTimes, run: CallRun, reports more: [(String, UInt64)]
    ) -> [SandboxOutcome.Moment] {
        var moments: [(String, UInt64)] = [
            ("requested", times.requested), ("cgroup and pipe ready", times.prepared),
            ("process created", run.nanoseconds(of: lowered.birth)),
        ]
        for (step, mark) in lowered.marks { moments.append((step, run.nanoseconds(of: mark))) }
        moments += more
        return moments.filter { $0.1 >= times.requested }.sorted { $0.1 < $1.1 }.map {
            SandboxOutcome.Moment(what: $0.0, nanoseconds: $0.1 - times.requested)
        }
    }
}
