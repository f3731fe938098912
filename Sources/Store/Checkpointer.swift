internal import LinuxKernel

/// What the owner's thread and that of the checkpoints tell each other. Whoever holds it has the
/// log for itself: the owner for a transaction, the checkpoints to empty it.
struct LogState {
    /// Transactions of the owner, failed ones included.
    var commits: UInt64 = 0
    var pages = 0
    /// The thread acts at this many pages.
    var attemptAt: Int
    /// All of the log is in the database, and the log is not empty: the next write begins it anew
    /// over its old content, which is safe only when the log's header reaches the disk first.
    var mayRestart = false
    var isStopping = false
    /// Why the last checkpoint failed.
    var failure: StoreError?
}

/// When the log is moved into the database. A page has 4096 bytes; a commit writes 2 to 4.
public struct CheckpointLimits: Sendable {
    /// Pages in the log from which it is worth the syncs.
    public var pages = 1000
    /// Pages from which a commit may have to wait for the disk, so that the log does not grow for
    /// ever.
    public var largestLogPages = 8192
    /// A thread does it. Else nothing does but ``Store/checkpoint()``.
    public var inBackground = true

    public init() {}
}

/// Moves what is in the log into the database, on connections of its own, so that the owner's
/// thread never waits for the disk.
///
/// A commit is only written to the log, without a sync: it survives the process, and what a loss of
/// power takes away is the last commits and never the first. That holds as long as the database
/// gets nothing that is not safe in the log, and the log is not written over while its old pages
/// may come back. So a checkpoint syncs the log, copies, syncs the database, and the log is then
/// cut to nothing: a file system that journals its own structure gives the old content back whole
/// or not at all.
///
/// A log which is copied whole is begun anew by the next write, in place. To keep the owner from
/// that, a second connection reads meanwhile (the pin), and lets go only when the log can be cut at
/// once, or has grown since.
final class Checkpointer: Sendable {
    private struct Connections {
        let worker: Connection
        let pin: Connection
    }

    let log: Locked<LogState>
    private let path: String
    private let limits: CheckpointLimits
    private let connections = Locked<Connections?>(nil)

    init(path: String, limits: CheckpointLimits) {
        self.path = path
        self.limits = limits
        log = Locked(LogState(attemptAt: limits.pages))
    }

    /// Serves until it is told to stop.
    func serve() {
        while log.wait(until: { state -> Bool? in
            if state.isStopping { return false }
            return state.pages >= state.attemptAt ? true : nil
        }) {
            var failure: StoreError?
            do throws(StoreError) {
                let isCut = try run()
                if !isCut, log.with({ $0.pages }) >= limits.largestLogPages { failure = held }
            } catch {
                failure = error
            }
            log.with {
                $0.failure = failure
                $0.attemptAt = $0.pages + limits.pages
            }
        }
    }

    /// Somebody from outside has kept the log from being cut for long.
    private var held: StoreError {
        StoreError(
            .busy, "cannot shorten the log of the record `\(path)`: another process reads it",
            hint: "stop the process that has it open")
    }

    func stop() {
        log.with { $0.isStopping = true }
        log.signalAll()
    }

    /// Checkpoints, and cuts the log if the owner leaves a moment for that. True when it did.
    ///
    /// - Parameter between: for tests; runs between copying and cutting.
    @discardableResult
    func run(between: () -> Void = {}) throws(StoreError) -> Bool {
        try connections.with { (slot) throws(StoreError) in
            let connections: Connections
            if let open = slot {
                connections = open
            } else {
                connections = try open()
                slot = connections
            }
            // What came while the first went on is less, and takes less time.
            for _ in 0..<3 where try attempt(connections, between) { return true }
            return false
        }
    }

    private func open() throws(StoreError) -> Connections {
        let connections = Connections(
            worker: try Connection(path: path), pin: try Connection(path: path))
        for connection in [connections.worker, connections.pin] {
            try connection.configure(cacheKibibytes: 64, busyMilliseconds: 0)
            try connection.execute("PRAGMA synchronous = NORMAL", doing: "open")
        }
        return connections
    }

    private func attempt(
        _ connections: Connections, _ between: () -> Void
    ) throws(StoreError) -> Bool {
        let before = log.with { $0.commits }
        try connections.pin.execute(
            "BEGIN; SELECT rootpage FROM sqlite_schema LIMIT 1", doing: "checkpoint")
        var isUnpinned = false
        defer { if !isUnpinned { unpin(connections) } }
        var progress = try connections.worker.checkpoint(.passive)
        between()
        return try log.with { (state) throws(StoreError) in
            let isQuiet = state.commits == before
            guard isQuiet || state.pages >= limits.largestLogPages else { return false }
            unpin(connections)
            isUnpinned = true
            if !isQuiet { progress = try connections.worker.checkpoint(.passive) }
            guard progress.isComplete else { return false }
            return try cut(connections.worker, &state)
        }
    }

    /// Cuts a log of which nothing is left to copy, which syncs nothing. False when somebody from
    /// outside reads it.
    private func cut(
        _ worker: Connection, _ state: inout LogState
    ) throws(StoreError) -> Bool {
        state.mayRestart = true
        do throws(StoreError) {
            _ = try worker.checkpoint(.truncate)
        } catch {
            if error.kind == .busy { return false }
            throw error
        }
        state.mayRestart = false
        state.pages = 0
        return true
    }

    /// Ends the pin's transaction, which cannot fail for one that only reads.
    private func unpin(_ connections: Connections) {
        try? connections.pin.execute("ROLLBACK", doing: "checkpoint")
    }
}
