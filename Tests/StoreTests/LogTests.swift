import Foundation
import TestSupport
import Testing

@testable import Store

@Suite struct LogTests {
    private func commit(_ store: Store, _ numbers: ClosedRange<Int64>) throws {
        for number in numbers {
            var change = Change()
            change.put(.sandbox, StoredRecord(id: "a\(number % 7)", number: number, bytes: [1]))
            change.append(StoredEvent(number: number, subject: "a", bytes: [2]))
            try store.commit(change)
        }
    }

    private func logSize(_ folder: Folder) throws -> Int {
        let path = "\(folder.database)-wal"
        return try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int ?? -1
    }

    @Test("a checkpoint cuts the log, and all is in the database")
    func cut() throws {
        let folder = try Folder()
        let store = try openQuietly(folder)
        #expect(try store.checkpoint())
        for round in Int64(0)..<5 {
            try commit(store, (round * 20 + 1)...(round * 20 + 20))
            #expect(store.logPages >= 40)
            #expect(try store.checkpoint())
            #expect(try logSize(folder) == 0 && store.logPages == 0)
        }
        let copy = try Folder()
        try FileManager.default.copyItem(atPath: folder.database, toPath: copy.database)
        let other = try openQuietly(copy)
        #expect(try other.eventNumbers() == 1...100)
        #expect(try other.records(of: .sandbox).count == 7)
    }

    @Test("a commit between copying and cutting is appended, and not written over the log")
    func between() throws {
        let folder = try Folder()
        let store = try openQuietly(folder)
        try commit(store, 1...10)
        let size = try logSize(folder)
        var number: Int64 = 10
        let isCut = try store.checkpointer.run {
            number += 1
            #expect(throws: Never.self) { try commit(store, number...number) }
        }
        #expect(!isCut && number > 11)
        #expect(try logSize(folder) > size)
        #expect(store.logPages > 20)
        #expect(try store.checkpoint())
        #expect(try store.eventNumbers() == 1...number)
    }

    @Test("a log that is too long is cut though commits go on, and they wait")
    func largest() throws {
        let folder = try Folder()
        var limits = CheckpointLimits()
        limits.inBackground = false
        limits.largestLogPages = 30
        let store = try Store.open(directory: folder.path, checkpoints: limits)
        try commit(store, 1...40)
        let isCut = try store.checkpointer.run {
            #expect(throws: Never.self) { try commit(store, 41...41) }
        }
        #expect(isCut)
        #expect(try logSize(folder) == 0)
        #expect(try store.eventNumbers() == 1...41)
    }

    @Test("the thread cuts the log while commits go on")
    func background() throws {
        let folder = try Folder()
        var limits = CheckpointLimits()
        limits.pages = 50
        limits.largestLogPages = 200
        let store = try Store.open(directory: folder.path, checkpoints: limits)
        var cuts = 0
        var number: Int64 = 0
        var pages = 0
        while cuts < 10, number < 200_000 {
            number += 1
            try commit(store, number...number)
            if store.logPages < pages { cuts += 1 }
            pages = store.logPages
        }
        #expect(cuts == 10 && store.checkpointFailure == nil)
        #expect(try store.eventNumbers() == 1...number)
    }

    @Test("another reader of the file holds the cut up, and the commits not")
    func reader() throws {
        let folder = try Folder()
        let store = try openQuietly(folder)
        try commit(store, 1...10)
        let reader = try Connection(path: folder.database)
        try reader.execute("BEGIN; SELECT count(*) FROM events")
        #expect(try store.checkpoint() == false)
        try commit(store, 11...20)
        #expect(try store.checkpoint() == false)
        #expect(try reader.number("SELECT count(*) FROM events", doing: "read") == 10)
        try reader.execute("ROLLBACK; BEGIN; SELECT count(*) FROM events")
        #expect(try store.checkpoint() == false)
        try reader.execute("ROLLBACK")
        // The log is copied whole and not cut: the next commit begins it anew.
        try commit(store, 21...30)
        #expect(try store.checkpoint())
        #expect(try logSize(folder) == 0)
        #expect(try store.eventNumbers() == 1...30)
    }

    @Test("another writer of the file makes a commit fail as busy, after a while")
    func writer() throws {
        let folder = try Folder()
        let store = try openQuietly(folder)
        let other = try Connection(path: folder.database)
        try other.execute("BEGIN IMMEDIATE")
        let error = failure { () throws(StoreError) in
            var change = Change()
            change.set("a", to: [1])
            try store.commit(change)
        }
        #expect(error?.kind == .busy)
        try other.execute("ROLLBACK")
        try commit(store, 1...1)
        #expect(try store.value("a") == nil)
    }

    @Test("memory and disk stay as they are over 10,000 commits")
    func flat() throws {
        let folder = try Folder()
        let writer = try Writer(folder)
        func number(_ line: String) throws -> Int {
            let reply = try writer.send(line)
            return try #require(Int(reply.dropFirst("done ".count)), "\(reply)")
        }
        _ = try number("n:4000")
        #expect(try writer.send("c") == "done true")
        let memory = try number("m")
        let size = try Data(contentsOf: URL(fileURLWithPath: folder.database)).count
        _ = try number("n:10000")
        #expect(try writer.send("c") == "done true")
        #expect(try number("m") - memory < 256 << 10)
        let grown = try Data(contentsOf: URL(fileURLWithPath: folder.database)).count - size
        #expect(grown <= 16 * 4096)
        #expect(try writer.process.finish().succeeded)
    }
}
