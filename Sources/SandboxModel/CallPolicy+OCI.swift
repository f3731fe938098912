extension CallPolicy {
    /// The policy as the `linux.seccomp` object of the OCI runtime specification.
    ///
    /// For runtimes without a listener, so denied calls fail with `EPERM` whatever ``denial`` is.
    /// The format cannot say "the first case that fits", so rules are translated, never weakened:
    /// - A call that is allowed but for some values of one argument becomes allowances for all
    ///   other values, as masks.
    /// - Where a call is refused unless a case fits, the refusal is the profile's default, `EPERM`.
    /// - A rule of any other shape keeps only its unconditional refusal.
    /// - Calls newer than ``newest`` are left to the runtime; some answer `ENOSYS`, others `EPERM`.
    public func ociProfile() -> String {
        var entries: [String] = []
        for rule in rules {
            entries += Self.entries(of: rule)
        }
        return """
            {
              "defaultAction": "SCMP_ACT_ERRNO",
              "defaultErrnoRet": 1,
              "architectures": ["SCMP_ARCH_X86_64"],
              "syscalls": [
                \(entries.joined(separator: ",\n    "))
              ]
            }

            """
    }

    private static func entries(of rule: Rule) -> [String] {
        if rule.cases.isEmpty {
            return entry(rule.names, rule.otherwise, []).map { [$0] } ?? []
        }
        if rule.otherwise != .allow {
            // First matches shadow later ones; allowances alone can be told in any order.
            guard rule.cases.allSatisfy({ $0.outcome == .allow }) else { return [] }
            return rule.cases.compactMap { entry(rule.names, .allow, $0.conditions) }
        }
        guard let others = complement(of: rule.cases) else { return [] }
        return others.compactMap { entry(rule.names, .allow, [$0]) }
    }

    /// Conditions one of which holds exactly when none of the cases does; nil unless each case is
    /// one masked comparison, all with the same mask of the same argument.
    static func complement(of cases: [Case]) -> [Condition]? {
        var argument: Int?
        var mask: UInt64?
        var values: [UInt64] = []
        for each in cases {
            guard each.conditions.count == 1, let condition = each.conditions.first,
                case .maskedEqual(let itsMask, let value) = condition.test,
                value & ~itsMask == 0,
                argument ?? condition.argument == condition.argument, mask ?? itsMask == itsMask
            else { return nil }
            argument = condition.argument
            mask = itsMask
            values.append(value)
        }
        guard let argument, let mask else { return nil }
        return prefixes(avoiding: values, mask: mask, known: 0).map {
            .bits(argument, $0.mask, equal: $0.value)
        }
    }

    /// The patterns that cover every value under `mask` but `values`, from the top bit down: where
    /// no value goes the pattern ends, elsewhere it is split at the next bit.
    private static func prefixes(
        avoiding values: [UInt64], mask: UInt64, known: UInt64, prefix: UInt64 = 0
    ) -> [(mask: UInt64, value: UInt64)] {
        if values.isEmpty { return [(known, prefix)] }
        let open = mask & ~known
        guard open != 0 else { return [] }
        let bit: UInt64 = 1 << UInt64(63 - open.leadingZeroBitCount)
        return prefixes(
            avoiding: values.filter { $0 & bit == 0 }, mask: mask, known: known | bit,
            prefix: prefix)
            + prefixes(
                avoiding: values.filter { $0 & bit != 0 }, mask: mask, known: known | bit,
                prefix: prefix | bit)
    }

    /// Nil where the profile's default says the same.
    private static func entry(
        _ names: [String], _ outcome: Outcome, _ conditions: [Condition]
    ) -> String? {
        let action: String
        switch outcome {
        case .allow: action = #""action": "SCMP_ACT_ALLOW""#
        case .deny, .notPermitted: return nil
        case .errno(let number):
            action = #""action": "SCMP_ACT_ERRNO", "errnoRet": \#(number)"#
        }
        // Call names are lower-case identifiers: nothing in them needs escaping.
        let list = names.map { "\"\($0)\"" }.joined(separator: ", ")
        let arguments = conditions.map(json).joined(separator: ", ")
        let suffix = conditions.isEmpty ? "" : #", "args": [\#(arguments)]"#
        return #"{"names": [\#(list)], \#(action)\#(suffix)}"#
    }

    private static func json(_ condition: Condition) -> String {
        let comparison =
            switch condition.test {
            case .equal(let value): #""value": \#(value), "op": "SCMP_CMP_EQ""#
            case .notEqual(let value): #""value": \#(value), "op": "SCMP_CMP_NE""#
            case .maskedEqual(let mask, let value):
                // The format's `value` is the mask.
                #""value": \#(mask), "valueTwo": \#(value), "op": "SCMP_CMP_MASKED_EQ""#
            }
        return #"{"index": \#(condition.argument), \#(comparison)}"#
    }
}
