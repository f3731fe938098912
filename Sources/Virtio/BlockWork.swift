internal import GuestMemory
internal import LinuxKernel

/// A request that was done, and what becomes of it.
struct BlockCompletion: Sendable {
    let head: UInt16
    let statusPlace: GuestAddress
    /// Set where it changed the disk: its place among those that do.
    let change: UInt64?
    /// How many bytes the driver gets when all went well.
    let written: Int
    var status = BlockStatus.good
}

/// The requests of one life of a disk that its threads work on. It ends before the next begins.
final class BlockWork: Sendable {
    private struct State {
        var isEnded = false
        /// Those which are at the guest's memory at this moment.
        var inMemory = 0
        /// Those that were handed out and are not done.
        var outstanding = 0
        /// No more than were handed out.
        var done: [BlockCompletion] = []
    }

    private let workers: Workers
    private let state = Locked(State())

    init(_ workers: Workers) {
        self.workers = workers
    }

    /// Does a job on one of the threads, and tells of its end.
    ///
    /// - Parameters:
    ///   - touchesMemory: whether ``end()`` has to wait for it.
    ///   - whenDone: called when there is something to take, but not again before it was taken.
    /// - Returns: false when there are no threads any more.
    func run(
        _ completion: BlockCompletion, touchesMemory: Bool, _ job: @escaping @Sendable () -> Bool,
        whenDone: @escaping @Sendable () -> Void
    ) -> Bool {
        // The device has no more of them at once than its queue holds.
        state.with { $0.outstanding += 1 }
        return workers.run(isBounded: false) { [self] in
            guard begin(touchesMemory) else { return }
            var completion = completion
            if !job() { completion.status = .failed }
            if finish(completion, touchesMemory) { whenDone() }
        }
    }

    private func begin(_ touchesMemory: Bool) -> Bool {
        state.with { state in
            if state.isEnded { return false }
            if touchesMemory { state.inMemory += 1 }
            return true
        }
    }

    private func finish(_ completion: BlockCompletion, _ touchesMemory: Bool) -> Bool {
        let isFirst = state.with { state in
            if touchesMemory { state.inMemory -= 1 }
            state.outstanding -= 1
            if state.isEnded { return false }
            state.done.append(completion)
            return state.done.count == 1
        }
        state.signalAll()
        return isFirst
    }

    func takeDone() -> [BlockCompletion] {
        state.with { state in
            let done = state.done
            state.done = []
            return done
        }
    }

    /// Waits until all that was handed out is done.
    func waitForAll() {
        state.wait { $0.outstanding == 0 ? () : nil }
    }

    /// Begins none of what waits any more, and waits for what is at the guest's memory.
    func end() {
        state.with { state in
            state.isEnded = true
            state.done = []
        }
        state.wait { $0.inMemory == 0 ? () : nil }
    }
}
