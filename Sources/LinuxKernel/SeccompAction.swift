/// What the kernel does with a call that a seccomp filter has judged.
public enum SeccompAction: Hashable, Sendable {
    /// Corresponds to `SECCOMP_RET_ALLOW`.
    case allow
    /// Corresponds to `SECCOMP_RET_ERRNO`: the call fails with this number, 0 to 4095.
    case errno(UInt16)
    /// Corresponds to `SECCOMP_RET_USER_NOTIF`: whoever holds the filter's listener decides. With
    /// no listener the call fails with `ENOSYS`.
    case notify
    /// Corresponds to `SECCOMP_RET_KILL_PROCESS`: the process dies by `SIGSYS`.
    case killProcess
    /// A value that this type has no name for.
    case other(UInt32)

    /// The value a filter returns.
    public var rawValue: UInt32 {
        switch self {
        case .allow: 0x7fff_0000
        case .errno(let number): 0x0005_0000 | UInt32(number)
        case .notify: 0x7fc0_0000
        case .killProcess: 0x8000_0000
        case .other(let value): value
        }
    }

    public init(rawValue: UInt32) {
        switch rawValue & 0xffff_0000 {
        case 0x7fff_0000: self = .allow
        case 0x0005_0000: self = .errno(UInt16(truncatingIfNeeded: rawValue))
        case 0x7fc0_0000: self = .notify
        case 0x8000_0000: self = .killProcess
        default: self = .other(rawValue)
        }
    }
}

/// A condition on one of a call's six arguments, as 64 bits.
public struct SeccompCondition: Hashable, Sendable {
    public enum Test: Hashable, Sendable {
        case equal(UInt64)
        case notEqual(UInt64)
        case maskedEqual(mask: UInt64, value: UInt64)
    }

    public let argument: Int
    public let test: Test

    public init(argument: Int, _ test: Test) {
        self.argument = argument
        self.test = test
    }
}

/// What becomes of one call: the first case whose conditions all hold, else ``otherwise``.
public struct SeccompRule: Sendable {
    public struct Case: Sendable {
        public let conditions: [SeccompCondition]
        public let action: SeccompAction

        public init(when conditions: [SeccompCondition], _ action: SeccompAction) {
            self.conditions = conditions
            self.action = action
        }
    }

    public let number: UInt32
    public let cases: [Case]
    public let otherwise: SeccompAction

    public init(number: UInt32, cases: [Case] = [], otherwise: SeccompAction) {
        self.number = number
        self.cases = cases
        self.otherwise = otherwise
    }
}

/// Why no filter can be made from some rules.
public enum SeccompCompilerError: Error, Hashable, Sendable {
    /// A condition names an argument that calls do not have.
    case noSuchArgument(index: Int)
    /// Two rules are about the same call.
    case duplicateRule(number: UInt32)
    /// A rule is about a call beyond the newest known one.
    case ruleBeyondNewest(number: UInt32)
    /// The newest known call cannot be one: the kernel has far fewer.
    case newestOutOfRange(number: UInt32)
    /// The kernel takes at most ``SeccompProgram/maximumCount`` instructions.
    case tooLong(instructions: Int)
}

extension SeccompCompilerError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noSuchArgument(let index): "system calls have no argument \(index)"
        case .duplicateRule(let number): "two rules for system call \(number)"
        case .ruleBeyondNewest(let number): "system call \(number) is newer than the newest known"
        case .newestOutOfRange(let number): "\(number) is not a system call's number"
        case .tooLong(let instructions): "the filter has \(instructions) instructions"
        }
    }
}
