/// Lays instructions from the last to the first.
///
/// Classic BPF jumps forward only, so when an instruction is laid, all it can jump to is there.
struct SeccompAssembler {
    /// A place in the program, counted from its end.
    struct Label: Equatable {
        fileprivate let fromEnd: Int
        /// Where to enter instead with the accumulator holding this word already.
        fileprivate var loaded: Loaded?

        fileprivate struct Loaded: Equatable {
            let word: UInt32
            let fromEnd: Int
        }

        fileprivate init(fromEnd: Int, loaded: Loaded? = nil) {
            self.fromEnd = fromEnd
            self.loaded = loaded
        }

        /// The place to jump to with this word in the accumulator.
        fileprivate func entered(holding word: UInt32) -> Label {
            guard let loaded, loaded.word == word else { return self }
            return Label(fromEnd: loaded.fromEnd)
        }
    }

    private var reversed: [SeccompInstruction] = []
    /// The nearest `return` of each value.
    private var results: [(value: UInt32, label: Label)] = []

    /// A comparison lays up to two helpers before itself, so a target this far can still move
    /// out of the reach of its 8 bits.
    private static let reach = 255 - 2

    private mutating func append(_ instruction: SeccompInstruction) -> Label {
        reversed.append(instruction)
        return Label(fromEnd: reversed.count - 1)
    }

    /// How many instructions the next one would skip to get there.
    private func distance(to label: Label) -> Int { reversed.count - 1 - label.fromEnd }

    /// The program without the loads that every way passes by.
    func finish() -> SeccompProgram {
        let all = Array(reversed.reversed())
        var reached = [Bool](repeating: false, count: all.count)
        // How many instructions before each one stay.
        var kept = [Int](repeating: 0, count: all.count)
        var count = 0
        if !all.isEmpty { reached[0] = true }
        // Jumps lead forward only: one pass sees every way to an instruction before it.
        for (position, each) in all.enumerated() {
            kept[position] = count
            guard reached[position] else { continue }
            count += 1
            for target in each.targets(from: position) { reached[target] = true }
        }
        func moved(_ distance: Int, from position: Int) -> Int {
            kept[position + 1 + distance] - kept[position] - 1
        }
        var result: [SeccompInstruction] = []
        result.reserveCapacity(count)
        for (position, each) in all.enumerated() where reached[position] {
            result.append(each.moved { moved($0, from: position) })
        }
        return SeccompProgram(instructions: result)
    }

    /// Returns this value, from a shared instruction if one is within reach.
    mutating func result(_ value: UInt32) -> Label {
        let known = results.firstIndex { $0.value == value }
        if let known, distance(to: results[known].label) <= Self.reach {
            return results[known].label
        }
        let label = append(
            SeccompInstruction(code: SeccompOperation.giveBack, operand: value))
        if let known {
            results[known].label = label
        } else {
            results.append((value, label))
        }
        return label
    }

    /// A place within reach that leads to the label.
    private mutating func near(_ label: Label) -> Label {
        let distance = distance(to: label)
        guard distance > Self.reach else { return label }
        let target = reversed[label.fromEnd]
        if target.code == SeccompOperation.giveBack { return result(target.operand) }
        return append(
            SeccompInstruction(code: SeccompOperation.jump, operand: UInt32(distance)))
    }

    mutating func compare(
        _ code: UInt16, _ operand: UInt32, then: Label, else otherwise: Label
    ) -> Label {
        let then = near(then)
        let otherwise = near(otherwise)
        return append(
            SeccompInstruction(
                code: code, jumpTrue: UInt8(distance(to: then)),
                jumpFalse: UInt8(distance(to: otherwise)), operand: operand))
    }

    /// Loads a word of the call's data and goes on with the label, which must be the instruction
    /// laid last.
    mutating func load(_ word: UInt32, before next: Label) -> Label {
        precondition(next.fromEnd == reversed.count - 1, "a load falls through")
        var label = append(
            SeccompInstruction(code: SeccompOperation.loadWord, operand: word))
        label.loaded = Label.Loaded(word: word, fromEnd: next.fromEnd)
        return label
    }

    // MARK: Conditions on arguments

    /// The first case that fits, else the rule's last word.
    mutating func decide(_ rule: SeccompRule) throws(SeccompCompilerError) -> Label {
        var next = result(rule.otherwise.rawValue)
        for each in rule.cases.reversed() {
            let fits = result(each.action.rawValue)
            var entry = fits
            for condition in each.conditions.reversed() {
                entry = try test(condition, then: entry, else: next)
            }
            next = entry
        }
        return next
    }

    private mutating func test(
        _ condition: SeccompCondition, then: Label, else otherwise: Label
    ) throws(SeccompCompilerError) -> Label {
        guard (0..<SeccompData.argumentCount).contains(condition.argument) else {
            throw .noSuchArgument(index: condition.argument)
        }
        let low = SeccompData.argumentLow(condition.argument)
        let high = SeccompData.argumentHigh(condition.argument)
        let mask: UInt64
        let value: UInt64
        var (then, otherwise) = (then, otherwise)
        switch condition.test {
        case .equal(let expected): (mask, value) = (.max, expected)
        case .notEqual(let expected):
            (mask, value) = (.max, expected)
            swap(&then, &otherwise)
        case .maskedEqual(let itsMask, let expected): (mask, value) = (itsMask, expected)
        }
        if value & ~mask != 0 { return otherwise }
        let lowMatches = match(
            low, mask: UInt32(truncatingIfNeeded: mask),
            value: UInt32(truncatingIfNeeded: value), then: then, else: otherwise)
        return match(
            high, mask: UInt32(truncatingIfNeeded: mask >> 32),
            value: UInt32(truncatingIfNeeded: value >> 32), then: lowMatches, else: otherwise)
    }

    /// Compares one half of an argument: nothing to do where the mask is empty.
    private mutating func match(
        _ word: UInt32, mask: UInt32, value: UInt32, then: Label, else otherwise: Label
    ) -> Label {
        if mask == 0 { return then }
        if mask == .max {
            let comparison = compare(
                SeccompOperation.jumpEqual, value,
                then: then.entered(holding: word), else: otherwise.entered(holding: word))
            return load(word, before: comparison)
        }
        if value == 0 {
            let comparison = compare(
                SeccompOperation.jumpSet, mask,
                then: otherwise.entered(holding: word), else: then.entered(holding: word))
            return load(word, before: comparison)
        }
        // After the mask the accumulator no longer holds the word.
        _ = compare(SeccompOperation.jumpEqual, value, then: then, else: otherwise)
        let masked = append(SeccompInstruction(code: SeccompOperation.and, operand: mask))
        return load(word, before: masked)
    }
}

extension SeccompInstruction {
    /// Where control goes next, at most two places; none after a return.
    fileprivate func targets(from position: Int) -> [Int] {
        switch code {
        case SeccompOperation.giveBack: []
        case SeccompOperation.loadWord, SeccompOperation.and: [position + 1]
        case SeccompOperation.jump: [position + 1 + Int(operand)]
        default: [position + 1 + Int(jumpTrue), position + 1 + Int(jumpFalse)]
        }
    }

    /// The instruction with other distances, none of them greater.
    fileprivate func moved(_ distance: (Int) -> Int) -> SeccompInstruction {
        switch code {
        case SeccompOperation.giveBack, SeccompOperation.loadWord, SeccompOperation.and: self
        case SeccompOperation.jump:
            SeccompInstruction(code: code, operand: UInt32(distance(Int(operand))))
        default:
            SeccompInstruction(
                code: code, jumpTrue: UInt8(distance(Int(jumpTrue))),
                jumpFalse: UInt8(distance(Int(jumpFalse))), operand: operand)
        }
    }
}
