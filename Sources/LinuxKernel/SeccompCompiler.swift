/// Makes a filter from rules.
///
/// The kernel checks, translates and compiles a filter at each start, and runs it once for every
/// number to find the calls that are always allowed: what it costs follows its size and depth. So
/// runs of numbers with one outcome become one range, found by binary search, and a lone number
/// in a run costs one comparison:
/// ```
/// other architecture          -> kill the process
/// beyond the newest call      -> its answer; x32 calls -> kill the process
/// binary search over segments -> an outcome, or comparisons of arguments and then an outcome
/// ```
public struct SeccompCompiler: Sendable {
    public let rules: [SeccompRule]
    /// The highest number that is a known call.
    public let newest: UInt32
    /// For numbers up to ``newest`` without a rule.
    public let unlisted: SeccompAction
    /// For numbers beyond ``newest``, and for -1, by which tracers cancel a call.
    public let beyond: SeccompAction

    public init(
        rules: [SeccompRule], newest: UInt32, unlisted: SeccompAction, beyond: SeccompAction
    ) {
        self.rules = rules
        self.newest = newest
        self.unlisted = unlisted
        self.beyond = beyond
    }

    /// Far above any call, far below x32's bit: bounds the table of numbers.
    static let numberLimit: UInt32 = 4096
    static let x32Bit: UInt32 = 0x4000_0000

    public func compile() throws(SeccompCompilerError) -> SeccompProgram {
        guard newest < Self.numberLimit else { throw .newestOutOfRange(number: newest) }
        let segments = Self.segments(of: try outcomes())
        var assembler = SeccompAssembler()
        let search = try emit(segments[...], into: &assembler)
        emitHeader(search: search, into: &assembler)
        let program = assembler.finish()
        guard program.instructions.count <= SeccompProgram.maximumCount else {
            throw .tooLong(instructions: program.instructions.count)
        }
        return program
    }

    // MARK: From rules to segments

    /// What a number leads to: a plain action, or the arguments of a rule.
    enum Target: Equatable {
        case action(UInt32)
        case rule(index: Int)
    }

    /// A run of numbers, all with one target but for a few.
    struct Segment {
        /// Where it begins; it ends where the next one begins.
        let first: UInt32
        var target: Target
        var exceptions: [(number: UInt32, target: Target)] = []
    }

    /// More would make the way to the target longer than another step of the search.
    static let exceptionLimit = 2

    private func outcomes() throws(SeccompCompilerError) -> [Target] {
        var listed = [Bool](repeating: false, count: Int(newest) + 1)
        var result = [Target](repeating: .action(unlisted.rawValue), count: Int(newest) + 1)
        for (index, rule) in rules.enumerated() {
            guard rule.number <= newest else { throw .ruleBeyondNewest(number: rule.number) }
            let number = Int(rule.number)
            guard !listed[number] else { throw .duplicateRule(number: rule.number) }
            listed[number] = true
            result[number] =
                rule.cases.isEmpty ? .action(rule.otherwise.rawValue) : .rule(index: index)
        }
        return result
    }

    /// Joins equal neighbours, then lets a run continue over lone numbers in it.
    private static func segments(of outcomes: [Target]) -> [Segment] {
        var runs: [(first: Int, target: Target)] = []
        for (number, target) in outcomes.enumerated() where runs.last?.target != target {
            runs.append((number, target))
        }
        var segments: [Segment] = []
        var at = 0
        while at < runs.count {
            var segment = Segment(first: UInt32(runs[at].first), target: runs[at].target)
            while at + 2 < runs.count, segment.exceptions.count < exceptionLimit,
                runs[at + 2].target == segment.target,
                runs[at + 2].first == runs[at + 1].first + 1
            {
                segment.exceptions.append((UInt32(runs[at + 1].first), runs[at + 1].target))
                at += 2
            }
            segments.append(segment)
            at += 1
        }
        return segments
    }

    // MARK: From segments to instructions

    /// The program is made from its end to its beginning, so every jump's target is known.
    private func emit(
        _ segments: ArraySlice<Segment>, into assembler: inout SeccompAssembler
    ) throws(SeccompCompilerError) -> SeccompAssembler.Label {
        guard segments.count > 1 else {
            return try emit(segments[segments.startIndex], into: &assembler)
        }
        let middle = segments.startIndex + segments.count / 2
        let upper = try emit(segments[middle...], into: &assembler)
        let lower = try emit(segments[..<middle], into: &assembler)
        return assembler.compare(
            SeccompOperation.jumpGreaterOrEqual, segments[middle].first, then: upper, else: lower)
    }

    private func emit(
        _ segment: Segment, into assembler: inout SeccompAssembler
    ) throws(SeccompCompilerError) -> SeccompAssembler.Label {
        var next = try emit(segment.target, into: &assembler)
        for exception in segment.exceptions {
            let target = try emit(exception.target, into: &assembler)
            next = assembler.compare(
                SeccompOperation.jumpEqual, exception.number, then: target, else: next)
        }
        return next
    }

    private func emit(
        _ target: Target, into assembler: inout SeccompAssembler
    ) throws(SeccompCompilerError) -> SeccompAssembler.Label {
        switch target {
        case .action(let value): assembler.result(value)
        case .rule(let index): try assembler.decide(rules[index])
        }
    }

    private func emitHeader(
        search: SeccompAssembler.Label, into assembler: inout SeccompAssembler
    ) {
        let kill = assembler.result(SeccompAction.killProcess.rawValue)
        let beyond = assembler.result(beyond.rawValue)
        let minusOne = assembler.compare(
            SeccompOperation.jumpEqual, .max, then: beyond, else: kill)
        let x32 = assembler.compare(
            SeccompOperation.jumpGreaterOrEqual, Self.x32Bit, then: minusOne, else: beyond)
        let known = assembler.compare(
            SeccompOperation.jumpGreater, newest, then: x32, else: search)
        let number = assembler.load(SeccompData.number, before: known)
        let wrong = assembler.result(SeccompAction.killProcess.rawValue)
        let native = assembler.compare(
            SeccompOperation.jumpEqual, SeccompProgram.architecture, then: number, else: wrong)
        _ = assembler.load(SeccompData.architecture, before: native)
    }
}
