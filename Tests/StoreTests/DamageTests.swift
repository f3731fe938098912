import Foundation
import Store
import TestSupport
import Testing

@Suite struct DamageTests {
    /// A record of a few hundred pages, all of it in the database.
    private func filled() throws -> Folder {
        let folder = try Folder()
        let store = try openQuietly(folder)
        for number in Int64(1)...300 {
            var change = Change()
            change.put(
                .sandbox,
                StoredRecord(
                    id: "sandbox-\(number)", number: number,
                    bytes: Array(repeating: UInt8(number & 255), count: Int(number) * 7)))
            change.append(StoredEvent(number: number, subject: "s", bytes: [1, 2, 3]))
            try store.commit(change)
        }
        #expect(try store.checkpoint())
        return folder
    }

    private func change(_ folder: Folder, _ body: (inout Data) -> Void) throws {
        let file = URL(fileURLWithPath: folder.database)
        var data = try Data(contentsOf: file)
        body(&data)
        try data.write(to: file)
    }

    @Test("what is no database is refused, and can be set aside")
    func noDatabase() throws {
        let folder = try Folder()
        let garbage = Data("this is no database, and never was\n".utf8)
        try garbage.write(to: URL(fileURLWithPath: folder.database))
        for number in 1...2 {
            let error = failure { () throws(StoreError) in _ = try openQuietly(folder) }
            #expect(
                error?.description
                    == "cannot open the record `\(folder.database)`: file is not a database "
                    + "(set the record aside, and begin with an empty one)")
            #expect(error?.kind == .corrupt)
            let aside = try Store.setAside(directory: folder.path)
            #expect(aside == "\(folder.database).aside-\(number)")
            #expect(try Data(contentsOf: URL(fileURLWithPath: "\(aside)/alcove.db")) == garbage)
            _ = try openQuietly(folder)
            try FileManager.default.removeItem(atPath: folder.database)
            try garbage.write(to: URL(fileURLWithPath: folder.database))
        }
    }

    @Test("what is set aside keeps its log, and can be used again")
    func setAside() throws {
        let folder = try Folder()
        do {
            let store = try openQuietly(folder)
            var change = Change()
            change.set("name", to: [1, 2])
            try store.commit(change)
        }
        let aside = try Store.setAside(directory: folder.path)
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(left.sorted() == ["alcove.db-lock", "alcove.db.aside-1"])
        do {
            let store = try openQuietly(folder)
            #expect(try store.value("name") == nil)
        }
        let store = try Store.open(directory: aside)
        #expect(try store.value("name") == [1, 2])
    }

    @Test("a page that is overwritten or missing is found when the record is opened")
    func pages() throws {
        let pristine = try filled()
        let damages: [(inout Data) -> Void] = [
            { $0.replaceSubrange(4096..<8192, with: Data(repeating: 0, count: 4096)) },
            { $0.replaceSubrange(8192..<12_288, with: Data(repeating: 0xff, count: 4096)) },
            { $0.removeLast($0.count / 2) }, { $0.removeSubrange(4096..<8192) },
        ]
        for damage in damages {
            let folder = try Folder()
            try FileManager.default.copyItem(atPath: pristine.database, toPath: folder.database)
            try change(folder, damage)
            let error = failure { () throws(StoreError) in _ = try openQuietly(folder) }
            #expect(error?.kind == .corrupt)
            #expect(error?.message.contains("\n") == false)
        }
    }

    @Test(
        "whatever bytes change, it is refused or read without harm",
        arguments: 0..<4 as Range<UInt64>)
    func anyByte(seed: UInt64) throws {
        let pristine = try filled()
        var random = SeededRandom(seed: seed)
        var refused = 0
        for _ in 0..<40 {
            let folder = try Folder()
            try FileManager.default.copyItem(atPath: pristine.database, toPath: folder.database)
            try change(folder) { data in
                for _ in 0..<Int.random(in: 1...30, using: &random) {
                    data[.random(in: 0..<data.count, using: &random)] = .random(
                        in: 0...255, using: &random)
                }
            }
            let error = failure { () throws(StoreError) in
                let store = try openQuietly(folder)
                _ = try store.records(of: .sandbox)
                _ = try store.events(from: 0, limit: 1000)
                var change = Change()
                change.append(StoredEvent(number: 1000, subject: "", bytes: []))
                try store.commit(change)
            }
            if let error {
                #expect(!error.message.isEmpty, "seed \(seed)")
                refused += 1
            }
        }
        #expect(refused > 0, "seed \(seed): no damage was found")
    }
}
