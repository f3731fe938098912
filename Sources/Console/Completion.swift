/// What a shell offers for a value that is being typed.
public enum Completion: Equatable, Sendable {
    case nothing
    case files
    case folders
    case words([String])
    /// The lines that a command line prints: `alcove ps --quiet`.
    case lines(of: String)
    /// Either.
    case foldersAndLines(of: String)
}

/// The shells for which a program's completion can be printed.
public enum CompletionShell: String, CaseIterable, Sendable {
    case bash, zsh, fish
}

extension Program {
    /// A script that teaches a shell to complete this program's command lines.
    public func completion(for shell: CompletionShell) -> String {
        switch shell {
        case .bash: BashCompletion(program: self).script
        case .zsh: ZshCompletion(program: self).script
        case .fish: FishCompletion(program: self).script
        }
    }

    /// What can stand first, with what it does: commands, and the first words of groups.
    var firstWords: [(word: String, meaning: String)] {
        var words: [(word: String, meaning: String)] = []
        for command in commands {
            guard let first = command.path.first, !words.contains(where: { $0.word == first })
            else { continue }
            let rest = commands.filter { $0.path.first == first }.compactMap { $0.path.last }
            words.append((first, command.path.count == 1 ? command.summary : list(rest)))
        }
        return words + [("help", "say more about a command")]
    }

    private func list(_ words: [String]) -> String { words.joined(separator: ", ") }

    /// The first words of commands of two words, each with those that can follow.
    var groups: [(first: String, commands: [Command])] {
        var firsts: [String] = []
        for command in commands where command.path.count > 1 && !firsts.contains(command.path[0]) {
            firsts.append(command.path[0])
        }
        return firsts.map { first in
            (first, commands.filter { $0.path.count > 1 && $0.path[0] == first })
        }
    }

    /// A name for the functions of a script: `_alcove`.
    var functionName: String {
        "_" + String(name.map { $0.isLetter || $0.isNumber ? $0 : "_" })
    }
}

extension Flag {
    /// `--name`, and `-n` where there is one.
    var spellings: [String] { ["--\(name)"] + (short.map { ["-\($0)"] } ?? []) }
}

extension String {
    /// In single quotes, as every shell here reads them.
    var inSingleQuotes: String {
        "'" + split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
            + "'"
    }
}
