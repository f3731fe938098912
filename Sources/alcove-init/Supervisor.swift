internal import CInit

/// Watches the workload, and everything that it leaves behind.
///
///     running ── the workload ended ─────────────────────────► its code, or 128 + its signal
///      │   ▲  ├─ the reader of the reports went, option `d` ──► 137, all killed
///      │   │  └─ waiting itself failed ────────────────────────► 125, all killed
///      └───┘ a signal passed on · an orphan reaped · a denied call's maker killed
///
/// When it returns, the process ends, and the kernel kills what is left in the pid namespace.
struct Supervisor {
    private let workload: Int32
    private let signals: Int32
    private var listener: Int32?
    private var reporter: Reporter
    private let diesWithReader: Bool
    /// Children may have ended which no signal will announce again.
    private var mayReapMore = false

    /// So many ended children are taken before anything else is looked at: a workload that
    /// abandons children without end must not keep this process from its other duties.
    private static let mostReapedInARow = 32

    init(
        workload: Int32, signals: Int32, listener: Int32?, reporter: Reporter, diesWithReader: Bool
    ) {
        self.workload = workload
        self.signals = signals
        self.listener = listener
        self.reporter = reporter
        self.diesWithReader = diesWithReader
    }

    /// The exit code of this process.
    mutating func run() -> Int32 {
        while true {
            var happened = Events()
            do throws(KernelError) {
                happened = try wait()
            } catch {
                guard error.number == KernelError.interrupted else {
                    killAll()
                    return ExitCode.initFailed
                }
            }
            if let code = handle(happened) { return code }
        }
    }

    /// What happened to the three descriptors.
    private struct Events {
        var listener: Int16 = 0
        var reporter: Int16 = 0
        var signals: Int16 = 0
    }

    private func wait() throws(KernelError) -> Events {
        let readable = Int16(CINIT_POLLIN)
        // The kernel passes over an entry of -1. That the reader is gone needs no asking for.
        var entries: InlineArray<3, cinit_poll> = [
            cinit_poll(descriptor: listener ?? -1, wanted: readable, happened: 0),
            cinit_poll(descriptor: reporter.descriptor ?? -1, wanted: 0, happened: 0),
            cinit_poll(descriptor: signals, wanted: readable, happened: 0),
        ]
        try poll(&entries, wait: !mayReapMore)
        return Events(
            listener: entries[0].happened, reporter: entries[1].happened,
            signals: entries[2].happened)
    }

    /// An exit code once there is nothing more to do. A denied call comes first, so that its
    /// report stands before that of the death which follows from it.
    private mutating func handle(_ happened: Events) -> Int32? {
        if happened.listener != 0 { handleListener(happened.listener) }
        if happened.reporter != 0 {
            if diesWithReader {
                killAll()
                return ExitCode.signalBase + Signal.kill
            }
            reporter.close()
        }
        if happened.signals != 0, let signal = takeSignal(from: signals) { handle(signal) }
        return mayReapMore ? reapEnded() : nil
    }

    private mutating func handleListener(_ happened: Int16) {
        guard happened & Int16(CINIT_POLLIN) != 0, let descriptor = listener else {
            // Nobody is left under the filter: the event would come for ever.
            return closeListener()
        }
        do throws(KernelError) {
            let denied = try takeDeniedCall(from: descriptor)
            // Killed without asking whether the call still waits: one that was interrupted by a
            // signal does not, and its maker would live. A pid that was given to another process
            // meanwhile is still one of this sandbox. 0 is a process that cannot be seen from
            // here, and to `kill` this process's own group.
            if denied.thread > 0 { _ = cinit_kill(denied.thread, Signal.kill) }
            reporter.send(
                .denied(
                    call: denied.call, architecture: denied.architecture, thread: denied.thread))
        } catch {
            // No entry: the maker of the call died before it was looked at.
            let isPassing =
                error.number == KernelError.noEntry || error.number == KernelError.interrupted
            if !isPassing { closeListener() }
        }
    }

    private mutating func closeListener() {
        if let listener { _ = cinit_close(listener) }
        listener = nil
    }

    private mutating func handle(_ signal: cinit_signal) {
        if signal.number == Signal.childEnded {
            mayReapMore = true
        } else if signal.origin <= 0 && signal.sender != cinit_getpid() {
            _ = cinit_kill(workload, signal.number)
        }
        // What the kernel made (a positive origin) or this process caused itself (SIGPIPE of a
        // report that nobody reads) is about this process and not about the workload.
    }

    /// Takes ended children. An exit code if the workload was among them.
    private mutating func reapEnded() -> Int32? {
        for _ in 0..<Self.mostReapedInARow {
            guard let ended = reap() else {
                mayReapMore = false
                return nil
            }
            guard ended.process == workload else { continue }
            if ended.signal == 0 {
                reporter.send(.exited(code: ended.code))
                return ended.code
            }
            reporter.send(.signaled(signal: ended.signal, coreDumped: ended.core_dumped))
            return ExitCode.signalBase + ended.signal
        }
        return nil
    }

    /// As PID 1 everything, otherwise (run by hand) the workload: the kernel's "all" would then
    /// be the whole host.
    private func killAll() {
        let everything: Int32 = -1
        _ = cinit_kill(cinit_getpid() == 1 ? everything : workload, Signal.kill)
    }
}
