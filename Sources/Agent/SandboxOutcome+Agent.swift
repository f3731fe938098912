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
    /// Of a process sandbox: alcove-init, the kernel's part of namespaces and cgroup, what the
    /// agent remembers of it. `scripts/bench-agent` measures it.
    static let process = Overhead(
        fixed: Resources(memoryBytes: 1 << 20, pids: 1))
}
