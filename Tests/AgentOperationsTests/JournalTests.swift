import Foundation
import LinuxKernel
import TestSupport
import Testing

@testable import AgentOperations

@Suite struct JournalTests {
    /// Reads an entry as the journal does.
    private func fields(_ entry: [UInt8]) throws -> [String: String] {
        var fields: [String: String] = [:]
        var rest = entry[...]
        while !rest.isEmpty {
            let end = try #require(rest.firstIndex(of: UInt8(ascii: "\n")))
            let line = rest[..<end]
            rest = rest[(end + 1)...]
            if let equals = line.firstIndex(of: UInt8(ascii: "=")) {
                let name = String(decoding: line[..<equals], as: UTF8.self)
                fields[name] = String(decoding: line[(equals + 1)...], as: UTF8.self)
            } else {
                let size = rest.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
                let value = rest.dropFirst(8).prefix(size)
                fields[String(decoding: line, as: UTF8.self)] = String(
                    decoding: value, as: UTF8.self)
                rest = rest.dropFirst(8 + size)
                #expect(rest.first == UInt8(ascii: "\n"))
                rest = rest.dropFirst()
            }
        }
        return fields
    }

    @Test("an entry has the journal's fields and one for each key")
    func entries() throws {
        let folder = try TemporaryFolder()
        let socket = try NotifySocket(.path(folder.path("journal")))
        let log = Log(format: .journal, journalAddress: socket.address)
        log.error(
            "it failed",
            ["sandbox.id": "a=b", "workload.says": "two\nlines", "time": .duration(.seconds(2))])
        let entry = try #require(socket.messages().first)
        #expect(
            try fields(Array(entry.utf8)) == [
                "MESSAGE": "it failed sandbox.id=\"a=b\" workload.says=two\\nlines time=2s",
                "PRIORITY": "3", "SYSLOG_IDENTIFIER": "alcoved", "ALCOVE_MESSAGE": "it failed",
                "ALCOVE_SANDBOX_ID": "a=b", "ALCOVE_WORKLOAD_SAYS": "two\nlines",
                "ALCOVE_TIME": "2.0",
            ])
    }

    @Test("a key becomes a name that the journal takes")
    func names() {
        #expect(LogLine.journalName("jail.step-2") == "ALCOVE_JAIL_STEP_2")
        #expect(LogLine.journalName(String(repeating: "é", count: 99)).utf8.count == 64)
    }

    @Test("without a journal lines go to standard error, and to the journal when it is back")
    func absent() throws {
        let folder = try TemporaryFolder()
        let file = try Files.open(folder.path("log"), [.writeOnly, .create])
        let address = UnixAddress.path(folder.path("journal"))
        let log = Log(
            format: .journal, descriptor: file.rawValue, journalAddress: address)
        log.info("before")
        let journal = try NotifySocket(address)
        log.info("during")
        #expect(journal.messages().count == 1)
        try FileManager.default.removeItem(atPath: folder.path("journal"))
        log.info("after")
        let text = try String(contentsOfFile: folder.path("log"), encoding: .utf8)
        #expect(text.contains("before") && !text.contains("during") && text.contains("after"))
        #expect(log.counters == Log.Counters(written: 3, dropped: 0))
    }

    @Test("a journal that reads nothing holds nobody up")
    func full() throws {
        let folder = try TemporaryFolder()
        let journal = try NotifySocket(.path(folder.path("journal")))
        let log = Log(format: .journal, journalAddress: journal.address)
        for _ in 0..<3000 { log.info("line") }
        let counters = log.counters
        #expect(counters.dropped > 0 && counters.dropped + counters.written == 3000)
        #expect(journal.messages().count == Int(counters.written))
        log.info("after")
        let messages = journal.messages()
        #expect(messages.count == 2 && messages[0].contains("ALCOVE_LOG_DROPPED"))
    }

    @Test(
        "the system's own journal reads every entry",
        .needs(.systemdAnalyze, .sysAdmin, .python3))
    func journald() throws {
        let script = PackageRoot.path("Tests/AgentOperationsTests/Python/journal.py")
        let result = try run(
            "unshare",
            arguments: [
                "--mount", "--propagation", "private", "python3", "-B", script,
                try Products.toolPath("OperatedProgram"), "log", "journald",
            ], timeout: .seconds(120))
        try #require(result.succeeded, "\(result)")
        let entries = try result.output.split(separator: "\n").map { line in
            try #require(
                try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
        try #require(entries.count == 4, "\(result)")
        #expect(entries.map { $0["PRIORITY"] as? String } == ["3", "4", "6", "7"])
        #expect(entries[0]["ALCOVE_JAIL_STEP"] as? String == "pivot_root")
        #expect(entries[1]["ALCOVE_LATE_BY"] as? String == "1.5")
        #expect(entries[1]["MESSAGE"] as? String == "it is late late.by=1500ms")
        // What is no plain text comes as numbers.
        let says = entries[2]["ALCOVE_WORKLOAD_SAYS"]
        let bytes = (says as? [UInt8]) ?? Array((says as? String ?? "").utf8)
        #expect(
            String(decoding: bytes, as: UTF8.self) == "two\nlines \u{1B}[31m \"quoted\"")
        #expect(entries[3]["ALCOVE_MESSAGE"] as? String == "nothing to say")
    }
}
