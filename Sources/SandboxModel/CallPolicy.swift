/// Which system calls a sandbox may make: an allow-list, written by name.
///
/// It is made for a sandbox that holds no capability at all, so calls that only a privileged
/// process could complete are not in it. ``standard`` is the policy every sandbox gets; its table
/// is in `CallPolicy+Standard.swift`, with the reason for each group.
///
/// A call that is listed nowhere is denied. A call newer than ``newest`` fails with `ENOSYS`, as
/// on a kernel that does not have it, so that a new C library finds its older way.
public struct CallPolicy: Sendable, Equatable {
    /// What a denied call does to its caller.
    public enum Denial: Sendable, Hashable, CaseIterable {
        /// The process is killed and the call is reported: `alcove-init` holds the filter's
        /// listener. Should there be no listener, the call fails with `ENOSYS`.
        case kill
        /// The call fails with `EPERM`.
        case errno
    }

    /// What becomes of one call.
    public enum Outcome: Sendable, Hashable {
        case allow
        /// The call fails with this error number, whatever the policy's denial is: for calls that
        /// innocent programs try, and go on without.
        case errno(Int32)
        /// As the policy's ``CallPolicy/denial`` says.
        case deny
    }

    /// A condition on one argument, seen as the 64 bits of its register.
    ///
    /// The kernel cuts an `int` argument to its low half, and a caller may leave anything in the
    /// high half. So a condition on an `int` must look at the low half only: ``word(_:equals:)``.
    public struct Condition: Sendable, Hashable {
        public enum Test: Sendable, Hashable {
            case equal(UInt64)
            case notEqual(UInt64)
            case maskedEqual(mask: UInt64, value: UInt64)
        }

        /// Which argument: 0 to 5.
        public let argument: Int
        public let test: Test

        public init(argument: Int, _ test: Test) {
            self.argument = argument
            self.test = test
        }

        /// The low 32 bits are this value: for arguments that the kernel takes as an `int`.
        public static func word(_ argument: Int, equals value: UInt32) -> Condition {
            Condition(
                argument: argument, .maskedEqual(mask: 0xffff_ffff, value: UInt64(value)))
        }

        /// The bits of the mask have this value.
        public static func bits(_ argument: Int, _ mask: UInt64, equal value: UInt64) -> Condition {
            Condition(argument: argument, .maskedEqual(mask: mask, value: value))
        }

        func holds(for arguments: [UInt64]) -> Bool {
            let value = arguments.indices.contains(argument) ? arguments[argument] : 0
            return switch test {
            case .equal(let expected): value == expected
            case .notEqual(let expected): value != expected
            case .maskedEqual(let mask, let expected): value & mask == expected
            }
        }
    }

    /// An outcome for calls whose arguments meet every one of some conditions.
    public struct Case: Sendable, Hashable {
        public let conditions: [Condition]
        public let outcome: Outcome

        public init(when conditions: [Condition], _ outcome: Outcome) {
            self.conditions = conditions
            self.outcome = outcome
        }
    }

    /// What becomes of some calls: the first case that fits, else ``otherwise``.
    public struct Rule: Sendable, Hashable {
        public let names: [String]
        public let cases: [Case]
        public let otherwise: Outcome
        /// Why, for the people who read the policy.
        public let reason: String

        /// `names` are separated by spaces or line breaks.
        public init(
            _ outcome: Outcome, _ names: String, cases: [Case] = [], because reason: String
        ) {
            self.names = names.utf8.split { $0 <= UInt8(ascii: " ") }.map { String(Substring($0)) }
            self.cases = cases
            self.otherwise = outcome
            self.reason = reason
        }

        func outcome(arguments: [UInt64]) -> Outcome {
            cases.first { $0.conditions.allSatisfy { $0.holds(for: arguments) } }?.outcome
                ?? otherwise
        }
    }

    public let rules: [Rule]
    /// The newest call that the policy knows. Calls with higher numbers fail with `ENOSYS`.
    public let newest: String
    public let denial: Denial

    public init(rules: [Rule], newest: String, denial: Denial) {
        self.rules = rules
        self.newest = newest
        self.denial = denial
    }

    /// The same policy with another answer to denied calls.
    public func with(denial: Denial) -> CallPolicy {
        CallPolicy(rules: rules, newest: newest, denial: denial)
    }

    /// The rule for a call, or nil if none names it.
    public func rule(for name: String) -> Rule? {
        rules.first { $0.names.contains(name) }
    }

    /// What becomes of a call that the kernel knows by this name. A missing argument counts as 0.
    public func outcome(of name: String, arguments: [UInt64] = []) -> Outcome {
        rule(for: name)?.outcome(arguments: arguments) ?? .deny
    }
}
