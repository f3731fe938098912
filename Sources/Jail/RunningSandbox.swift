internal import CInitProtocol
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
            timeline: withTimeline ? timeline(reaped: reaped) : [])
        // What cannot be removed now is swept later; the outcome is not lost for it.
        try? cgroup?.remove()
        return outcome
    }

    private func ending(_ child: ChildEnding) -> SandboxOutcome.Ending {
        if let failure = reports.setUpFailure {
            // A child that is not ended for memory meets the limit in the failure of a call.
            return memoryEvents("oom") > 0 ? .outOfMemory : .failed(describe(failure))
        }
        if let error = reports.execFailure { return .failed(describeExec(error)) }
        if isTimedOut { return .timedOut }
        if let call = reports.denied.first {
            let name = SystemCallTable.name(of: UInt32(bitPattern: call)) ?? "\(call)"
            return .denied(call: name, more: reports.denied.count - 1, exit: exit(child))
        }
        if memoryEvents("oom_kill") > 0 { return .outOfMemory }
        if reports.started == nil, case .exited(let code) = child.cause {
            return .failed(
                SandboxError(
                    .setUpFailed, "alcove-init ended with \(code) and started no command",
                    hint: "is it of the same version? `alcove doctor` says where it is"))
        }
        return .ended(exit(child))
    }

    private func memoryEvents(_ key: String) -> UInt64 {
        cgroup?.number(key, in: "memory.events") ?? 0
    }

    private func exit(_ child: ChildEnding) -> SandboxOutcome.Exit {
        if let exit = reports.exit { return exit }
        switch child.cause {
        case .exited(let code): return .exited(code: code)
        case .signaled(let signal): return .signaled(number: signal.rawValue, name: signal.name)
        }
    }

    private func describe(_ failure: (call: Int, error: ErrorNumber)) -> SandboxError {
        guard let call = sandbox.lowered.program.call(at: failure.call) else {
            return SandboxError(.setUpFailed, "the set-up failed: \(failure.error)")
        }
        let step = sandbox.plan.steps[call.step]
        return SandboxError(
            .setUpFailed, "\(step): \(failure.error)",
            hint: "step \(call.step + 1) of the plan, call `\(call.name)`")
    }

    private func describeExec(_ error: ErrorNumber) -> SandboxError {
        let command = sandbox.spec.command.first ?? ""
        switch error {
        case .noEntry:
            return SandboxError(
                .commandNotExecutable, "execute `\(command)`: \(error)",
                hint: "its interpreter or loader is not in the image")
        default:
            return SandboxError(.commandNotExecutable, "execute `\(command)`: \(error)")
        }
    }

    private func usage(_ child: ChildEnding) -> SandboxOutcome.Usage {
        SandboxOutcome.Usage(
            userMicroseconds: child.userMicroseconds,
            systemMicroseconds: child.systemMicroseconds,
            peakResidentKilobytes: child.peakResidentKilobytes)
    }

    private func timeline(reaped: UInt64) -> [SandboxOutcome.Moment] {
        var moments: [(String, UInt64)] = [
            ("requested", times.requested), ("cgroup and pipe ready", times.prepared),
            ("process created", run.nanoseconds(of: sandbox.lowered.birth)),
        ]
        for (step, mark) in sandbox.lowered.marks {
            moments.append((step, run.nanoseconds(of: mark)))
        }
        moments += reports.moments
        moments.append(("reaped", reaped))
        return moments.filter { $0.1 >= times.requested }.sorted { $0.1 < $1.1 }.map {
            SandboxOutcome.Moment(what: $0.0, nanoseconds: $0.1 - times.requested)
        }
    }
}

/// Reads the records on a sandbox's report pipe. They come from inside, so nothing in them is
/// believed that has not been checked, and no number of them grows memory.
struct ReportReader {
    private(set) var setUpFailure: (call: Int, error: ErrorNumber)?
    private(set) var execFailure: ErrorNumber?
    private(set) var started: UInt64?
    private(set) var denied: [Int32] = []
    private(set) var exit: SandboxOutcome.Exit?
    private(set) var moments: [(String, UInt64)] = []
    private var partial: [UInt8] = []

    static let largestDeniedCount = 16
    private static let recordSize = MemoryLayout<alcove_report>.size
    /// More than a sandbox ever reports.
    private static let largestMomentCount = 8

    /// Reads until there is nothing more for now.
    mutating func drain(_ pipe: borrowing Descriptor) {
        while let bytes = try? pipe.read(atMost: 1024), !bytes.isEmpty {
            take(bytes)
        }
    }

    /// Takes bytes as they come; records may arrive in pieces.
    mutating func take(_ bytes: [UInt8]) {
        partial += bytes
        var start = 0
        while partial.count - start >= Self.recordSize {
            take(record: partial[start..<(start + Self.recordSize)])
            start += Self.recordSize
        }
        partial.removeFirst(start)
    }

    private mutating func take(record: ArraySlice<UInt8>) {
        func number(at offset: Int, bytes: Int) -> UInt64 {
            (0..<bytes).reduce(0) {
                $0 | UInt64(record[record.startIndex + offset + $1]) << UInt64(8 * $1)
            }
        }
        let kind = UInt32(truncatingIfNeeded: number(at: 0, bytes: 4))
        let value = Int32(truncatingIfNeeded: Int64(number(at: 4, bytes: 4)))
        let detail = number(at: 8, bytes: 8)
        let time = number(at: 16, bytes: 8)
        switch alcove_report_kind(rawValue: kind) {
        case ALCOVE_REPORT_SETUP_FAILED:
            setUpFailure = (Int(clamping: detail), ErrorNumber(rawValue: value))
        case ALCOVE_REPORT_INIT_READY: note("alcove-init ready", time)
        case ALCOVE_REPORT_STARTED:
            started = time
            note("workload started", time)
        case ALCOVE_REPORT_EXEC_FAILED: execFailure = ErrorNumber(rawValue: value)
        case ALCOVE_REPORT_DENIED:
            if denied.count < Self.largestDeniedCount { denied.append(value) }
        case ALCOVE_REPORT_EXITED:
            exit = .exited(code: value & 0xff)
            note("workload ended", time)
        case ALCOVE_REPORT_SIGNALED:
            exit = .signaled(number: value & 0x7f, name: Signal(rawValue: value & 0x7f).name)
            note("workload ended", time)
        default: break
        }
    }

    private mutating func note(_ what: String, _ time: UInt64) {
        if moments.count < Self.largestMomentCount { moments.append((what, time)) }
    }
}
