import LinuxKernel
import SandboxModel
import Testing

@testable import Jail

/// SplitMix64: the same numbers for the same seed.
private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}

@Suite struct CallPolicyEquivalenceTests {
    static let newest: UInt32 = 456

    private func rules(
        _ policy: CallPolicy, denyingBy denial: SeccompAction
    ) throws -> [SeccompRule] {
        try policy.rules.flatMap { rule in
            try rule.names.map { name in
                SeccompRule(
                    number: try #require(SystemCallTable.number(of: name), "\(name)"),
                    cases: rule.cases.map { $0.numeric(denyingBy: denial) },
                    otherwise: rule.otherwise.action(denyingBy: denial))
            }
        }
    }

    @Test("the policy names every call that libseccomp knows for x86-64, and no other")
    func complete() {
        let named = Set(CallPolicy.standard.rules.flatMap(\.names))
        for name in named {
            #expect(SystemCallTable.number(of: name) != nil, "\(name) is no call of x86-64")
        }
        for number in 0...Self.newest {
            guard let name = SystemCallTable.name(of: number) else { continue }
            #expect(named.contains(name), "\(name) is not decided about")
        }
        #expect(SystemCallTable.number(of: CallPolicy.standard.newest) == Self.newest)
    }

    @Test("the filter's size is what it was")
    func size() throws {
        let killing = try CallPolicy.standard.compiled()
        let failing = try CallPolicy.standard.with(denial: .errno).compiled()
        #expect(killing.instructions.count == 127)
        // Fewer, as calls that fail with EPERM anyway join their denied neighbours.
        #expect(failing.instructions.count == 121)
        #expect(killing.instructions.count <= SeccompProgram.maximumCount)
    }

    @Test("the filters compiled ahead are what the policy compiles to now")
    func compiledAhead() throws {
        for denial in CallPolicy.Denial.allCases {
            let program = try CallPolicy.standard.with(denial: denial).compiled()
            let lines = program.words.map { "        0x\(String($0, radix: 16)),\n" }
            #expect(
                SeccompProgram.standard(denial: denial) == program,
                "put this into CallPolicy+Ahead.swift for .\(denial):\n\(lines.joined())")
        }
    }

    @Test(
        "every call number is decided as by libseccomp",
        arguments: CallPolicy.Denial.allCases)
    func everyNumber(denial: CallPolicy.Denial) throws {
        let action: SeccompAction = denial == .kill ? .notify : .errno(1)
        let program = try CallPolicy.standard.with(denial: denial).compiled()
        let rules = try rules(.standard, denyingBy: action)
        let reference = try LibseccompReference(
            rules: rules.filter { $0.cases.isEmpty }, unlisted: action
        ).program
        let conditional = Set(rules.filter { !$0.cases.isEmpty }.map(\.number))
        let boundaries: [UInt32] = [
            0x3fff_ffff, 0x4000_0000, 0x4000_0001, 0x4000_0208, 0x4000_0223, 0x7fff_ffff,
            0x8000_0000, .max - 1, .max,
        ]
        for arch: UInt32 in [SeccompProgram.architecture, 0x4000_0003, 0xc000_00b7, 0, .max] {
            for number in Array(0...1023) + boundaries where !conditional.contains(number) {
                let found = try program.evaluate(arch: arch, number: number)
                let expected = try reference.evaluate(arch: arch, number: number)
                let isNew = number > Self.newest && number < 0x4000_0000 || number == .max
                if arch == SeccompProgram.architecture && isNew {
                    // On purpose: libseccomp denies what it does not know, this policy answers
                    // as a kernel without the call.
                    #expect(expected == action)
                    #expect(found == .errno(38), "call \(number)")
                } else {
                    #expect(found == expected, "arch \(arch), call \(number)")
                }
            }
        }
    }

    @Test(
        "calls with conditions are decided as by libseccomp and by the model",
        arguments: [
            "clone", "socket", "socketpair", "ioctl", "personality", "mknod", "mknodat", "seccomp",
        ])
    func conditions(name: String) throws {
        let seed: UInt64 = 20
        var generator = SeededGenerator(state: seed)
        let program = try CallPolicy.standard.compiled()
        let number = try #require(SystemCallTable.number(of: name))
        let rule = try #require(
            try rules(.standard, denyingBy: .notify).first { $0.number == number })
        // One filter for each call: libseccomp has no "else" beside conditions but its default.
        let reference = try LibseccompReference(rules: [rule], unlisted: rule.otherwise).program
        var values: [UInt64] = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, .max]
        for condition in rule.cases.flatMap(\.conditions) {
            guard case .maskedEqual(let mask, let value) = condition.test else {
                Issue.record("a condition of another kind: extend this test")
                continue
            }
            for base in [value, value &+ 1, value &- 1, mask, mask &+ 1, ~mask] {
                values += [base, base | 1 << 32, base | 0xffff_ffff << 32, base << 32]
            }
            values += (0..<64).map { value ^ 1 << $0 }
        }
        for round in 0..<30000 {
            let arguments = (0..<6).map { _ in
                generator.next() % 8 == 0
                    ? generator.next() : values.randomElement(using: &generator) ?? 0
            }
            let found = try program.evaluate(number: number, arguments: arguments)
            let expected = try reference.evaluate(number: number, arguments: arguments)
            let model = CallPolicy.standard.outcome(of: name, arguments: arguments)
            #expect(found == expected, "seed \(seed), round \(round), \(arguments)")
            #expect(found == model.action(denyingBy: .notify), "seed \(seed), \(arguments)")
        }
    }

    @Test("names that libseccomp does not know are left out")
    func unknownNames() throws {
        let policy = CallPolicy(
            rules: [
                .init(.allow, "read socketcall no_such_call", because: "a newer table")
            ], newest: "no_such_call", denial: .errno)
        let program = try policy.compiled()
        #expect(try program.evaluate(number: 0) == .allow)
        #expect(try program.evaluate(number: 1) == .errno(38))
    }

    @Test("a runtime without a listener can have another denial")
    func otherDenials() throws {
        for action: SeccompAction in [.killProcess, .errno(1)] {
            let program = try CallPolicy.standard.compiled(denyingBy: action)
            #expect(try program.evaluate(number: 165) == action)
            #expect(!program.instructions.contains { $0.operand == 0x7fc0_0000 })
            #expect(program.bytes.count == program.instructions.count * 8)
        }
    }
}
