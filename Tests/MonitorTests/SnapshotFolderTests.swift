import Foundation
import TestSupport
import Testing

/// Folders that the finished monitor makes and goes on with.
@Suite struct SnapshotFolderTests {
    private static func start(_ flags: [String], _ folder: TinyKernelFolder) throws -> ChildProcess
    {
        try ChildProcess(
            Products.path("alcove-vmm"),
            arguments: ["run", "--control", folder.control, "--timeline", "--console"] + flags
                + ["--", "/bin/true"])
    }

    private static func boot(_ folder: TinyKernelFolder) throws -> ChildProcess {
        try start(
            [
                "--kernel", folder.kernel, "--initial-files", folder.initialFiles, "--memory",
                "16MiB", "--hold",
            ], folder)
    }

    private static func ask(_ words: [String], _ folder: TinyKernelFolder) throws -> RunResult {
        try run(
            Products.path("alcove-vmm"),
            arguments: ["control", "--control", folder.control] + words)
    }

    private static func names(_ folder: TinyKernelFolder) throws -> Set<String> {
        Set(try FileManager.default.contentsOfDirectory(atPath: folder.path))
    }

    @Test(
        "a folder is there when all of it is, and nothing is left of one that is not", .needs(.kvm))
    func whole() throws {
        var kernel = TinyKernel()
        kernel.say("hello")
        kernel.stay()
        let folder = try TinyKernelFolder(kernel)
        let snapshot = folder.path + "/snapshot"
        let monitor = try Self.boot(folder)
        try monitor.waitForErrorOutput(", held ")
        let before = try Self.names(folder)
        let early = try Self.ask(["snapshot", snapshot], folder)
        #expect(early.code == 1 && early.output.contains("the guest is held"), "\(early)")
        #expect(try Self.names(folder) == before)

        #expect(try Self.ask(["start"], folder).succeeded)
        try monitor.waitForErrorOutput("hello\n")
        #expect(try Self.ask(["snapshot", snapshot], folder).succeeded)
        #expect(try Self.names(folder) == before.union(["snapshot"]))
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: snapshot).sorted() == [
                "memory", "state",
            ])
        let again = try Self.ask(["snapshot", snapshot], folder)
        #expect(again.code == 125 && again.errorOutput.contains("File exists"), "\(again)")
        let changes = try Self.ask(["snapshot", snapshot + "-2", "changes"], folder)
        #expect(changes.code == 1 && changes.output.contains("--record-working-set"))
        #expect(try Self.names(folder) == before.union(["snapshot"]))
        #expect(try Self.ask(["stop"], folder).succeeded)
        _ = try monitor.finish()
    }

    @Test(
        "a guest goes on, is no other size, and is refused when its file is damaged", .needs(.kvm))
    func goesOn() throws {
        var kernel = TinyKernel()
        kernel.say("hello")
        kernel.stay()
        let folder = try TinyKernelFolder(kernel)
        let snapshot = folder.path + "/snapshot"
        let monitor = try Self.boot(folder)
        try monitor.waitForErrorOutput(", held ")
        #expect(try Self.ask(["start"], folder).succeeded)
        try monitor.waitForErrorOutput("hello\n")
        #expect(try Self.ask(["snapshot", snapshot], folder).succeeded)
        #expect(try Self.ask(["stop"], folder).succeeded)
        _ = try monitor.finish()

        let held = try Self.start(["--restore", snapshot, "--hold"], folder)
        try held.waitForErrorOutput(", held ")
        #expect(try Self.ask(["machine"], folder).output.contains("16777216"))
        #expect(try Self.ask(["start"], folder).succeeded)
        #expect(try Self.ask(["stop"], folder).succeeded)
        // It has said that already.
        #expect(!(try held.finish().errorOutput.contains("hello")))

        let other = try Self.start(["--await-snapshot", "--memory", "32MiB"], folder)
        try other.waitForErrorOutput(", held ")
        #expect(try Self.ask(["state"], folder).output.contains("blank"))
        let refused = try Self.ask(["restore", snapshot], folder)
        #expect(refused.code == 1 && refused.output.contains("16777216 bytes of memory"))
        #expect(try other.finish().code == 125)

        let state = URL(fileURLWithPath: snapshot + "/state")
        var bytes = try Data(contentsOf: state)
        bytes[200] ^= 1
        try bytes.write(to: state)
        let damaged = try Self.start(["--restore", snapshot], folder).finish()
        #expect(damaged.code == 125 && damaged.errorOutput.contains("its checksum is wrong"))
    }
}
