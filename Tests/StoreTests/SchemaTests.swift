import Foundation
import TestSupport
import Testing

@testable import Store

@Suite struct SchemaTests {
    /// The first version as it was released. Never changed: this is what nodes have.
    private static let first = """
        CREATE TABLE records (kind INTEGER NOT NULL, id TEXT NOT NULL, number INTEGER NOT NULL,
            bytes BLOB NOT NULL, UNIQUE (kind, id));
        CREATE TABLE events (number INTEGER PRIMARY KEY, subject TEXT NOT NULL,
            bytes BLOB NOT NULL);
        CREATE TABLE entries (name TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;
        INSERT INTO records VALUES (1, 'old', 4, x'0102'), (2, 'image', 5, x'');
        INSERT INTO events VALUES (3, 'old', x'07'), (9, '', x'');
        INSERT INTO entries VALUES ('node', x'0a');
        PRAGMA application_id = 1095517014;
        PRAGMA user_version = 1;
        """

    private func make(_ folder: Folder, _ sql: String) throws {
        try Data().write(to: URL(fileURLWithPath: folder.database))
        try Connection(path: folder.database).execute(sql)
    }

    private func version(_ folder: Folder) throws -> Int {
        try Schema.version(of: try Connection(path: folder.database))
    }

    @Test("a record of the first version is read, whatever was added since")
    func first() throws {
        let folder = try Folder()
        try make(folder, Self.first)
        let store = try openQuietly(folder)
        #expect(
            try store.records(of: .sandbox) == [StoredRecord(id: "old", number: 4, bytes: [1, 2])])
        #expect(
            try store.records(of: .image) == [StoredRecord(id: "image", number: 5, bytes: [])])
        #expect(try store.events(from: 0, limit: 9).map(\.number) == [3, 9])
        #expect(try store.value("node") == [10])
        #expect(try version(folder) == Schema.current.version)
    }

    private static let second = """
        ALTER TABLE records ADD COLUMN note TEXT;
        UPDATE records SET note = id || '!'
        """

    @Test("each step is made once, in order")
    func steps() throws {
        let folder = try Folder()
        try make(folder, Self.first)
        let schema = Schema(
            migrations: Schema.current.migrations + [
                Self.second, "CREATE TABLE more AS SELECT note FROM records",
            ])
        for _ in 0..<2 {
            let store = try Store.open(directory: folder.path, checkpoints: .init(), schema: schema)
            #expect(try store.records(of: .sandbox).count == 1)
        }
        let connection = try Connection(path: folder.database)
        #expect(try Schema.version(of: connection) == 3)
        #expect(
            try connection.text("SELECT group_concat(note) FROM more", doing: "read")
                == "old!,image!")
    }

    @Test("a step that fails leaves the version before it, whole")
    func failing() throws {
        let folder = try Folder()
        try make(folder, Self.first)
        let bad = Schema(
            migrations: Schema.current.migrations + [Self.second, "DROP TABLE events; bad"])
        let error = failure { () throws(StoreError) in
            _ = try Store.open(directory: folder.path, checkpoints: .init(), schema: bad)
        }
        #expect(
            error?.description
                == "cannot upgrade the record `\(folder.database)`: near \"bad\": syntax error")
        #expect(try version(folder) == 2)
        let good = Schema(migrations: Array(bad.migrations.prefix(2)))
        let store = try Store.open(directory: folder.path, checkpoints: .init(), schema: good)
        #expect(try store.events(from: 0, limit: 9).count == 2)
    }

    @Test("a record of a newer version is refused, and stays as it is")
    func newer() throws {
        let folder = try Folder()
        let newer = Schema(migrations: Schema.current.migrations + [Self.second])
        do {
            let store = try Store.open(directory: folder.path, checkpoints: .init(), schema: newer)
            try store.checkpoint()
        }
        let before = try Data(contentsOf: URL(fileURLWithPath: folder.database))
        let error = failure { () throws(StoreError) in _ = try openQuietly(folder) }
        let known = Schema.current.version
        #expect(error?.kind == .newerSchema(found: known + 1, known: known))
        #expect(
            error?.description
                == "cannot open the record `\(folder.database)`: its schema is version "
                + "\(known + 1), and this program knows none above \(known) (run the version that "
                + "wrote it or a later one)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: folder.database)) == before)
    }

    @Test("the database of another program is refused, and stays as it is")
    func foreign() throws {
        let others = [
            "CREATE TABLE records (id)", "PRAGMA user_version = 1",
            "PRAGMA application_id = 77; PRAGMA user_version = 1; CREATE TABLE a (b)",
        ]
        for sql in others {
            let folder = try Folder()
            try make(folder, sql)
            let before = try Data(contentsOf: URL(fileURLWithPath: folder.database))
            let error = failure { () throws(StoreError) in _ = try openQuietly(folder) }
            #expect(error?.kind == .other)
            #expect(error?.message.hasSuffix("it is the database of another program") == true)
            #expect(try Data(contentsOf: URL(fileURLWithPath: folder.database)) == before)
        }
    }
}
