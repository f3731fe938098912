internal import Console
internal import Jail
internal import LinuxKernel
internal import SandboxModel

/// `alcove plan`
enum PlanCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "plan", summary: "print the steps by which a sandbox would start",
            discussion: """
                Starts nothing, changes nothing, and needs no privilege but to look into the \
                image. Of limits it says whether this host would enforce them.
                """,
            flags: SandboxFlags.flags + [
                Flag("terminal", help: "plan for a workload with a terminal"),
                Flag(
                    "network", value: "SOURCE", default: "begun",
                    help: """
                        where its network namespace comes from: begun (as `run` does), new or \
                        pooled (as `bench cold-start` does)
                        """),
                Flag("calls", help: "list the system calls of each step"),
                Flag("markdown", help: "print as a Markdown table, with the reasons"),
                Flag("json", help: "print as JSON"),
            ],
            arguments: [SandboxFlags.image], trailing: .command,
            examples: [
                Example("alcove plan --read-only IMAGE -- /bin/true", "the steps in order")
            ]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let image = try ImageTree.open(parsed.argument("IMAGE") ?? "")
        var spec = try SandboxFlags.spec(parsed, image: image)
        spec.terminal = parsed.isOn("terminal")
        let host = SandboxHost.forPlanning()
        let prepared = try PreparedSandbox(
            spec, image: image, on: host, network: try network(parsed, for: spec))
        StandardStream.output.write(text(prepared, parsed))
        return 0
    }

    private static func network(
        _ parsed: ParsedCommand, for spec: SandboxSpec
    ) throws -> SandboxPlan.Network {
        guard spec.canJoinNetwork else { return .new }
        return switch try parsed.choice("network", of: ["begun", "new", "pooled"]) {
        case "new": .new
        case "pooled": .pooled
        default: .begun
        }
    }

    private static func text(_ prepared: PreparedSandbox, _ parsed: ParsedCommand) -> String {
        let steps = prepared.plan.steps
        var calls = [[String]](repeating: [], count: steps.count)
        for call in prepared.childCalls { calls[call.step].append(call.name) }
        if parsed.isOn("json") {
            return JSONWriter.text(json(prepared, calls), style: .pretty) + "\n"
        }
        if parsed.isOn("markdown") {
            return PlanDocument.table(of: prepared.plan, escaping: PlainText.escaped)
        }
        var table = TextTable(
            header: ["", "by", "step"] + (parsed.isOn("calls") ? ["calls"] : []))
        for (index, step) in steps.enumerated() {
            let row = ["\(index + 1)", step.performer.rawValue, "\(step)"]
            table.add(row + (parsed.isOn("calls") ? [summary(of: calls[index])] : []))
        }
        return table.render() + prepared.limits.map(line).joined()
    }

    /// Names in order, runs of the same one counted: `prctl ×41`.
    private static func summary(of calls: [String]) -> String {
        var runs: [(name: String, count: Int)] = []
        for name in calls {
            if runs.last?.name == name {
                runs[runs.count - 1].count += 1
            } else {
                runs.append((name, 1))
            }
        }
        return runs.map { $0.count > 1 ? "\($0.name) ×\($0.count)" : $0.name }
            .joined(separator: " ")
    }

    private static func line(for limit: LimitStatus) -> String {
        "limit \(limit.kind.rawValue) \(limit.request): "
            + (limit.reason.map { "does not hold, \($0)" } ?? "holds") + "\n"
    }

    private static func json(_ prepared: PreparedSandbox, _ calls: [[String]]) -> JSONValue {
        [
            "steps": JSONValue(
                prepared.plan.steps.enumerated().map { index, step in
                    [
                        "step": JSONValue("\(step)"), "by": JSONValue(step.performer.rawValue),
                        "reason": JSONValue(step.reason), "calls": JSONValue(calls[index]),
                    ] as JSONValue
                }),
            "limits": JSONValue(
                prepared.limits.map { limit in
                    [
                        "kind": JSONValue(limit.kind.rawValue),
                        "request": JSONValue(limit.request), "holds": JSONValue(limit.holds),
                        "reason": limit.reason.map { JSONValue($0) } ?? .null,
                    ] as JSONValue
                }),
        ]
    }
}
