import MicroVM
import SandboxModel
import Testing

/// What a running guest may be given.
@Suite struct GuestSizeTests {
    private static let size = GuestSize(
        memoryBytes: 256 << 20, processors: 2, limitsProcesses: true)

    private static func limits(_ change: (inout Limits) -> Void) -> Limits {
        var limits = Limits()
        change(&limits)
        return limits
    }

    @Test("a guest is given up to what it was made with, and no more")
    func most() throws {
        for bytes: UInt64 in [64 << 20, 200 << 20, 256 << 20] {
            try Self.size.check(Self.limits { $0.memoryBytes = bytes })
        }
        for bytes: UInt64 in [0, 63 << 20, (256 << 20) + 1, .max] {
            let error = #expect(throws: SandboxError.self) {
                try Self.size.check(Self.limits { $0.memoryBytes = bytes })
            }
            #expect(error?.code == .limitOutOfRange)
            #expect(error?.message.contains("between 67108864 and 268435456 bytes") == true)
        }
        for cpus: UInt32 in [1, 500, 1500, 2000] {
            try Self.size.check(Self.limits { $0.milliCPUs = cpus })
        }
        for cpus: UInt32 in [2001, 3000, .max] {
            let error = #expect(throws: SandboxError.self) {
                try Self.size.check(Self.limits { $0.milliCPUs = cpus })
            }
            #expect(error?.message == "this microVM has no more than 2 processors")
        }
    }

    @Test("disk rates change at any time, processes where they were counted from the start")
    func others() throws {
        try Self.size.check(
            Self.limits {
                $0.pids = 10
                $0.readBytesPerSecond = 1
                $0.writeBytesPerSecond = .max
            })
        let size = GuestSize(memoryBytes: 256 << 20, processors: 2, limitsProcesses: false)
        try size.check(Self.limits { $0.readBytesPerSecond = 1 })
        let error = #expect(throws: SandboxError.self) {
            try size.check(Self.limits { $0.pids = 10 })
        }
        #expect(error?.code == .unavailable && error?.hint != nil)
    }
}
