/// Completion for zsh, by its own `_arguments`.
struct ZshCompletion {
    let program: Program

    private var function: String { program.functionName }

    var script: String {
        """
        #compdef \(program.name)
        # Completion of \(program.name) for zsh: put this as \(function) into a folder of $fpath.

        \(lists)\(main)
        if [[ "${funcstack[1]}" == "\(function)" ]]; then
            \(function) "$@"
        elif (( $+functions[compdef] )); then
            compdef \(function) \(program.name)
        fi

        """
    }

    /// A function for each list of words with their meanings.
    private var lists: String {
        let groups = program.groups.map { group in
            list(group.first, group.commands.map { ($0.path.last ?? "", $0.summary) })
        }
        return list("", program.firstWords) + groups.joined()
    }

    private func list(_ name: String, _ words: [(String, String)]) -> String {
        let entries = words.map { "        " + Self.described($0, $1).inSingleQuotes }
        return """
            \(function)_words_\(name)() {
                local -a words_here=(
            \(entries.joined(separator: "\n"))
                )
                _describe -t commands 'command' words_here
            }


            """
    }

    private static func described(_ word: String, _ meaning: String) -> String {
        "\(word):\(meaning)"
    }

    private var main: String {
        let groups = program.groups.map { group in
            """
                    \(group.first))
                        if (( CURRENT == 3 )); then
                            \(function)_words_\(group.first)
                            return
                        fi
                        path_here="$words[2] $words[3]"
                        depth=2
                        ;;

            """
        }
        let cases = program.commands.map { command in
            let specs = command.flags.flatMap(Self.specs) + ["'(- *)'{-h,--help}'[print help]'"]
            let places = command.arguments.enumerated().map { Self.spec($1, at: $0 + 1) }
            let all = (specs + places).map { "            \($0)" }
            return """
                    \(command.path.joined(separator: " ").inSingleQuotes))
                        _arguments -S \\
                \(all.joined(separator: " \\\n"))
                        ;;

                """
        }
        return """
            \(function)() {
                local path_here="$words[2]" depth=1 place
                local context state state_descr line
                typeset -A opt_args
                if (( CURRENT == 2 )); then
                    \(function)_words_
                    return
                fi
                for (( place = 3; place < CURRENT; place++ )); do
                    [[ $words[place] == -- ]] && return
                done
                case "$words[2]" in
                help)
                    \(function)_words_
                    return
                    ;;
            \(groups.joined())    esac
                shift $depth words
                (( CURRENT -= depth ))
                case "$path_here" in
            \(cases.joined())    esac
            }


            """
    }

    /// What `_arguments` reads: `'(-e --env)'{-e,--env=}'[set a variable]:NAME=VALUE: '`.
    private static func specs(_ flag: Flag) -> [String] {
        let help = flag.help.filter { $0 != "\n" }.map { "[]\\".contains($0) ? "\\\($0)" : "\($0)" }
            .joined()
        let value = flag.value.map { ":\(escaped($0)):\(action(flag.completion))" } ?? ""
        let meaning = "[\(help)]\(value)".inSingleQuotes
        let long = "--\(flag.name)" + (flag.value == nil ? "" : "=")
        guard let short = flag.short else {
            return [(flag.isRepeatable ? "'*'" : "") + long + meaning]
        }
        let exclusion = flag.isRepeatable ? "'*'" : "'(-\(short) --\(flag.name))'"
        return ["\(exclusion){-\(short),\(long)}\(meaning)"]
    }

    private static func spec(_ argument: Argument, at place: Int) -> String {
        let position = argument.isRepeatable ? "*" : "\(place)"
        return "\(position):\(escaped(argument.name)):\(action(argument.completion))"
            .inSingleQuotes
    }

    private static func action(_ completion: Completion) -> String {
        switch completion {
        case .nothing: " "
        case .files: "_files"
        case .folders: "_files -/"
        case .words(let words): "(\(words.joined(separator: " ")))"
        case .lines(let line): "{compadd -- ${(f)\"$(\(line) 2>/dev/null)\"}}"
        case .foldersAndLines(let line):
            "{compadd -- ${(f)\"$(\(line) 2>/dev/null)\"}; _files -/}"
        }
    }

    private static func escaped(_ text: String) -> String {
        text.map { ":\\".contains($0) ? "\\\($0)" : "\($0)" }.joined()
    }
}
