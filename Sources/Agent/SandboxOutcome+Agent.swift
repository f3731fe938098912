internal import SandboxModel

extension SandboxOutcome {
    /// It did not come to run its workload, or the node lost it.
    static func failed(_ error: SandboxError) -> SandboxOutcome {
        SandboxOutcome(
            ending: .failed(error),
            usage: Usage(userMicroseconds: 0, systemMicroseconds: 0, peakResidentKilobytes: 0),
            limits: [], timeline: [])
    }

    static func failed(_ reason: String) -> SandboxOutcome {
        failed(SandboxError(.setUpFailed, reason))
    }

    var isFailure: Bool {
        if case .failed = ending { return true }
        return false
    }
}

extension Overhead {
    /// The least of a process sandbox, whatever is measured: what the kernel does not tell by
    /// processes or cgroups is in it, such as the network namespace, which was made ahead and is
    /// charged to nobody, and what the agent remembers.
    static let process = Overhead(
        fixed: Resources(memoryBytes: 1 << 20, pids: 1))

    /// The least of a microVM: its monitor, and what KVM keeps for it.
    static let microvm = Overhead(
        fixed: Resources(memoryBytes: 8 << 20, pids: 8))
}
