/// One instruction of classic BPF. Corresponds to `struct sock_filter`.
public struct SeccompInstruction: Hashable, Sendable {
    public let code: UInt16
    /// How many instructions to skip where the comparison holds.
    public let jumpTrue: UInt8
    /// How many instructions to skip where it does not.
    public let jumpFalse: UInt8
    public let operand: UInt32

    public init(code: UInt16, jumpTrue: UInt8 = 0, jumpFalse: UInt8 = 0, operand: UInt32) {
        self.code = code
        self.jumpTrue = jumpTrue
        self.jumpFalse = jumpFalse
        self.operand = operand
    }
}

/// Codes of the instructions in use. Correspond to `BPF_LD | BPF_W | BPF_ABS` and so on.
enum SeccompOperation {
    static let loadWord: UInt16 = 0x20
    static let and: UInt16 = 0x54
    static let jump: UInt16 = 0x05
    static let jumpEqual: UInt16 = 0x15
    static let jumpGreater: UInt16 = 0x25
    static let jumpGreaterOrEqual: UInt16 = 0x35
    static let jumpSet: UInt16 = 0x45
    static let giveBack: UInt16 = 0x06
}

/// Where the parts of `struct seccomp_data` lie.
enum SeccompData {
    static let number: UInt32 = 0
    static let architecture: UInt32 = 4
    static let argumentCount = 6

    static func argumentLow(_ index: Int) -> UInt32 { 16 + 8 * UInt32(index) }
    static func argumentHigh(_ index: Int) -> UInt32 { argumentLow(index) + 4 }
}

/// A seccomp filter, ready for the kernel.
public struct SeccompProgram: Hashable, Sendable {
    /// Corresponds to `BPF_MAXINSNS`.
    public static let maximumCount = 4096
    /// Corresponds to `AUDIT_ARCH_X86_64`.
    public static let architecture: UInt32 = 0xc000_003e

    public let instructions: [SeccompInstruction]

    public init(instructions: [SeccompInstruction]) {
        self.instructions = instructions
    }

    /// The program as an array of `struct sock_filter`, little-endian: what `bwrap --seccomp`
    /// reads, and what `PR_SET_SECCOMP` points at.
    public var bytes: [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(instructions.count * 8)
        for each in instructions {
            result.append(UInt8(truncatingIfNeeded: each.code))
            result.append(UInt8(truncatingIfNeeded: each.code >> 8))
            result.append(each.jumpTrue)
            result.append(each.jumpFalse)
            for shift in stride(from: UInt32(0), to: 32, by: 8) {
                result.append(UInt8(truncatingIfNeeded: each.operand >> shift))
            }
        }
        return result
    }

    /// Each instruction as the number that its eight bytes are on this architecture.
    public var words: [UInt64] { instructions.map(\.word) }

    /// The program that ``words`` gave.
    public init(words: [UInt64]) {
        instructions = words.map(SeccompInstruction.init(word:))
    }

    /// The program that ``bytes`` gave; nil for a length that is no whole number of instructions.
    public init?(bytes: [UInt8]) {
        guard bytes.count.isMultiple(of: 8) else { return nil }
        instructions = stride(from: 0, to: bytes.count, by: 8).map { at in
            var operand: UInt32 = 0
            for offset in (4..<8).reversed() {
                operand = operand << 8 | UInt32(bytes[at + offset])
            }
            return SeccompInstruction(
                code: UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8, jumpTrue: bytes[at + 2],
                jumpFalse: bytes[at + 3], operand: operand)
        }
    }
}

/// Why a program gave no answer: the kernel would not have taken it.
public enum SeccompEvaluationError: Error, Hashable, Sendable {
    case ranPastEnd(instruction: Int)
    case unknownInstruction(instruction: Int)
    case loadOutOfBounds(instruction: Int)
}

extension SeccompProgram {
    /// What the program says to a call, without the kernel. Missing arguments count as 0.
    public func evaluate(
        arch: UInt32 = SeccompProgram.architecture, number: UInt32, arguments: [UInt64] = []
    ) throws(SeccompEvaluationError) -> SeccompAction {
        var accumulator: UInt32 = 0
        var position = 0
        // Jumps lead forward only, so this ends.
        while position < instructions.count {
            let each = instructions[position]
            let skipped: UInt32
            switch each.code {
            case SeccompOperation.giveBack:
                return SeccompAction(rawValue: each.operand)
            case SeccompOperation.loadWord:
                guard
                    let word = Self.word(
                        at: each.operand, arch: arch, number: number, arguments: arguments)
                else { throw .loadOutOfBounds(instruction: position) }
                accumulator = word
                skipped = 0
            case SeccompOperation.and:
                accumulator &= each.operand
                skipped = 0
            case SeccompOperation.jump:
                skipped = each.operand
            default:
                guard let holds = each.comparison(holdsFor: accumulator) else {
                    throw .unknownInstruction(instruction: position)
                }
                skipped = UInt32(holds ? each.jumpTrue : each.jumpFalse)
            }
            position += 1 + Int(skipped)
        }
        throw .ranPastEnd(instruction: position)
    }

    private static func word(
        at offset: UInt32, arch: UInt32, number: UInt32, arguments: [UInt64]
    ) -> UInt32? {
        guard offset.isMultiple(of: 4) else { return nil }
        switch offset {
        case SeccompData.number: return number
        case SeccompData.architecture: return arch
        // The address of the call, which no policy looks at.
        case 8, 12: return 0
        default:
            let index = Int(offset / 8) - 2
            guard (0..<SeccompData.argumentCount).contains(index) else { return nil }
            let argument = index < arguments.count ? arguments[index] : 0
            return UInt32(truncatingIfNeeded: offset.isMultiple(of: 8) ? argument : argument >> 32)
        }
    }
}

extension SeccompInstruction {
    init(word: UInt64) {
        self.init(
            code: UInt16(truncatingIfNeeded: word),
            jumpTrue: UInt8(truncatingIfNeeded: word >> 16),
            jumpFalse: UInt8(truncatingIfNeeded: word >> 24),
            operand: UInt32(truncatingIfNeeded: word >> 32))
    }

    var word: UInt64 {
        UInt64(operand) << 32 | UInt64(jumpFalse) << 24 | UInt64(jumpTrue) << 16 | UInt64(code)
    }

    /// Nil if it is no comparison.
    func comparison(holdsFor accumulator: UInt32) -> Bool? {
        switch code {
        case SeccompOperation.jumpEqual: accumulator == operand
        case SeccompOperation.jumpGreater: accumulator > operand
        case SeccompOperation.jumpGreaterOrEqual: accumulator >= operand
        case SeccompOperation.jumpSet: accumulator & operand != 0
        default: nil
        }
    }
}
