/// A program of several commands, such as `alcove`.
public struct Program: Equatable, Sendable {
    public let name: String
    /// What it does, in one sentence without a full stop.
    public let summary: String
    public let commands: [Command]

    public init(_ name: String, summary: String, commands: [Command]) {
        self.name = name
        self.summary = summary
        self.commands = commands
    }

    /// What a command line asks for.
    public enum Invocation: Equatable, Sendable {
        /// To perform a command.
        case perform(ParsedCommand)
        /// To print a text of help: this one's `text(width:)`.
        case help(Help)
    }

    /// A subject of help.
    public enum Help: Equatable, Sendable {
        case program(Program)
        case command(Command)
        /// Everything, in Markdown.
        case document(Program)
    }

    /// Reads the whole command line without the program's own name.
    ///
    /// No words at all, `--help`, `-h` and `help [COMMAND]` ask for help, and so does `--help`
    /// after a command; `help --markdown` asks for all of it. `--version` stands for the command
    /// `version` where there is one.
    public func parse(
        _ words: [String], environment: (String) -> String? = { _ in nil }
    ) throws(FlagError) -> Invocation {
        guard let first = words.first else { return .help(.program(self)) }
        switch first {
        case "--help", "-h": return .help(.program(self))
        case "help":
            if words.dropFirst() == ["--markdown"] { return .help(.document(self)) }
            let rest = Array(words.dropFirst().prefix { !PlainText.looksLikeFlag($0) })
            if rest.isEmpty { return .help(.program(self)) }
            return .help(try help(for: rest))
        case "--version":
            guard let command = commands.first(where: { $0.path == ["version"] }) else { break }
            return .perform(try command.parse([], environment: environment))
        default: break
        }
        if PlainText.looksLikeFlag(first) {
            throw FlagError(
                "unknown flag \(PlainText.quoted(first))",
                hint: "a command comes first, its flags after it: `\(name) --help` lists them")
        }
        if let command = command(at: words) {
            let rest = Array(words.dropFirst(command.path.count))
            if Command.asksForHelp(rest) { return .help(.command(command)) }
            return .perform(try command.parse(rest, environment: environment))
        }
        let names = Array(words.prefix { !PlainText.looksLikeFlag($0) })
        if Command.asksForHelp(words) { return .help(try help(for: names)) }
        throw unknown(names)
    }

    /// What is wrong with the declarations; a test asserts that it is empty.
    public func faults() -> [String] {
        var faults = commands.flatMap { $0.faults() }
        for (place, command) in commands.enumerated() {
            if commands[..<place].contains(where: { $0.path == command.path }) {
                faults.append("\(command.fullName) is declared twice")
            }
            if command.program != name { faults.append("\(command.fullName): not of \(name)") }
            if command.path.isEmpty || command.path == ["help"] {
                faults.append("\(command.fullName): bad path")
            }
        }
        return faults
    }

    /// The command whose path the words begin with; of several the longest.
    private func command(at words: [String]) -> Command? {
        commands.filter { words.starts(with: $0.path) }.max { $0.path.count < $1.path.count }
    }

    private func help(for words: [String]) throws(FlagError) -> Help {
        if let command = commands.first(where: { $0.path == words }) { return .command(command) }
        let group = commands.filter { $0.path.starts(with: words) }
        guard let one = group.first else { throw unknown(words) }
        if group.count == 1 { return .command(one) }
        return .program(Program(name, summary: summary, commands: group))
    }

    private func unknown(_ words: [String]) -> FlagError {
        let typed = words.prefix(2).joined(separator: " ")
        let first = words.first ?? ""
        let group = commands.filter { $0.path.count > 1 && $0.path.first == first }
        if !group.isEmpty {
            let rest = group.map { $0.path.dropFirst().joined(separator: " ") }
            if words.count == 1 {
                return FlagError(
                    "\(PlainText.quoted("\(name) \(first)")) needs a command after it",
                    hint: "one of: \(rest.joined(separator: ", "))")
            }
            let near = NearestName.find(words[1], among: rest)
            return FlagError(
                "unknown command \(PlainText.quoted("\(name) \(typed)"))",
                hint: near.map { "did you mean `\(name) \(first) \($0)`?" }
                    ?? "one of: \(rest.joined(separator: ", "))")
        }
        return FlagError(
            "unknown command \(PlainText.quoted(first))",
            hint: nearest(typed, first).map { "did you mean `\($0.fullName)`?" }
                ?? "`\(name) --help` lists the commands")
    }

    /// The command that was meant: by its whole path, by its first word, or by its last one.
    private func nearest(_ typed: String, _ first: String) -> Command? {
        let paths = commands.map { $0.path.joined(separator: " ") }
        let lasts = commands.map { $0.path.last ?? "" }
        if let near = NearestName.find(typed, among: paths) {
            return commands.first { $0.path.joined(separator: " ") == near }
        }
        if let near = NearestName.find(first, among: paths) {
            return commands.first { $0.path.joined(separator: " ") == near }
        }
        if let near = NearestName.find(first, among: lasts) {
            return commands.first { $0.path.last == near }
        }
        let firsts = commands.map { $0.path.first ?? "" }
        return NearestName.find(first, among: firsts).flatMap { near in
            commands.first { $0.path.first == near }
        }
    }
}

extension Program.Help {
    public func text(width: Int = 80) -> String {
        switch self {
        case .program(let program): program.help(width: width)
        case .command(let command): command.help(width: width)
        case .document(let program): program.document()
        }
    }
}
