import SandboxModel
import Testing

/// Each thing that a spec is refused for, with its code and its words.
@Suite struct SandboxValidationTests {
    typealias Change = @Sendable (inout SandboxSpec) -> Void

    struct Refusal: Sendable, CustomTestStringConvertible {
        let code: SandboxError.Code
        let text: String
        let change: Change

        init(_ code: SandboxError.Code, _ text: String, _ change: @escaping Change) {
            self.code = code
            self.text = text
            self.change = change
        }

        var testDescription: String { text }
    }

    private func expect(
        _ refusal: Refusal, on node: NodeCapabilities = Sample.node,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        do throws(SandboxError) {
            _ = try Sample.spec(refusal.change).validate(on: node)
            Issue.record("not refused: \(refusal.text)", sourceLocation: sourceLocation)
        } catch {
            #expect(error.code == refusal.code, sourceLocation: sourceLocation)
            #expect("\(error)" == refusal.text, sourceLocation: sourceLocation)
        }
    }

    @Test("the default spec is valid, and nothing is limited")
    func defaults() throws {
        #expect(try Sample.spec().validate(on: Sample.node) == [])
    }

    @Test(
        "texts that the kernel could not take, or would take for something else, are refused",
        arguments: [
            Refusal(.usage, "no command (give it after `--`)") { $0.command = [] },
            Refusal(.usage, "no command (give it after `--`)") { $0.command = ["", "word"] },
            Refusal(.usage, "a text holds a zero byte") { $0.command.append("a\0b") },
            Refusal(.usage, "a text holds a zero byte") { $0.environment.append("A=\0") },
            Refusal(.usage, "a text holds a zero byte") { $0.workingDirectory = "/\0" },
            Refusal(.usage, "a text holds a zero byte") { $0.image = "\0" },
            Refusal(.usage, "a text holds a zero byte") { $0.hostname = "a\0" },
            Refusal(.usage, "more than 4096 arguments or variables") {
                $0.command = [String](repeating: "a", count: 4097)
            },
            Refusal(.usage, "more than 4096 arguments or variables") {
                $0.environment = [String](repeating: "A=", count: 4097)
            },
            Refusal(.usage, "`=x` is no environment variable (write NAME=VALUE)") {
                $0.environment.append("=x")
            },
            Refusal(.usage, "`NAME` is no environment variable (write NAME=VALUE)") {
                $0.environment.append("NAME")
            },
            Refusal(
                .usage,
                "the working directory `tmp` is not absolute"
                    + " (write it as it is seen inside, from `/`)"
            ) { $0.workingDirectory = "tmp" },
        ])
    func texts(refusal: Refusal) {
        expect(refusal)
    }

    @Test(
        "a hostname is labels of letters, digits and inner dashes",
        arguments: [
            "", ".", "a.", ".a", "a..b", "-a", "a-", "a_b", "a b", "a/b", "ä", "a\n",
            String(repeating: "a", count: 64), String(repeating: "a.", count: 32) + "bb",
        ])
    func badHostname(name: String) {
        expect(
            Refusal(
                .usage, "`\(name)` is no hostname (letters, digits, `-` and `.`, at most 64)"
            ) { $0.hostname = name })
    }

    @Test(
        "usual hostnames pass",
        arguments: ["a", "web-1", "a.b.c", "9", "X", String(repeating: "a", count: 63)])
    func goodHostname(name: String) throws {
        _ = try Sample.spec { $0.hostname = name }.validate(on: Sample.node)
    }

    @Test(
        "identity maps must hold something, and cover root and the user",
        arguments: [
            Refusal(.usage, "more than 340 identity maps") {
                $0.identityMaps = [SandboxSpec.IdentityMap](
                    repeating: .init(inside: 0, outside: 0, count: 1), count: 341)
            },
            Refusal(.usage, "the identity map 0:5:0 is empty or overflows") {
                $0.identityMaps = [.init(inside: 0, outside: 5, count: 0)]
            },
            Refusal(.usage, "the identity map 4294967295:0:1 is empty or overflows") {
                $0.identityMaps = [.init(inside: .max, outside: 0, count: 1)]
            },
            Refusal(.usage, "the identity map 0:4294967290:6 is empty or overflows") {
                $0.identityMaps = [.init(inside: 0, outside: .max - 5, count: 6)]
            },
            Refusal(
                .usage,
                "no identity map covers 0 inside"
                    + " (root and the workload's user need a number outside)"
            ) { $0.identityMaps = [.init(inside: 1, outside: 1, count: 10)] },
            Refusal(
                .usage,
                "no identity map covers 10 inside"
                    + " (root and the workload's user need a number outside)"
            ) {
                $0.identityMaps = [.init(inside: 0, outside: 1, count: 10)]
                $0.user = .init(user: 10, group: 0)
            },
            Refusal(
                .usage,
                "no identity map covers 11 inside"
                    + " (root and the workload's user need a number outside)"
            ) {
                $0.identityMaps = [.init(inside: 0, outside: 1, count: 10)]
                $0.user = .init(user: 9, group: 11)
            },
            Refusal(.usage, "4294967295 is no user or group") {
                $0.user = .init(user: .max, group: 0)
            },
            Refusal(.usage, "4294967295 is no user or group") {
                $0.user = .init(user: 0, group: .max)
            },
        ])
    func identity(refusal: Refusal) {
        expect(refusal)
    }

    @Test(
        "limits below what a process needs, or above what the node has, are refused",
        arguments: [
            Refusal(
                .limitOutOfRange,
                "the memory limit of 512 KiB is below the smallest that works, 1 MiB"
            ) { $0.limits.memoryBytes = 512 << 10 },
            Refusal(
                .limitOutOfRange,
                "the memory limit of 9 GiB is above what this node has, 8 GiB"
            ) { $0.limits.memoryBytes = 9 << 30 },
            Refusal(
                .limitOutOfRange,
                "the CPU limit of 0.009 CPU is below the smallest that works, 0.01 CPU"
            ) { $0.limits.milliCPUs = 9 },
            Refusal(
                .limitOutOfRange,
                "the CPU limit of 4.001 CPU is above what this node has, 4 CPU"
            ) { $0.limits.milliCPUs = 4001 },
            Refusal(
                .limitOutOfRange, "the pids limit of 1 is below the smallest that works, 2"
            ) { $0.limits.pids = 1 },
            Refusal(
                .limitOutOfRange,
                "the pids limit of 4194305 is above what this node has, 4194304"
            ) { $0.limits.pids = 4_194_305 },
            Refusal(
                .limitOutOfRange,
                "the disk rate limit of 4095 B is below the smallest that works, 4 KiB"
            ) { $0.limits.readBytesPerSecond = 4095 },
            Refusal(
                .limitOutOfRange,
                "the disk rate limit of 0 B is below the smallest that works, 4 KiB"
            ) { $0.limits.writeBytesPerSecond = 0 },
            Refusal(
                .limitOutOfRange,
                "the scratch size of 65535 B is below the smallest that works, 64 KiB"
            ) { $0.scratchBytes = 65535 },
            Refusal(
                .limitOutOfRange,
                "the scratch size of 16 GiB is above what this node has, 8 GiB"
            ) { $0.scratchBytes = 16 << 30 },
            Refusal(
                .limitOutOfRange,
                "the scratch size on the disk of 4194303 B is below the smallest that works, 4 MiB"
            ) {
                $0.scratchPlace = .disk
                $0.scratchBytes = 4_194_303
            },
            Refusal(
                .limitOutOfRange,
                "the scratch size of 32768 GiB is above the largest on a disk, 16384 GiB"
            ) {
                $0.scratchPlace = .disk
                $0.scratchBytes = 32 << 40
            },
            Refusal(.usage, "the soft limit of nofile is above its hard one") {
                $0.processLimits = [.init(.openFiles, soft: 2, hard: 1)]
            },
            Refusal(.usage, "the limit of nofile is given twice") {
                $0.processLimits = [
                    .init(.openFiles, soft: 1, hard: 1), .init(.core, soft: 0, hard: 0),
                    .init(.openFiles, soft: 2, hard: 2),
                ]
            },
        ])
    func limits(refusal: Refusal) {
        expect(refusal)
    }

    @Test(
        "what a limit may be goes up to both of its ends",
        arguments: [1 << 20, 8 << 30] as [UInt64], [10, 4000] as [UInt32])
    func ends(memory: UInt64, cpus: UInt32) throws {
        let statuses = try Sample.spec {
            $0.limits.memoryBytes = memory
            $0.limits.milliCPUs = cpus
            $0.limits.pids = memory == 1 << 20 ? 2 : 4_194_304
            $0.limits.readBytesPerSecond = memory == 1 << 20 ? 4096 : .max
            $0.scratchBytes = memory == 1 << 20 ? 64 << 10 : 8 << 30
        }.validate(on: Sample.node)
        #expect(statuses.map(\.kind) == [.memory, .cpu, .pids, .io])
        #expect(!statuses.contains { !$0.holds })
    }

    @Test("a limit without a controller is refused by strict, and told of by best effort")
    func unenforceable() throws {
        let change: Change = {
            $0.limits.memoryBytes = 128 << 20
            $0.limits.pids = 64
        }
        expect(
            Refusal(
                .unavailable,
                "the memory limit of 128 MiB cannot be enforced here: no cgroup v2 `memory`"
                    + " controller (hybrid mode) (`--limits best-effort` runs without it;"
                    + " `alcove doctor` says what is there)", change), on: Sample.hybridNode)
        let statuses = try Sample.spec {
            change(&$0)
            $0.limitPolicy = .bestEffort
        }.validate(on: Sample.hybridNode)
        #expect(
            statuses == [
                LimitStatus(
                    kind: .memory, request: "128 MiB",
                    reason: "no cgroup v2 `memory` controller (hybrid mode)"),
                LimitStatus(
                    kind: .pids, request: "64 processes",
                    reason: "no cgroup v2 `pids` controller (hybrid mode)"),
            ])
    }

    @Test("a limit out of range is refused by best effort too")
    func outOfRange() {
        expect(
            Refusal(
                .limitOutOfRange, "the pids limit of 0 is below the smallest that works, 2"
            ) {
                $0.limits.pids = 0
                $0.limitPolicy = .bestEffort
            }, on: Sample.hybridNode)
    }

    @Test("every kind of failure has an exit code of its own, which no signal's is")
    func codes() {
        let codes = SandboxError.Code.allCases.map(\.rawValue)
        #expect(Set(codes).count == codes.count)
        #expect(codes.allSatisfy { (64...127).contains($0) })
    }
}
