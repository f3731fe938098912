/// The layout of the database, as the steps that led to it. Its version is their count.
struct Schema {
    /// Each leads from the version before to the next, and is never changed again.
    let migrations: [String]

    var version: Int { migrations.count }

    /// "ALCV": tells this file from other programs' databases.
    static let applicationIdentity: Int64 = 0x414c_4356

    static let current = Schema(migrations: [
        """
        CREATE TABLE records (
            kind INTEGER NOT NULL,
            id TEXT NOT NULL,
            number INTEGER NOT NULL,
            bytes BLOB NOT NULL,
            UNIQUE (kind, id)
        );
        CREATE TABLE events (
            number INTEGER PRIMARY KEY,
            subject TEXT NOT NULL,
            bytes BLOB NOT NULL
        );
        CREATE TABLE entries (
            name TEXT PRIMARY KEY,
            bytes BLOB NOT NULL
        ) WITHOUT ROWID;
        """
    ])

    /// Refuses what is not a record, or one of a newer program.
    func verify(_ connection: Connection) throws(StoreError) {
        let found = try Self.version(of: connection)
        let identity = try connection.number("PRAGMA application_id", doing: "open") ?? 0
        let objects = try connection.number("SELECT count(*) FROM sqlite_schema", doing: "open")
        let isEmpty = found == 0 && identity == 0 && objects == 0
        guard isEmpty || identity == Self.applicationIdentity else {
            throw StoreError(
                .other, doing: "open", on: connection.path,
                why: "it is the database of another program")
        }
        guard found <= version else {
            throw StoreError(
                .newerSchema(found: found, known: version), doing: "open", on: connection.path,
                why: "its schema is version \(found), and this program knows none above "
                    + "\(version)")
        }
    }

    /// Brings a database that was verified to this version, each step whole or not at all.
    func migrate(_ connection: Connection) throws(StoreError) {
        for number in try Self.version(of: connection)..<version {
            try step(to: number + 1, on: connection)
        }
    }

    static func version(of connection: Connection) throws(StoreError) -> Int {
        Int(try connection.number("PRAGMA user_version", doing: "open") ?? 0)
    }

    private func step(to number: Int, on connection: Connection) throws(StoreError) {
        do throws(StoreError) {
            try connection.execute(
                """
                BEGIN IMMEDIATE;
                \(migrations[number - 1]);
                PRAGMA application_id = \(Self.applicationIdentity);
                PRAGMA user_version = \(number);
                COMMIT
                """, doing: "upgrade")
        } catch {
            if connection.isInTransaction { try? connection.execute("ROLLBACK") }
            throw error
        }
    }
}
