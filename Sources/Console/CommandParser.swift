/// Where the value of a flag came from.
enum FlagSource: Equatable, Sendable {
    case commandLine
    case environment(variable: String)
    case defaultValue
}

/// One appearance of a flag. A switch has an empty value.
struct FlagOccurrence: Equatable, Sendable {
    let name: String
    let value: String
    let source: FlagSource
}

extension Command {
    /// Reads the arguments after the command's name.
    ///
    /// `--name value`, `--name=value`, `-n value` and `-n=value` are understood, and `-ab` for the
    /// switches `-a -b`. Flags may stand before, between and after the arguments, and `--` ends
    /// them. A lone `-` is a value like any
    /// other. A value that begins with a dash has to be given with `=`.
    ///
    /// - Parameter environment: looks up an environment variable.
    public func parse(
        _ words: [String], environment: (String) -> String? = { _ in nil }
    ) throws(FlagError) -> ParsedCommand {
        var parser = CommandParser(command: self)
        try parser.read(words)
        try parser.check()
        try parser.fill(from: environment)
        return ParsedCommand(
            command: self, arguments: parser.arguments, trailing: parser.trailing,
            occurrences: parser.occurrences)
    }

    /// Whether `-h` or `--help` stands before any `--`. It wins over whatever else is wrong.
    public static func asksForHelp(_ words: [String]) -> Bool {
        words.prefix { $0 != "--" }.contains { $0 == "--help" || $0 == "-h" }
    }
}

/// The state of one reading.
private struct CommandParser {
    let command: Command
    var arguments: [String] = []
    var trailing: [String] = []
    var hasSeparator = false
    var occurrences: [FlagOccurrence] = []

    init(command: Command) { self.command = command }

    mutating func read(_ words: [String]) throws(FlagError) {
        var rest = words[...]
        while let word = rest.popFirst() {
            if word == "--" {
                hasSeparator = true
                if command.trailing == .none { arguments += rest } else { trailing += rest }
                return
            }
            if let joined = switches(in: word) {
                for name in joined { try readFlag(name, &rest) }
            } else if PlainText.looksLikeFlag(word) {
                try readFlag(word, &rest)
            } else {
                arguments.append(word)
            }
        }
    }

    /// The switches that a word such as `-it` joins; nothing when any of its letters is none.
    private func switches(in word: String) -> [String]? {
        let letters = word.dropFirst()
        guard word.hasPrefix("-"), !word.hasPrefix("--"), letters.count > 1,
            letters.allSatisfy({ letter in
                command.flags.contains { $0.short == letter && $0.value == nil }
            })
        else { return nil }
        return letters.map { "-\($0)" }
    }

    private mutating func readFlag(
        _ word: String, _ rest: inout ArraySlice<String>
    ) throws(FlagError) {
        let (spelling, given) = PlainText.split(word, at: "=")
        let flag = try find(spelling)
        if occurrences.contains(where: { $0.name == flag.name }) && !flag.isRepeatable {
            throw FlagError(
                "\(PlainText.quoted(spelling)) is given twice", hint: "it can be given once")
        }
        let value: String
        if let placeholder = flag.value {
            if let given {
                value = given
            } else {
                value = try readValue(of: spelling, placeholder, &rest)
            }
        } else {
            guard given == nil else {
                throw FlagError(
                    "`\(spelling)` takes no value", hint: "write `\(spelling)` alone, or leave it")
            }
            value = ""
        }
        occurrences.append(FlagOccurrence(name: flag.name, value: value, source: .commandLine))
    }

    private func readValue(
        of spelling: String, _ placeholder: String, _ rest: inout ArraySlice<String>
    ) throws(FlagError) -> String {
        guard let next = rest.first, next != "--" else {
            throw FlagError(
                "`\(spelling)` needs a value", hint: "write `\(spelling) \(placeholder)`")
        }
        guard !PlainText.looksLikeFlag(next) else {
            throw FlagError(
                "`\(spelling)` needs a value, and \(PlainText.quoted(next)) looks like a flag",
                hint: "if it is the value, write \(PlainText.quoted("\(spelling)=\(next)"))")
        }
        rest.removeFirst()
        return next
    }

    private func find(_ spelling: String) throws(FlagError) -> Flag {
        if spelling.hasPrefix("--") {
            let name = spelling.dropFirst(2)
            if let flag = command.flags.first(where: { $0.name == name }) { return flag }
        } else if spelling.count == 2 {
            let letter = spelling.last
            if let flag = command.flags.first(where: { $0.short == letter }) { return flag }
        }
        throw FlagError("unknown flag \(PlainText.quoted(spelling))", hint: hint(for: spelling))
    }

    private func hint(for spelling: String) -> String {
        let letters = spelling.drop { $0 == "-" }
        if !spelling.hasPrefix("--"), spelling.count > 2,
            let first = command.flags.first(where: { $0.short == letters.first })
        {
            return first.value == nil
                ? "only switches can be joined: begin with `-\(letters.prefix(1))` alone"
                : "write `-\(letters.prefix(1)) \(first.value ?? "")`"
        }
        let names = command.flags.map(\.name) + ["help"]
        if let near = NearestName.find(String(letters), among: names) {
            return "did you mean `--\(near)`?"
        }
        return "`\(command.fullName) --help` lists the flags"
    }

    func check() throws(FlagError) {
        let skipped = command.hasOptionalFirst ? 1 : 0
        for (place, argument) in command.arguments.enumerated()
        where argument.isRequired && arguments.count <= place - skipped {
            throw FlagError("\(argument.name) is missing", hint: "usage: \(command.usage)")
        }
        let isOpen = command.arguments.last?.isRepeatable ?? false
        if !isOpen, arguments.count > command.arguments.count {
            let extra = PlainText.quoted(arguments[command.arguments.count])
            let takesCommand = command.trailing != .none && !hasSeparator
            throw FlagError(
                "unexpected argument \(extra)",
                hint: takesCommand
                    ? "the command goes after `--`: \(command.usage)" : "usage: \(command.usage)")
        }
        if command.trailing == .command, trailing.isEmpty {
            throw FlagError("the command is missing", hint: "usage: \(command.usage)")
        }
    }

    /// Adds what the environment and the defaults say about flags that were not given.
    mutating func fill(from environment: (String) -> String?) throws(FlagError) {
        for flag in command.flags where !occurrences.contains(where: { $0.name == flag.name }) {
            if let variable = flag.environment, let text = environment(variable), !text.isEmpty {
                let source = FlagSource.environment(variable: variable)
                if flag.value == nil, try !isOn(text, variable) { continue }
                let value = flag.value == nil ? "" : text
                occurrences.append(FlagOccurrence(name: flag.name, value: value, source: source))
            } else if let value = flag.defaultValue {
                occurrences.append(
                    FlagOccurrence(name: flag.name, value: value, source: .defaultValue))
            }
        }
    }

    private func isOn(_ text: String, _ variable: String) throws(FlagError) -> Bool {
        switch text {
        case "1", "true", "yes": return true
        case "0", "false", "no": return false
        default:
            throw FlagError(
                "environment variable \(variable): \(PlainText.quoted(text)) is neither on nor off",
                hint: "set it to 1 or 0")
        }
    }
}
