import CInitProtocol
import SandboxModel
import TestSupport
import Testing

@testable import Jail

@Suite struct LogRecordTests {
    private func record(
        _ text: String, stream: LogStream = .output, sequence: UInt64 = 0, at time: UInt64 = 0,
        lines: UInt64 = 0
    ) -> [UInt8] {
        LittleEndian.bytes(UInt32(ALCOVE_LOG_MAGIC))
            + LittleEndian.bytes(UInt32(text.utf8.count)) + LittleEndian.bytes(sequence)
            + LittleEndian.bytes(time) + LittleEndian.bytes(lines) + [stream.rawValue]
            + [UInt8](repeating: 0, count: 7) + Array(text.utf8)
    }

    @Test("a record has these bytes")
    func golden() throws {
        let bytes: [UInt8] =
            [0x41, 0x4c, 0x6f, 0x67, 3, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]
            + [6, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]
            + Array("ab\n".utf8)
        #expect(bytes == record("ab\n", stream: .error, sequence: 5, at: 6, lines: 7))
        let read = try #require(LogRecord((bytes + [1, 2])[...]))
        #expect(read.stream == .error && read.sequence == 5 && read.nanoseconds == 6)
        #expect(read.lines == 7 && Array(read.bytes) == Array("ab\n".utf8))
    }

    @Test("a record that is cut, empty, too long or of no stream is none")
    func wrong() {
        let good = record("ab\n")
        for count in 0..<good.count { #expect(LogRecord(good.prefix(count)) == nil, "\(count)") }
        for (place, value) in [(0, 0), (3, 0), (4, 0), (6, 1), (7, 255), (32, 0), (32, 3)] {
            var bytes = good
            bytes[place] = UInt8(value)
            #expect(LogRecord(bytes[...]) == nil, "\(place)")
        }
    }

    private func lines(_ records: [[UInt8]]) -> [LogLine] {
        var splitter = LineSplitter(.output)
        var lines: [LogLine] = []
        for bytes in records {
            if let record = LogRecord(bytes[...]) { splitter.take(record, into: &lines) }
        }
        return lines + (splitter.takeUnfinished(isPartial: false).map { [$0] } ?? [])
    }

    private func line(_ text: String, at time: Int64 = 0, lost: UInt64 = 0) -> LogLine {
        LogLine(stream: .output, atNanoseconds: time, data: Array(text.utf8), lost: lost)
    }

    @Test("lines are put together from pieces, with the time of their first byte")
    func pieces() {
        let records = [
            record("a", at: 1), record("b\nc\n", at: 2, lines: 0), record("d", at: 3, lines: 2),
        ]
        #expect(lines(records) == [line("ab\n", at: 1), line("c\n", at: 2), line("d", at: 3)])
    }

    @Test("lines that are not there are counted, at the beginning and between")
    func lost() {
        let records = [
            record("a\n", lines: 10), record("b\n", lines: 11), record("c\n", lines: 20),
        ]
        #expect(lines(records) == [line("a\n", lost: 10), line("b\n"), line("c\n", lost: 8)])
        // A number that goes back, or that is out of any range, is of a hostile writer.
        let wrong = [
            record("a\n", lines: .max), record("b\n", lines: 3), record("c\n", lines: .max),
        ]
        #expect(lines(wrong).map(\.data) == lines(records).map(\.data))
    }

    @Test("a line of exactly the longest length is one entry, its newline apart")
    func longest() {
        let piece = String(repeating: "x", count: 16384)
        let records = Array(repeating: record(piece), count: 4) + [record("\ny\n")]
        #expect(lines(records).map(\.data.count) == [65536, 1, 2])
        #expect(lines(records).map(\.isPartial) == [true, false, false])
    }
}

@Suite struct StatisticsTests {
    @Test("links are added up without the loopback")
    func network() {
        let table = """
            Inter-|   Receive                            |  Transmit
             face |bytes    packets errs drop fifo frame |bytes    packets errs
                lo:    1234      12    0    0    0     0    0 0    1234      12 0 0 0 0 0 0
              eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0
              eth1:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
              cut: 1 2 3
            """
        let network = SandboxStatistics.Network(table: table)
        #expect(network.receivedBytes == 1001 && network.receivedPackets == 12)
        #expect(network.receivedDropped == 6 && network.sentBytes == 2009)
        #expect(network.sentPackets == 30 && network.sentDropped == 16)
        #expect(SandboxStatistics.Network(table: "") == SandboxStatistics.Network())
    }

    @Test("pressure has one or two lines")
    func pressure() throws {
        let text = """
            some avg10=1.50 avg60=0.25 avg300=0.00 total=123
            full avg10=0.50 avg60=0.00 avg300=0.00 total=45
            """
        let both = try #require(SandboxStatistics.Pressure(lines: text))
        #expect(both.some.average10 == 1.5 && both.some.average60 == 0.25)
        #expect(both.some.totalMicroseconds == 123 && both.full?.totalMicroseconds == 45)
        let one = SandboxStatistics.Pressure(lines: String(text.prefix { $0 != "\n" }))
        #expect(one?.full == nil && one?.some == both.some)
        #expect(SandboxStatistics.Pressure(lines: "") == nil)
    }

    @Test("disks are added up")
    func disks() {
        let io = SandboxStatistics.IO(
            disks: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n259:1 rbytes=10 wios=x\n")
        #expect(io.readBytes == 11 && io.writeBytes == 2 && io.reads == 3 && io.writes == 4)
    }
}

@Suite struct ExecMessageTests {
    @Test("the program is looked for along PATH, by a path where it is one")
    func programs() {
        var request = ExecRequest(command: ["true"], environment: ["PATH=/a:/b::rel:/c"])
        #expect(request.programs == ["/a/true", "/b/true", "/c/true"])
        request.environment = ["PATH="]
        #expect(request.programs == ["/true"])
        request.command = ["./x"]
        #expect(request.programs == ["./x"])
        request = ExecRequest(command: ["true"], environment: [])
        #expect(request.programs.first == "/usr/local/sbin/true")
    }

    @Test("what alcove-init would refuse is refused before")
    func refused() {
        for request in [
            ExecRequest(command: []), ExecRequest(command: [""]),
            ExecRequest(command: ["a\0b"]), ExecRequest(command: ["a"], environment: ["A"]),
            ExecRequest(command: ["a"], environment: ["=A"]),
            ExecRequest(command: ["a"], workingDirectory: "tmp"),
            ExecRequest(command: ["a"], workingDirectory: "/\0"),
            ExecRequest(command: Array(repeating: "a", count: 4097)),
            ExecRequest(command: ["a", String(repeating: "x", count: 131_072)]),
        ] {
            #expect(throws: SandboxError.self) { try request.message() }
        }
    }
}
