internal import LinuxKernel
internal import SandboxModel

/// Says how a sandbox ended, from all that is known of it.
struct EndingFinder {
    let reports: ReportReader
    /// As it was asked for.
    let program: String
    let isTimedOut: Bool
    /// A failure of the set-up in words.
    let describe: ((call: Int, error: ErrorNumber)) -> SandboxError

    /// - Parameters:
    ///   - cause: how alcove-init ended, where that is known.
    ///   - memoryEvents: a number of `memory.events`.
    func ending(
        of cause: ChildEnding.Cause?, memoryEvents: (String) -> UInt64
    ) -> SandboxOutcome.Ending {
        if let failure = reports.setUpFailure {
            // A child that is not ended for memory meets the limit in the failure of a call.
            return memoryEvents("oom") > 0 ? .outOfMemory : .failed(describe(failure))
        }
        if let error = reports.execFailure { return .failed(describeExec(error)) }
        if isTimedOut { return .timedOut }
        if reports.isGuestFailed, reports.denied.isEmpty { return .failed(Self.guestFailure) }
        if let call = reports.denied.first {
            let name = SystemCallTable.name(of: UInt32(bitPattern: call)) ?? "\(call)"
            return .denied(call: name, more: reports.denied.count - 1, exit: exit(cause))
        }
        if reports.isOutOfMemory { return .outOfMemory }
        if memoryEvents("oom_kill") > 0, !isOverByItself { return .outOfMemory }
        if reports.started == nil, case .exited(let code) = cause {
            return .failed(
                SandboxError(
                    .setUpFailed, "alcove-init ended with \(code) and started no command",
                    hint: "is it of the same version? `alcove doctor` says where it is"))
        }
        return .ended(exit(cause))
    }

    /// Where the memory limit is the node's alone, one process is killed, and the workload may live
    /// on and end as it likes. What was killed is 137 to its shell.
    private var isOverByItself: Bool {
        guard let exit = reports.exit else { return false }
        return exit.code != SandboxOutcome.outOfMemoryCode
    }

    /// Nothing but SIGKILL ends alcove-init before it has told the workload's end.
    private func exit(_ cause: ChildEnding.Cause?) -> SandboxOutcome.Exit {
        if let exit = reports.exit { return exit }
        switch cause {
        case .exited(let code): return .exited(code: code)
        case .signaled(let signal): return .signaled(number: signal.rawValue, name: signal.name)
        case nil: return .signaled(number: Signal.kill.rawValue, name: Signal.kill.name)
        }
    }

    static let guestFailure = SandboxError(
        .setUpFailed, "the microVM could not start, or go on",
        hint: "the last lines of its error output, by `alcove logs`, say why")

    func describeExec(_ failure: ExecFailure) -> SandboxError {
        let error = failure.error
        if failure.isOfDirectory {
            return SandboxError(.directoryMissing, "change to the working directory: \(error)")
        }
        return switch error {
        case .noEntry:
            SandboxError(
                failure.isInGuest ? .commandMissing : .commandNotExecutable,
                "execute `\(program)`: \(error)",
                hint: "it, its interpreter or its loader is not in the image")
        case .wouldBlock:
            SandboxError(
                setUp: "execute `\(program)`: \(error)", error,
                hint: "its limit of processes is reached, or the node's")
        default:
            SandboxError(.commandNotExecutable, "execute `\(program)`: \(error)")
        }
    }
}

extension PreparedSandbox {
    /// A failed call of the set-up, as the step that it belongs to.
    func describe(_ failure: (call: Int, error: ErrorNumber)) -> SandboxError {
        guard let call = lowered.program.call(at: failure.call) else {
            return SandboxError(.setUpFailed, "the set-up failed: \(failure.error)")
        }
        let step = plan.steps[call.step]
        return SandboxError(
            .setUpFailed, "\(step): \(failure.error)",
            hint: "step \(call.step + 1) of the plan, call `\(call.name)`")
    }
}
