public import LinuxKernel

/// Threads for work that blocks, so that no loop does. Results go back by `loop.enqueue`.
public final class Workers: Sendable {
    private struct Queue {
        var jobs: [@Sendable () -> Void] = []
        /// Those before it are taken.
        var first = 0
        var isStopping = false
        var running = 0

        var count: Int { jobs.count - first }
    }

    private let queue = Locked(Queue())
    private let limit: Int

    /// - Parameter queue: how many jobs can wait.
    public init(threads: Int, queue limit: Int, named name: String = "worker")
        throws(SystemCallError)
    {
        self.limit = limit
        for index in 0..<threads {
            queue.with { $0.running += 1 }
            let queue = queue
            // Nobody joins it: `stop` waits for the counter.
            _ = try KernelThread(named: "\(name)-\(index)") { Self.work(queue) }
        }
    }

    /// Runs a job on one of the threads. False when too many wait, or the threads end.
    @discardableResult
    public func run(_ job: @escaping @Sendable () -> Void) -> Bool {
        let accepted = queue.with { queue in
            guard !queue.isStopping, queue.count < limit else { return false }
            queue.jobs.append(job)
            return true
        }
        if accepted { queue.signal() }
        return accepted
    }

    /// Ends the threads after the jobs that wait, and waits for that.
    public func stop() {
        queue.with { $0.isStopping = true }
        queue.signalAll()
        queue.wait { $0.running == 0 ? () : nil }
    }

    private static func work(_ queue: Locked<Queue>) {
        while let job = next(queue) { job() }
        queue.with { $0.running -= 1 }
        queue.signalAll()
    }

    private static func next(_ queue: Locked<Queue>) -> (@Sendable () -> Void)? {
        queue.wait { queue -> (@Sendable () -> Void)?? in
            if queue.count > 0 {
                let job = queue.jobs[queue.first]
                queue.first += 1
                if queue.count == 0 || queue.first > 1024 {
                    queue.jobs.removeSubrange(..<queue.first)
                    queue.first = 0
                }
                return .some(job)
            }
            return queue.isStopping ? .some(nil) : nil
        }
    }
}
