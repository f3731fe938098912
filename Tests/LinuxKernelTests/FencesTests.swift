import TestSupport
import Testing

@testable import LinuxKernel

/// Fences stay on the thread that puts them up: each test has one of its own.
@Suite struct FencesTests {
    private func onThread<Result: Sendable>(
        _ body: @escaping @Sendable () -> Result
    ) throws -> Result {
        let result = Locked<Result?>(nil)
        let thread = try KernelThread(named: "fenced") {
            let value = body()
            result.with { $0 = value }
        }
        thread.join()
        return try #require(result.with { $0 })
    }

    @Sendable private static func opens(_ path: String) -> ErrorNumber? {
        do throws(SystemCallError) {
            _ = try Files.open(path, .readOnly)
            return nil
        } catch {
            return error.errorNumber
        }
    }

    @Test(
        "what Landlock refuses grows with its version",
        arguments: [
            (0, 0, 0, 0, 8), (1, 0x1fff, 0, 0, 8), (2, 0x3fff, 0, 0, 8), (3, 0x7fff, 0, 0, 8),
            (4, 0x7fff, 3, 0, 16), (5, 0xffff, 3, 0, 16), (6, 0xffff, 3, 3, 24),
            (99, 0xffff, 3, 3, 24),
        ] as [(Int, UInt64, UInt64, UInt64, UInt64)])
    func refusals(version: Int, files: UInt64, network: UInt64, scopes: UInt64, bytes: UInt64) {
        let refusals = Landlock.Refusals(version: version)
        #expect(refusals.files == files)
        #expect(refusals.network == network)
        #expect(refusals.scopes == scopes)
        #expect(refusals.attributeBytes == bytes)
    }

    @Test("a thread behind Landlock opens nothing, another does, and what is open stays open")
    func landlock() throws {
        let outcome = try onThread { () -> (Landlock.Outcome?, ErrorNumber?, Int?) in
            guard let open = try? Files.open("/proc/version", .readOnly) else {
                return (nil, nil, nil)
            }
            try? ThisProcess.renouncePrivileges()
            let outcome = try? Landlock.refuseAll()
            return (outcome, Self.opens("/proc/version"), try? open.read(atMost: 10).count)
        }
        guard let version = Landlock.version else {
            #expect(outcome.0 == .unavailable)
            return
        }
        #expect(outcome.0 == .restricted(version: version))
        #expect(outcome.1 == .permissionDenied)
        #expect(outcome.2 == 10)
        #expect(Self.opens("/proc/version") == nil)
    }

    @Test("a filter judges the calls of the thread that put it up, and no other's")
    func filter() throws {
        let number = try #require(SystemCallTable.number(of: "openat"))
        let program = try SeccompCompiler(
            rules: [SeccompRule(number: number, otherwise: .errno(95))], newest: number,
            unlisted: .allow, beyond: .allow
        ).compile()
        let results = try onThread { () -> [ErrorNumber?] in
            let before = Self.opens("/proc/version")
            try? ThisProcess.renouncePrivileges()
            try? program.install()
            return [before, Self.opens("/proc/version")]
        }
        #expect(results == [nil, .notSupported])
        #expect(Self.opens("/proc/version") == nil)
    }

    @Test("a filter that is none is refused")
    func noFilter() throws {
        let number = try onThread { () -> ErrorNumber? in
            do throws(SystemCallError) {
                try ThisProcess.renouncePrivileges()
                try SeccompProgram(instructions: []).install()
                return nil
            } catch {
                return error.errorNumber
            }
        }
        #expect(number == .invalid)
    }

    @Test("threads that are added do something first, and then what waited")
    func workers() throws {
        let order = Locked<[String]>([])
        let workers = try Workers(threads: 0, queue: 8, named: "late")
        #expect(workers.run { order.with { $0.append("job") } })
        #expect(order.with { $0.isEmpty })
        try workers.add(threads: 1) { order.with { $0.append("first") } }
        workers.stop()
        #expect(order.with { $0 } == ["first", "job"])
    }
}
