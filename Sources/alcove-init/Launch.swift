internal import CInit
internal import CInitProtocol

/// How this process ends where the workload did not decide it.
enum ExitCode {
    static let usage: Int32 = 64
    /// This process cannot go on.
    static let initFailed: Int32 = 125
    static let notExecutable: Int32 = 126
    static let notFound: Int32 = 127
    /// What a shell adds to the number of the signal that ended a program.
    static let signalBase: Int32 = 128

    static func forFailedExec(errorNumber: Int32) -> Int32 {
        errorNumber == KernelError.noEntry ? notFound : notExecutable
    }
}

/// Starts the workload and watches it to its end. This process's exit code.
func launch(_ request: LaunchRequest) -> Int32 {
    // First of all. The workload has this process's user id and so could trace it, or open its
    // memory, its executable and its descriptors by /proc/1: whoever holds the seccomp listener
    // can let denied calls through. The kernel refuses all of that for what is not dumpable.
    let failed = cinit_hide()
    var reporter = Reporter(
        descriptor: request.reportDescriptor,
        file: request.lasts ? Int32(ALCOVE_DESCRIPTOR_REPORT_FILE.rawValue) : nil)
    guard failed == 0 else { return giveUp(errorNumber: -failed, &reporter) }
    // A terminal that the host was started from must not signal this process as well: the host
    // passes on what is meant for the sandbox.
    cinit_leave_session()
    reporter.send(.initReady)

    if request.lasts {
        _ = cinit_close_all_on_exec()
    } else {
        if let report = reporter.descriptor { _ = cinit_set_close_on_exec(report) }
        if let listener = request.listenerDescriptor { _ = cinit_set_close_on_exec(listener) }
    }
    let signals = cinit_open_signals()
    guard signals >= 0 else { return giveUp(errorNumber: -signals, &reporter) }
    var lasting: Lasting?
    if request.lasts {
        do throws(KernelError) {
            lasting = try Lasting(request)
        } catch {
            return giveUp(errorNumber: error.number, &reporter)
        }
    }

    if request.isMonitor { setMonitorDescriptors(stayOpen: true, request) }
    let workload = request.workload.spawn(
        withTerminal: request.hasTerminal, streams: lasting?.workloadStreams ?? (-1, -1, -1))
    guard workload > 0 else { return giveUp(errorNumber: -workload, &reporter) }
    if request.isMonitor {
        setMonitorDescriptors(stayOpen: false, request)
    } else {
        reporter.send(.started(process: workload))
    }

    var kept: InlineArray<11, Int32> = [
        reporter.descriptor ?? -1, request.listenerDescriptor ?? -1, signals, -1, -1, -1, -1, -1,
        -1, -1, -1,
    ]
    lasting?.workloadStarted(as: workload, keeping: &kept)
    // A reader of the workload's output sees its end only if nobody else can write.
    closeAll(but: kept)
    var supervisor = Supervisor(
        workload: workload, signals: signals, listener: request.listenerDescriptor,
        reporter: reporter, diesWithReader: request.diesWithReader, lasting: lasting)
    return supervisor.run()
}

/// Whether the next program that is executed has the descriptors of the report and of the link.
private func setMonitorDescriptors(stayOpen: Bool, _ request: LaunchRequest) {
    setStaysOpen(Int32(ALCOVE_DESCRIPTOR_REPORT.rawValue), stayOpen)
    if request.lasts { setStaysOpen(Int32(ALCOVE_DESCRIPTOR_REPORT_FILE.rawValue), stayOpen) }
    if request.hasLink { setStaysOpen(Int32(ALCOVE_DESCRIPTOR_LINK.rawValue), stayOpen) }
}

private func setStaysOpen(_ descriptor: Int32, _ staysOpen: Bool) {
    _ = staysOpen ? cinit_keep_on_exec(descriptor) : cinit_set_close_on_exec(descriptor)
}

private func giveUp(errorNumber: Int32, _ reporter: inout Reporter) -> Int32 {
    reporter.send(.execFailed(errorNumber: errorNumber))
    return ExitCode.forFailedExec(errorNumber: errorNumber)
}

/// Closes every descriptor but these; -1 stands for none.
private func closeAll(but kept: InlineArray<11, Int32>) {
    var first: UInt32 = 0
    while true {
        var next = UInt32.max
        for index in kept.indices where kept[index] >= 0 {
            let descriptor = UInt32(kept[index])
            if descriptor >= first && descriptor < next { next = descriptor }
        }
        if next > first {
            let last = next == .max ? next : next - 1
            if cinit_close_range(first, last) != 0 { return closeStandardDescriptors() }
        }
        if next == .max { return }
        first = next + 1
    }
}

/// For a filter or a kernel that does not know `close_range`.
private func closeStandardDescriptors() {
    for descriptor in Int32(0)...2 { _ = cinit_close(descriptor) }
}
