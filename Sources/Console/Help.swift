extension Command {
    /// The help of the command in lines of at most `width` characters (at least 40), ending with
    /// a line break. Usage lines, examples and single long words are never broken.
    public func help(width: Int = 80) -> String {
        let width = max(40, width)
        var blocks = ["Usage: \(usage)", prose(summary, width)]
        blocks += discussion.split(separator: "\n").map { prose(String($0), width) }
        let argumentRows = arguments.map { ($0.name, $0.help) }
        let flagRows = flags.map { (Self.label($0), Self.meaning($0)) }
        let rows = flagRows + [("-h, --help", "print this help")]
        let widest = HelpColumns.width(for: argumentRows + rows, in: width)
        if !argumentRows.isEmpty {
            blocks.append("Arguments:\n" + HelpColumns.lines(argumentRows, widest, width))
        }
        blocks.append("Flags:\n" + HelpColumns.lines(rows, widest, width))
        for table in tables {
            let rows = table.rows.map { ($0.name, $0.meaning) }
            let widest = HelpColumns.width(for: rows, in: width)
            blocks.append("\(table.title):\n" + HelpColumns.lines(rows, widest, width))
        }
        if !examples.isEmpty {
            let lines = examples.map { example in
                let meaning = PlainText.wrapped(example.meaning, width: width - 4)
                return meaning.map { "  # \($0)\n" }.joined() + "  \(example.line)"
            }
            blocks.append("Examples:\n" + lines.joined(separator: "\n"))
        }
        return blocks.joined(separator: "\n\n") + "\n"
    }

    /// `-m, --memory SIZE`, indented to where the long name begins when there is no short one.
    private static func label(_ flag: Flag) -> String {
        let short = flag.short.map { "-\($0), " } ?? "    "
        return short + "--\(flag.name)" + (flag.value.map { " \($0)" } ?? "")
    }

    private static func meaning(_ flag: Flag) -> String {
        var notes: [String] = []
        if let value = flag.defaultValue { notes.append("default: \(value)") }
        if let note = flag.defaultNote { notes.append("default: \(note)") }
        if let variable = flag.environment { notes.append("or \(variable)") }
        if flag.isRepeatable { notes.append("may be repeated") }
        return notes.isEmpty ? flag.help : "\(flag.help) (\(notes.joined(separator: "; ")))"
    }
}

extension Program {
    /// The list of all commands in lines of at most `width` characters (at least 40).
    public func help(width: Int = 80) -> String {
        let width = max(40, width)
        let rows = commands.map { ($0.path.joined(separator: " "), $0.summary) }
        let widest = HelpColumns.width(for: rows, in: width)
        let blocks = [
            "Usage: \(name) COMMAND [flags] …", prose(summary, width),
            "Commands:\n" + HelpColumns.lines(rows, widest, width),
            "`\(name) help COMMAND` says more about one.",
        ]
        return blocks.joined(separator: "\n\n") + "\n"
    }
}

private func prose(_ text: String, _ width: Int) -> String {
    PlainText.wrapped(text, width: width).joined(separator: "\n")
}

/// Two columns, the right one wrapped.
private enum HelpColumns {
    private static let gap = 2
    private static let indent = 2

    /// The width of the left column: that of the widest label which leaves half of the line.
    static func width(for rows: [(String, String)], in width: Int) -> Int {
        rows.map { $0.0.count }.filter { $0 <= width / 2 - gap - indent }.max() ?? 0
    }

    static func lines(_ rows: [(String, String)], _ left: Int, _ width: Int) -> String {
        let margin = String(repeating: " ", count: indent + left + gap)
        var lines: [String] = []
        for (label, text) in rows {
            var texts = PlainText.wrapped(text, width: width - margin.count)[...]
            let start = String(repeating: " ", count: indent)
            if label.count <= left, let first = texts.popFirst() {
                lines.append(
                    start + PlainText.padded(label, to: left)
                        + String(repeating: " ", count: gap) + first)
            } else {
                lines.append(start + label)
            }
            lines += texts.map { margin + $0 }
        }
        return lines.joined(separator: "\n")
    }
}
