internal import CSQLite

/// A statement that was prepared once and is run often. Keeps its connection alive.
@safe final class Statement {
    private let handle: OpaquePointer
    private let connection: Connection
    private let what: String

    /// - Parameter what: what it does, for errors.
    @unsafe init(owning handle: OpaquePointer, of connection: Connection, doing what: String) {
        // SAFETY: the caller hands the statement over; deinit alone ends it.
        unsafe self.handle = handle
        self.connection = connection
        self.what = what
    }

    deinit {
        // SAFETY: nobody can use it any more, and its connection is still there.
        unsafe sqlite3_finalize(handle)
    }

    func bind(_ index: Int32, _ value: Int64) throws(StoreError) {
        // SAFETY: the handle lives as long as this object.
        try check(unsafe sqlite3_bind_int64(handle, index, value))
    }

    func bind(_ index: Int32, _ value: String) throws(StoreError) {
        let count = UInt64(value.utf8.count)
        // SAFETY: the text is copied by the call; the handle lives as long as this object.
        try check(
            unsafe value.withCString {
                unsafe alcove_sqlite_bind_text(handle, index, $0, count)
            })
    }

    func bind(_ index: Int32, _ value: [UInt8]) throws(StoreError) {
        // A null pointer would be bound as no value at all.
        if value.isEmpty {
            // SAFETY: the handle lives as long as this object.
            return try check(unsafe sqlite3_bind_zeroblob(handle, index, 0))
        }
        // SAFETY: the bytes are copied by the call; the handle lives as long as this object.
        try check(
            unsafe value.withUnsafeBytes {
                unsafe alcove_sqlite_bind_bytes(
                    handle, index, $0.baseAddress, UInt64($0.count))
            })
    }

    /// Goes on to the next row; false at the end.
    func next() throws(StoreError) -> Bool {
        // SAFETY: the handle lives as long as this object.
        let result = unsafe sqlite3_step(handle)
        switch result {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw connection.error(doing: what, result)
        }
    }

    /// Runs it to its end, and makes it ready for the next time, failed or not.
    func run() throws(StoreError) {
        defer { reset() }
        while try next() {}
    }

    /// Lets go of what it holds of the database, and of what was bound.
    func reset() {
        // SAFETY: the handle lives as long as this object. The result repeats that of the step.
        unsafe sqlite3_reset(handle)
        unsafe sqlite3_clear_bindings(handle)
    }

    func integer(_ column: Int32) -> Int64 {
        // SAFETY: the handle lives as long as this object.
        unsafe sqlite3_column_int64(handle, column)
    }

    func text(_ column: Int32) -> String {
        String(decoding: bytes(column), as: UTF8.self)
    }

    func bytes(_ column: Int32) -> [UInt8] {
        // SAFETY: the pointer is that of so many bytes, or null, until the next call on the row.
        guard let start = unsafe sqlite3_column_blob(handle, column) else { return [] }
        let count = unsafe Int(sqlite3_column_bytes(handle, column))
        return unsafe [UInt8](UnsafeRawBufferPointer(start: start, count: count))
    }

    private func check(_ result: Int32) throws(StoreError) {
        guard result == SQLITE_OK else { throw connection.error(doing: what, result) }
    }
}
