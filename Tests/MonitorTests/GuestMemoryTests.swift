import TestSupport
import Testing

/// The memory of a guest, where it is much or of another kind than usual.
@Suite struct GuestMemoryTests {
    private static func boot(
        _ kernel: TinyKernel, memory: String, _ flags: [String] = []
    ) throws -> RunResult {
        let folder = try TinyKernelFolder(kernel)
        return try run(
            Products.path("alcove-vmm"),
            arguments: [
                "run", "--kernel", folder.kernel, "--initial-files", folder.initialFiles,
                "--memory", memory, "--console",
            ] + flags + ["--", "/bin/true"])
    }

    @Test(
        "a guest of 120 GiB has memory up to the top, of its own all over",
        .needs(.kvm, .unreservedMemory))
    func large() throws {
        // Memory goes on at 4 GiB where devices are below: it ends at 121 GiB.
        let page: UInt64 = (121 << 30) - (2 << 20)
        // The second table has room for the second GiB; a further table, of the last 2 MiB alone.
        let (second, third): (UInt32, UInt32) = (0xa000, 0xc000)
        let (place, lowPlace): (UInt32, UInt32) = (0x401f_fff0, 0x3fff_fff0)
        var kernel = TinyKernel()
        kernel.store(third | 3, at: second + 8)
        kernel.store(0, at: second + 12)
        kernel.store(UInt32(truncatingIfNeeded: page) | 0x83, at: third)
        kernel.store(UInt32(page >> 32), at: third + 4)
        kernel.expectZero(at: place)
        kernel.store(0x2170_6f74, at: place)
        // What is there when only the lower half of an address counts.
        #expect(UInt32(truncatingIfNeeded: page) + 0x1f_fff0 == lowPlace)
        kernel.expectZero(at: lowPlace)
        kernel.sayMemory(at: place, count: 4)
        kernel.say("")
        kernel.reset()
        let result = try Self.boot(kernel, memory: "120GiB")
        #expect(result.errorOutput.contains("top!\n"), "\(result)")
        #expect(result.errorOutput.contains("the guest reset itself"), "\(result)")
    }

    @Test(
        "a guest has memory of the huge pages that its host has set aside", .needs(.kvm, .hugePages)
    )
    func hugePages() throws {
        var kernel = TinyKernel()
        kernel.say("hello")
        kernel.reset()
        let result = try Self.boot(kernel, memory: "16MiB", ["--huge-pages"])
        #expect(result.errorOutput.contains("hello\n"), "\(result)")
        #expect(result.errorOutput.contains("the guest reset itself"), "\(result)")
    }

    @Test(
        "huge pages that are not there, or are not whole, are refused before the guest has any",
        .needs(.kvm),
        arguments: [
            ("1TiB", "the host has not so many huge pages free: 524288 of 2 MiB"),
            ("17MiB", "17825792 bytes of memory"),
        ])
    func noHugePages(memory: String, complaint: String) throws {
        var kernel = TinyKernel()
        kernel.reset()
        let result = try Self.boot(kernel, memory: memory, ["--huge-pages"])
        #expect(result.code == 125)
        #expect(result.errorOutput.contains(complaint), "\(result)")
    }
}
