import AgentAPI
import ProtocolBuffers
import RPC
import SandboxModel
import TestSupport
import Testing

@Suite struct SpecMappingTests {
    /// What the message stands for. `root` and `7` are users of the image.
    private func model(
        _ change: (inout AgentAPI.SandboxSpec) -> Void = { _ in }
    ) throws(CallFailure) -> SandboxModel.SandboxSpec {
        var message = AgentAPI.SandboxSpec(image: "base", command: ["/bin/true"])
        change(&message)
        return try message.model {
            ["root": .root, "7": .init(user: 7, group: 8)][$0]
        }
    }

    private func failure(_ change: (inout AgentAPI.SandboxSpec) -> Void) -> CallFailure? {
        do throws(CallFailure) {
            _ = try model(change)
            return nil
        } catch {
            return error
        }
    }

    @Test("what is not set has the model's own default")
    func defaults() throws {
        #expect(try model() == SandboxModel.SandboxSpec(image: "base", command: ["/bin/true"]))
        let message = AgentAPI.SandboxSpec(image: "base", command: ["/bin/true"])
        #expect(AgentAPI.SandboxSpec(try model()) == message)
        #expect(try message.stopGrace() == .seconds(2))
        #expect(try message.knownIsolation() == .auto)
    }

    @Test("any specification of the model survives its message", arguments: 1...8 as ClosedRange)
    func roundTrip(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for round in 0..<300 {
            let spec = RandomModel.spec(&random)
            let bytes = AgentAPI.SandboxSpec(spec).encoded()
            let message = try AgentAPI.SandboxSpec(decoding: bytes)
            let back = try message.model { _ in nil }
            #expect(back == spec, "seed \(seed), round \(round)")
            #expect(AgentAPI.SandboxSpec(back) == message, "seed \(seed), round \(round)")
        }
    }

    @Test("variables and limits that are given replace the defaults of their names")
    func replaced() throws {
        let spec = try model {
            $0.environment = ["A=1", "PATH=/x"]
            $0.processLimits = [ProcessLimit(resource: "core", soft: 1, hard: 2)]
        }
        #expect(spec.environment == ["HOME=/", "A=1", "PATH=/x"])
        #expect(
            spec.processLimits
                == ProcessLimitSetting.standard.dropFirst() + [.init(.core, soft: 1, hard: 2)])
    }

    @Test("users are numbers, or what the image says of them")
    func users() throws {
        #expect(try model { $0.user = "5:6" }.user == .init(user: 5, group: 6))
        #expect(try model { $0.user = "7" }.user == .init(user: 7, group: 8))
        #expect(try model { $0.user = "root" }.user == .root)
        let missing = failure { $0.user = "nobody" }
        #expect(missing?.code == .failedPrecondition && missing?.reason == "user_missing")
        for text in ["5:", ":6", "-0", "nobody:", "a:b:c", "-0:0", "5:6:7", "4294967296:1", " 5:6"]
        {
            #expect(failure { $0.user = text }?.message.hasPrefix("`spec.user` is ") == true)
        }
    }

    @Test("what is refused names its field and says what to write instead")
    func refused() throws {
        let changes: [(String, (inout AgentAPI.SandboxSpec) -> Void)] = [
            ("`spec.image` is empty", { $0.image = "" }),
            (
                "`spec.limit_policy` has the number 9, which is not known here",
                { $0.limitPolicy = .unrecognized(9) }
            ),
            (
                "`spec.denied_calls` has the number -1, which is not known here",
                { $0.deniedCalls = .unrecognized(-1) }
            ),
            (
                "`spec.isolation` has the number 3, which is not known here",
                { $0.isolation = .unrecognized(3) }
            ),
            ("`spec.timeout_nanoseconds` is 0", { $0.timeoutNanoseconds = 0 }),
            (
                "`spec.timeout_nanoseconds` is 18446744073709551615, longer than 292 years",
                { $0.timeoutNanoseconds = .max }
            ),
            (
                "`spec.stop_grace_nanoseconds` is 9223372036854775808, longer than 292 years",
                { $0.stopGraceNanoseconds = 1 << 63 }
            ),
            (
                "`spec.process_limits[0].resource` is `nice`, which is no limit of a process",
                { $0.processLimits = [ProcessLimit(resource: "nice", soft: 1, hard: 2)] }
            ),
            ("`spec.user` is `:x`, which cannot be a user", { $0.user = ":x" }),
        ]
        for (message, change) in changes {
            let found = try #require(failure(change), "\(message)")
            #expect(found.code == .invalidArgument && found.reason == "invalid_request")
            #expect(found.message == message)
            #expect(!found.hint.isEmpty, "\(message)")
        }
    }

    @Test("a variable that is set twice is refused, and its values are not told")
    func secrets() throws {
        let found = try #require(failure { $0.environment = ["KEY=hush", "KEY=whisper"] })
        #expect(found.message == "`spec.environment[1]` sets `KEY` a second time")
    }

    @Test("what the model validates is left to it, and its refusal keeps its words")
    func validated() throws {
        let spec = try model { $0.workingDirectory = "tmp" }
        let node = NodeCapabilities(
            memoryBytes: 1 << 30, milliCPUs: 2000, limitKinds: [], cgroupParent: nil,
            cgroupMode: "hybrid", maskedPaths: [], readOnlyPaths: [])
        let error = #expect(throws: SandboxError.self) { try spec.validate(on: node) }
        let status = RPC.Status(try #require(error))
        #expect(status.code == .invalidArgument)
        let failure = CallFailure(status)
        #expect(failure.message == "the working directory `tmp` is not absolute")
        #expect(failure.reason == "usage" && failure.hint.contains("from `/`"))
    }

    @Test("an update of limits changes what is set alone")
    func limits() {
        var limits = SandboxModel.Limits(
            AgentAPI.Limits(memoryBytes: 1 << 20, milliCPUs: 10, writeBytesPerSecond: 5000))
        limits.update(with: AgentAPI.Limits(milliCPUs: 20, pids: 7))
        #expect(
            AgentAPI.Limits(limits)
                == AgentAPI.Limits(
                    memoryBytes: 1 << 20, milliCPUs: 20, pids: 7, writeBytesPerSecond: 5000))
    }
}

@Suite struct OutcomeMappingTests {
    @Test("any outcome survives its message", arguments: 1...8 as ClosedRange<UInt64>)
    func roundTrip(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for round in 0..<300 {
            let outcome = RandomModel.outcome(&random)
            let message = try Outcome(decoding: Outcome(outcome).encoded())
            let limits = outcome.limits.map { AgentAPI.LimitStatus($0) }
            #expect(message.exitCode == outcome.exitCode)
            #expect(
                SandboxOutcome(message, limits: limits) == outcome, "seed \(seed), round \(round)")
        }
    }

    @Test("what a newer agent alone knows is passed over")
    func newer() {
        #expect(SandboxOutcome(Outcome()) == nil)
        #expect(SandboxOutcome(Outcome(ending: Ending(how: .ended(Exit())))) == nil)
        #expect(SandboxOutcome(Outcome(ending: Ending(how: .denied(.init(call: "x"))))) == nil)
        let failed = Ending(how: .failed(.init(message: "m", detail: ErrorDetail(code: "new"))))
        #expect(
            SandboxOutcome(
                Outcome(ending: failed, exitCode: 69),
                limits: [AgentAPI.LimitStatus(kind: .unrecognized(8))])
                == SandboxOutcome(
                    ending: .failed(SandboxError(.unavailable, "m")),
                    usage: .init(
                        userMicroseconds: 0, systemMicroseconds: 0, peakResidentKilobytes: 0),
                    limits: [], timeline: []))
        #expect(
            Ending(.failed(SandboxError(.usage, "m"))).how
                == .failed(.init(message: "m", detail: ErrorDetail(code: "usage"))))
    }
}

@Suite struct CallFailureTests {
    @Test("each kind of error has its code, and comes back as it went")
    func codes() throws {
        for code in SandboxError.Code.allCases {
            #expect(SandboxError.Code(named: code.name) == code)
            let error = SandboxError(code, "it failed", hint: "try")
            let failure = CallFailure(RPC.Status(error))
            #expect(failure == CallFailure(error))
            #expect(failure.code == code.statusCode && failure.reason == code.name)
            #expect("\(failure)" == "it failed (try)")
        }
    }

    @Test("shortages and hints survive, whatever is in them, within the bound of trailers")
    func bounded() throws {
        let shortage = ErrorDetail.Shortage(resource: .memory, requested: 9, available: 5)
        let small = CallFailure(
            .resourceExhausted, reason: "no_room", "no room", hint: "wait", shortages: [shortage])
        #expect(CallFailure(RPC.Status(small)) == small)
        var large = small
        large.message = String(repeating: "ü€", count: 2000)
        large.hint = String(repeating: "😀", count: 2000)
        large.shortages = Array(repeating: shortage, count: 1000)
        let status = RPC.Status(large)
        #expect(status.details.count < 4096)
        let back = CallFailure(status)
        #expect(back.hint.hasSuffix("😀...") && back.hint.utf8.count <= 1024)
        #expect(back.shortages == Array(repeating: shortage, count: 32))
    }

    @Test("a status without details, or with others, keeps its code and message")
    func others() {
        for details in [[], [1, 2, 3], [0x08, 0x05]] as [[UInt8]] {
            let failure = CallFailure(RPC.Status(.aborted, "no", details: details))
            #expect(failure == CallFailure(.aborted, reason: "", "no"))
        }
        #expect(RPC.Status(CallFailure(.aborted, reason: "", "no")).details.isEmpty)
    }
}
