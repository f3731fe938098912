import TestSupport
import Testing

/// What the command line of a monitor is, and what it is not.
@Suite struct MonitorFlagsTests {
    private static func refused(_ flags: [String]) throws -> RunResult {
        try run(
            Products.path("alcove-vmm"),
            arguments: ["run", "--kernel", "k", "--initial-files", "f"] + flags
                + ["--", "/bin/true"])
    }

    @Test(
        "what does not go together, or is no number, is refused before anything is made",
        arguments: [
            (["--hold"], "`--hold` needs `--control`"),
            (["--tap", "tap0", "--tap-descriptor", "3"], "a guest has one link"),
            (["--console", "--virtio-console"], "a guest has one console"),
            (["--ready"], "`--ready` needs `--control`"),
            (["--base", "below"], "`--base` is for `--restore`"),
            (["--restore", "above"], "`--kernel` is for a guest that boots"),
            (["--tap-descriptor", "2"], "is no descriptor above 2"),
            (["--tap-descriptor", "tap0"], "is no descriptor above 2"),
            (["--tap-descriptor", "3", "--mac", "here"], "is no hardware address"),
        ])
    func refusals(flags: [String], complaint: String) throws {
        let result = try Self.refused(flags)
        #expect(result.code == 64)
        #expect(result.errorOutput.contains(complaint), "\(result)")
    }

    @Test("a descriptor that is no TAP, or is not open, ends the start", .needs(.kvm))
    func noTap() throws {
        var kernel = TinyKernel()
        kernel.reset()
        let folder = try TinyKernelFolder(kernel)
        let result = try run(
            Products.path("alcove-vmm"),
            arguments: [
                "run", "--kernel", folder.kernel, "--initial-files", folder.initialFiles,
                "--memory", "16MiB", "--tap-descriptor", "100", "--", "/bin/true",
            ])
        #expect(result.code == 125)
        #expect(result.errorOutput.contains("TUNGETIFF"), "\(result)")
    }
}
