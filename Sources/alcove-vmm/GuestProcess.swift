internal import CInitProtocol
internal import GuestLink
internal import LinuxKernel

/// What the command lines that run a process in a guest, `run` and `exec`, have in common.
enum GuestProcess {
    /// That of the terminal that alcove-vmm was given, or what is usual.
    static var terminalSize: (rows: UInt16, columns: UInt16) {
        let size = Terminal.size(of: 0)
        return (size?.rows ?? 24, size?.columns ?? 80)
    }

    /// Passes on a signal that is meant for it.
    static func pass(_ signal: Signal, to session: GuestSession, hasTerminal: Bool) {
        guard signal == .windowChange else { return session.send(.signal(signal.rawValue)) }
        guard hasTerminal, let size = Terminal.size(of: 0) else { return }
        session.send(.resize(rows: size.rows, columns: size.columns))
    }

    /// Ends alcove-vmm by the signal that ended it. Gives the exit code for one that ends nothing.
    static func end(by signal: Int32) -> Int32 {
        ThisProcess.end(by: Signal(rawValue: signal))
        return 128 + signal
    }

    /// Says why it could not be executed. Gives the exit code that shells have for it.
    static func complain(of error: Int32, at stage: UInt32) -> Int32 {
        Complaint.tell("\(text(of: stage)): \(ErrorNumber(rawValue: error))")
        return error == ErrorNumber.noEntry.rawValue ? 127 : 126
    }

    private static func text(of stage: UInt32) -> String {
        switch stage {
        case ALCOVE_STAGE_TERMINAL.rawValue: "open a terminal in the guest"
        case ALCOVE_STAGE_LIMITS.rawValue: "limit a process in the guest"
        case ALCOVE_STAGE_DIRECTORY.rawValue: "change to the working directory in the guest"
        case ALCOVE_STAGE_PROGRAM.rawValue: "execute the program in the guest"
        default: "make a process in the guest"
        }
    }
}
