internal import Console
internal import HostReport
internal import KVM

extension HostReport {
    /// The report for a person: the verdict, then a line for each check. Below those that are not
    /// as they should be stands what they mean and what to do.
    ///
    /// - Parameter verbose: say of the good ones too what they mean.
    func text(colored: Bool, verbose: Bool, width: Int) -> String {
        var table = TextTable(alignments: [.left, .left, .left])
        for check in checks {
            table.add([check.state.rawValue, check.subject.title, check.found])
        }
        let lines = table.render().split(separator: "\n")
        var text = summary + "\n"
        var group: HostSubject.Group?
        for (check, line) in zip(checks, lines) {
            if check.subject.group != group {
                text += "\n" + check.subject.group.rawValue + "\n"
                group = check.subject.group
            }
            text += "  " + (colored ? check.state.colored(line) : String(line)) + "\n"
            if verbose || check.state != .good {
                text += Self.note(check.subject.meaning, width)
            }
            if let remedy = check.remedy { text += Self.note("to do: " + remedy, width) }
        }
        return text
    }

    private static func note(_ text: String, _ width: Int) -> String {
        PlainText.wrapped(text, width: width - margin.count).map { margin + $0 + "\n" }.joined()
    }

    /// As wide as the mark before it.
    private static let margin = String(repeating: " ", count: 11)

    private var summary: String {
        let blocking = checks.filter(\.isBlocking).map(\.subject.title)
        let counts = HostCheck.State.allCases.map { state in
            "\(checks.count { $0.state == state }) \(state.rawValue)"
        }.joined(separator: ", ")
        let verdict =
            canStart
            ? "process sandboxes start here"
            : "no process sandbox starts here, because of: " + blocking.joined(separator: ", ")
        return "\(verdict); `auto` chooses \(isolation.rawValue) (\(counts))"
    }

    /// The report for a program.
    func json(_ facts: HostFacts) -> JSONValue {
        var object = JSONObject()
        object["can_start"] = JSONValue(canStart)
        object["isolation"] = JSONValue(isolation.rawValue)
        object["summary"] = JSONValue(summary)
        object["guest_ns_per_instruction"] = .null
        if case .measured(let measurement) = facts.guestSpeed {
            object["guest_ns_per_instruction"] = JSONValue(measurement.nanosecondsPerInstruction)
            object["guest_instructions"] = JSONValue(measurement.instructions)
            object["guest_pairs"] = JSONValue(measurement.pairs)
        }
        object["checks"] = JSONValue(
            checks.map { check in
                [
                    "name": JSONValue(check.subject.name),
                    "group": JSONValue(check.subject.group.rawValue),
                    "title": JSONValue(check.subject.title),
                    "state": JSONValue(check.state.rawValue),
                    "required": JSONValue(check.subject.isRequired),
                    "found": JSONValue(check.found),
                    "meaning": JSONValue(check.subject.meaning),
                    "remedy": check.remedy.map { JSONValue($0) } ?? .null,
                ] as JSONValue
            })
        return .object(object)
    }
}

extension HostCheck.State {
    /// The line with the state at its start in the state's colour.
    func colored(_ line: Substring) -> String {
        let color =
            switch self {
            case .good: "32"
            case .limited: "33"
            case .missing: "31"
            }
        return "\u{1b}[\(color)m\(rawValue)\u{1b}[0m" + line.dropFirst(rawValue.count)
    }
}
