import TestSupport
import Testing

/// Monitors that are ready before anybody asks for their guests.
@Suite struct HeldMonitorTests {
    private static func start(
        _ folder: TinyKernelFolder, _ flags: [String] = []
    ) throws -> ChildProcess {
        try ChildProcess(
            Products.path("alcove-vmm"),
            arguments: [
                "run", "--kernel", folder.kernel, "--initial-files", folder.initialFiles,
                "--memory", "16MiB", "--control", folder.control, "--timeline", "--console",
            ] + flags + ["--", "/bin/true"])
    }

    private static func ask(_ word: String, _ folder: TinyKernelFolder) throws -> RunResult {
        try run(
            Products.path("alcove-vmm"),
            arguments: ["control", "--control", folder.control, word])
    }

    @Test(
        "the guest of a held monitor begins when it is asked to, and not before", .needs(.kvm),
        arguments: ["linux", "pvh"])
    func begin(way: String) throws {
        var kernel = TinyKernel()
        kernel.say("hello")
        kernel.reset()
        let folder = try TinyKernelFolder(kernel)
        let monitor = try Self.start(folder, ["--hold", "--boot", way])
        try monitor.waitForErrorOutput(", held ")
        #expect(try Self.ask("state", folder).output == "{\"ok\":true,\"state\":\"held\"}\n")
        #expect(
            try Self.ask("machine", folder).output
                == "{\"ok\":true,\"memory_bytes\":16777216,\"processors\":1,"
                + "\"limits_processes\":false}\n")
        for word in ["pause", "resume"] {
            let refused = try Self.ask(word, folder)
            #expect(refused.code == 1 && refused.output.contains("the guest is held"))
        }
        #expect(!monitor.errorOutput.contains("hello"))

        #expect(try Self.ask("start", folder).output == "{\"ok\":true}\n")
        let result = try monitor.finish()
        #expect(result.code == 125)
        #expect(result.errorOutput.contains("hello\n"))
        #expect(result.errorOutput.contains("the guest reset itself"))
        let last = try #require(
            result.errorOutput.split(separator: "\n").last { $0.contains("timeline: ") })
        let stages = last.split(separator: ", ").dropFirst().map {
            $0.split(separator: " ").dropLast(2).joined(separator: " ")
        }
        #expect(
            stages == [
                "machine made", "devices attached", "kernel loaded", "files refused", "held",
                "start asked", "guest entered", "guest ended",
            ])
    }

    @Test("a guest that was started is not started again", .needs(.kvm))
    func twice() throws {
        var kernel = TinyKernel()
        kernel.say("hello")
        kernel.stay()
        let folder = try TinyKernelFolder(kernel)
        let monitor = try Self.start(folder, ["--hold"])
        try monitor.waitForErrorOutput(", held ")
        #expect(try Self.ask("start", folder).succeeded)
        try monitor.waitForErrorOutput("hello\n")
        let refused = try Self.ask("start", folder)
        #expect(refused.code == 1 && refused.output.contains("was started already"))
        #expect(try Self.ask("state", folder).output.contains("booting"))
        #expect(try Self.ask("stop", folder).succeeded)
        #expect(try monitor.finish().ending == .signalled(signal: 9))
    }

    @Test("a held monitor that is not needed is stopped", .needs(.kvm))
    func stop() throws {
        var kernel = TinyKernel()
        kernel.stay()
        let folder = try TinyKernelFolder(kernel)
        let monitor = try Self.start(folder, ["--hold"])
        try monitor.waitForErrorOutput(", held ")
        #expect(try Self.ask("stop", folder).succeeded)
        #expect(try monitor.finish().ending == .signalled(signal: 9))
    }
}
