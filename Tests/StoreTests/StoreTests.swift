import Foundation
import Store
import TestSupport
import Testing

@Suite struct StoreTests {
    private func record(_ id: String, _ number: Int64, _ bytes: [UInt8] = [1]) -> StoredRecord {
        StoredRecord(id: id, number: number, bytes: bytes)
    }

    private func event(_ number: Int64, _ bytes: [UInt8] = []) -> StoredEvent {
        StoredEvent(number: number, subject: "s\(number)", bytes: bytes)
    }

    @Test("what was committed is there in the next store, by kind and in order")
    func reopened() throws {
        let folder = try Folder()
        do {
            let store = try Store.open(directory: folder.path)
            var change = Change()
            change.put(.sandbox, record("b", 2, [0, 255]))
            change.put(.sandbox, record("a", 2, []))
            change.put(.sandbox, record("z", 1))
            change.put(.image, record("a", 9, Array(repeating: 7, count: 100_000)))
            change.append(event(5, [1, 2]))
            change.append(event(7))
            change.set("node", to: [1, 2, 3])
            change.set("empty", to: [])
            try store.commit(change)
            var second = Change()
            second.put(.sandbox, record("b", 3, [8]))
            second.remove(.sandbox, id: "z")
            second.remove(.sandbox, id: "never")
            second.set("node", to: [4])
            try store.commit(second)
        }
        let store = try Store.open(directory: folder.path)
        #expect(try store.records(of: .sandbox) == [record("a", 2, []), record("b", 3, [8])])
        #expect(
            try store.records(of: .image) == [record("a", 9, Array(repeating: 7, count: 100_000))])
        #expect(try store.records(of: RecordKind(rawValue: 9)) == [])
        #expect(try store.events(from: 0, limit: 10) == [event(5, [1, 2]), event(7)])
        #expect(try store.value("node") == [4])
        #expect(try store.value("empty") == [])
        #expect(try store.value("missing") == nil)
        var change = Change()
        change.set("node", to: nil)
        try store.commit(change)
        #expect(try store.value("node") == nil)
    }

    @Test("ids and names of any text and numbers of any size come back")
    func oddities() throws {
        let folder = try Folder()
        let store = try openQuietly(folder)
        let ids = [
            "", "a\0b", "ä€😀", "'; DROP TABLE records; --", String(repeating: "x", count: 999),
        ]
        var change = Change()
        for (index, id) in ids.enumerated() {
            change.put(.sandbox, record(id, Int64.max - Int64(index)))
            change.set(id, to: Array(id.utf8))
        }
        change.put(.sandbox, record("least", .min))
        change.append(event(.max))
        try store.commit(change)
        let found = try store.records(of: .sandbox)
        #expect(found.map(\.id) == ["least"] + ids.reversed())
        for id in ids { #expect(try store.value(id) == Array(id.utf8)) }
        #expect(try store.eventNumbers() == Int64.max...Int64.max)
    }

    @Test("a change that fails half way leaves nothing, and the store goes on")
    func atomic() throws {
        let folder = try Folder()
        let store = try openQuietly(folder)
        var first = Change()
        first.append(event(1))
        first.put(.sandbox, record("a", 1))
        try store.commit(first)
        var bad = Change()
        bad.put(.sandbox, record("a", 2))
        bad.put(.sandbox, record("b", 2))
        bad.set("name", to: [1])
        bad.append(event(1))
        let error = failure { () throws(StoreError) in try store.commit(bad) }
        #expect(error?.kind == .other)
        #expect(error?.message.hasPrefix("cannot write the record `\(folder.database)`: ") == true)
        #expect(try store.records(of: .sandbox) == [record("a", 1)])
        #expect(try store.value("name") == nil)
        var next = Change()
        next.append(event(2))
        try store.commit(next)
        #expect(try store.eventNumbers() == 1...2)
    }

    @Test("events are read in slices, and trimmed from the oldest but for the newest")
    func events() throws {
        let folder = try Folder()
        let store = try openQuietly(folder)
        #expect(try store.eventNumbers() == nil)
        #expect(try store.trimEvents(below: 10) == 0)
        for number in Int64(1)...50 {
            var change = Change()
            change.append(event(number * 2))
            try store.commit(change)
        }
        #expect(try store.events(from: 11, limit: 3).map(\.number) == [12, 14, 16])
        #expect(try store.events(from: 100, limit: 3).map(\.number) == [100])
        #expect(try store.events(from: 101, limit: 3) == [])
        #expect(try store.trimEvents(below: 21) == 10)
        #expect(try store.eventNumbers() == 22...100)
        #expect(try store.trimEvents(below: .max, atMost: 7) == 7)
        #expect(try store.eventNumbers() == 36...100)
        #expect(try store.trimEvents(below: .max) == 32)
        #expect(try store.eventNumbers() == 100...100)
        #expect(try store.trimEvents(below: .max) == 0)
    }

    @Test("a record belongs to one store at a time")
    func busy() throws {
        let folder = try Folder()
        do {
            let store = try openQuietly(folder)
            let error = failure { () throws(StoreError) in _ = try openQuietly(folder) }
            #expect(error?.kind == .busy)
            #expect(
                error?.description
                    == "cannot open the record `\(folder.database)`: another process has it open "
                    + "(stop the process that has it open)")
            let aside = failure { () throws(StoreError) in
                _ = try Store.setAside(directory: folder.path)
            }
            #expect(aside?.kind == .busy)
            #expect(try store.eventNumbers() == nil)
        }
        _ = try openQuietly(folder)
    }

    @Test("a record is free at once when the process that had it is killed")
    func killedOwner() throws {
        let folder = try Folder()
        for _ in 0..<10 {
            let writer = try Writer(folder)
            try writer.process.waitForOutput("ready")
            let error = failure { () throws(StoreError) in _ = try openQuietly(folder) }
            #expect(error?.kind == .busy)
            try writer.process.send(signal: SIGKILL)
            _ = try writer.process.finish()
            _ = try openQuietly(folder)
        }
    }

    @Test("the files are for their owner alone, even when they were not")
    func modes() throws {
        let folder = try Folder()
        do {
            let store = try openQuietly(folder)
            var change = Change()
            change.append(event(1))
            try store.commit(change)
            for name in ["alcove.db", "alcove.db-wal", "alcove.db-shm"] {
                #expect(try folder.mode(name) == 0o600)
            }
        }
        for name in ["alcove.db", "alcove.db-wal"] {
            try FileManager.default.setAttributes(
                [.posixPermissions: 0o644], ofItemAtPath: "\(folder.path)/\(name)")
        }
        let store = try openQuietly(folder)
        for name in ["alcove.db", "alcove.db-wal", "alcove.db-shm"] {
            #expect(try folder.mode(name) == 0o600)
        }
        #expect(try store.eventNumbers() == 1...1)
    }

    @Test("without its directory there is no record")
    func missing() throws {
        let folder = try Folder()
        let error = failure { () throws(StoreError) in
            _ = try Store.open(directory: "\(folder.path)/none")
        }
        #expect(error?.kind == .other)
        #expect(
            error?.message.hasSuffix("stat `\(folder.path)/none`: No such file or directory")
                == true)
    }

    @Test("nothing is held open by a store that is gone")
    func descriptors() throws {
        let folder = try Folder()
        for _ in 0..<3 {
            let store = try Store.open(directory: folder.path)
            try store.checkpoint()
            #expect(open(folder).count >= 4)
        }
        #expect(open(folder) == [])
    }

    /// The descriptors of this process below the folder.
    private func open(_ folder: Folder) -> [String] {
        Host.openDescriptors.filter { $0.contains(folder.path) }
    }
}
