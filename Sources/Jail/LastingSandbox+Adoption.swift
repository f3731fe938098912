internal import LinuxKernel
public import SandboxModel

extension LastingSandbox {
    /// What was found of a sandbox that another process, or an earlier life of this one, started.
    public enum Adoption {
        case running(LastingSandbox)
        /// Its cgroup is removed, unless that was not asked for.
        case ended(SandboxOutcome)
        /// No process of it came to be, or none that came to run its workload and told why not.
        /// Its cgroup is removed.
        case neverStarted
    }

    /// Looks for the sandbox in its cgroup and in its report. Its starter must be gone.
    ///
    /// - Parameters:
    ///   - limits: which of its limits hold, for the outcome.
    ///   - removesCgroup: of one that has ended. Who writes the outcome down first, and then calls
    ///     ``SandboxHost/removeCgroup(named:)``, finds it again whenever it dies.
    public static func adopt(
        _ spec: SandboxSpec, limits: [LimitStatus], folder: SandboxFolder, cgroup name: String,
        on host: SandboxHost, removesCgroup: Bool = true
    ) throws(SandboxError) -> Adoption {
        do throws(SystemCallError) {
            return try find(spec, limits, folder, name, host, removesCgroup)
        } catch {
            throw SandboxError(.setUpFailed, "adopt the sandbox: \(error)")
        }
    }

    private static func find(
        _ spec: SandboxSpec, _ limits: [LimitStatus], _ folder: SandboxFolder, _ name: String,
        _ host: SandboxHost, _ removesCgroup: Bool
    ) throws(SystemCallError) -> Adoption {
        guard let cgroup = try host.openLastingCgroup(name) else {
            return withoutCgroup(spec, limits, folder)
        }
        if let process = try cgroup.firstProcess() {
            // Before the first look into the report: what comes after that is told. Others may have
            // all that there is of watches; then nothing tells, and it runs all the same.
            let watch = try? watchReport(folder)
            let report = try openReport(folder)
            let sandbox = LastingSandbox(
                spec, limits: limits, folder: folder, child: process, cgroup: cgroup,
                source: .file(report, watch), starting: nil, host: host)
            sandbox.collect()
            return .running(sandbox)
        }
        // What its first process left is being ended by the kernel.
        try cgroup.empty()
        var reports = ReportReader()
        if let file = try? openReport(folder) { _ = reports.drain(file) }
        guard reports.isInitReady || reports.setUpFailure != nil else {
            try? cgroup.removeNow()
            return .neverStarted
        }
        let outcome = SandboxOutcome(
            ending: finder(spec, reports).ending(of: nil) {
                cgroup.number($0, in: "memory.events") ?? 0
            }, usage: cgroup.usage(orOf: nil), limits: limits, timeline: [])
        if removesCgroup { try? cgroup.removeNow() }
        return .ended(outcome)
    }

    /// It has ended and was finished, or the host has been restarted.
    private static func withoutCgroup(
        _ spec: SandboxSpec, _ limits: [LimitStatus], _ folder: SandboxFolder
    ) -> Adoption {
        var reports = ReportReader()
        if let file = try? openReport(folder) { _ = reports.drain(file) }
        guard reports.isInitReady || reports.setUpFailure != nil else { return .neverStarted }
        let isTold = reports.exit != nil || reports.isFailed
        let ending =
            isTold
            ? finder(spec, reports).ending(of: nil) { _ in 0 }
            : .failed(
                SandboxError(
                    .setUpFailed, "the sandbox was lost: it is gone and left no result",
                    hint: "the node was restarted, or somebody removed the sandbox's cgroup"))
        let usage = SandboxOutcome.Usage(
            userMicroseconds: 0, systemMicroseconds: 0, peakResidentKilobytes: 0)
        return .ended(SandboxOutcome(ending: ending, usage: usage, limits: limits, timeline: []))
    }

    private static func watchReport(_ folder: SandboxFolder) throws(SystemCallError) -> FileWatch {
        let watch = try FileWatch()
        _ = try watch.add(folder.path + "/" + SandboxFolder.Name.report)
        return watch
    }

    private static func openReport(_ folder: SandboxFolder) throws(SystemCallError) -> Descriptor {
        try Files.open(folder.path + "/" + SandboxFolder.Name.report, [.readOnly, .noFollow])
    }

    private static func finder(_ spec: SandboxSpec, _ reports: ReportReader) -> EndingFinder {
        EndingFinder(
            reports: reports, program: spec.program, isTimedOut: false,
            describe: {
                SandboxError(.setUpFailed, "the set-up failed at call \($0.call): \($0.error)")
            })
    }
}

extension Cgroup {
    /// The process that is the first one of its pid namespace: the kernel says so, whatever the
    /// sandbox may say of itself.
    borrowing func firstProcess() throws(SystemCallError) -> ChildProcess? {
        for pid in try processes() {
            guard let status = try? Files.read("/proc/\(pid)/status"),
                Self.isFirst(status: status), let process = try? ChildProcess.open(pid)
            else { continue }
            // The number could have been given to another process before it was opened.
            if try processes().contains(pid) { return process }
        }
        return nil
    }

    /// `NSpid:` lists the process's numbers from the outermost pid namespace to its own.
    static func isFirst(status: String) -> Bool {
        for line in status.split(separator: "\n") where line.hasPrefix("NSpid:") {
            let numbers = line.split { $0 == "\t" || $0 == " " }.dropFirst()
            return numbers.count > 1 && numbers.last == "1"
        }
        return false
    }
}
