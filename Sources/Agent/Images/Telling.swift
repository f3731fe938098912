internal import LinuxKernel
internal import RPC

/// How far a long piece of work is, on its way from the thread that does it to a call. The call is
/// told what is newest and never waited for.
final class Telling<Progress: Sendable>: Sendable {
    private struct State {
        var newest: Progress?
        var isPosted = false
        var isStopped = false
    }

    private let state = Locked(State())
    private let loop: EventLoop
    private let tell: UncheckedBox<(Progress) -> Void>

    /// - Parameter tell: called on the loop's thread.
    init(on loop: EventLoop, _ tell: @escaping (Progress) -> Void) {
        self.loop = loop
        self.tell = UncheckedBox(tell)
    }

    /// Nobody wants the result any more.
    func stop() {
        state.with { $0.isStopped = true }
    }

    /// Whether somebody still wants the result.
    var isWanted: Bool { state.with { !$0.isStopped } }

    /// Notes how far it is.
    ///
    /// - Returns: whether it is to go on.
    func note(_ progress: Progress) -> Bool {
        let (isStopped, posts) = state.with { state in
            defer { state.isPosted = true }
            state.newest = progress
            return (state.isStopped, !state.isPosted)
        }
        if posts { loop.enqueue { self.pass() } }
        return !isStopped
    }

    private func pass() {
        let newest = state.with { state in
            state.isPosted = false
            return state.newest.take()
        }
        if let newest { tell.value(newest) }
    }
}
