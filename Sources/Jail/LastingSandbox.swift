public import LinuxKernel
public import SandboxModel

/// A running sandbox that does not need its starter: alcove-init holds its output, its end and the
/// way to run further commands in it.
///
/// Whoever drives it waits for ``processDescriptor`` to become readable, and then calls
/// ``finish(withTimeline:)``. Dropping it leaves the sandbox as it is.
public final class LastingSandbox {
    public enum Progress: Equatable, Sendable {
        case settingUp
        /// The workload runs, or ran; by the monotonic clock.
        case started(nanoseconds: UInt64)
        /// It never will.
        case failed(SandboxError)
    }

    public let folder: SandboxFolder
    /// The pid of alcove-init, seen from the host.
    public let pid: Int32
    public let cgroupName: String
    public private(set) var progress: Progress

    init() throws(SandboxError) { throw SandboxError(.unavailable, "not yet") }

    /// Readable when the sandbox has ended: a pidfd.
    public var processDescriptor: Int32 { -1 }
    /// Readable when there is something to ``collect()``. Nothing once there is no need to wait
    /// for it: of a sandbox that was adopted when its workload ran already.
    public var reportDescriptor: Int32? { nil }

    /// Reads what alcove-init has reported so far.
    public func collect() {}

    /// Sends a signal to the workload, by alcove-init.
    public func send(_ signal: Signal) throws(SandboxError) {}

    /// Ends every process inside, at once.
    public func kill() throws(SandboxError) {}

    /// However it ends from here on, it ends because its time is over.
    public func markTimedOut() {}

    public func setFrozen(_ frozen: Bool) throws(SandboxError) {}

    /// Changes limits; what is not set in `limits` stays. All of them change or none.
    ///
    /// - Parameter image: status of the image's tree, for the disk below it.
    @discardableResult
    public func update(
        _ limits: Limits, policy: SandboxSpec.LimitPolicy, image: String
    ) throws(SandboxError) -> [LimitStatus] { [] }

    /// The outcome, and removes the cgroup; nothing while it still runs.
    public func finish(withTimeline: Bool = false) throws(SandboxError) -> SandboxOutcome? { nil }

    /// Asks alcove-init to run a command. It gives back at once; what becomes of it comes from
    /// the session.
    public func execute(_ request: ExecRequest) throws(SandboxError) -> ExecSession {
        throw SandboxError(.unavailable, "not yet")
    }

    /// What it uses now.
    public func statistics() -> SandboxStatistics { SandboxStatistics() }
}

extension PreparedSandbox {
    /// Starts a sandbox that was prepared with ``Lasting``.
    ///
    /// - Parameters:
    ///   - folder: made before, not in use by another sandbox.
    ///   - name: of its cgroup, which must not be there yet.
    ///   - network: the descriptor of a pooled network namespace, for a plan that joins one.
    public func startLasting(
        in folder: SandboxFolder, cgroup name: String, network: Int32? = nil
    ) throws(SandboxError) -> LastingSandbox {
        throw SandboxError(.unavailable, "not yet")
    }
}

extension LastingSandbox {
    /// What was found of a sandbox that another process, or an earlier life of this one, started.
    public enum Adoption {
        case running(LastingSandbox)
        /// Its cgroup is removed.
        case ended(SandboxOutcome)
        /// No process of it came to be. Its cgroup is removed.
        case neverStarted
    }

    /// Looks for the sandbox in its cgroup and in its report.
    ///
    /// - Parameter limits: which of its limits hold, for the outcome.
    public static func adopt(
        _ spec: SandboxSpec, limits: [LimitStatus], folder: SandboxFolder, cgroup name: String,
        on host: SandboxHost
    ) throws(SandboxError) -> Adoption {
        throw SandboxError(.unavailable, "not yet")
    }
}
