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
    private var lasting: Lasting?
    /// Children may have ended which no signal will announce again.
    private var mayReapMore = false

    /// So many ended children are taken before anything else is looked at: a workload that
    /// abandons children without end must not keep this process from its other duties.
    private static let mostReapedInARow = 32

    init(
        workload: Int32, signals: Int32, listener: Int32?, reporter: Reporter,
        diesWithReader: Bool, lasting: Lasting?
    ) {
        self.workload = workload
        self.signals = signals
        self.listener = listener
        self.reporter = reporter
        self.diesWithReader = diesWithReader
        self.lasting = lasting
    }

    /// The exit code of this process.
    mutating func run() -> Int32 {
        var entries = InlineArray<30, cinit_poll>(
            repeating: cinit_poll(descriptor: -1, wanted: Int16(CINIT_POLLIN), happened: 0))
        while true {
            do throws(KernelError) {
                try wait(&entries)
                if let code = handle(entries) { return code }
            } catch {
                guard error.number == KernelError.interrupted else {
                    killAll()
                    return ExitCode.initFailed
                }
            }
        }
    }

    /// Where the entries of what is waited for stand.
    private enum Entry {
        static let listener = 0
        static let reporter = 1
        static let signals = 2
        static let lasting = 3
    }

    private func wait(_ entries: inout InlineArray<30, cinit_poll>) throws(KernelError) {
        // The kernel passes over an entry of -1. That the reader is gone needs no asking for.
        entries[Entry.listener].descriptor = listener ?? -1
        entries[Entry.reporter].descriptor = reporter.descriptor ?? -1
        entries[Entry.reporter].wanted = 0
        entries[Entry.signals].descriptor = signals
        lasting?.fill(&entries, from: Entry.lasting)
        let count = Entry.lasting + (lasting == nil ? 0 : Lasting.entryCount)
        try poll(&entries, count: count, wait: !mayReapMore)
    }

    /// An exit code once there is nothing more to do. A denied call comes first, so that its
    /// report stands before that of the death which follows from it.
    private mutating func handle(_ entries: InlineArray<30, cinit_poll>) -> Int32? {
        let denied = entries[Entry.listener].happened
        if denied != 0 { handleListener(denied) }
        if entries[Entry.reporter].happened != 0 {
            if diesWithReader {
                killAll()
                return ExitCode.signalBase + Signal.kill
            }
            reporter.close()
        }
        if entries[Entry.signals].happened != 0, let signal = takeSignal(from: signals) {
            handle(signal)
        }
        lasting?.handle(entries, from: Entry.lasting)
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
            guard ended.process == workload else {
                lasting?.ended(ended)
                continue
            }
            lasting?.drain()
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
