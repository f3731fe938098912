import Foundation
import Testing

@testable import SandboxModel

/// What an OCI runtime reads.
private struct Profile: Decodable {
    struct Argument: Decodable {
        let index: Int
        let value: UInt64
        let valueTwo: UInt64?
        let op: String

        func holds(for arguments: [UInt64]) -> Bool {
            switch op {
            case "SCMP_CMP_EQ": arguments[index] == value
            case "SCMP_CMP_NE": arguments[index] != value
            case "SCMP_CMP_MASKED_EQ": arguments[index] & value == valueTwo
            default: false
            }
        }
    }
    struct Entry: Decodable {
        let names: [String]
        let action: String
        let errnoRet: Int32?
        let args: [Argument]?
    }
    let defaultAction: String
    let defaultErrnoRet: Int32
    let architectures: [String]
    let syscalls: [Entry]

    func outcomes(of name: String, _ arguments: [UInt64]) -> Set<CallPolicy.Outcome> {
        let found: [CallPolicy.Outcome] = syscalls.filter { entry in
            entry.names.contains(name)
                && (entry.args ?? []).allSatisfy { $0.holds(for: arguments) }
        }.map { $0.action == "SCMP_ACT_ALLOW" ? .allow : .errno($0.errnoRet ?? 1) }
        return found.isEmpty ? [.errno(defaultErrnoRet)] : Set(found)
    }
}

@Suite struct CallPolicyProfileTests {
    private let profile: Profile

    init() throws {
        profile = try JSONDecoder().decode(
            Profile.self, from: Data(CallPolicy.standard.ociProfile().utf8))
    }

    @Test("the profile refuses by default and is for x86-64")
    func head() {
        #expect(profile.defaultAction == "SCMP_ACT_ERRNO")
        #expect(profile.defaultErrnoRet == 1)
        #expect(profile.architectures == ["SCMP_ARCH_X86_64"])
        // libseccomp refuses a rule that says the same as the default.
        #expect(!profile.syscalls.contains { $0.action == "SCMP_ACT_ERRNO" && $0.errnoRet == 1 })
        // A runtime takes two conditions on one argument as alternatives.
        #expect(
            profile.syscalls.allSatisfy { entry in
                let indexes = (entry.args ?? []).map(\.index)
                return indexes.count == Set(indexes).count
            })
    }

    @Test("the profile allows exactly what the policy allows")
    func sameAllowances() {
        var generator = SeededGenerator(seed: 11)
        let values: [UInt64] = [
            0, 1, 2, 8, 10, 16, 17, 40, 0x2000, 0x6000, 0x8000, 0x20000, 0x20008, 0x5411, 0x5412,
            0x5413, 0x541c, 0x5423, 0x5422, 0xffff_ffff, 0x1_0000_5412, .max, 0x1000_0000,
        ]
        for rule in CallPolicy.standard.rules {
            for name in rule.names {
                for _ in 0..<(rule.cases.isEmpty ? 1 : 3000) {
                    let arguments = (0..<6).map { _ in
                        values[Int(generator.next() % UInt64(values.count))]
                    }
                    let expected = CallPolicy.standard.outcome(of: name, arguments: arguments)
                    let found = profile.outcomes(of: name, arguments)
                    #expect(found.count == 1, "\(name) \(arguments)")
                    #expect(
                        found.contains(.allow) == (expected == .allow), "\(name) \(arguments)")
                }
            }
        }
    }

    @Test("unconditional error numbers are kept")
    func errorNumbers() {
        #expect(profile.outcomes(of: "clone3", []) == [.errno(38)])
        #expect(profile.outcomes(of: "name_to_handle_at", []) == [.errno(95)])
    }

    @Test("shapes that the format cannot say become stricter, never weaker")
    func inexpressible() throws {
        let condition = CallPolicy.Condition.word(0, equals: 1)
        let policy = CallPolicy(
            rules: [
                .init(
                    .errno(38), "first",
                    cases: [
                        .init(when: [condition], .errno(5)), .init(when: [], .allow),
                    ], because: "an allowance behind a refusal"),
                .init(
                    .allow, "second",
                    cases: [.init(when: [condition, .word(1, equals: 2)], .errno(5))],
                    because: "a refusal by two arguments"),
                .init(
                    .allow, "third",
                    cases: [.init(when: [.init(argument: 0, .notEqual(3))], .deny)],
                    because: "a refusal of all but one value"),
            ], newest: "third", denial: .errno)
        let profile = try JSONDecoder().decode(Profile.self, from: Data(policy.ociProfile().utf8))
        #expect(profile.syscalls.isEmpty)
    }
}

/// SplitMix64: the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}
