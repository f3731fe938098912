public import LinuxKernel
public import SandboxModel

extension CallPolicy {
    /// The policy as a filter for x86-64.
    ///
    /// Names that libseccomp does not know are left out: such a call is newer than it, or is not
    /// of x86-64, and so fails with `ENOSYS` or is denied.
    public func compiled() throws(SeccompCompilerError) -> SeccompProgram {
        try compiled(denyingBy: denial == .kill ? .notify : .errno(Self.notPermittedNumber))
    }

    /// The policy with another way to deny: for runtimes without a listener, where `.notify` would
    /// be ``SeccompAction/killProcess`` or ``SeccompAction/errno(_:)``.
    public func compiled(
        denyingBy denial: SeccompAction
    ) throws(SeccompCompilerError) -> SeccompProgram {
        var numeric: [SeccompRule] = []
        numeric.reserveCapacity(400)
        for rule in rules {
            let cases = rule.cases.map { $0.numeric(denyingBy: denial) }
            let otherwise = rule.otherwise.action(denyingBy: denial)
            for name in rule.names {
                guard let number = SystemCallTable.number(of: name) else { continue }
                numeric.append(SeccompRule(number: number, cases: cases, otherwise: otherwise))
            }
        }
        let compiler = SeccompCompiler(
            rules: numeric,
            newest: SystemCallTable.number(of: newest) ?? numeric.map(\.number).max() ?? 0,
            unlisted: denial, beyond: .errno(Self.notImplementedNumber))
        return try compiler.compile()
    }

    /// `EPERM`.
    private static var notPermittedNumber: UInt16 { 1 }
    /// `ENOSYS`.
    private static var notImplementedNumber: UInt16 { 38 }
}

extension CallPolicy.Outcome {
    func action(denyingBy denial: SeccompAction) -> SeccompAction {
        switch self {
        case .allow: .allow
        // The kernel cuts greater numbers to the greatest there is.
        case .errno(let number): .errno(UInt16(clamping: number))
        case .deny: denial
        }
    }
}

extension CallPolicy.Case {
    func numeric(denyingBy denial: SeccompAction) -> SeccompRule.Case {
        SeccompRule.Case(when: conditions.map(\.numeric), outcome.action(denyingBy: denial))
    }
}

extension CallPolicy.Condition {
    var numeric: SeccompCondition {
        switch test {
        case .equal(let value): SeccompCondition(argument: argument, .equal(value))
        case .notEqual(let value): SeccompCondition(argument: argument, .notEqual(value))
        case .maskedEqual(let mask, let value):
            SeccompCondition(argument: argument, .maskedEqual(mask: mask, value: value))
        }
    }
}
