import Foundation
import TestSupport
import Testing

/// What a store asks of the kernel, by strace.
@Suite struct SystemCallTests {
    private struct Call {
        let thread: Substring
        let name: Substring
        /// The file's name without its folder; empty for what is no file of the record.
        let file: Substring
        let arguments: Substring
    }

    /// The calls of the writer's lines, in the order in which they began; `exits` has those syncs
    /// where they end.
    private func trace(_ lines: [String], _ options: [String]) throws -> [Call] {
        let folder = try Folder()
        let log = "\(folder.path)/trace"
        let program = try Products.toolPath("StoreTestWriter")
        let result = try run(
            "strace",
            arguments: ["-f", "-y", "-qq", "-s", "64", "-e", "signal=none", "-o", log, program]
                + [folder.path] + options,
            input: lines.map { "\($0)\n" }.joined(), timeout: .seconds(120))
        #expect(result.succeeded, "\(result)")
        let text = try String(contentsOfFile: log, encoding: .utf8)
        return text.split(separator: "\n").compactMap(Self.call)
    }

    /// `12 pwrite64(5</tmp/x/alcove.db-wal>, "..."..., 24, 0) = 24`, or its first part where
    /// another thread came between; of a sync, the part where it is done.
    private static func call(_ line: Substring) -> Call? {
        let parts = line.split(separator: " ", maxSplits: 1)
        guard parts.count == 2 else { return nil }
        let rest = parts[1].drop { $0 == " " }
        guard let open = rest.firstIndex(of: "(") else { return nil }
        let arguments = rest[rest.index(after: open)...]
        var file = arguments.prefix { $0 != ">" && $0 != "," }
        file = file.lastIndex(of: "/").map { file[file.index(after: $0)...] } ?? ""
        return Call(
            thread: parts[0], name: rest[..<open],
            file: file.hasPrefix("alcove.db") ? file : "", arguments: arguments)
    }

    private static let syncs: Set<Substring> = ["fsync", "fdatasync", "sync_file_range", "msync"]

    @Test("a commit syncs nothing, and takes few system calls", .needs(.strace))
    func commit() throws {
        let calls = try trace(
            (1...100).map { "p:1:a:\($0):500 e:\($0):a:100" }, ["background=0"])
        let ready = try #require(
            calls.firstIndex { $0.name == "write" && $0.arguments.contains("ready") })
        let commits = calls[ready...].filter { !$0.file.isEmpty }
        #expect(!commits.contains { Self.syncs.contains($0.name) })
        #expect(commits.count(where: { $0.name == "pwrite64" }) >= 200)
        // Locks, the state of the files, and two writes for each page.
        #expect(commits.count <= 100 * 30, "\(commits.count) calls for 100 commits")
    }

    @Test(
        "only the thread syncs, and the log is never written over in place", .needs(.strace))
    func order() throws {
        let calls = try trace(["n:1500"], ["pages=30", "largest=2000"])
        let ready = try #require(
            calls.firstIndex { $0.name == "write" && $0.arguments.contains("ready") })
        let owner = calls[ready].thread
        var logIsEmpty = true
        var isDatabaseSynced = true
        var cuts = 0
        for call in calls[ready...] {
            if Self.syncs.contains(call.name) {
                #expect(call.thread != owner, "the owner waits for the disk: \(call)")
            }
            switch (call.name, call.file) {
            case ("pwrite64", "alcove.db-wal"):
                let isStart = call.arguments.contains(", 32, 0)")
                #expect(!isStart || logIsEmpty, "the log is begun anew over its content")
                logIsEmpty = false
            case ("pwrite64", "alcove.db"): isDatabaseSynced = false
            case ("fdatasync", "alcove.db"), ("fsync", "alcove.db"): isDatabaseSynced = true
            case ("ftruncate", "alcove.db-wal"):
                #expect(isDatabaseSynced, "the log is cut before the database is safe")
                logIsEmpty = true
                cuts += 1
            default: break
            }
        }
        #expect(cuts > 0 && calls[ready...].contains { $0.name == "fdatasync" })
    }
}
