import Foundation
import SandboxModel
import TestSupport
import Testing

@Suite("Promised sizes of alcove-init", .needs(.root))
struct SizeTests {
    @Test("The stripped file is at most as large as promised")
    func file() throws {
        let copy = FileManager.default.temporaryDirectory
            .appendingPathComponent("alcove-init-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: copy) }
        let strip = Process()
        strip.executableURL = URL(fileURLWithPath: "/usr/bin/strip")
        // A debug build carries its Swift interface in a section of its own.
        strip.arguments = ["-R", ".swift_ast", "-o", copy.path, InitProcess.program.path]
        try strip.run()
        strip.waitUntilExit()
        try #require(strip.terminationStatus == 0)
        let attributes = try FileManager.default.attributesOfItem(atPath: copy.path)
        let size = try #require(attributes[.size] as? Int)
        #expect(size <= PromisedNumbers.initFileKilobytes * 1024)
    }

    @Test("A running init holds at most as much memory as promised")
    func memory() throws {
        let process = try InitProcess(shell("echo ready; exec sleep 1000"))
        #expect(process.nextLine() == "ready")
        #expect(try process.residentKilobytes() <= PromisedNumbers.initMemoryKilobytes)
    }

    @Test("Its memory does not grow with what it handles")
    func growth() throws {
        let process = try InitProcess(
            shell("trap 'echo here' USR1; sleep 1000 & echo ready; while :; do wait; done"))
        #expect(process.nextLine() == "ready")
        try #require(process.lineAfter(SIGUSR1) != nil)
        let before = try process.residentKilobytes()
        for _ in 0..<500 { try #require(process.lineAfter(SIGUSR1) != nil) }
        #expect(try process.residentKilobytes() == before)
    }
}
