/// An option of a command: `--memory SIZE`, or a switch such as `--json`.
public struct Flag: Equatable, Sendable {
    /// The long name, without the dashes.
    public let name: String
    /// The letter of the short form, without the dash.
    public let short: Character?
    /// What stands for the value in help, such as `SIZE`; nil for a switch.
    public let value: String?
    /// One sentence without a full stop.
    public let help: String
    /// The value that holds when the flag is not given. It is read like a given one.
    public let defaultValue: String?
    /// What happens without the flag, in words, where no value can say it. Only shown.
    public let defaultNote: String?
    /// Whether the flag may be given more than once.
    public let isRepeatable: Bool
    /// The environment variable that is read when the flag is not given.
    public let environment: String?
    /// What a shell offers for its value.
    public let completion: Completion

    public init(
        _ name: String, short: Character? = nil, value: String? = nil, default: String? = nil,
        defaultNote: String? = nil, repeatable: Bool = false, environment: String? = nil,
        completes completion: Completion = .nothing, help: String
    ) {
        self.name = name
        self.short = short
        self.value = value
        self.help = help
        self.defaultValue = `default`
        self.defaultNote = defaultNote
        self.isRepeatable = repeatable
        self.environment = environment
        self.completion = completion
    }
}

/// An argument that is known by its place, such as `IMAGE`.
public struct Argument: Equatable, Sendable {
    public let name: String
    public let help: String
    public let isRequired: Bool
    /// Whether it takes all that follow. Only the last argument of a command can.
    public let isRepeatable: Bool
    /// What a shell offers for it.
    public let completion: Completion

    public init(
        _ name: String, required: Bool = true, repeatable: Bool = false,
        completes completion: Completion = .nothing, help: String
    ) {
        self.name = name
        self.help = help
        self.isRequired = required
        self.isRepeatable = repeatable
        self.completion = completion
    }
}

/// A command line to copy, and what it does.
public struct Example: Equatable, Sendable {
    public let line: String
    public let meaning: String

    public init(_ line: String, _ meaning: String) {
        self.line = line
        self.meaning = meaning
    }
}

/// A table below the flags in a command's help, such as that of the exit codes.
public struct HelpTable: Equatable, Sendable {
    public struct Row: Equatable, Sendable {
        public let name: String
        public let meaning: String

        public init(_ name: String, _ meaning: String) {
            self.name = name
            self.meaning = meaning
        }
    }

    public let title: String
    public let rows: [Row]

    public init(_ title: String, rows: [Row]) {
        self.title = title
        self.rows = rows
    }
}

/// The declaration of a command: its parser, its help and its documentation come from it.
public struct Command: Equatable, Sendable {
    /// What may follow `--`.
    public enum Trailing: Equatable, Sendable {
        /// Nothing of its own: `--` only ends the flags.
        case none
        /// A command, taken word for word, which may be left out.
        case optionalCommand
        /// A command, taken word for word.
        case command
    }

    /// The program, such as `alcove`.
    public let program: String
    /// The words that name the command: `["bench", "cold-start"]`; none for a whole program.
    public let path: [String]
    /// What it does, in one sentence without a full stop.
    public let summary: String
    /// More about it, in sentences. A line break starts a new paragraph.
    public let discussion: String
    public let flags: [Flag]
    public let arguments: [Argument]
    public let trailing: Trailing
    public let tables: [HelpTable]
    public let examples: [Example]

    /// - Parameter path: the command's words parted by spaces, such as `bench cold-start`.
    public init(
        _ path: String, of program: String = "alcove", summary: String, discussion: String = "",
        flags: [Flag] = [], arguments: [Argument] = [], trailing: Trailing = .none,
        tables: [HelpTable] = [], examples: [Example] = []
    ) {
        self.program = program
        self.path = path.split(separator: " ").map(String.init)
        self.summary = summary
        self.discussion = discussion
        self.flags = flags
        self.arguments = arguments
        self.trailing = trailing
        self.tables = tables
        self.examples = examples
    }

    /// `alcove bench cold-start`
    public var fullName: String { ([program] + path).joined(separator: " ") }

    /// `alcove run [flags] IMAGE -- COMMAND…`
    public var usage: String {
        var words = [fullName, "[flags]"]
        for argument in arguments {
            let name = argument.name + (argument.isRepeatable ? "…" : "")
            words.append(argument.isRequired ? name : "[\(name)]")
        }
        switch trailing {
        case .none: break
        case .optionalCommand: words.append("[-- COMMAND…]")
        case .command: words.append("-- COMMAND…")
        }
        return words.joined(separator: " ")
    }

    /// Whether the first argument is the one that is left out where fewer are given, as in
    /// `[NAME] PATH`.
    var hasOptionalFirst: Bool {
        arguments.count > 1 && !arguments[0].isRequired && !arguments[0].isRepeatable
            && arguments.dropFirst().allSatisfy { $0.isRequired && !$0.isRepeatable }
    }

    /// What is wrong with the declaration itself; a test asserts that it is empty.
    public func faults() -> [String] {
        var faults: [String] = []
        var names: [String] = ["help"]
        var shorts: [Character] = ["h"]
        for flag in flags {
            let subject = "\(fullName) --\(flag.name)"
            if names.contains(flag.name) { faults.append("\(subject) is declared twice") }
            names.append(flag.name)
            if flag.name.utf8.count < 2 || !Self.isName(flag.name) {
                faults.append("\(subject) is no flag name")
            }
            if let short = flag.short {
                if shorts.contains(short) { faults.append("\(subject): -\(short) is taken") }
                if !short.isASCII || !short.isLetter { faults.append("\(subject): -\(short)") }
                shorts.append(short)
            }
            if flag.value == nil && flag.defaultValue != nil {
                faults.append("\(subject) is a switch with a default")
            }
            if flag.value == nil && flag.isRepeatable {
                faults.append("\(subject) is a switch that repeats")
            }
        }
        for (place, argument) in arguments.enumerated() {
            let isLast = place == arguments.count - 1
            if argument.isRepeatable && !isLast {
                faults.append("\(fullName): \(argument.name) repeats and is not the last")
            }
            if argument.isRequired && place > 0 && !arguments[place - 1].isRequired
                && !hasOptionalFirst
            {
                faults.append("\(fullName): \(argument.name) is required after an optional one")
            }
        }
        for word in path where !Self.isName(word) { faults.append("\(fullName): bad name") }
        return faults
    }

    private static func isName(_ text: String) -> Bool {
        guard let first = text.utf8.first, first != UInt8(ascii: "-") else { return false }
        return text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            case UInt8(ascii: "-"): true
            default: false
            }
        }
    }
}
