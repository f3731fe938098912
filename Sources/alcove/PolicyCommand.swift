internal import Console
internal import Jail
internal import LinuxKernel
internal import SandboxModel

/// `alcove policy`
enum PolicyCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "policy", summary: "print the policy of system calls",
            flags: [
                Flag(
                    "format", value: "FORMAT", default: "text",
                    help: "text, oci (the profile for runc and crun), or bpf (raw instructions)"),
                Flag(
                    "denied-calls", value: "ANSWER", default: "kill",
                    help: "what a denied call does: kill or errno"),
                Flag("explain", value: "CALL", help: "say what becomes of one call, and why"),
            ],
            examples: [
                Example("alcove policy --explain mount", "what becomes of a call"),
                Example(
                    "alcove policy --format bpf --denied-calls errno > filter",
                    "the filter, for another program"),
            ]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let isErrno = try parsed.choice("denied-calls", of: ["kill", "errno"]) == "errno"
        let policy = CallPolicy.standard.with(denial: isErrno ? .errno : .kill)
        if let name = parsed.string("explain") {
            guard let number = SystemCallTable.number(of: name) else {
                let near = NearestName.find(name, among: policy.rules.flatMap(\.names))
                throw parsed.refuse(
                    "explain", "`\(name)` is no system call of this machine",
                    hint: near.map { "did you mean `\($0)`?" })
            }
            StandardStream.output.write(explanation(of: name, number: number, policy))
            return 0
        }
        switch try parsed.choice("format", of: ["text", "oci", "bpf"]) {
        case "oci": StandardStream.output.write(policy.ociProfile() + "\n")
        case "bpf": StandardStream.output.write(try policy.compiled().bytes)
        default: StandardStream.output.write(blocks(of: policy))
        }
        return 0
    }

    private static func explanation(
        of name: String, number: UInt32, _ policy: CallPolicy
    ) -> String {
        guard let rule = policy.rule(for: name) else {
            return "\(name) (\(number)): \(text(.deny, policy)), since no rule lists it\n"
        }
        let outcomes = outcomes(of: rule, policy)
        let because = paragraph("because: \(rule.reason)", indent: 2)
        if outcomes.count == 1 { return "\(name) (\(number)): \(outcomes[0])\n" + because }
        return "\(name) (\(number)):\n" + outcomes.map { paragraph($0, indent: 2) }.joined()
            + because
    }

    /// What becomes of a rule's calls: each case with its conditions in words, then the rest.
    private static func outcomes(of rule: CallPolicy.Rule, _ policy: CallPolicy) -> [String] {
        let cases = rule.cases.map { "\(text($0.outcome, policy)) \($0.words)" }
        let otherwise = text(rule.otherwise, policy)
        return cases + [cases.isEmpty ? otherwise : "else \(otherwise)"]
    }

    /// A text in lines that fit the terminal.
    private static func paragraph(_ text: String, indent: Int = 0) -> String {
        let margin = String(repeating: " ", count: indent)
        let width = StandardStream.output.textWidth - indent
        return PlainText.wrapped(text, width: width).map { margin + $0 + "\n" }.joined()
    }

    private static func text(_ outcome: CallPolicy.Outcome, _ policy: CallPolicy) -> String {
        switch outcome {
        case .allow: "allowed"
        case .errno(let number): "fails: \(ErrorNumber(rawValue: number))"
        case .deny: policy.denial == .kill ? "kills its process" : "fails: Operation not permitted"
        }
    }

    /// Each rule as a block: what becomes of its calls, the calls, the reason.
    private static func blocks(of policy: CallPolicy) -> String {
        let blocks = policy.rules.map { rule in
            outcomes(of: rule, policy).map { paragraph($0) }.joined()
                + paragraph(rule.names.joined(separator: " "), indent: 2)
                + paragraph("because: \(rule.reason)", indent: 2)
        }
        return blocks.joined(separator: "\n") + "\n"
            + paragraph(
                "a call that no rule lists: \(text(.deny, policy)); one newer than"
                    + " \(policy.newest): fails as on a kernel without it")
    }
}
