internal import CLinux

extension ChildProcess {
    /// A process that somebody else started, by its number. Whoever calls this makes sure, after
    /// it, that the number still means the same process.
    public static func open(_ pid: Int32) throws(SystemCallError) -> ChildProcess {
        let result = systemCall(__NR_pidfd_open, UInt64(argument: pid))
        return ChildProcess(
            pid: pid, pidfd: Descriptor(owning: Int32(try checked(result, "pidfd_open", "\(pid)"))))
    }

    public enum End: Sendable {
        case running
        case reaped(ChildEnding)
        /// It was another's child, who knows how it ended.
        case unknown
    }

    /// Reaps the process if it has ended and is a child; never waits.
    public borrowing func end() throws(SystemCallError) -> End {
        do throws(SystemCallError) {
            guard let ending = try reap() else { return .running }
            return .reaped(ending)
        } catch {
            guard error.errorNumber == .noChild else { throw error }
        }
        var interests = [Readiness.Interest(pidfd.rawValue)]
        try Readiness.wait(for: &interests, waits: false)
        return interests[0].isReady ? .unknown : .running
    }
}
