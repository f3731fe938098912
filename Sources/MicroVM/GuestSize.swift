internal import JSON
public import SandboxModel

/// What a guest was made with. It lasts as long as the guest: limits that change while it runs stay
/// below.
public struct GuestSize: Equatable, Sendable {
    public let memoryBytes: UInt64
    public let processors: Int
    /// Whether its processes are counted: those that run before are not.
    public let limitsProcesses: Bool

    public init(memoryBytes: UInt64, processors: Int, limitsProcesses: Bool) {
        self.memoryBytes = memoryBytes
        self.processors = processors
        self.limitsProcesses = limitsProcesses
    }

    /// As the monitor of a running one says.
    public init(of monitor: MonitorSocket) throws(SandboxError) {
        let answer = try monitor.ask("machine")
        guard let bytes = answer["memory_bytes"]?.uint64, let count = answer["processors"]?.uint64,
            let processors = Int(exactly: count),
            let limitsProcesses = answer["limits_processes"]?.bool
        else {
            throw SandboxError(
                .unavailable, "the monitor of the microVM does not tell its size",
                hint: "it may be of another version: create the sandbox anew")
        }
        self.init(
            memoryBytes: bytes, processors: processors, limitsProcesses: limitsProcesses)
    }

    /// Whether a running guest can be given these.
    public func check(_ limits: Limits) throws(SandboxError) {
        if let bytes = limits.memoryBytes,
            bytes > memoryBytes || bytes < GuestJail.leastMemoryBytes
        {
            throw SandboxError(
                .limitOutOfRange,
                "the memory of this microVM is between \(GuestJail.leastMemoryBytes) and"
                    + " \(memoryBytes) bytes",
                hint: "a guest has no more than it was started with: create one that has")
        }
        if let cpus = limits.milliCPUs, Int(cpus) > processors * 1000 {
            throw SandboxError(
                .limitOutOfRange, "this microVM has no more than \(processors) processors",
                hint: "create one that has more")
        }
        guard limits.pids == nil || limitsProcesses else {
            throw SandboxError(
                .unavailable, "this microVM was started without a limit of its processes",
                hint: "create one that has a limit, which can change then")
        }
    }
}
