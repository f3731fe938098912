import SandboxModel
import TestSupport

/// Values of the model that a message can say.
enum RandomModel {
    static func spec(_ random: inout SeededRandom) -> SandboxSpec {
        var spec = SandboxSpec(image: name(&random), command: names(&random, 1...3))
        spec.environment = environment(&random)
        spec.workingDirectory = "/" + name(&random)
        spec.root = Bool.random(using: &random) ? .readOnly : .writable
        spec.hostname = name(&random)
        if Bool.random(using: &random) {
            spec.user = .init(user: number(&random), group: number(&random))
        }
        spec.identityMaps = (0..<Int.random(in: 0...3, using: &random)).map { _ in
            .init(inside: number(&random), outside: number(&random), count: number(&random))
        }
        spec.limits = limits(&random)
        spec.limitPolicy = Bool.random(using: &random) ? .bestEffort : .strict
        let given = ProcessLimitSetting.Resource.allCases.filter { _ in
            Int.random(in: 0..<4, using: &random) == 0
        }.shuffled(using: &random)
        spec.processLimits =
            ProcessLimitSetting.standard.filter { !given.contains($0.resource) }
            + given.map {
                ProcessLimitSetting($0, soft: number(&random), hard: number(&random))
            }
        spec.scratchPlace = Bool.random(using: &random) ? .memory : .disk
        spec.scratchBytes = number(&random)
        spec.terminal = Bool.random(using: &random)
        spec.deniedCalls = Bool.random(using: &random) ? .kill : .errno
        if Bool.random(using: &random) {
            spec.timeout = .nanoseconds(Int64.random(in: 1...Int64.max, using: &random))
        }
        return spec
    }

    static func limits(_ random: inout SeededRandom) -> Limits {
        var limits = Limits()
        limits.memoryBytes = maybe(&random) { number(&$0) }
        limits.milliCPUs = maybe(&random) { number(&$0) }
        limits.pids = maybe(&random) { number(&$0) }
        limits.readBytesPerSecond = maybe(&random) { number(&$0) }
        limits.writeBytesPerSecond = maybe(&random) { number(&$0) }
        return limits
    }

    static func outcome(_ random: inout SeededRandom) -> SandboxOutcome {
        SandboxOutcome(
            ending: ending(&random),
            usage: .init(
                userMicroseconds: number(&random), systemMicroseconds: number(&random),
                peakResidentKilobytes: number(&random)),
            limits: Limits.Kind.allCases.filter { _ in Bool.random(using: &random) }.map { kind in
                LimitStatus(
                    kind: kind, request: name(&random), reason: maybe(&random) { name(&$0) })
            },
            timeline: names(&random, 0...4).map {
                .init(what: $0, nanoseconds: number(&random))
            })
    }

    private static func ending(_ random: inout SeededRandom) -> SandboxOutcome.Ending {
        let exit: SandboxOutcome.Exit =
            Bool.random(using: &random)
            ? .exited(code: Int32.random(in: -5...255, using: &random))
            : .signaled(number: Int32.random(in: 1...64, using: &random), name: name(&random))
        switch Int.random(in: 0..<5, using: &random) {
        case 0: return .ended(exit)
        case 1:
            let more = Int.random(in: 0...Int(UInt32.max), using: &random)
            return .denied(call: name(&random), more: more, exit: exit)
        case 2: return .outOfMemory
        case 3: return .timedOut
        default:
            let code = SandboxError.Code.allCases.randomElement(using: &random) ?? .usage
            return .failed(
                SandboxError(code, name(&random), hint: maybe(&random) { name(&$0) }))
        }
    }

    /// With both names that are always set, in any order and place.
    private static func environment(_ random: inout SeededRandom) -> [String] {
        if Bool.random(using: &random) {
            return SandboxSpec.defaultEnvironment
                + (0..<Int.random(in: 0...3, using: &random)).map { "V\($0)=\(name(&random))" }
        }
        let path = Bool.random(using: &random) ? SandboxSpec.defaultEnvironment[0] : "PATH=/x"
        return [path, "HOME=/", "A=", "B=x=y"].shuffled(using: &random)
    }

    private static func names(
        _ random: inout SeededRandom, _ count: ClosedRange<Int>
    ) -> [String] {
        (0..<Int.random(in: count, using: &random)).map { _ in name(&random) }
    }

    private static func name(_ random: inout SeededRandom) -> String {
        ["a", "/bin/sh", "äöü 😀", "x y\n", "a-b.c", "%s"].randomElement(using: &random) ?? ""
    }

    private static func number<Number: FixedWidthInteger & UnsignedInteger>(
        _ random: inout SeededRandom
    ) -> Number {
        [0, 1, 127, 128, 1 << 20, .max - 1, .max].randomElement(using: &random) ?? 0
    }

    private static func maybe<Value>(
        _ random: inout SeededRandom, _ make: (inout SeededRandom) -> Value
    ) -> Value? {
        Bool.random(using: &random) ? make(&random) : nil
    }
}
