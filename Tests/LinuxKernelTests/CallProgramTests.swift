import TestSupport
import Testing

@testable import LinuxKernel

/// Programs of calls, performed by a child without namespaces.
@Suite struct CallProgramTests {
    private func perform(
        _ sharing: CallRun.Sharing, prepare: (CallRun) -> Void = { _ in },
        _ program: CallProgram
    ) throws -> (ending: ChildEnding.Cause, report: [UInt8], run: CallRun) {
        let pipe = try Pipe.make()
        let reader = Descriptor(owning: pipe.reader)
        let run = try CallRun(of: program, sharing: sharing)
        prepare(run)
        let ending = try end(of: run, reportingTo: Descriptor(owning: pipe.writer))
        return (ending, try reader.read(atMost: 100), run)
    }

    /// The writer is gone when this gives back.
    private func end(
        of run: CallRun, reportingTo output: consuming Descriptor
    ) throws -> ChildEnding.Cause {
        let writer = try output.raised(toAtLeast: 10)
        let child = try run.start(namespaces: [], cgroup: -1, report: writer.rawValue)
        var interests = [Readiness.Interest(child.pidfd.rawValue)]
        try Readiness.wait(for: &interests)
        let ending = try #require(try child.reap())
        #expect(throws: SystemCallError.self) { try child.reap() }
        return ending.cause
    }

    @Test("the listing has each call with its step, and no marks")
    func listing() {
        let program = CallProgram { program in
            program.begin(step: 3)
            program.unshare(.cgroup)
            _ = program.mark()
            program.begin(step: 5)
            program.setFileCreationMask(0)
            program.fail(with: .notPermitted)
        }
        #expect(program.listing.map(\.step) == [3, 5, 5])
        #expect(program.listing.map(\.name) == ["unshare", "umask", "injected failure"])
        #expect(program.callCount == 3)
        #expect(program.call(at: 2)?.name == "umask")
        #expect(program.call(at: 4) == nil && program.call(at: -1) == nil)
    }

    @Test(
        "a call that fails is reported by its index and error, and the child ends",
        arguments: [CallRun.Sharing.atOnce, .inTurn, .copied])
    func failure(sharing: CallRun.Sharing) throws {
        let program = CallProgram { program in
            program.setFileCreationMask(0o022)
            program.changeDirectory(to: "/no/such/directory")
            program.changeDirectory(to: "/")
        }
        let result = try perform(sharing, program)
        #expect(result.ending == .exited(code: 127))
        try #require(result.report.count == 24)
        #expect(result.report[0..<4] == [1, 0, 0, 0])
        #expect(result.report[4..<8] == [2, 0, 0, 0])
        #expect(result.report[8..<16] == [1, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test("an injected failure is reported as the call's own")
    func injected() throws {
        let program = CallProgram { $0.fail(with: .busy) }
        let result = try perform(.atOnce, program)
        #expect(Array(result.report[4..<9]) == [16, 0, 0, 0, 0])
    }

    @Test(
        "slots take what the host gives and what calls give, and marks the time",
        arguments: [CallRun.Sharing.atOnce, .inTurn, .copied])
    func slots(sharing: CallRun.Sharing) throws {
        var given: Slot?
        var opened: Slot?
        var marks: [Mark] = []
        let program = CallProgram { program in
            let (first, second) = (program.makeSlot(), program.makeSlot())
            (given, opened) = (first, second)
            marks.append(program.mark())
            program.open("/dev/null", readWrite: true, into: second)
            program.duplicate(first, to: 70)
            marks.append(program.mark())
            // What is not there is tolerated.
            program.bind("/none", at: "/none")
            program.fail(with: .invalid)
        }
        let slot = try #require(given)
        let before = MonotonicClock.nanoseconds
        let result = try perform(sharing, prepare: { $0.set(slot, to: 2) }, program)
        #expect(result.report[4] == UInt8(ErrorNumber.invalid.rawValue))
        #expect(result.run.value(of: slot) == 2)
        #expect(try result.run.value(of: #require(opened)) >= 3)
        let times = marks.map { result.run.nanoseconds(of: $0) }
        #expect(times == times.sorted() && before <= times[0])
    }

    @Test("a program has so many slots, and one more traps")
    func tooManySlots() async {
        _ = CallProgram { program in for _ in 0..<48 { _ = program.makeSlot() } }
        await #expect(processExitsWith: .failure) {
            _ = CallProgram { program in for _ in 0..<49 { _ = program.makeSlot() } }
        }
    }

    @Test("a program has so many marks, and one more traps")
    func tooManyMarks() async {
        _ = CallProgram { program in for _ in 0..<48 { _ = program.mark() } }
        await #expect(processExitsWith: .failure) {
            _ = CallProgram { program in for _ in 0..<49 { _ = program.mark() } }
        }
    }
}
