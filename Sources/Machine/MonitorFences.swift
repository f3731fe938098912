public import LinuxKernel

/// The fences within a monitor, for the case that its guest takes it over: a filter of system
/// calls for each kind of thread, and before it one that refuses all files. What is put up stays.
///
///     files opened ─► refuseFiles ─► threads made, each raises its own ─► complete ─► guest runs
///
/// They stand inside the jail around the monitor and expect nothing of it.
public final class MonitorFences: Sendable {
    public struct Kinds: OptionSet, Sendable {
        public let rawValue: Int

        public init(rawValue: Int) {
            self.rawValue = rawValue
        }

        /// Landlock, where the kernel has it.
        public static let files = Kinds(rawValue: 1)
        /// The filters of system calls.
        public static let calls = Kinds(rawValue: 2)
        public static let all: Kinds = [.files, .calls]
    }

    private struct State {
        var expected = 0
        var raised = 0
        var failure: SystemCallError?
        var landlock: Int?
    }

    public let kinds: Kinds
    private let state = Locked(State())

    public init(_ kinds: Kinds) {
        self.kinds = kinds
    }

    /// The version of Landlock that refuses files, once it does.
    public var landlockVersion: Int? { state.with { $0.landlock } }

    /// Opens no files any more, on this thread and on those that it makes. A kernel without
    /// Landlock leaves that to the filters.
    public func refuseFiles() throws(SystemCallError) {
        if !kinds.isEmpty { try ThisProcess.renouncePrivileges() }
        guard kinds.contains(.files) else { return }
        if case .restricted(let version) = try Landlock.refuseAll() {
            state.with { $0.landlock = version }
        }
    }

    /// What so many threads of a kind are to do first: ``complete()`` waits until they have.
    public func first(on thread: MonitorThread, threads: Int) -> @Sendable () -> Void {
        state.with { $0.expected += threads }
        return { self.raise(on: thread) }
    }

    private func raise(on thread: MonitorThread) {
        var failure: SystemCallError?
        do throws(SystemCallError) {
            if kinds.contains(.calls) { try MonitorCalls.filter(of: thread).install() }
        } catch {
            failure = error
        }
        state.with { state in
            state.raised += 1
            state.failure = state.failure ?? failure
        }
        state.signalAll()
    }

    /// Waits until the other threads are behind theirs, and puts up that of the calling one. No
    /// guest may run before, nor when it throws.
    func complete() throws(SystemCallError) {
        let failure = state.wait { $0.raised == $0.expected ? .some($0.failure) : nil }
        if let failure { throw failure }
        if kinds.contains(.calls) { try MonitorCalls.filter(of: .devices).install() }
    }
}
