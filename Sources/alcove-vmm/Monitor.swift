internal import CInitProtocol
internal import Console
internal import GuestLink
internal import KVM
internal import LinuxKernel
internal import Machine
internal import Virtio

/// The monitor of one microVM, from the options to the end of its guest. It lives on the loop's
/// thread, which is the program's first.
final class Monitor {
    /// How the program ends.
    enum Outcome {
        case exited(Int32)
        case signaled(Int32)
        case failed(String)
    }

    let options: RunOptions
    let loop: EventLoop
    let timeline: Timeline
    let reporter: Reporter
    private let terminal: RawTerminal?
    let console: GuestConsole
    private(set) var machine: RunningMachine?
    private(set) var session: GuestSession?
    /// Ready to become the machine of a snapshot.
    var blank: PreparedMachine?
    /// Of the snapshot that it goes on with, until it does.
    var restored: MonitorState?
    /// The guest was saved before it had a link, by which it could become another one.
    var isRenewalDue = false
    /// What tells which of its pages the guest used.
    var recorder: WorkingSetRecorder?
    var devices = MonitorDevices()
    let fences: MonitorFences
    private(set) var outcome: Outcome?
    var isPaused = false
    var mostProcesses: Int32?
    /// All is ready, and the guest waits for word to begin.
    private(set) var isHeld = false
    var isReady = false
    var isWorkloadStarted = false
    /// Who asked for the guest's statistics, and has no answer yet.
    private var askers: [(GuestStatistics) -> Void] = []

    /// Less than a huge page: the kernel would make a larger stack of one.
    private static let stackBytes: UInt64 = 512 << 10

    /// Runs it to its end, and ends the program. Nothing is taken apart before that: the last to
    /// let go of a descriptor could be the thread of a processor, which may not close any.
    static func run(_ options: RunOptions) throws -> Never {
        if options.fences.isEmpty {
            Complaint.tell("WARNING: --no-fences: nothing keeps a guest that takes alcove-vmm over")
        }
        try KernelThread.setStacks(to: stackBytes)
        let monitor = try Monitor(options)
        do {
            try monitor.start()
            monitor.loop.runOnThisThread { monitor.outcome != nil }
        } catch {
            monitor.end(.failed("\(error)"))
        }
        withExtendedLifetime(monitor) { ThisProcess.exit(monitor.finish()) }
    }

    private init(_ options: RunOptions) throws {
        self.options = options
        mostProcesses = options.mostProcesses
        timeline = Timeline()
        reporter = Reporter(options.reports)
        fences = MonitorFences(options.fences)
        loop = try EventLoop(named: "devices")
        terminal = options.hasTerminal ? RawTerminal() : nil
        console = Self.makeConsole(options.console)
    }

    private static func makeConsole(_ kind: RunOptions.Console) -> GuestConsole {
        switch kind {
        case .none: GuestConsole(mostBytes: 0)
        // A processor may wait until it has been said.
        case .serial: GuestConsole { StandardStream.error.write($0) }
        // The devices may not: a line is smaller than what a pipe takes whole.
        case .virtio:
            GuestConsole {
                guard StandardStream.isWritable(2) else { return }
                _ = StandardStream.writeSome($0, to: 2)
            }
        }
    }

    // MARK: - Start

    private func start() throws {
        let signals = SignalRelay(loop) { [weak self] in self?.take($0) }
        try signals.begin()
        devices.signals = signals
        switch options.origin {
        case .kernel: try boot()
        case .snapshot(let folder):
            let files = try SnapshotFolder.open(folder, base: options.base)
            let snapshot = try files.read()
            timeline.reached(.snapshotRead)
            try restore(
                makeBlank(snapshot.configuration, memoryOf: (snapshot, files)), snapshot,
                from: files,
                workingSet: SnapshotFolder.workingSet(of: folder))
        case .laterSnapshot: try awaitSnapshot()
        }
    }

    private func boot() throws {
        let kernelFile = try Files.open(options.kernel, .readOnly)
        let kernel = try KernelFile.read(kernelFile)
        let files: Descriptor? = try Files.open(options.initialFiles, .readOnly)
        var prepared = try PreparedMachine(
            options.machine, on: System.open(), loop: loop)
        timeline.reached(.machineMade)
        try attachDevices(to: &prepared)
        try prepared.load(
            kernel, from: kernelFile, initialFileSystem: files,
            words: KernelCommandLine.words(options),
            arguments: KernelCommandLine.arguments(options),
            by: options.way)
        timeline.reached(.kernelLoaded)
        try launch(prepared)
    }

    func attachDevices(to prepared: inout PreparedMachine) throws {
        try devices.attach(options, to: &prepared) { [weak self] in self?.take(link: $0) }
        if options.console == .virtio { try devices.attachConsole(console, to: &prepared) }
        timeline.reached(.devicesAttached)
    }

    /// Puts the fences up around a machine that is whole, and starts it.
    func launch(_ prepared: consuming PreparedMachine) throws {
        if devices.control == nil, let path = options.control {
            devices.control = try ControlServer(path, self)
        }
        // Everything is open that ever will be.
        try fences.refuseFiles()
        try devices.startThreads(
            forProcessors: prepared.configuration.processors, behind: fences)
        timeline.reached(.filesRefused)
        let ends = GuestEnds()
        ends.onEnd = { [weak self] in self?.guestEnded($0, at: $1) }
        machine = try prepared.start(
            isHeld: options.isHeld || restored != nil,
            console: options.console == .none ? nil : console,
            fences: fences, onEnd: onEnd(ends))
        isHeld = options.isHeld
        timeline.reached(isHeld ? .held : .processorsStarted)
        // Who waits for it to be held reads that here.
        if isHeld { showTimeline() }
    }

    /// Lets the guest of a held machine begin.
    func startGuest() {
        timeline.reached(.startAsked)
        isHeld = false
        if restored == nil { machine?.resume() } else { goOn() }
    }

    /// What a processor's thread does when the guest has ended.
    private func onEnd(_ ends: GuestEnds) -> @Sendable (MachineEnd) -> Void {
        let loop = loop
        #if DEBUG
            if let takeover = options.takeover {
                let workers = devices.diskWorkers
                return { _ in
                    switch takeover.thread {
                    case .processor: takeover.perform()
                    case .disk: workers?.run { takeover.perform() }
                    case .devices: loop.enqueue { takeover.perform() }
                    }
                }
            }
        #endif
        return { end in
            let time = MonotonicClock.nanoseconds
            loop.enqueue { ends.tell(end, at: time) }
        }
    }

    // MARK: - The guest

    /// The guest's first process has connected.
    private func take(link: consuming Descriptor) {
        guard session == nil else { return }
        let session = GuestSession(
            link, on: loop,
            streams: GuestSession.Streams(
                input: options.start.hasInput ? 0 : nil, output: 1, error: 2))
        session.onFrame = { [weak self] in self?.take($0) }
        session.onEnd = { [weak self] in self?.sessionEnded($0) }
        self.session = session
        do throws(SystemCallError) {
            try session.begin()
            guard let restored else { return }
            session.goOn(with: restored.remains)
            if isWorkloadStarted, options.start.hasInput { try session.passInput() }
            if !isHeld { goOn() }
        } catch {
            end(.failed("the guest's link: \(error)"))
        }
    }

    private func take(_ frame: GuestFrame) {
        switch frame {
        case .ready(let version, let microseconds, let nanoseconds):
            let now = MonotonicClock.nanoseconds
            timeline.add(
                .guestBegan, at: now - min(UInt64(microseconds) * 1000, nanoseconds, now))
            timeline.add(.guestReady, at: now)
            isReady = true
            guard version == UInt32(ALCOVE_GUEST_VERSION) else {
                end(.failed("the guest's first process speaks version \(version)"))
                return
            }
            if isRenewalDue, let session { renew(session) }
            // Who waits for it to be ready reads that here.
            if options.waitsWithCommand { showTimeline() } else { startWorkload() }
        case .started(let pid):
            timeline.reached(.workloadStarted)
            reportStages()
            reporter.tell(.started(pid: pid))
            showTimeline()
        case .statistics(let statistics):
            let askers = askers
            self.askers = []
            for tell in askers { tell(statistics) }
        case .output, .ended: break
        }
    }

    /// False where the guest has no such limit: what runs already would not be held by it.
    func limitProcesses(to most: Int32) -> Bool {
        guard mostProcesses != nil else { return false }
        mostProcesses = most
        session?.send(.processes(most: most))
        return true
    }

    func startWorkload() {
        isWorkloadStarted = true
        var start = options.start
        if options.hasTerminal { start.terminal = GuestProcess.terminalSize }
        session?.send(.hostname(options.hostname))
        if let network = options.link?.network { session?.send(.network(network)) }
        if let most = mostProcesses { session?.send(.processes(most: most)) }
        session?.send(.clock(nanoseconds: UInt64(clamping: RealClock.nanoseconds)))
        do throws(SystemCallError) {
            try session?.start(start)
        } catch {
            end(.failed("the workload's input: \(error)"))
        }
    }

    private func sessionEnded(_ how: GuestSession.End) {
        timeline.reached(.workloadEnded)
        switch how {
        case .process(.exited(let code)): end(.exited(code))
        case .process(.signaled(let signal, _, let outOfMemory)):
            if outOfMemory { reporter.tell(.outOfMemory) }
            end(.signaled(signal))
        case .process(.failed(let error, let stage)):
            reporter.tell(.executionFailed(error: error, stage: stage))
            end(.exited(GuestProcess.complain(of: error, at: stage)))
        case .process(.refused): end(.failed("the guest refused the workload"))
        case .lost: end(.failed("the guest's first process is gone"))
        case .fault(let fault): end(.failed("the guest's first process said \(fault)"))
        }
    }

    private func guestEnded(_ how: MachineEnd, at time: UInt64) {
        timeline.add(.guestEnded, at: time)
        if !isReady { showTimeline() }
        let last = console.tail.split(separator: "\n").suffix(3).joined(separator: " | ")
        let failures = (machine?.failures ?? []).map { "\($0.device): \($0.fault)" }
        let more = (failures + (last.isEmpty ? [] : [last])).map { "; \($0)" }.joined()
        end(.failed("\(how)\(more)"))
    }

    /// The stages of the start so far. When the guest was entered, its processor's thread knows.
    var moments: [(stage: Timeline.Stage, nanoseconds: UInt64)] {
        if let time = machine?.entryTime { timeline.add(.guestEntered, at: time) }
        return timeline.moments
    }

    private func reportStages() {
        reporter.tell(.stage(ALCOVE_MONITOR_BEGAN, nanoseconds: timeline.start))
        for moment in moments {
            guard let stage = moment.stage.reported else { continue }
            reporter.tell(.stage(stage, nanoseconds: timeline.start + moment.nanoseconds))
        }
    }

    func showTimeline() {
        if options.showsTimeline {
            Complaint.tell(Timeline.text(of: moments, from: timeline.start))
        }
    }

    func end(_ how: Outcome) {
        outcome = outcome ?? how
    }

    /// Ends the guest, as the control socket asks.
    func stop() {
        end(.signaled(Signal.kill.rawValue))
    }

    /// Asks the guest for its statistics.
    func askStatistics(_ tell: @escaping (GuestStatistics) -> Void) {
        askers.append(tell)
        if askers.count == 1 { session?.send(.askStatistics) }
    }

    // MARK: - Signals

    private func take(_ signal: Signal) {
        if let session {
            GuestProcess.pass(signal, to: session, hasTerminal: options.hasTerminal)
        } else if signal != .windowChange {
            // There is nobody yet to pass it on to.
            end(.signaled(signal.rawValue))
        }
    }

    // MARK: - End

    private func finish() -> Int32 {
        terminal?.restore()
        switch outcome {
        case .exited(let code): return code
        case .signaled(let signal): return GuestProcess.end(by: signal)
        case .failed(let reason):
            reporter.tell(.failed)
            Complaint.tell(reason)
            return Complaint.failed
        case nil: return Complaint.failed
        }
    }
}

/// Where a processor's thread leaves word that the guest has ended.
private final class GuestEnds: @unchecked Sendable {
    /// Set and called on the loop's thread.
    var onEnd: ((MachineEnd, UInt64) -> Void)?

    func tell(_ end: MachineEnd, at time: UInt64) { onEnd?(end, time) }
}
