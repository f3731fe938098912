/// Completion for fish.
struct FishCompletion {
    let program: Program

    private var function: String { "_\(program.functionName)" }

    var script: String {
        let name = program.name
        var lines = [
            "# Completion of \(name) for fish: put this into",
            "# ~/.config/fish/completions/\(name).fish.", "", Self.helpers(function),
            "complete -c \(name) -f",
        ]
        for (word, meaning) in program.firstWords {
            lines.append("complete -c \(name) -n '\(function)_is_first' \(offer(word, meaning))")
        }
        for group in program.groups {
            for command in group.commands {
                lines.append(
                    "complete -c \(name) -n '\(function)_follows \(group.first)' "
                        + offer(command.path.last ?? "", command.summary))
            }
        }
        for command in program.commands { lines += self.lines(of: command) }
        return lines.joined(separator: "\n") + "\n"
    }

    private func offer(_ word: String, _ meaning: String) -> String {
        "-a \(Self.quoted(word)) -d \(Self.quoted(meaning))"
    }

    private func lines(of command: Command) -> [String] {
        let path = command.path.joined(separator: " ")
        let start = "complete -c \(program.name) -n '\(function)_is_at \(path)'"
        var lines = command.flags.map { flag in
            let short = flag.short.map { " -s \($0)" } ?? ""
            let exclusive = flag.completion == .files ? " -r" : " -x"
            let value = flag.value == nil ? "" : exclusive + action(flag.completion)
            return "\(start)\(short) -l \(flag.name)\(value) -d \(Self.quoted(flag.help))"
        }
        lines.append("\(start) -s h -l help -d 'print this help'")
        // By the place alone one cannot tell an argument from a flag's value.
        for argument in command.arguments {
            let action = action(argument.completion)
            if !action.isEmpty { lines.append(start + action) }
        }
        return lines
    }

    private func action(_ completion: Completion) -> String {
        switch completion {
        case .nothing: ""
        case .files: " -F"
        case .folders: offering("(\(Self.folders))")
        case .words(let words): offering(words.joined(separator: " "))
        case .lines(let line): offering("(\(line) 2>/dev/null)")
        case .foldersAndLines(let line): offering("(\(line) 2>/dev/null; \(Self.folders))")
        }
    }

    private static let folders = "__fish_complete_directories (commandline -ct)"

    private func offering(_ text: String) -> String { " -a \(Self.quoted(text))" }

    private static func quoted(_ text: String) -> String {
        "'" + text.map { "'\\".contains($0) ? "\\\($0)" : "\($0)" }.joined() + "'"
    }

    private static func helpers(_ function: String) -> String {
        """
        function \(function)_is_first
            test (count (commandline -opc)) -eq 1
        end

        function \(function)_follows
            set -l words (commandline -opc)
            test (count $words) -eq 2; and test "$words[2]" = $argv[1]
        end

        function \(function)_is_at
            set -l words (commandline -opc)
            set -l last (math (count $argv) + 1)
            test (count $words) -ge $last; or return 1
            test "$words[2..$last]" = "$argv"; or return 1
            not contains -- -- $words
        end

        """
    }
}
