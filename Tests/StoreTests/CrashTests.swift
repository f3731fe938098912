import Foundation
import Store
import TestSupport
import Testing

@Suite struct CrashTests {
    private static let rounds = 60
    private static let lines = 250

    @Test(
        "a killed process leaves exactly what it acknowledged, or one commit more",
        arguments: 1...4 as ClosedRange<UInt64>)
    func killed(seed: UInt64) throws {
        let folder = try Folder()
        var generator = RandomLines(seed: seed)
        var model = RecordModel()
        var last: Int64 = 0
        for round in 0..<Self.rounds {
            let comment: Comment = "seed \(seed), round \(round)"
            let script = (0..<Self.lines).map { index in
                generator.next(after: index == 0 ? last : nil)
            }
            let waited = Int.random(in: 0...Self.lines, using: &generator.random)
            let acknowledged = try kill(folder, script, after: waited)
            let store = try Store.open(directory: folder.path)
            let newest = try store.eventNumbers()?.upperBound ?? 0
            let done = Int(newest - last)
            #expect(acknowledged...(acknowledged + 1) ~= done, comment)
            for line in script.prefix(done) { model.apply(line) }
            try model.expect(store, names: RandomLines.names, comment)
            last = newest
            try store.trimEvents(below: newest, atMost: .max)
            model.trimEvents()
        }
        #expect(last > Self.rounds * 10, "seed \(seed): it was killed before it did anything")
    }

    /// Runs the script, kills in the middle, and gives how many lines were acknowledged.
    private func kill(_ folder: Folder, _ script: [String], after count: Int) throws -> Int {
        // So small that checkpoints go on all the time.
        let writer = try Writer(folder, ["pages=20", "largest=60"])
        writer.process.write(script.map { "\($0)\n" }.joined())
        if count > 0 {
            try writer.process.waitForOutput("\n\(count) done")
        } else {
            try writer.process.waitForOutput("ready")
        }
        try writer.process.send(signal: SIGKILL)
        let ending = try writer.process.finish()
        #expect(ending.ending == .signalled(signal: SIGKILL))
        let replies = ending.output.split(separator: "\n").filter { $0.hasSuffix(" done") }
        return replies.count
    }

    @Test("a log cut anywhere gives the commits before the cut, and no part of one")
    func cutLog() throws {
        let folder = try Folder()
        var generator = RandomLines(seed: 7)
        let script = (0..<40).map { _ in generator.next() }
        let writer = try Writer(folder, ["background=0"])
        for line in script { #expect(try writer.send(line) == "done") }
        try writer.process.send(signal: SIGKILL)
        _ = try writer.process.finish()
        let log = try Data(contentsOf: URL(fileURLWithPath: "\(folder.database)-wal"))
        var counts: Set<Int> = []
        for step in 0...60 {
            let copy = try Folder()
            try FileManager.default.copyItem(atPath: folder.database, toPath: copy.database)
            try log.prefix(log.count * step / 60).write(
                to: URL(fileURLWithPath: "\(copy.database)-wal"))
            let store = try openQuietly(copy)
            let done = Int(try store.eventNumbers()?.upperBound ?? 0)
            var model = RecordModel()
            for line in script.prefix(done) { model.apply(line) }
            try model.expect(store, names: RandomLines.names, "cut \(step)")
            counts.insert(done)
        }
        #expect(counts.contains(0) && counts.contains(40) && counts.count > 10)
    }
}
