import LinuxKernel
import TestSupport
import Testing

@testable import KVM

@Suite struct GuestSpeedTests {
    @Test("guest kernel mode is measured by runs that end where they should", .needs(.kvm))
    func measured() throws {
        let speed = GuestSpeedProbe.measure()
        guard case .measured(let measurement) = speed else {
            Issue.record("\(speed)")
            return
        }
        #expect(measurement.nanosecondsPerInstruction > 0)
        #expect(measurement.nanosecondsPerInstruction < 1_000_000)
        #expect(measurement.pairs >= 1)
        #expect(measurement.instructions >= 200)
        #expect(try System.open().version() == System.knownVersion)
    }

    @Test("a guest that stops elsewhere than at its end is an error with the reason", .needs(.kvm))
    func unexpectedExit() throws {
        // out 0x10, al
        let port = try GuestSpeedProbe(code: [0xe6, 0x10, 0xf4])
        #expect(try exit(of: port) == "it used port 0x10")
        // mov [0x200000], eax: beyond its memory
        let memory = try GuestSpeedProbe(code: [0xa3, 0x00, 0x00, 0x20, 0x00, 0xf4])
        #expect(
            try exit(of: memory) == "it reached for memory that it lacks, at 0x200000")
        // ud2 without a handler: a triple fault
        let fault = try GuestSpeedProbe(code: [0x0f, 0x0b])
        #expect(throws: GuestSpeedError.unexpectedExit(.shutdown)) { try fault.run(rounds: 1) }
    }

    private func exit(of probe: borrowing GuestSpeedProbe) throws -> String {
        do throws(GuestSpeedError) {
            _ = try probe.run(rounds: 1)
            return "none"
        } catch {
            guard case .unexpectedExit(let exit) = error else { throw error }
            return "\(exit)"
        }
    }

    @Test("every exit reads as a sentence")
    func exitTexts() {
        #expect("\(VirtualCPUExit.halt)" == "it halted")
        #expect(
            "\(GuestSpeedError.unexpectedExit(.shutdown))"
                == "a test guest stopped: it shut down after a triple fault")
        #expect("\(VirtualCPUExit.other(reason: 38))" == "KVM gave exit reason 38")
        #expect(
            "\(GuestSpeedError.systemCall(SystemCallError(call: "mmap", errorNumber: .invalid)))"
                == "mmap: Invalid argument")
    }

    @Test(
        "fast is what hardware does, not what an emulator does",
        arguments: [
            (0.3, true), (GuestSpeed.slowestFastNanoseconds, true),
            (GuestSpeed.slowestFastNanoseconds + 0.1, false), (2000, false), (.infinity, false),
        ])
    func threshold(nanoseconds: Double, isFast: Bool) {
        let measurement = GuestSpeedMeasurement(
            nanosecondsPerInstruction: nanoseconds, instructions: 200, pairs: 7)
        #expect(GuestSpeed.measured(measurement).isFast == isFast)
    }

    @Test("nothing that was not measured counts as fast")
    func notMeasured() {
        let refused = SystemCallError(
            call: "open", subject: System.path, errorNumber: .permissionDenied)
        for speed in [
            GuestSpeed.absent, .notMeasured, .notPermitted(refused),
            .unusable(.unknownVersion(11)),
        ] {
            #expect(!speed.isFast)
        }
    }
}
