import CInitProtocol
import LinuxKernel
import SandboxModel
import TestSupport
import Testing

@testable import Jail

@Suite struct ReportReaderTests {
    private func record(
        _ kind: alcove_report_kind, _ value: Int32 = 0, _ detail: UInt64 = 0, at time: UInt64 = 0
    ) -> [UInt8] {
        record(kind.rawValue, value, detail, at: time)
    }

    /// Golden bytes: a kind and a value of 4 bytes, a detail and a time of 8, the lowest first.
    private func record(
        _ kind: UInt32, _ value: Int32, _ detail: UInt64, at time: UInt64
    ) -> [UInt8] {
        func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
            (0..<MemoryLayout<Number>.size).map {
                UInt8(truncatingIfNeeded: number >> Number(8 * $0))
            }
        }
        return bytes(kind) + bytes(value) + bytes(detail) + bytes(time)
    }

    private var life: [UInt8] {
        record(ALCOVE_REPORT_INIT_READY, at: 10) + record(ALCOVE_REPORT_STARTED, 2, at: 20)
            + record(ALCOVE_REPORT_DENIED, 165, at: 30)
            + record(ALCOVE_REPORT_EXITED, 7, at: 40)
    }

    private func expectLife(_ reader: ReportReader, _ comment: Comment? = nil) {
        #expect(reader.started == 20, comment)
        #expect(reader.denied == [165], comment)
        #expect(reader.exit == .exited(code: 7), comment)
        #expect(reader.setUpFailure == nil && reader.execFailure == nil, comment)
        #expect(
            reader.moments.map(\.0) == ["alcove-init ready", "workload started", "workload ended"],
            comment)
        #expect(reader.moments.map(\.1) == [10, 20, 40], comment)
    }

    @Test("records are read however they are cut")
    func pieces() {
        for cut in 0...life.count {
            var reader = ReportReader()
            reader.take(Array(life[..<cut]))
            reader.take([])
            reader.take(Array(life[cut...]))
            expectLife(reader, "cut at \(cut)")
        }
        for size in 1...25 {
            var reader = ReportReader()
            for start in stride(from: 0, to: life.count, by: size) {
                reader.take(Array(life[start..<min(start + size, life.count)]))
            }
            expectLife(reader, "pieces of \(size)")
        }
    }

    @Test("the stages that a monitor tells of stand in the timeline by their names")
    func stages() {
        var reader = ReportReader()
        let stages = (ALCOVE_MONITOR_BEGAN.rawValue...ALCOVE_MONITOR_GUEST_READY.rawValue)
        for stage in stages {
            reader.take(record(ALCOVE_REPORT_STAGE, Int32(stage), at: UInt64(stage)))
        }
        for unknown in [Int32(0), 9, -1, .max] {
            reader.take(record(ALCOVE_REPORT_STAGE, unknown, at: 99))
        }
        #expect(
            reader.moments.map(\.0) == [
                "monitor began", "virtual machine made", "devices attached", "kernel loaded",
                "monitor fenced", "guest entered", "guest's first process began", "guest ready",
            ])
        #expect(reader.moments.map(\.1) == stages.map(UInt64.init))
    }

    @Test("a record that never ends tells nothing")
    func truncated() {
        for count in 0..<24 {
            var reader = ReportReader()
            reader.take(Array(record(ALCOVE_REPORT_EXITED, 1).prefix(count)))
            #expect(reader.exit == nil)
        }
    }

    @Test("failures carry the call and the error")
    func failures() {
        var reader = ReportReader()
        reader.take(record(ALCOVE_REPORT_SETUP_FAILED, 1, 17))
        reader.take(record(ALCOVE_REPORT_EXEC_FAILED, 2))
        reader.take(record(ALCOVE_REPORT_SIGNALED, 9, 1))
        #expect(reader.setUpFailure?.call == 17)
        #expect(reader.setUpFailure?.error == .notPermitted)
        #expect(reader.execFailure?.error == .noEntry)
        #expect(reader.exit == .signaled(number: 9, name: "SIGKILL"))
    }

    @Test("numbers out of any range are kept in theirs")
    func extremes() {
        var reader = ReportReader()
        reader.take(record(ALCOVE_REPORT_SETUP_FAILED, .min, .max, at: .max))
        #expect(reader.setUpFailure?.call == .max)
        reader.take(record(ALCOVE_REPORT_EXITED, -1, .max, at: .max))
        #expect(reader.exit == .exited(code: 255))
        reader.take(record(ALCOVE_REPORT_SIGNALED, .max, 0, at: 0))
        #expect(reader.exit == .signaled(number: 127, name: "signal 127"))
    }

    @Test("a kind that nobody knows is passed over", arguments: [0, 8, 255, UInt32.max])
    func unknown(kind: UInt32) {
        var reader = ReportReader()
        reader.take(record(kind, 1, 2, at: 3))
        #expect(reader.exit == nil && reader.moments.isEmpty && reader.denied.isEmpty)
        reader.take(life)
        expectLife(reader)
    }

    @Test("garbage of any kind does no harm", arguments: 0..<16 as Range<UInt64>)
    func garbage(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var reader = ReportReader()
        for _ in 0..<500 {
            let count = Int.random(in: 0...100, using: &random)
            reader.take(
                (0..<count).map { index in
                    // Mostly zero, so that kinds are met.
                    index % 8 == 0
                        ? .random(in: 0...9, using: &random)
                        : Bool.random(using: &random) ? 0 : .random(in: 0...255, using: &random)
                })
        }
        #expect(reader.denied.count <= ReportReader.largestDeniedCount)
        #expect(reader.moments.count <= ReportReader.largestMomentCount)
    }

    @Test("a flood of records leaves no more than a few")
    func flood() {
        var reader = ReportReader()
        let block = [record(ALCOVE_REPORT_DENIED, 1), record(ALCOVE_REPORT_INIT_READY)]
            .flatMap { [[UInt8]](repeating: $0, count: 2000) }.flatMap(\.self)
        for _ in 0..<10 { reader.take(block) }
        #expect(reader.denied.count == ReportReader.largestDeniedCount)
        #expect(reader.moments.count == ReportReader.largestMomentCount)
    }

    @Test("what stands in a pipe is read to its end")
    func pipe() throws {
        let pipe = try LinuxKernel.Pipe.make(nonBlocking: true)
        let input = Descriptor(owning: pipe.reader)
        let output = Descriptor(owning: pipe.writer)
        var reader = ReportReader()
        reader.drain(input)
        #expect(reader.exit == nil)
        try output.writeAll(life)
        reader.drain(input)
        expectLife(reader)
    }
}
