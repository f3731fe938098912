/// Threads for work that blocks, so that no loop does. Results go back by `loop.enqueue`.
public final class Workers: Sendable {
    private struct Queue {
        /// One that was taken is not kept: it holds what it was to work on.
        var jobs: [(@Sendable () -> Void)?] = []
        /// Those before it are taken.
        var first = 0
        var isStopping = false
        var running = 0

        var count: Int { jobs.count - first }
    }

    private let queue = Locked(Queue())
    private let limit: Int
    private let name: String

    /// - Parameters:
    ///   - threads: none for work that waits until there are some: see ``add(threads:first:)``.
    ///   - queue: how many jobs can wait.
    public init(threads: Int, queue limit: Int, named name: String = "worker")
        throws(SystemCallError)
    {
        self.limit = limit
        self.name = name
        try add(threads: threads)
    }

    /// Makes further threads.
    ///
    /// - Parameter first: called on each of them before any work.
    public func add(
        threads: Int, first: @escaping @Sendable () -> Void = {}
    ) throws(SystemCallError) {
        for _ in 0..<threads {
            let index = queue.with { queue in
                defer { queue.running += 1 }
                return queue.running
            }
            let queue = queue
            do throws(SystemCallError) {
                // Nobody joins it: `stop` waits for the counter.
                _ = try KernelThread(named: "\(name)-\(index)") {
                    first()
                    Self.work(queue)
                }
            } catch {
                queue.with { $0.running -= 1 }
                throw error
            }
        }
    }

    /// Runs a job on one of the threads. False when too many wait, or the threads end.
    ///
    /// - Parameter isBounded: false for what must be done, however much waits. Whoever asks bounds
    ///   how much that can be.
    @discardableResult
    public func run(isBounded: Bool = true, _ job: @escaping @Sendable () -> Void) -> Bool {
        let accepted = queue.with { queue in
            guard !queue.isStopping, !isBounded || queue.count < limit else { return false }
            queue.jobs.append(job)
            return true
        }
        if accepted { queue.signal() }
        return accepted
    }

    /// Ends the threads after the jobs that wait, and waits for that.
    ///
    /// - Parameter dropsWaiting: after those alone that they are doing.
    public func stop(dropsWaiting: Bool = false) {
        // What a job holds goes away outside the lock.
        _ = queue.with { queue in
            queue.isStopping = true
            guard dropsWaiting else { return [(@Sendable () -> Void)?]() }
            let dropped = queue.jobs
            queue.jobs = []
            queue.first = 0
            return dropped
        }
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
                queue.jobs[queue.first] = nil
                queue.first += 1
                if queue.count == 0 || queue.first > 1024 {
                    queue.jobs.removeSubrange(..<queue.first)
                    queue.first = 0
                }
                return job.map { .some($0) }
            }
            return queue.isStopping ? .some(nil) : nil
        }
    }
}
