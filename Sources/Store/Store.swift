internal import LinuxKernel

/// The durable record: opaque records by id, numbered events, and named values, in one SQLite
/// database that one process at a time owns.
///
/// A commit is whole or not there, and survives the death of the process from the moment it
/// returns. It waits for no disk: see ``Checkpointer`` for what a loss of power leaves. A thread
/// of its own moves the log into the database.
///
/// One thread at a time uses it.
public final class Store {
    /// The path of the database.
    public let path: String
    private let lock: RecordLock
    private let connection: Connection
    private let statements: Statements
    let checkpointer: Checkpointer
    private var thread: KernelThread?

    init(
        path: String, lock: RecordLock, connection: Connection,
        checkpointer: Checkpointer, inBackground: Bool
    ) throws(StoreError) {
        statements = try Statements(connection)
        self.path = path
        self.lock = lock
        self.connection = connection
        self.checkpointer = checkpointer
        guard inBackground else { return }
        thread = try Self.thread(for: checkpointer, path)
    }

    private static func thread(
        for checkpointer: Checkpointer, _ path: String
    ) throws(StoreError) -> KernelThread {
        do throws(SystemCallError) {
            return try KernelThread(named: "record") { checkpointer.serve() }
        } catch {
            throw StoreError(error, doing: "open", on: path)
        }
    }

    /// Ends the thread, and leaves the log for the next one that opens the record.
    deinit {
        checkpointer.stop()
        thread.take()?.join()
    }

    // MARK: - Writing

    /// Does all of the change or nothing. After a failure the store can be used as before.
    public func commit(_ change: Change) throws(StoreError) {
        if change.isEmpty { return }
        let isDue = try exclusively { (log) throws(StoreError) in
            log.commits += 1
            try transact(synced: log.mayRestart) { () throws(StoreError) in
                for step in change.steps { try perform(step) }
            }
            log.mayRestart = false
            log.pages = connection.logPages
            return log.pages >= log.attemptAt
        }
        if isDue { checkpointer.log.signal() }
    }

    private func perform(_ step: Change.Step) throws(StoreError) {
        switch step {
        case .put(let kind, let record):
            try statements.put.bind(1, kind.rawValue)
            try statements.put.bind(2, record.id)
            try statements.put.bind(3, record.number)
            try statements.put.bind(4, record.bytes)
            try statements.put.run()
        case .remove(let kind, let id):
            try statements.remove.bind(1, kind.rawValue)
            try statements.remove.bind(2, id)
            try statements.remove.run()
        case .event(let event):
            try statements.append.bind(1, event.number)
            try statements.append.bind(2, event.subject)
            try statements.append.bind(3, event.bytes)
            try statements.append.run()
        case .set(let name, let bytes?):
            try statements.set.bind(1, name)
            try statements.set.bind(2, bytes)
            try statements.set.run()
        case .set(let name, nil):
            try statements.unset.bind(1, name)
            try statements.unset.run()
        }
    }

    private func transact(
        synced: Bool, _ body: () throws(StoreError) -> Void
    ) throws(StoreError) {
        if synced { try connection.execute("PRAGMA synchronous = NORMAL") }
        defer { if synced { try? connection.execute("PRAGMA synchronous = OFF") } }
        do throws(StoreError) {
            try statements.begin.run()
            try body()
            try statements.commit.run()
        } catch {
            if connection.isInTransaction { try? statements.rollBack.run() }
            throw error
        }
    }

    /// Removes events with numbers below this one, the oldest first and at most so many at once.
    /// The newest stays, so that numbers go on. Gives how many are gone.
    @discardableResult
    public func trimEvents(below number: Int64, atMost count: Int = 1000) throws(StoreError) -> Int
    {
        try exclusively { (log) throws(StoreError) in
            log.commits += 1
            var removed = 0
            try transact(synced: log.mayRestart) { () throws(StoreError) in
                defer { statements.trim.reset() }
                try statements.trim.bind(1, number)
                try statements.trim.bind(2, Int64(count))
                while try statements.trim.next() { removed += 1 }
            }
            log.mayRestart = false
            log.pages = connection.logPages
            return removed
        }
    }

    // MARK: - Reading

    /// All records of a kind, by their numbers, and by their ids where those are equal.
    public func records(of kind: RecordKind) throws(StoreError) -> [StoredRecord] {
        try exclusively { (_) throws(StoreError) in
            let statement = statements.records
            defer { statement.reset() }
            try statement.bind(1, kind.rawValue)
            var records: [StoredRecord] = []
            while try statement.next() {
                records.append(
                    StoredRecord(
                        id: statement.text(0), number: statement.integer(1),
                        bytes: statement.bytes(2)))
            }
            return records
        }
    }

    /// At most `limit` events, from this number on.
    public func events(from number: Int64, limit: Int) throws(StoreError) -> [StoredEvent] {
        try exclusively { (_) throws(StoreError) in
            let statement = statements.events
            defer { statement.reset() }
            try statement.bind(1, number)
            try statement.bind(2, Int64(limit))
            var events: [StoredEvent] = []
            while try statement.next() {
                events.append(
                    StoredEvent(
                        number: statement.integer(0), subject: statement.text(1),
                        bytes: statement.bytes(2)))
            }
            return events
        }
    }

    /// The numbers of the oldest and the newest event; nothing when there was none ever.
    public func eventNumbers() throws(StoreError) -> ClosedRange<Int64>? {
        try exclusively { (_) throws(StoreError) in
            let statement = statements.eventNumbers
            defer { statement.reset() }
            guard try statement.next(), statement.integer(2) != 0 else { return nil }
            return statement.integer(0)...statement.integer(1)
        }
    }

    /// The value of that name.
    public func value(_ name: String) throws(StoreError) -> [UInt8]? {
        try exclusively { (_) throws(StoreError) in
            let statement = statements.value
            defer { statement.reset() }
            try statement.bind(1, name)
            return try statement.next() ? statement.bytes(0) : nil
        }
    }

    // MARK: - The log

    /// Moves what is in the log into the database now, on this thread, and waits for the disk.
    /// False when others who read the file hold that up.
    @discardableResult
    public func checkpoint() throws(StoreError) -> Bool {
        try checkpointer.run()
    }

    /// Pages in the log that are not yet in the database.
    public var logPages: Int { checkpointer.log.with { $0.pages } }

    /// Why the thread's last checkpoint failed; nothing when it did not.
    public var checkpointFailure: StoreError? { checkpointer.log.with { $0.failure } }

    /// Calls `body` while no checkpoint cuts the log.
    private func exclusively<Result>(
        _ body: (inout LogState) throws(StoreError) -> Result
    ) throws(StoreError) -> Result {
        try checkpointer.log.with(body)
    }
}

/// What a store does again and again.
private struct Statements {
    let begin, commit, rollBack, put, remove, append, set, unset, trim: Statement
    let records, events, eventNumbers, value: Statement

    init(_ connection: Connection) throws(StoreError) {
        func write(_ sql: String) throws(StoreError) -> Statement {
            try connection.prepare(sql, doing: "write")
        }
        func read(_ sql: String) throws(StoreError) -> Statement {
            try connection.prepare(sql, doing: "read")
        }
        begin = try write("BEGIN IMMEDIATE")
        commit = try write("COMMIT")
        rollBack = try write("ROLLBACK")
        put = try write(
            """
            INSERT INTO records (kind, id, number, bytes) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (kind, id) DO UPDATE SET number = ?3, bytes = ?4
            """)
        remove = try write("DELETE FROM records WHERE kind = ?1 AND id = ?2")
        append = try write("INSERT INTO events (number, subject, bytes) VALUES (?1, ?2, ?3)")
        set = try write("INSERT OR REPLACE INTO entries (name, bytes) VALUES (?1, ?2)")
        unset = try write("DELETE FROM entries WHERE name = ?1")
        trim = try write(
            """
            DELETE FROM events WHERE number IN (
                SELECT number FROM events
                WHERE number < ?1 AND number < (SELECT max(number) FROM events)
                ORDER BY number LIMIT ?2)
            RETURNING number
            """)
        records = try read(
            "SELECT id, number, bytes FROM records WHERE kind = ?1 ORDER BY number, id")
        events = try read(
            """
            SELECT number, subject, bytes FROM events WHERE number >= ?1
            ORDER BY number LIMIT ?2
            """)
        eventNumbers = try read(
            """
            SELECT (SELECT min(number) FROM events), (SELECT max(number) FROM events),
                EXISTS (SELECT 1 FROM events)
            """)
        value = try read("SELECT bytes FROM entries WHERE name = ?1")
    }
}
