import AgentAPI
import LinuxKernel
import RPC
import Testing

@testable import Agent
@testable import Store

@Suite struct JournalTests {
    private final class Setting {
        let folder: Folder
        let loop: EventLoop
        let store: Store
        let journal: Journal

        init(eventsKept: UInt64 = 1000) throws {
            folder = try Folder()
            loop = try EventLoop(named: "test")
            var checkpoints = CheckpointLimits()
            checkpoints.inBackground = false
            store = try Store.open(directory: folder.path, checkpoints: checkpoints)
            journal = try Journal(store, eventsKept: eventsKept, loop: loop)
        }

        func numbers() throws -> [Int64] {
            try store.events(from: 1, limit: 100_000).map(\.number)
        }
    }

    private static func add(_ draft: inout Journal.Draft, of id: String = "") {
        draft.add(.drainEnded(.init()), of: id)
    }

    @Test("what cannot be written down is refused, and leaves no number out")
    func refused() throws {
        let setting = try Setting()
        let journal = setting.journal
        try journal.commit { Self.add(&$0) }
        let fault = try RecordFault(setting.folder)
        for _ in 0..<3 {
            let error = #expect(throws: CallFailure.self) { try journal.commit { Self.add(&$0) } }
            #expect(error?.code == .unavailable && error?.reason == "record_not_writable")
        }
        #expect(journal.history.last == 1 && journal.failure != nil)
        fault.end()
        try journal.commit { Self.add(&$0) }
        #expect(journal.history.last == 2 && journal.failure == nil)
        #expect(try setting.numbers() == [1, 2])
    }

    @Test("what has happened is written down later, first and in order")
    func later() throws {
        let setting = try Setting()
        let journal = setting.journal
        var changes = 0
        journal.onFailureChange = { changes += 1 }
        let fault = try RecordFault(setting.folder)
        for id in ["a", "b", "c"] { journal.record { Self.add(&$0, of: id) } }
        #expect(throws: CallFailure.self) { try journal.catchUp() }
        #expect(throws: CallFailure.self) { try journal.commit { Self.add(&$0, of: "no") } }
        #expect(try setting.numbers() == [] && changes == 1)
        fault.end()
        try journal.commit { Self.add(&$0, of: "d") }
        #expect(
            try setting.store.events(from: 1, limit: 10).map(\.subject) == ["a", "b", "c", "d"])
        #expect(try setting.numbers() == [1, 2, 3, 4] && changes == 2)
        try journal.catchUp()
        #expect(try setting.numbers() == [1, 2, 3, 4])
    }

    @Test("when it can be written down again shows by itself, whether something waits or not")
    func heals() throws {
        for waits in [true, false] {
            let setting = try Setting()
            let journal = setting.journal
            let fault = try RecordFault(setting.folder)
            if waits {
                journal.record { Self.add(&$0) }
            } else {
                #expect(throws: CallFailure.self) { try journal.commit { Self.add(&$0) } }
            }
            #expect(journal.failure != nil)
            fault.end()
            setting.loop.runOnThisThread { journal.failure == nil }
            #expect(try setting.numbers() == (waits ? [1] : []))
        }
    }

    @Test("old events are forgotten, all of them, and those that are asked to be kept are not")
    func forgotten() throws {
        let setting = try Setting(eventsKept: 1000)
        let journal = setting.journal
        for _ in 0..<20_000 { try journal.commit { Self.add(&$0) } }
        var numbers = try setting.numbers()
        #expect(numbers.count <= 1000 + 1024 && numbers.count >= 1000)
        #expect(numbers.first.map { UInt64($0) } == journal.history.oldest)
        #expect(numbers == Array(numbers[0]...20_000))
        journal.keepEvents(after: 19_500)
        for _ in 0..<10_000 { try journal.commit { Self.add(&$0) } }
        #expect(journal.history.oldest == 19_501)
        journal.keepEvents(after: 29_000)
        for _ in 0..<10 { try journal.commit { Self.add(&$0) } }
        numbers = try setting.numbers()
        #expect(journal.history.oldest == 29_001 && numbers.first == 29_001)
    }

    @Test("numbers go on after a restart, and values go with the next change")
    func restart() throws {
        let folder = try Folder()
        var checkpoints = CheckpointLimits()
        checkpoints.inBackground = false
        let loop = try EventLoop(named: "test")
        for life in UInt64(0)..<3 {
            let store = try Store.open(directory: folder.path, checkpoints: checkpoints)
            let journal = try Journal(store, eventsKept: 1000, loop: loop)
            #expect(journal.history.last == life * 2)
            #expect(journal.value("later") == (life == 0 ? nil : [UInt8(life)]))
            journal.setLater("later", to: [UInt8(life + 1)])
            try journal.commit { Self.add(&$0) }
            journal.record { Self.add(&$0) }
        }
    }
}
