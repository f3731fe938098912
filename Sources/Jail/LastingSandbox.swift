internal import LinuxKernel
public import SandboxModel

/// A running sandbox that does not need its starter: alcove-init holds its output, its end and the
/// way to run further commands in it.
///
/// Whoever drives it waits for ``processDescriptor`` to become readable, and then calls
/// ``finish()``. Dropping it leaves the sandbox as it is.
public final class LastingSandbox {
    public enum Progress: Equatable, Sendable {
        case settingUp
        /// The workload runs, or ran; by the monotonic clock.
        case started(nanoseconds: UInt64)
        /// It never will.
        case failed(SandboxError)
    }

    /// What is needed until the child is past its set-up.
    struct Starting {
        let sandbox: PreparedSandbox
        /// Shared with the child until it executes.
        let run: CallRun
        let times: RunningSandbox.StartTimes
    }

    /// Where the records of alcove-init come from.
    enum ReportSource: ~Copyable {
        case pipe(Descriptor)
        /// The file that has the same records, and what tells that it grew.
        case file(Descriptor, FileWatch?)
    }

    /// With the limits as last updated.
    public internal(set) var spec: SandboxSpec
    public let folder: SandboxFolder
    public let cgroupName: String
    public private(set) var progress: Progress = .settingUp
    /// Which of its limits hold.
    public internal(set) var limits: [LimitStatus]
    /// Stages of the start, for who started it.
    public private(set) var timeline: [SandboxOutcome.Moment] = []

    let cgroup: Cgroup
    let hierarchy: CgroupHierarchy
    let places: DiskPlaces
    private let child: ChildProcess
    private var pipe: Descriptor?
    private var file: Descriptor?
    private var watch: FileWatch?
    private var reports = ReportReader()
    private var starting: Starting?
    private var setUpFailure: SandboxError?
    private var isTimedOut = false

    init(
        _ spec: SandboxSpec, limits: [LimitStatus], folder: SandboxFolder,
        child: consuming ChildProcess, cgroup: consuming Cgroup, source: consuming ReportSource,
        starting: Starting?, host: SandboxHost
    ) {
        self.spec = spec
        self.limits = limits
        self.folder = folder
        self.child = child
        cgroupName = cgroup.name
        self.cgroup = cgroup
        self.starting = starting
        hierarchy = host.hierarchy
        places = host.places
        switch consume source {
        case .pipe(let reader): pipe = consume reader
        case .file(let report, let fileWatch):
            file = consume report
            watch = consume fileWatch
        }
    }

    deinit {
        // The child uses memory of this object until it executes or ends, which is soon.
        while starting != nil {
            var interests = [
                Readiness.Interest(reportDescriptor ?? -1), Readiness.Interest(processDescriptor),
            ]
            try? Readiness.wait(for: &interests)
            collect()
            if interests[1].isReady { return }
        }
    }

    /// The pid of alcove-init, seen from the host.
    public var pid: Int32 { child.pid }
    /// Readable when the sandbox has ended: a pidfd.
    public var processDescriptor: Int32 { child.pidfd.rawValue }
    /// Readable when there is something to ``collect()``. Nothing when nothing more will come, or
    /// nothing that must be waited for: of a sandbox that was adopted when its workload ran.
    public var reportDescriptor: Int32? {
        let number = pipe.number >= 0 ? pipe.number : watch.number
        return number >= 0 ? number : nil
    }

    /// Reads what alcove-init has reported so far.
    public func collect() {
        collectFromPipe()
        collectFromFile()
        if reports.isInitReady || reports.setUpFailure != nil { leaveStart() }
        guard case .settingUp = progress else { return }
        if let failure = setUpFailure {
            progress = .failed(failure)
        } else if let error = reports.execFailure {
            progress = .failed(finder.describeExec(error))
        } else if reports.isGuestFailed, reports.started == nil {
            progress = .failed(EndingFinder.guestFailure)
        } else if let time = reports.started {
            progress = .started(nanoseconds: time)
        }
        guard progress != .settingUp else { return }
        watch = nil
    }

    private func collectFromPipe() {
        switch pipe {
        case .some(let pipe):
            if reports.drain(pipe) { return }
        case .none: return
        }
        // Its end: alcove-init is gone.
        pipe = nil
    }

    private func collectFromFile() {
        switch watch {
        case .some(let watch): _ = watch.takeChanged()
        case .none: break
        }
        switch file {
        case .some(let file): _ = reports.drain(file)
        case .none: break
        }
    }

    /// Keeps what is told of the start and lets go of it, once the child has executed. One that
    /// reports a failure uses the memory until it has ended.
    private func leaveStart() {
        if setUpFailure == nil, let failure = reports.setUpFailure {
            setUpFailure =
                starting?.sandbox.describe(failure)
                ?? SandboxError(
                    .setUpFailed, "the set-up failed at call \(failure.call): \(failure.error)")
        }
        guard let starting, reports.isInitReady, reports.isSettled else { return }
        timeline = starting.sandbox.timeline(
            starting.times, run: starting.run, reports: reports.moments)
        self.starting = nil
    }

    private var finder: EndingFinder {
        let failure = setUpFailure
        return EndingFinder(
            reports: reports, program: spec.program, isTimedOut: isTimedOut,
            describe: { failure ?? SandboxError(.setUpFailed, "the set-up failed: \($0.error)") })
    }

    /// However it ends from here on, it ends because its time is over.
    public func markTimedOut() {
        isTimedOut = true
    }

    /// The outcome; nothing while it still runs.
    ///
    /// - Parameter removesCgroup: who writes the outcome down first, and then calls
    ///   ``SandboxHost/removeCgroup(named:)``, finds it again by adoption whenever it dies.
    public func finish(removesCgroup: Bool = true) throws(SandboxError) -> SandboxOutcome? {
        var end = ChildProcess.End.running
        do throws(SystemCallError) {
            end = try child.end()
        } catch {
            throw SandboxError(.setUpFailed, "\(error)")
        }
        var ending: ChildEnding?
        switch end {
        case .running: return nil
        case .reaped(let how): ending = how
        case .unknown: break
        }
        collect()
        starting = nil
        let outcome = outcome(ending)
        // What cannot be removed now has to be swept later; the outcome is not lost for it.
        if removesCgroup { try? cgroup.removeNow() }
        return outcome
    }

    func outcome(_ child: ChildEnding?) -> SandboxOutcome {
        SandboxOutcome(
            ending: finder.ending(of: child?.cause) { cgroup.number($0, in: "memory.events") ?? 0 },
            usage: cgroup.usage(orOf: child), limits: limits, timeline: timeline)
    }
}

extension Cgroup {
    /// What all processes used that were ever inside.
    ///
    /// - Parameter process: asked for what the node does not measure by cgroups.
    borrowing func usage(orOf process: ChildEnding?) -> SandboxOutcome.Usage {
        let peak = (try? read("memory.peak")).flatMap { UInt64($0.prefix { $0 != "\n" }) }
        return SandboxOutcome.Usage(
            userMicroseconds: number("user_usec", in: "cpu.stat")
                ?? process?.userMicroseconds ?? 0,
            systemMicroseconds: number("system_usec", in: "cpu.stat")
                ?? process?.systemMicroseconds ?? 0,
            peakResidentKilobytes: peak.map { $0 / 1024 } ?? process?.peakResidentKilobytes ?? 0)
    }
}
