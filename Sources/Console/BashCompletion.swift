/// Completion for bash. It needs nothing but bash 4.3, not the functions of bash-completion.
struct BashCompletion {
    let program: Program

    private var function: String { program.functionName }

    var script: String {
        """
        # Completion of \(program.name) for bash: source this, or put it into
        # /usr/share/bash-completion/completions/\(program.name).
        # shellcheck shell=bash

        \(specification)
        \(values)
        \(Self.helpers(function))
        \(main)
        complete -F \(function) \(program.name)

        """
    }

    /// Gives the flags of a command, and those of them that take a value.
    private var specification: String {
        var lines = ["\(function)_flags() {", "    case \"$1\" in"]
        for command in program.commands {
            let help = ["--help", "-h"]
            let all = command.flags.flatMap(\.spellings) + help
            let valued = command.flags.filter { $0.value != nil }.flatMap(\.spellings)
            lines += [
                "    \(command.path.joined(separator: " ").inSingleQuotes))",
                "        flags=\(all.joined(separator: " ").inSingleQuotes)",
                "        valued=\((" " + valued.joined(separator: " ") + " ").inSingleQuotes)",
                "        ;;",
            ]
        }
        lines += ["    esac", "}", ""]
        return lines.joined(separator: "\n")
    }

    /// Completes the value of a flag, or an argument by its place.
    private var values: String {
        var lines = ["\(function)_value() {", "    case \"$1 $2\" in"]
        for command in program.commands {
            let path = command.path.joined(separator: " ")
            for flag in command.flags where flag.value != nil {
                guard let action = action(flag.completion) else { continue }
                let patterns = flag.spellings.map { "\(path) \($0)".inSingleQuotes }
                lines.append("    \(patterns.joined(separator: " | "))) \(action) ;;")
            }
            for (place, argument) in command.arguments.enumerated() {
                guard let action = action(argument.completion) else { continue }
                let pattern =
                    argument.isRepeatable
                    ? "\(path) ".inSingleQuotes + "[0-9]*"
                    : "\(path) \(place + 1)".inSingleQuotes
                lines.append("    \(pattern)) \(action) ;;")
            }
        }
        lines += ["    esac", "}", ""]
        return lines.joined(separator: "\n")
    }

    private func action(_ completion: Completion) -> String? {
        switch completion {
        case .nothing: nil
        case .files: "\(function)_paths -f"
        case .folders: "\(function)_paths -d"
        case .words(let words):
            "\(function)_words \(words.joined(separator: " ").inSingleQuotes)"
        case .lines(let line): "\(function)_words \"$(\(line) 2>/dev/null)\""
        case .foldersAndLines(let line):
            "\(function)_paths -d; \(function)_words \"$(\(line) 2>/dev/null)\""
        }
    }

    private static func helpers(_ function: String) -> String {
        """
        \(function)_words() {
            local found
            mapfile -t found < <(compgen -W "$1" -- "$current")
            COMPREPLY+=("${found[@]}")
        }

        \(function)_paths() {
            local found
            compopt -o filenames 2>/dev/null
            mapfile -t found < <(compgen "$1" -- "$current")
            COMPREPLY+=("${found[@]}")
        }

        # bash parts words at colons too: what stands before the last one is not given again.
        \(function)_trim_colons() {
            local prefix="${current%"${current##*:}"}" index
            [[ $current == *:* && $COMP_WORDBREAKS == *:* ]] || return 0
            for index in "${!COMPREPLY[@]}"; do
                COMPREPLY[index]="${COMPREPLY[index]#"$prefix"}"
            done
        }

        """
    }

    private var main: String {
        let firsts = program.firstWords.map(\.word).joined(separator: " ").inSingleQuotes
        let groups = program.groups.map { group in
            let rest = group.commands.compactMap(\.path.last).joined(separator: " ")
            return "        \(group.first)) \(function)_words \(rest.inSingleQuotes); return ;;"
        }
        let helps = program.commands.filter { $0.path.count == 1 }.map { $0.path[0] }
            .joined(separator: " ").inSingleQuotes
        let pairs = program.commands.filter { $0.path.count > 1 }
            .map { $0.path.joined(separator: " ").inSingleQuotes }
        return """
            \(function)() {
                local line="${COMP_LINE:0:COMP_POINT}" words current path depth=1
                local flags='' valued='' index place=0 word
                COMPREPLY=()
                read -ra words <<<"$line"
                [[ $line == *[[:space:]] ]] && words+=('')
                local last=$((${#words[@]} - 1))
                current="${words[last]}"
                if ((last <= 1)); then
                    \(function)_words \(firsts)
                    return
                fi
                path="${words[1]}"
                if ((last == 2)); then
                    case "$path" in
            \(groups.joined(separator: "\n"))
                    help) \(function)_words \(helps); return ;;
                    esac
                fi
                case "$path ${words[2]}" in
                \(pairs.isEmpty ? "''" : pairs.joined(separator: " | ")))
                    path="$path ${words[2]}"
                    depth=2
                    ;;
                esac
                \(function)_flags "$path"
                for ((index = depth + 1; index < last; index++)); do
                    word="${words[index]}"
                    case "$word" in
                    --) return ;;
                    -*=*) ;;
                    -*)
                        if [[ $valued == *" $word "* ]]; then
                            ((++index == last)) || continue
                            \(function)_value "$path" "$word"
                            \(function)_trim_colons
                            return
                        fi
                        ;;
                    *) ((place++)) ;;
                    esac
                done
                case "$current" in
                -*=*)
                    word="${current%%=*}"
                    current="${current#*=}"
                    \(function)_value "$path" "$word"
                    ;;
                -*) \(function)_words "$flags" ;;
                *) \(function)_value "$path" "$((place + 1))" ;;
                esac
                \(function)_trim_colons
            }

            """
    }
}
