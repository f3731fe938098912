extension Connection {
    /// What holds for each connection: little memory, no files but the database and its log.
    func configure(cacheKibibytes: Int, busyMilliseconds: Int) throws(StoreError) {
        try execute(
            """
            PRAGMA busy_timeout = \(busyMilliseconds);
            PRAGMA cache_size = -\(cacheKibibytes);
            PRAGMA mmap_size = 0;
            PRAGMA temp_store = MEMORY;
            PRAGMA trusted_schema = OFF;
            PRAGMA cell_size_check = ON;
            PRAGMA secure_delete = OFF
            """, doing: "open")
    }

    /// Writes ahead into a log from now on, and for ever.
    func useLog() throws(StoreError) {
        let mode = try text("PRAGMA journal_mode = WAL", doing: "open")
        guard mode == "wal" else {
            throw StoreError(
                .other, doing: "open", on: path,
                why: "its file system does not support a log, the mode is `\(mode ?? "")`")
        }
    }

    /// Finds damage to the structure, in a file small enough for that to take little time.
    func check() throws(StoreError) {
        let pages = try number("PRAGMA page_count", doing: "check") ?? 0
        guard pages <= Self.mostCheckedPages else { return }
        let result = try text("PRAGMA quick_check(1)", doing: "check") ?? ""
        guard result == "ok" else {
            let words = result.split(separator: "\n").joined(separator: ", ")
            throw StoreError(.corrupt, doing: "open", on: path, why: words)
        }
    }

    /// 32 MiB: 20,000 sandboxes, or 100,000 events.
    private static let mostCheckedPages = 8192
}
