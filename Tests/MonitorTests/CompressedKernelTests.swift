import TestSupport
import Testing

/// Kernels that unpack themselves.
@Suite struct CompressedKernelTests {
    private static func boot(
        _ kernel: TinyKernel, memory: String = "16MiB", by way: String = "linux"
    ) throws -> RunResult {
        let folder = try TinyKernelFolder(kernel, isCompressed: true)
        return try run(
            Products.path("alcove-vmm"),
            arguments: [
                "run", "--kernel", folder.kernel, "--initial-files", folder.initialFiles,
                "--memory", memory, "--boot", way, "--console", "--", "/bin/true",
            ])
    }

    @Test(
        "a bzImage is entered where its 64 bits begin, and finds its head and the command line",
        .needs(.kvm))
    func entry() throws {
        var kernel = TinyKernel()
        kernel.sayHandedOver(0x202, count: 4)
        kernel.say("")
        kernel.sayCommandLine(count: 18)
        kernel.say("")
        kernel.reset()
        let result = try Self.boot(kernel)
        #expect(result.code == 125)
        #expect(result.errorOutput.contains("HdrS\ninitcall_blacklist\n"), "\(result)")
        #expect(result.errorOutput.contains("the guest reset itself"), "\(result)")
    }

    @Test(
        "a bzImage has no entry for PVH, and one that is larger than memory does not fit",
        .needs(.kvm))
    func refusals() throws {
        var kernel = TinyKernel()
        kernel.reset()
        let pvh = try Self.boot(kernel, by: "pvh")
        #expect(pvh.code == 125)
        #expect(pvh.errorOutput.contains("the kernel has no entry for PVH"), "\(pvh)")
        let small = try Self.boot(kernel, memory: "2MiB")
        #expect(small.code == 125)
        #expect(small.errorOutput.contains("does not fit"), "\(small)")
    }
}
