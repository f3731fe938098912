extension Command {
    /// The same as `help(width:)` in Markdown: a heading, the usage, tables, examples.
    ///
    /// - Parameters:
    ///   - level: of the heading, from 1 to 6.
    ///   - shared: tables that stand elsewhere.
    public func markdown(level: Int = 3, leavingOut shared: [HelpTable] = []) -> String {
        let marks = String(repeating: "#", count: min(6, max(1, level)))
        var blocks = ["\(marks) `\(fullName)`", Markdown.escaped(summary) + "."]
        blocks.append("```\n\(usage)\n```")
        if !discussion.isEmpty {
            let paragraphs = discussion.split(separator: "\n").map {
                PlainText.wrapped(Markdown.escaped($0), width: 100).joined(separator: "\n")
            }
            blocks.append(paragraphs.joined(separator: "\n\n"))
        }
        if !arguments.isEmpty {
            let rows = arguments.map { ["`\($0.name)`", Markdown.cell($0.help)] }
            blocks.append(Markdown.table(["Argument", "Meaning"], rows))
        }
        if !flags.isEmpty {
            blocks.append(Markdown.table(["Flag", "Meaning", "Default"], flags.map(Self.row)))
        }
        for table in tables where !shared.contains(table) {
            blocks.append(Markdown.escaped(table.title) + ":\n\n" + Markdown.table(table))
        }
        for example in examples {
            blocks.append("\(Markdown.escaped(example.meaning)):\n\n```\n\(example.line)\n```")
        }
        return blocks.joined(separator: "\n\n") + "\n"
    }

    private static func row(_ flag: Flag) -> [String] {
        let short = flag.short.map { "`-\($0)`, " } ?? ""
        let value = flag.value.map { " \($0)" } ?? ""
        var meaning = Markdown.cell(flag.help)
        if let variable = flag.environment { meaning += "; or `\(variable)`" }
        if flag.isRepeatable { meaning += "; may be repeated" }
        let fallback = flag.defaultValue.map { "`\(Markdown.code($0))`" }
        let note = flag.defaultNote.map { Markdown.cell($0) }
        let name = Markdown.code("--\(flag.name)\(value)")
        return ["\(short)`\(name)`", meaning, fallback ?? note ?? ""]
    }
}

extension Program {
    /// The table of all commands.
    public func markdown() -> String {
        Markdown.table(
            ["Command", "What it does"],
            commands.map { ["`\(Markdown.code($0.usage))`", Markdown.cell($0.summary)] }) + "\n"
    }

    /// The table of all commands, then each of them. A table that several commands have is there
    /// once, below the list.
    public func document() -> String {
        let all = commands.flatMap(\.tables)
        var shared: [HelpTable] = []
        for table in all where !shared.contains(table) && all.count(where: { $0 == table }) > 1 {
            shared.append(table)
        }
        let tables = shared.map { "### \($0.title)\n\n\(Markdown.table($0))\n" }
        let texts = commands.map { $0.markdown(leavingOut: shared) }
        return ([markdown()] + tables + texts).joined(separator: "\n")
    }
}

/// The pieces of Markdown that are generated.
enum Markdown {
    static func table(_ header: [String], _ rows: [[String]]) -> String {
        var lines = ["| \(header.joined(separator: " | ")) |"]
        lines.append("|" + header.map { _ in "---|" }.joined())
        lines += rows.map { "| \($0.joined(separator: " | ")) |" }
        return lines.joined(separator: "\n")
    }

    static func table(_ table: HelpTable) -> String {
        Self.table(
            ["", "Meaning"],
            table.rows.map { ["`\(code($0.name))`", cell($0.meaning)] })
    }

    /// Prose: what would be read as HTML or emphasis is escaped, `code` is kept as it is.
    static func escaped(_ text: some StringProtocol) -> String {
        var result = ""
        var isCode = false
        for character in text {
            if character == "`" { isCode.toggle() }
            switch character {
            case "<", "*", "[", "]", "_":
                result += isCode ? String(character) : "\\\(character)"
            default: result.append(character)
            }
        }
        return result
    }

    /// Prose within a table.
    static func cell(_ text: some StringProtocol) -> String { code(escaped(text)) }

    /// Text in backticks within a table, where a bar would end the cell.
    static func code(_ text: String) -> String {
        text.split(separator: "\n").joined(separator: " ")
            .split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
    }
}
