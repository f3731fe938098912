internal import LinuxKernel

/// What a sandbox costs the node beside its workload.
public struct SandboxCost: Equatable, Sendable {
    /// Memory of alcove-init, its part of what it shares: the kernel's proportional set size.
    public var initBytes: UInt64
    /// Memory of the kernel that its cgroup is charged for, the workload's part included; nil
    /// without a memory controller.
    public var kernelBytes: UInt64?
    /// Threads of alcove-init.
    public var pids: UInt64

    public init(initBytes: UInt64, kernelBytes: UInt64?, pids: UInt64) {
        self.initBytes = initBytes
        self.kernelBytes = kernelBytes
        self.pids = pids
    }
}

extension LastingSandbox {
    /// Measured now; nothing of one that has ended, or of which the kernel does not tell.
    public func cost() -> SandboxCost? {
        guard let memory = try? Files.read("/proc/\(pid)/smaps_rollup"),
            let status = try? Files.read("/proc/\(pid)/status"),
            let kilobytes = Self.number(after: "Pss:", in: memory),
            let threads = Self.number(after: "Threads:", in: status)
        else { return nil }
        let kernel = (try? cgroup.read("memory.stat")).flatMap { text in
            let table = SandboxStatistics.table(text)
            return table["kernel"]
                ?? Self.sum(of: ["kernel_stack", "pagetables", "slab"], in: table)
        }
        // If it has ended, its number may have been another process's meanwhile.
        var interests = [Readiness.Interest(processDescriptor)]
        guard (try? Readiness.wait(for: &interests, waits: false)) != nil, !interests[0].isReady
        else { return nil }
        return SandboxCost(initBytes: kilobytes << 10, kernelBytes: kernel, pids: threads)
    }

    /// Of kernels before 5.18, which do not tell the sum.
    private static func sum(of keys: [Substring], in table: [Substring: UInt64]) -> UInt64? {
        let parts = keys.compactMap { table[$0] }
        return parts.isEmpty ? nil : parts.reduce(0, +)
    }

    /// `Pss:                 61 kB`
    private static func number(after key: String, in text: String) -> UInt64? {
        for line in text.split(separator: "\n") where line.hasPrefix(key) {
            return line.dropFirst(key.count).split { $0 == " " || $0 == "\t" }.first
                .flatMap { UInt64($0) }
        }
        return nil
    }
}
