internal import Console

extension AgentConfiguration {
    /// The whole configuration as a file, each key with what it does. Reading it gives the same.
    public func file() -> String {
        var blocks: [String] = []
        var table = ""
        for key in ConfigurationKey.all {
            let name = key.isTable ? key.path : key.parts.table
            var lines: [String] = []
            if name != table { lines.append("\(blocks.isEmpty ? "" : "\n")[\(name)]") }
            table = name
            let isDefault = key.write(self) == key.write(AgentConfiguration())
            lines += PlainText.wrapped(key.meaning, width: 78).map { "# \($0)" }
            if key.isTable {
                lines += key.write(self)
            } else {
                let note = isDefault ? "" : " # default: \(key.defaultText)"
                lines += key.write(self).map { "\(key.parts.name) = \($0)\(note)" }
            }
            blocks.append(lines.joined(separator: "\n"))
        }
        return blocks.joined(separator: "\n") + "\n"
    }
}

/// The list of all keys, for people.
public enum ConfigurationDocument {
    /// For a terminal.
    public static func help(width: Int = 80) -> String {
        var lines = [
            "The configuration file is TOML: tables, strings, integers, booleans, arrays.",
            "Without a file, or for what it does not say, the defaults hold.",
            "The agent reads it again on SIGHUP: what is marked by * holds at once, the rest",
            "from the next start on.",
        ]
        var table = ""
        for key in ConfigurationKey.all {
            let name = key.isTable ? key.path : key.parts.table
            if name != table { lines += ["", "[\(name)]"] }
            table = name
            let value = key.isTable ? "KEY = \"…\"" : "\(key.parts.name) = \(key.defaultText)"
            lines.append("\(key.isReloadable ? "*" : " ")  \(value)")
            lines += PlainText.wrapped("\(key.takes): \(key.meaning)", width: max(20, width - 7))
                .map { "       \($0)" }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// For the documentation: one table of Markdown.
    public static func markdown() -> String {
        var text = TextTable(
            header: ["Key", "Takes", "Default", "Reload", "What it does"],
            alignments: [.left, .left, .left, .left, .left])
        for key in ConfigurationKey.all {
            text.add([
                "`\(key.path)`", key.takes, key.isTable ? "" : "`\(key.defaultText)`",
                key.isReloadable ? "yes" : "no", key.meaning,
            ])
        }
        return text.markdown()
    }
}
