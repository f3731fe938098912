import Testing

@testable import LinuxKernel

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

extension SeccompCondition {
    fileprivate func holds(for arguments: [UInt64]) -> Bool {
        switch test {
        case .equal(let value): arguments[argument] == value
        case .notEqual(let value): arguments[argument] != value
        case .maskedEqual(let mask, let value): arguments[argument] & mask == value
        }
    }
}

extension SeccompCompiler {
    /// The rules read one by one, as a person would.
    fileprivate func expected(number: UInt32, arguments: [UInt64]) -> SeccompAction {
        if number == .max { return beyond }
        if number >= 0x4000_0000 { return .killProcess }
        if number > newest { return beyond }
        guard let rule = rules.first(where: { $0.number == number }) else { return unlisted }
        return rule.cases.first {
            $0.conditions.allSatisfy { $0.holds(for: arguments) }
        }?.action ?? rule.otherwise
    }
}

@Suite struct SeccompCompilerTests {
    static let actions: [SeccompAction] = [
        .allow, .errno(1), .errno(38), .errno(97), .notify, .killProcess,
    ]
    /// Few values, so that conditions and arguments meet; each half on its own.
    static let halves: [UInt64] = [0, 1, 2, 0x8000_0000, 0xffff_ffff, 0x5412, 0xb000, 0x2000]

    private func value(_ generator: inout SeededGenerator) -> UInt64 {
        let low = Self.halves.randomElement(using: &generator) ?? 0
        let high = Self.halves.randomElement(using: &generator) ?? 0
        return Bool.random(using: &generator) ? low : high << 32 | low
    }

    private func condition(_ generator: inout SeededGenerator) -> SeccompCondition {
        let first = value(&generator)
        let second = value(&generator)
        let test: SeccompCondition.Test =
            switch generator.next() % 4 {
            case 0: .equal(first)
            case 1: .notEqual(first)
            // Some can never hold: a value outside the mask.
            case 2: .maskedEqual(mask: first, value: second)
            default: .maskedEqual(mask: first, value: second & first)
            }
        return SeccompCondition(argument: Int(generator.next() % 6), test)
    }

    private func compiler(
        _ generator: inout SeededGenerator, newest: UInt32, conditional: UInt64
    ) -> SeccompCompiler {
        var rules: [SeccompRule] = []
        for number in 0...newest where generator.next() % 4 != 0 {
            var cases: [SeccompRule.Case] = []
            if generator.next() % 100 < conditional {
                for _ in 0..<(1 + generator.next() % 4) {
                    let conditions = (0..<(generator.next() % 4)).map { _ in
                        condition(&generator)
                    }
                    let action = Self.actions.randomElement(using: &generator) ?? .allow
                    cases.append(.init(when: conditions, action))
                }
            }
            let action = Self.actions.randomElement(using: &generator) ?? .allow
            rules.append(SeccompRule(number: number, cases: cases, otherwise: action))
        }
        return SeccompCompiler(
            rules: rules.shuffled(using: &generator), newest: newest, unlisted: .notify,
            beyond: .errno(38))
    }

    @Test(
        "a filter decides as its rules do, near and far",
        arguments: [
            (seed: 1, newest: 0, conditional: 100), (2, 1, 0), (3, 2, 50), (4, 40, 0),
            (5, 40, 60), (6, 450, 0), (7, 450, 5), (8, 300, 20), (9, 120, 60), (10, 4095, 0),
        ] as [(seed: UInt64, newest: UInt32, conditional: UInt64)])
    func decisions(seed: UInt64, newest: UInt32, conditional: UInt64) throws {
        var generator = SeededGenerator(state: seed)
        let compiler = compiler(&generator, newest: newest, conditional: conditional)
        let program: SeccompProgram
        do throws(SeccompCompilerError) {
            program = try compiler.compile()
        } catch {
            guard case .tooLong = error else { throw error }
            // Too many instructions is an answer too, but only for what is that large.
            #expect(newest == 4095)
            return
        }
        let numbers =
            Array(0...(newest + 3))
            + [0x3fff_ffff, 0x4000_0000, 0x4000_0001, 0x7fff_ffff, 0x8000_0000, .max - 1, .max]
        for number in numbers {
            for _ in 0..<12 {
                let arguments = (0..<6).map { _ in value(&generator) }
                let expected = compiler.expected(number: number, arguments: arguments)
                let found = try program.evaluate(number: number, arguments: arguments)
                #expect(found == expected, "seed \(seed), call \(number), \(arguments)")
            }
        }
    }

    @Test("jumps over more than 255 instructions are made in steps")
    func farJumps() throws {
        var generator = SeededGenerator(state: 8)
        let program = try compiler(&generator, newest: 300, conditional: 20).compile()
        #expect(program.instructions.count > 256)
        #expect(program.instructions.contains { $0.code == SeccompOperation.jump })
    }

    @Test("calls of another architecture kill the process, whatever their number")
    func otherArchitectures() throws {
        let program = try SeccompCompiler(
            rules: [], newest: 10, unlisted: .allow, beyond: .allow
        ).compile()
        for arch: UInt32 in [0x4000_0003, 0xc000_00b7, 0, .max] {
            for number: UInt32 in [0, 10, 11, 0x4000_0000, .max] {
                #expect(try program.evaluate(arch: arch, number: number) == .killProcess)
            }
        }
    }

    @Test("a lone number inside a run costs one comparison")
    func loneNumber() throws {
        let rules = (0...9).map {
            SeccompRule(number: $0, otherwise: $0 == 4 ? .errno(1) : .allow)
        }
        let program = try SeccompCompiler(
            rules: rules, newest: 9, unlisted: .notify, beyond: .errno(38)
        ).compile()
        // Load and check of the architecture, load of the number, three comparisons around the
        // known range, the lone number, and four returns.
        #expect(program.instructions.count == 11)
    }

    @Test("one load serves the cases that look at the same argument")
    func sharedLoad() throws {
        let cases = [1, 2, 10].map { value in
            SeccompRule.Case(
                when: [
                    .init(argument: 0, .maskedEqual(mask: 0xffff_ffff, value: value))
                ], .allow)
        }
        let program = try SeccompCompiler(
            rules: [SeccompRule(number: 0, cases: cases, otherwise: .errno(97))], newest: 0,
            unlisted: .notify, beyond: .errno(38)
        ).compile()
        #expect(
            program.instructions.filter {
                $0.code == SeccompOperation.loadWord && $0.operand == 16
            }.count == 1)
        #expect(try program.evaluate(number: 0, arguments: [10]) == .allow)
        #expect(try program.evaluate(number: 0, arguments: [11]) == .errno(97))
    }

    @Test("rules that make no filter are refused with the reason")
    func refusals() {
        func error(_ rules: [SeccompRule], newest: UInt32 = 9) -> SeccompCompilerError? {
            do throws(SeccompCompilerError) {
                _ = try SeccompCompiler(
                    rules: rules, newest: newest, unlisted: .notify, beyond: .notify
                ).compile()
                return nil
            } catch {
                return error
            }
        }
        let rule = SeccompRule(number: 3, otherwise: .allow)
        #expect(error([rule, rule]) == .duplicateRule(number: 3))
        #expect(error([rule], newest: 2) == .ruleBeyondNewest(number: 3))
        #expect(error([], newest: 4096) == .newestOutOfRange(number: 4096))
        for index in [-1, 6] {
            let condition = SeccompCondition(argument: index, .equal(0))
            let bad = SeccompRule(
                number: 0, cases: [.init(when: [condition], .allow)], otherwise: .notify)
            #expect(error([bad]) == .noSuchArgument(index: index))
        }
        let many = (0..<2000).map {
            SeccompRule(
                number: $0,
                cases: [
                    .init(when: [.init(argument: 0, .equal(UInt64($0) << 32 | 7))], .allow)
                ], otherwise: .errno(1))
        }
        guard case .tooLong(let count) = error(many, newest: 1999) else {
            Issue.record("2000 conditional rules were taken")
            return
        }
        #expect(count > SeccompProgram.maximumCount)
    }
}

@Suite struct SeccompProgramTests {
    @Test("the bytes are the kernel's struct sock_filter, and come back")
    func bytes() throws {
        let program = SeccompProgram(instructions: [
            SeccompInstruction(code: 0x20, operand: 4),
            SeccompInstruction(code: 0x115, jumpTrue: 2, jumpFalse: 255, operand: 0xc000_003e),
        ])
        #expect(
            program.bytes == [
                0x20, 0, 0, 0, 4, 0, 0, 0, 0x15, 1, 2, 255, 0x3e, 0, 0, 0xc0,
            ])
        #expect(SeccompProgram(bytes: program.bytes) == program)
        #expect(program.words == [0x4_0000_0020, 0xc000_003e_ff02_0115])
        #expect(SeccompProgram(words: program.words) == program)
        #expect(SeccompProgram(bytes: [1, 2, 3]) == nil)
    }

    @Test("actions keep their value")
    func actions() {
        for value: UInt32 in [
            0x7fff_0000, 0x0005_0000, 0x0005_0026, 0x7fc0_0000, 0x8000_0000, 0, 0x0003_0000,
        ] {
            #expect(SeccompAction(rawValue: value).rawValue == value)
        }
        #expect(SeccompAction(rawValue: 0x0005_0026) == .errno(38))
    }

    @Test("a program that the kernel would refuse gives an error, not a decision")
    func malformed() {
        func evaluate(_ instructions: [SeccompInstruction]) -> SeccompEvaluationError? {
            do throws(SeccompEvaluationError) {
                _ = try SeccompProgram(instructions: instructions).evaluate(number: 0)
                return nil
            } catch {
                return error
            }
        }
        #expect(evaluate([]) == .ranPastEnd(instruction: 0))
        #expect(
            evaluate([SeccompInstruction(code: 0x05, operand: .max)])
                == .ranPastEnd(instruction: 1 << 32))
        #expect(
            evaluate([SeccompInstruction(code: 0x99, operand: 0)])
                == .unknownInstruction(instruction: 0))
        for offset: UInt32 in [2, 64, .max - 3] {
            #expect(
                evaluate([SeccompInstruction(code: 0x20, operand: offset)])
                    == .loadOutOfBounds(instruction: 0))
        }
        #expect(evaluate([SeccompInstruction(code: 0x06, operand: 0)]) == nil)
    }

    @Test("names and numbers of calls are libseccomp's")
    func names() {
        #expect(SystemCallTable.number(of: "read") == 0)
        #expect(SystemCallTable.number(of: "clone3") == 435)
        #expect(SystemCallTable.name(of: 435) == "clone3")
        // A call of i386 only, which libseccomp gives a negative number, and none at all.
        #expect(SystemCallTable.number(of: "socketcall") == nil)
        #expect(SystemCallTable.number(of: "no_such_call") == nil)
        #expect(SystemCallTable.name(of: 400) == nil)
        #expect(SystemCallTable.name(of: .max) == nil)
    }
}
