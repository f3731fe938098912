public import LinuxKernel

extension MonitorCalls {
    /// Stands in a compiled filter for the number of the monitor's process: above all there are.
    static let ownProcess: UInt64 = 0x7fff_fffe

    /// The filter of a kind of thread, with ``ownProcess`` where the number of the process is to
    /// be. The monitor has it ahead: ``filter(of:)``.
    public static func compile(
        for thread: MonitorThread
    ) throws(SeccompCompilerError) -> SeccompProgram {
        var rules: [UInt32: SeccompRule] = [:]
        for call in table where call.threads.contains(thread) {
            guard let number = SystemCallTable.number(of: call.name) else {
                preconditionFailure("\(call.name) is a call of x86-64")
            }
            if call.conditions.isEmpty {
                rules[number] = SeccompRule(number: number, otherwise: .allow)
                continue
            }
            let one = SeccompRule.Case(when: call.conditions.map(\.numeric), .allow)
            rules[number] = SeccompRule(
                number: number, cases: (rules[number]?.cases ?? []) + [one],
                otherwise: .killProcess)
        }
        let sorted = rules.values.sorted { $0.number < $1.number }
        return try SeccompCompiler(
            rules: sorted, newest: sorted.last?.number ?? 0, unlisted: .killProcess,
            beyond: .killProcess
        ).compile()
    }

    /// The filter of a kind of thread of this process.
    static func filter(of thread: MonitorThread) -> SeccompProgram {
        let own = UInt32(bitPattern: ThisProcess.identifier)
        return SeccompProgram(
            words: ahead(thread).map { word in
                let operand = word >> 32
                return operand == ownProcess ? word & 0xffff_ffff | UInt64(own) << 32 : word
            })
    }
}

extension MonitorCondition {
    var numeric: SeccompCondition {
        switch self {
        case .equals(let argument, let value, _):
            SeccompCondition(argument: argument, .equal(value))
        case .has(let argument, let bits, _):
            SeccompCondition(argument: argument, .maskedEqual(mask: bits, value: bits))
        case .lacks(let argument, let bits, _):
            SeccompCondition(argument: argument, .maskedEqual(mask: bits, value: 0))
        case .ownProcess(let argument):
            SeccompCondition(argument: argument, .equal(MonitorCalls.ownProcess))
        }
    }
}

extension MonitorCondition: CustomStringConvertible {
    /// As it stands in the table of the documentation.
    public var description: String {
        switch self {
        case .equals(_, _, let name): "`\(name)`"
        case .has(_, _, let name): "with `\(name)`"
        case .lacks(_, _, let name): "without `\(name)`"
        case .ownProcess: "of its own process"
        }
    }
}
