import SandboxModel
import Testing

@Suite struct ProcessLimitTests {
    private func node(_ largest: [ProcessLimitSetting.Resource: UInt64]) -> NodeCapabilities {
        NodeCapabilities(
            memoryBytes: 1 << 30, milliCPUs: 1000, limitKinds: [], cgroupParent: nil,
            cgroupMode: "legacy", maskedPaths: [], readOnlyPaths: [],
            largestProcessLimits: largest)
    }

    private let spec = SandboxSpec(image: "a", command: ["b"])

    @Test("a standard limit takes what the node has, and a sandbox starts there")
    func standard() throws {
        for (most, soft, hard) in [(512, 512, 512), (2000, 1024, 2000), (9999, 1024, 4096)]
            as [(UInt64, UInt64, UInt64)]
        {
            let node = node([.openFiles: most])
            let fitted = spec.fitted(to: node)
            let files = try #require(fitted.processLimits.first { $0.resource == .openFiles })
            #expect(files.soft == soft && files.hard == hard)
            #expect(try fitted.validate(on: node).isEmpty)
        }
        #expect(spec.fitted(to: node([:])) == spec)
    }

    @Test("a limit that was asked for is never made smaller: above the node's it is refused")
    func askedFor() throws {
        var spec = spec
        spec.processLimits = [.init(.openFiles, soft: 1024, hard: 4096)]
        let node = node([.openFiles: 4095, .core: 0])
        #expect(spec.fitted(to: node) == spec)
        #expect(
            throws: SandboxError(
                .limitOutOfRange,
                "the hard limit 4096 of nofile is above what a process can get here, 4095",
                hint: "ask for no more, or raise the hard limit of `alcove` itself")
        ) {
            try spec.validate(on: node)
        }
        spec.processLimits = [.init(.openFiles, soft: 1024, hard: 4095)]
        #expect(try spec.validate(on: node).isEmpty)
        spec.processLimits = [.init(.core, soft: 0, hard: .max)]
        #expect {
            try spec.validate(on: node)
        } throws: {
            "\($0)".contains("the hard limit unlimited of core")
        }
    }
}
