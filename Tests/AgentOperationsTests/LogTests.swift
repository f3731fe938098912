import Foundation
import LinuxKernel
import TestSupport
import Testing

@testable import AgentOperations

/// What a log wrote to a file.
private final class LoggedFile {
    let folder: TemporaryFolder
    let log: Log
    private let file: Descriptor

    init(_ format: Log.Format, level: LogLevel = .info) throws {
        folder = try TemporaryFolder()
        file = try Files.open(folder.path("log"), [.writeOnly, .create])
        log = Log(
            level: level, format: format, descriptor: file.rawValue,
            journalAddress: .path(folder.path("journal")))
    }

    func lines() throws -> [String] {
        try String(contentsOfFile: folder.path("log"), encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
    }

    func objects() throws -> [[String: Any]] {
        try lines().map { line in
            try #require(
                try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
    }
}

private let hostile = "a\nb\r\u{1B}[31m\u{202E}\"q\"=\\\u{0}\u{2028}é"

@Suite struct LogTests {
    @Test("lines of JSON have the message, the level, the time and each key")
    func json() throws {
        let file = try LoggedFile(.json)
        file.log.error("it failed", ["sandbox.id": .text(hostile), "count": -3])
        file.log.info(
            "took", ["start.time": .duration(.milliseconds(2)), "is": true, "x": .number(.nan)])
        let objects = try file.objects()
        try #require(objects.count == 2)
        #expect(objects[0]["level"] as? String == "error")
        #expect(objects[0]["message"] as? String == "it failed")
        #expect(objects[0]["sandbox.id"] as? String == hostile)
        #expect(objects[0]["count"] as? Int == -3)
        #expect(objects[1]["start.time"] as? Double == 0.002)
        #expect(objects[1]["is"] as? Bool == true && objects[1]["x"] is NSNull)
        let time = try #require(objects[0]["time"] as? String)
        let formatter = ISO8601DateFormatter()
        formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        #expect(formatter.date(from: time) != nil, "\(time)")
    }

    @Test("lines for people hold nothing that a terminal would act on")
    func text() throws {
        let file = try LoggedFile(.text)
        file.log.warning("odd", ["a": .text(hostile), "b": "", "c": "plain", "d": "with space"])
        let line = try #require(try file.lines().first)
        #expect(
            line.dropFirst(28)
                == "warning: odd a=\"a\\nb\\r\\u{1b}[31m\\u{202e}\\\"q\\\"=\\\\u{0}\\u{2028}é\" "
                + "b=\"\" c=plain d=\"with space\"", "\(line)")
        #expect(try file.lines().count == 1)
    }

    @Test("what is less than the level is not logged, and its fields are not made")
    func levels() throws {
        let file = try LoggedFile(.text, level: .warning)
        file.log.debug(
            "no",
            {
                Issue.record("made"); return [:]
            }())
        file.log.info("no")
        file.log.warning("yes")
        file.log.error("yes")
        file.log.level = .debug
        file.log.debug("yes")
        #expect(try file.lines().count == 3 && file.log.counters.written == 3)
        for (index, level) in LogLevel.allCases.enumerated().dropFirst() {
            #expect(level > LogLevel.allCases[index - 1])
        }
    }

    @Test("a line is bounded, whatever its values are", arguments: [Log.Format.json, .text])
    func bounds(_ format: Log.Format) throws {
        let file = try LoggedFile(format)
        let texts = ["x", "\u{0}", "é", "😀", "\"", "\\"].map { String(repeating: $0, count: 9000) }
        for text in texts {
            file.log.info("one", ["a": .text(text)])
            file.log.info("four", ["a": .text(text), "b": .text(text), "c": .text(text), "d": 4])
            file.log.info(
                "many",
                [
                    "a": .text(text), "b": .text(text), "c": .text(text), "d": .text(text),
                    "e": .text(text), "f": .text(text), "g": .text(text), "h": .text(text),
                    "i": .text(text), "j": .text(text), "k": .text(text), "l": .text(text),
                ])
        }
        let lines = try file.lines()
        #expect(lines.count == texts.count * 3)
        #expect(lines.allSatisfy { $0.utf8.count < LineOutput.longestLine && $0.contains("…") })
        if format == .json {
            for object in try file.objects() where object["message"] as? String == "four" {
                #expect(object["d"] as? Int == 4)
            }
        }
    }

    @Test("a reader that takes nothing holds nobody up, and learns how much it missed")
    func slowReader() throws {
        let pipe = try Pipe.make()
        let reader = Descriptor(owning: pipe.reader)
        let writer = Descriptor(owning: pipe.writer)
        let log = Log(format: .json, descriptor: writer.rawValue)
        for number in 0..<5000 { log.info("line", ["number": LogValue(number)]) }
        let counters = log.counters
        #expect(counters.written > 0 && counters.dropped > 0)
        #expect(counters.written + counters.dropped == 5000)

        // The test's own end waits no more than the log's.
        try reader.makeNonBlocking()
        func take() -> [String] {
            var bytes: [UInt8] = []
            while let more = try? reader.read(atMost: 65536), !more.isEmpty { bytes += more }
            return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
        }
        #expect(take().count == Int(counters.written))
        log.info("after")
        let lines = take()
        #expect(lines.count == 2 && lines[0].contains("\"log.dropped\":\(counters.dropped)"))
        #expect(lines.last?.contains("after") == true)
        #expect(log.counters.written == counters.written + 1)
    }

    @Test("a socket that nobody reads drops lines whole")
    func slowSocket() throws {
        let pair = try UnixSockets.makePair()
        let reader = Descriptor(owning: pair.0)
        let writer = Descriptor(owning: pair.1)
        let log = Log(format: .json, descriptor: writer.rawValue)
        let text = String(repeating: "x", count: 900)
        var seen: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        for round in 0..<3 {
            for _ in 0..<2000 { log.info("line", ["text": .text(text)]) }
            #expect(log.counters.dropped > 0, "round \(round)")
            while case .bytes(let count) = UnixSockets.receive(reader.rawValue, into: &buffer),
                count > 0
            {
                seen += buffer[..<count]
            }
        }
        log.info("end")
        while case .bytes(let count) = UnixSockets.receive(reader.rawValue, into: &buffer),
            count > 0
        {
            seen += buffer[..<count]
        }
        let lines = seen.split(separator: UInt8(ascii: "\n"))
        var dropped = 0
        for line in lines {
            let object = try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
            dropped += object?["log.dropped"] as? Int ?? 0
        }
        #expect(dropped == Int(log.counters.dropped))
    }

    @Test("threads that log at once do not mix their lines")
    func threads() throws {
        let file = try LoggedFile(.json)
        let log = file.log
        var threads: [JoinedThread] = []
        for thread in 0..<4 {
            threads.append(
                try JoinedThread {
                    for number in 0..<500 {
                        log.info("line", ["thread": LogValue(thread), "number": LogValue(number)])
                    }
                })
        }
        for thread in threads { thread.join() }
        let objects = try file.objects()
        for thread in 0..<4 {
            let numbers = objects.filter { $0["thread"] as? Int == thread }
                .compactMap { $0["number"] as? Int }
            #expect(numbers == Array(0..<500))
        }
    }

    @Test("times are those that Foundation has", arguments: [5, 6] as [UInt64])
    func times(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let formatter = ISO8601DateFormatter()
        for _ in 0..<2000 {
            let seconds = Int64.random(in: -2_000_000_000...9_000_000_000, using: &random)
            let expected = formatter.string(
                from: Date(timeIntervalSince1970: TimeInterval(seconds)))
            let ours = TimeText.text(seconds * 1_000_000_000 + 123_456_789)
            #expect(ours == expected.dropLast() + ".123456Z", "seed \(seed): \(seconds)")
        }
        #expect(TimeText.text(-1) == "1969-12-31T23:59:59.999999Z")
    }

    @Test(
        "the format follows what standard error is",
        arguments: [
            ("text", Log.Format.text), ("json", .json), ("journald", .journal), ("auto", .json),
        ])
    func format(_ name: String, _ expected: Log.Format) throws {
        let choice = try #require(AgentConfiguration.LogFormat(rawValue: name))
        let file = try LoggedFile(.json)
        #expect(Log.Format(choice, environment: [], descriptor: -1) == expected)
        let path = file.folder.path("error")
        let opened = try Files.open(path, [.writeOnly, .create])
        let other = Log.Format(
            choice, environment: ["JOURNAL_STREAM=1:1"], descriptor: opened.rawValue)
        #expect(other == expected)
        // What the service manager says of the stream that leads to the journal.
        let status = try FileManager.default.attributesOfItem(atPath: path)
        let device = try #require(status[.systemNumber] as? UInt64)
        let inode = try #require(status[.systemFileNumber] as? UInt64)
        let here = Log.Format(
            choice, environment: ["JOURNAL_STREAM=\(device):\(inode)"],
            descriptor: opened.rawValue)
        #expect(here == (name == "auto" ? .journal : expected))
    }

    @Test("on a terminal `auto` means text, and a program logs there")
    func terminal() throws {
        let program = try ChildProcess(
            try Products.toolPath("OperatedProgram"), arguments: ["log", "auto"],
            wiring: .terminal(rows: 24, columns: 80))
        let result = try program.finish()
        #expect(result.output.contains(" error: it failed jail.step=pivot_root try=3"), "\(result)")
    }
}
