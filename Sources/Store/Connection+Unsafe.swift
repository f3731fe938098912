internal import CSQLite
internal import LinuxKernel

/// A connection to the database. One thread at a time uses it.
@safe final class Connection {
    private let handle: OpaquePointer
    let path: String
    /// Pages in the log after the last commit of this connection.
    private(set) var logPages = 0

    /// What a checkpoint found: pages in the log, and those of them that are in the database now.
    struct Progress {
        let pages: Int
        let done: Int
        var isComplete: Bool { pages == done }
    }

    enum Thoroughness {
        /// As far as others let it, without waiting for them.
        case passive
        /// To the end, and the log is empty then.
        case truncate
    }

    /// Once for the process.
    private static let configured = alcove_sqlite_configure()

    init(path: String) throws(StoreError) {
        // A library that somebody initialised already is used as it is.
        _ = Self.configured
        var made: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        // SAFETY: the call writes the handle, which deinit alone closes, or which is closed below.
        let result = unsafe sqlite3_open_v2(path, &made, flags, nil)
        guard let handle = unsafe made else {
            throw StoreError(.other, doing: "open", on: path, why: "out of memory")
        }
        guard result == SQLITE_OK else {
            // SAFETY: the handle is live, and closed here, as it is stored nowhere.
            let error = unsafe Self.error(doing: "open", on: path, handle, result)
            unsafe sqlite3_close(handle)
            throw error
        }
        // SAFETY: as above.
        unsafe self.handle = handle
        self.path = path
        // SAFETY: the context is this object, which outlives the handle that it closes.
        unsafe alcove_sqlite_defend(handle)
        unsafe sqlite3_wal_hook(
            handle,
            { context, _, _, pages in
                guard let context = unsafe context else { return SQLITE_OK }
                let owner = unsafe Unmanaged<Connection>.fromOpaque(context)
                unsafe owner.takeUnretainedValue().logPages = Int(pages)
                return SQLITE_OK
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    deinit {
        // SAFETY: statements keep this object alive, so there are none, and nobody else uses it.
        unsafe sqlite3_close_v2(handle)
    }

    /// Runs statements that give no rows, or whose rows do not matter.
    func execute(_ sql: String, doing what: String = "write") throws(StoreError) {
        // SAFETY: the handle lives as long as this object, and the text until the call is over.
        let result = unsafe sqlite3_exec(handle, sql, nil, nil, nil)
        guard result == SQLITE_OK else { throw error(doing: what, result) }
    }

    func prepare(_ sql: String, doing what: String) throws(StoreError) -> Statement {
        var made: OpaquePointer?
        // SAFETY: the handle lives as long as this object; the statement is handed over below.
        let result = unsafe sqlite3_prepare_v3(
            handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &made, nil)
        guard result == SQLITE_OK, let made = unsafe made else { throw error(doing: what, result) }
        return unsafe Statement(owning: made, of: self, doing: what)
    }

    /// The first column of the first row, as a number.
    func number(_ sql: String, doing what: String) throws(StoreError) -> Int64? {
        let statement = try prepare(sql, doing: what)
        return try statement.next() ? statement.integer(0) : nil
    }

    /// The first column of the first row, as a text.
    func text(_ sql: String, doing what: String) throws(StoreError) -> String? {
        let statement = try prepare(sql, doing: what)
        return try statement.next() ? statement.text(0) : nil
    }

    var isInTransaction: Bool {
        // SAFETY: the handle lives as long as this object.
        unsafe sqlite3_get_autocommit(handle) == 0
    }

    func checkpoint(_ thoroughness: Thoroughness) throws(StoreError) -> Progress {
        let mode =
            switch thoroughness {
            case .passive: SQLITE_CHECKPOINT_PASSIVE
            case .truncate: SQLITE_CHECKPOINT_TRUNCATE
            }
        var pages: Int32 = 0
        var done: Int32 = 0
        // SAFETY: the handle lives as long as this object; both numbers until the call is over.
        let result = unsafe sqlite3_wal_checkpoint_v2(handle, nil, mode, &pages, &done)
        guard result == SQLITE_OK else { throw error(doing: "checkpoint", result) }
        return Progress(pages: Int(max(pages, 0)), done: Int(max(done, 0)))
    }

    func error(doing what: String, _ result: Int32) -> StoreError {
        // SAFETY: the handle lives as long as this object.
        unsafe Self.error(doing: what, on: path, handle, result)
    }

    private static func error(
        doing what: String, on path: String, _ handle: OpaquePointer, _ result: Int32
    ) -> StoreError {
        // SAFETY: the caller's handle is live; the text is copied before the next call.
        let number = ErrorNumber(rawValue: unsafe sqlite3_system_errno(handle))
        let words = unsafe String(cString: sqlite3_errmsg(handle))
        let primary = result & 0xff
        switch primary {
        case SQLITE_IOERR, SQLITE_CANTOPEN:
            // What the kernel said is more than what the library makes of it.
            let why = number.rawValue == 0 ? words : "\(words): \(number)"
            let kind = StoreError.kind(of: number)
            return StoreError(kind ?? .other, doing: what, on: path, why: why)
        default:
            return StoreError(kind(of: primary), doing: what, on: path, why: words)
        }
    }

    private static func kind(of primary: Int32) -> StoreError.Kind {
        switch primary {
        case SQLITE_FULL: .full
        case SQLITE_READONLY, SQLITE_PERM: .readOnly
        case SQLITE_CORRUPT, SQLITE_NOTADB: .corrupt
        case SQLITE_BUSY, SQLITE_LOCKED: .busy
        default: .other
        }
    }
}
