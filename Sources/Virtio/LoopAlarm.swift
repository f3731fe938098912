internal import LinuxKernel

/// One action at a point of time on a loop, which any thread sets. Setting it anew calls off what
/// was set before, so that there is never more than one however often a guest begins anew.
final class LoopAlarm: Sendable {
    private struct State {
        var next: (time: UInt64, action: @Sendable () -> Void)?
        var isEnqueued = false
    }

    private let state = Locked(State())
    /// Belongs to the loop's thread.
    private let scheduled = LoopOwned()

    private final class LoopOwned: @unchecked Sendable {
        var action: ScheduledAction?
    }

    /// Calls an action at a point of the monotonic clock.
    func set(at time: UInt64, on loop: EventLoop, _ action: @escaping @Sendable () -> Void) {
        let isFirst = state.with { state in
            state.next = (time, action)
            defer { state.isEnqueued = true }
            return !state.isEnqueued
        }
        guard isFirst else { return }
        loop.enqueue { [self, unowned loop] in schedule(on: loop) }
    }

    private func schedule(on loop: EventLoop) {
        let next = state.with { state in
            state.isEnqueued = false
            defer { state.next = nil }
            return state.next
        }
        guard let next else { return }
        if let before = scheduled.action { loop.cancel(before) }
        scheduled.action = loop.schedule(at: next.time, next.action)
    }
}
