import CInitProtocol
import LinuxKernel
import SandboxModel
import Testing

@testable import Jail

@Suite struct EndingFinderTests {
    /// What is told of a workload that was started and ended so.
    private func finder(_ kind: alcove_report_kind, _ value: Int32) -> EndingFinder {
        func record(_ kind: alcove_report_kind, _ value: Int32) -> [UInt8] {
            LittleEndian.bytes(kind.rawValue) + LittleEndian.bytes(value)
                + LittleEndian.bytes(UInt64(0)) + LittleEndian.bytes(UInt64(1))
        }
        var reports = ReportReader()
        reports.take(record(ALCOVE_REPORT_INIT_READY, 0) + record(ALCOVE_REPORT_STARTED, 2))
        reports.take(record(kind, value))
        return EndingFinder(
            reports: reports, program: "sh", isTimedOut: false,
            describe: { SandboxError(.setUpFailed, "call \($0.call)") })
    }

    private func killsOne(_ name: String) -> UInt64 { name == "oom_kill" ? 1 : 0 }

    @Test("a workload that lives on when one of its processes was out of memory ends by itself")
    func livesOn() {
        for code: Int32 in [0, 1, 255] {
            #expect(
                finder(ALCOVE_REPORT_EXITED, code)
                    .ending(of: .exited(code: code), memoryEvents: killsOne)
                    == .ended(.exited(code: code)))
        }
        let signal = Signal.terminate
        #expect(
            finder(ALCOVE_REPORT_SIGNALED, signal.rawValue)
                .ending(of: .exited(code: 0), memoryEvents: killsOne)
                == .ended(.signaled(number: signal.rawValue, name: signal.name)))
    }

    @Test("a workload that was killed out of memory, or whose shell tells so, is out of memory")
    func isKilled() {
        #expect(
            finder(ALCOVE_REPORT_SIGNALED, Signal.kill.rawValue)
                .ending(of: .exited(code: 137), memoryEvents: killsOne) == .outOfMemory)
        #expect(
            finder(ALCOVE_REPORT_EXITED, 137)
                .ending(of: .exited(code: 137), memoryEvents: killsOne) == .outOfMemory)
        #expect(
            finder(ALCOVE_REPORT_SIGNALED, Signal.kill.rawValue)
                .ending(of: .exited(code: 137)) { _ in 0 }
                == .ended(.signaled(number: Signal.kill.rawValue, name: Signal.kill.name)))
    }

    @Test("a sandbox that was killed whole is out of memory, seen by its starter or adopted")
    func isKilledWhole() {
        // It told of nothing after its start.
        let silent = finder(ALCOVE_REPORT_REQUESTED, 0)
        #expect(
            silent.ending(of: .signaled(.kill), memoryEvents: killsOne) == .outOfMemory)
        #expect(silent.ending(of: nil, memoryEvents: killsOne) == .outOfMemory)
    }

    @Test("a program that a guest does not find is missing; one that was found before is not")
    func missing() {
        func code(_ stage: UInt32) -> SandboxError.Code? {
            var reports = ReportReader()
            reports.take(
                LittleEndian.bytes(ALCOVE_REPORT_EXEC_FAILED.rawValue)
                    + LittleEndian.bytes(ErrorNumber.noEntry.rawValue)
                    + LittleEndian.bytes(UInt64(stage)) + LittleEndian.bytes(UInt64(1)))
            return reports.execFailure.map {
                EndingFinder(
                    reports: reports, program: "app", isTimedOut: false,
                    describe: { SandboxError(.setUpFailed, "\($0.error)") }
                ).describeExec($0).code
            }
        }
        #expect(code(0) == .commandNotExecutable)
        #expect(code(ALCOVE_STAGE_PROGRAM.rawValue) == .commandMissing)
        #expect(code(ALCOVE_STAGE_DIRECTORY.rawValue) == .directoryMissing)
    }
}
