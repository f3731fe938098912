internal import JSON
internal import Jail
internal import LinuxKernel
internal import MicroVM
internal import SandboxModel

/// A microVM: a process sandbox whose workload is a monitor, seen as what runs in the guest.
final class MicroVMSandbox: EngineSandbox, @unchecked Sendable {
    private let monitor: any EngineSandbox
    private let guests: GuestJail
    private let scratch: ScratchOrder
    /// As it was asked for, with the limits as last updated.
    private var spec: SandboxSpec
    /// Which limits cgroups of the node would enforce.
    private let statuses: @Sendable (SandboxSpec) -> [LimitStatus]

    init(
        _ monitor: any EngineSandbox, _ guests: GuestJail, _ spec: SandboxSpec,
        scratch: ScratchOrder,
        statuses: @escaping @Sendable (SandboxSpec) -> [LimitStatus]
    ) {
        self.monitor = monitor
        self.guests = guests
        self.spec = spec
        self.scratch = scratch
        self.statuses = statuses
    }

    var pid: Int32 { monitor.pid }
    var progress: LastingSandbox.Progress { monitor.progress }
    var timeline: [SandboxOutcome.Moment] { monitor.timeline }
    var reportDescriptor: Int32? { monitor.reportDescriptor }
    var processDescriptor: Int32 { monitor.processDescriptor }
    func collect() {
        let before = monitor.progress
        monitor.collect()
        // The monitor has its files open by now, or never will.
        if before == .settingUp, monitor.progress != .settingUp { scratch.forgetName() }
    }
    func markTimedOut() { monitor.markTimedOut() }
    func send(_ signal: Signal) throws(SandboxError) { try monitor.send(signal) }
    func kill() throws(SandboxError) { try monitor.kill() }

    /// By the monitor, which halts the guest's processors and tells its clock. The kernel's freezer
    /// would do no more, and before Linux 6.13 a cgroup with a thread of KVM's never counts as
    /// frozen.
    func setFrozen(_ frozen: Bool) throws(SandboxError) {
        try MonitorSocket(pid: pid).ask(frozen ? "pause" : "resume")
    }

    var isFrozen: Bool {
        let answer = try? MonitorSocket(pid: pid).ask("state")
        return answer?["state"]?.string == "paused"
    }

    /// A guest's memory and processors are those that it was started with: less memory is taken
    /// by the balloon, less of a processor's time by the cgroup. Its kernel counts its processes,
    /// and the monitor what its disks move.
    func update(
        _ limits: Limits, policy: SandboxSpec.LimitPolicy
    ) throws(SandboxError) -> [LimitStatus] {
        let socket = MonitorSocket(pid: pid)
        let size = try GuestSize(of: socket)
        try size.check(limits)
        if let bytes = limits.memoryBytes {
            try socket.ask("balloon", ["bytes": Int64(size.memoryBytes - bytes)])
        }
        if let most = limits.pids { try socket.ask("processes", ["most": Int64(most)]) }
        var rates: [String: Int64] = [:]
        rates["read_bytes"] = limits.readBytesPerSecond.map { Int64(clamping: $0) }
        rates["write_bytes"] = limits.writeBytesPerSecond.map { Int64(clamping: $0) }
        if !rates.isEmpty { try socket.ask("disk", rates) }
        var jailed = Limits()
        jailed.milliCPUs = limits.milliCPUs
        if !jailed.kinds.isEmpty { _ = try monitor.update(jailed, policy: policy) }
        spec.limits = limits.over(spec.limits)
        return GuestJail.statuses(statuses(spec), of: spec.limits)
    }

    func statistics() -> SandboxStatistics { monitor.statistics() }
    func cost() -> SandboxCost? { nil }
    func execute(_ request: ExecRequest) throws(SandboxError) -> ExecSession {
        try monitor.execute(try guests.request(request, in: spec))
    }
    func finish() throws(SandboxError) -> SandboxOutcome? {
        let outcome = try monitor.finish()
        if outcome != nil { scratch.forgetName() }
        return outcome
    }
}
