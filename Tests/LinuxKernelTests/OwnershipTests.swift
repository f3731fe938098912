import TestSupport
import Testing

@testable import LinuxKernel

/// Descriptors are counted in processes where nothing else opens any.
@Suite struct OwnershipTests {
    private static func count() -> Int { Host.openDescriptors.count }

    /// The comment is all that comes back from another process.
    private static func expectCount(
        _ expected: Int, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let open = Host.openDescriptors
        #expect(
            open.count == expected, "not \(expected) at line \(sourceLocation.line): \(open)",
            sourceLocation: sourceLocation)
    }

    @Test("a descriptor is closed once, when its owner is gone")
    func descriptor() async {
        await #expect(processExitsWith: .success) {
            let before = Self.count()
            do {
                let first = try Files.open("/dev/null", .readOnly)
                let second = try first.duplicate()
                let third = try first.duplicate(atLeast: 50)
                #expect(third.rawValue >= 50)
                #expect(second.rawValue != first.rawValue)
                Self.expectCount(before + 3)
                let raised = try second.raised(toAtLeast: 60)
                #expect(raised.rawValue >= 60)
                Self.expectCount(before + 3)
                let same = try raised.raised(toAtLeast: 5)
                #expect(same.rawValue >= 60)
                Self.expectCount(before + 3)
            }
            Self.expectCount(before)
        }
    }

    @Test("what fails to open leaves nothing open")
    func failures() async {
        await #expect(processExitsWith: .success) {
            let before = Self.count()
            for path in ["/none", "/proc/self/status/x", "/dev/null/", ""] {
                #expect(throws: SystemCallError.self) {
                    _ = try Files.open(path, .readOnly).rawValue
                }
                #expect(throws: SystemCallError.self) { try Files.read(path) }
            }
            Self.expectCount(before)
        }
    }

    @Test("a pipe carries bytes, closes on exec, and ends when its writer is gone")
    func pipe() throws {
        let pipe = try Pipe.make()
        let reader = Descriptor(owning: pipe.reader)
        do {
            let writer = Descriptor(owning: pipe.writer)
            try writer.write("text")
            #expect(try reader.read(atMost: 2) == Array("te".utf8))
            #expect(try reader.read(atMost: 9) == Array("xt".utf8))
            for number in [reader.rawValue, writer.rawValue] {
                #expect(
                    try Files.read("/proc/self/fdinfo/\(number)").contains("02000000")
                        || Files.read("/proc/self/fdinfo/\(number)").contains("02000001"))
            }
        }
        #expect(try reader.read(atMost: 9) == [])
    }

    @Test("an empty pipe that does not block says so, and so does a full one")
    func nonBlocking() throws {
        let pipe = try Pipe.make(nonBlocking: true)
        let reader = Descriptor(owning: pipe.reader)
        let writer = Descriptor(owning: pipe.writer)
        #expect(throws: SystemCallError(call: "read", errorNumber: .wouldBlock)) {
            try reader.read(atMost: 1)
        }
        #expect(throws: SystemCallError(call: "write", errorNumber: .wouldBlock)) {
            while true { try writer.writeAll([UInt8](repeating: 0, count: 4096)) }
        }
    }

    @Test("a timer becomes readable once for each start, and not after it is stopped")
    func timer() throws {
        let timer = try Timer()
        try timer.start(.nanoseconds(1))
        var interests = [Readiness.Interest(timer.descriptor.rawValue), Readiness.Interest(-1)]
        try Readiness.wait(for: &interests)
        #expect(interests.map(\.isReady) == [true, false])
        #expect(try timer.descriptor.read(atMost: 8).count == 8)
        #expect(throws: SystemCallError.self) { try timer.descriptor.read(atMost: 8) }
        try timer.start(.seconds(3600))
        try timer.start(.zero)
        #expect(throws: SystemCallError.self) { try timer.descriptor.read(atMost: 8) }
    }

    @Test("signals are read in the order of their numbers, and only those asked for")
    func signals() async {
        await #expect(processExitsWith: .success) {
            let reader = try SignalReader([.user1, .user2, .windowChange])
            #expect(reader.pending() == [])
            // To this thread: others of the process may not block them.
            for signal in [Signal.windowChange, .user2, .user1, .user1] {
                try Self.raise(signal)
            }
            #expect(Set(reader.pending()) == [.user1, .user2, .windowChange])
            #expect(reader.pending() == [])
        }
    }

    private static func raise(_ signal: Signal) throws {
        guard systemCall(200, UInt64(systemCall(186)), UInt64(signal.rawValue)) == 0 else {
            throw SystemCallError(call: "tkill", errorNumber: .invalid)
        }
    }
}
