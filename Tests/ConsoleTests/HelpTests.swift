import Testing

@testable import Console

@Suite struct HelpTests {
    static let command = Command(
        "run", summary: "Runs a command in a new sandbox",
        discussion: "The command sees only the image.\nIts exit code is kept.",
        flags: [
            Flag(
                "memory", short: "m", value: "SIZE", default: "128MiB",
                help: "the most memory that the sandbox can use before it is killed"),
            Flag("env", value: "K=V", repeatable: true, help: "a variable, as <name>|value"),
            Flag("socket", value: "PATH", defaultNote: "none", environment: "S", help: "the agent"),
        ], arguments: [Argument("IMAGE", help: "the image's directory")], trailing: .command,
        tables: [HelpTable("Exit codes", rows: [.init("64", "a flag | an argument is not known")])],
        examples: [Example("alcove run ./image -- /bin/sh", "A shell")])

    @Test("The help has usage, columns that are wrapped, and examples")
    func help() {
        #expect(
            Self.command.help(width: 60) == """
                Usage: alcove run [flags] IMAGE -- COMMAND…

                Runs a command in a new sandbox

                The command sees only the image.

                Its exit code is kept.

                Arguments:
                  IMAGE              the image's directory

                Flags:
                  -m, --memory SIZE  the most memory that the sandbox can
                                     use before it is killed (default:
                                     128MiB)
                      --env K=V      a variable, as <name>|value (may be
                                     repeated)
                      --socket PATH  the agent (default: none; or S)
                  -h, --help         print this help

                Exit codes:
                  64  a flag | an argument is not known

                Examples:
                  # A shell
                  alcove run ./image -- /bin/sh

                """)
    }

    @Test("No line of columns is longer than the width", arguments: [40, 50, 72, 80, 200])
    func widths(width: Int) {
        let lines = Self.command.help(width: width).split(separator: "\n")
        #expect(lines.filter { $0.hasPrefix("  ") && $0.count > width }.isEmpty)
        #expect(lines.filter { $0.last == " " }.isEmpty)
        let all = CommandParserTests.program.help(width: width).split(separator: "\n")
        #expect(all.filter { $0.hasPrefix("  ") && $0.count > width }.isEmpty)
    }

    @Test("The list of commands is aligned")
    func commands() {
        #expect(
            CommandParserTests.program.help().contains(
                """
                Commands:
                  run               Runs a command in a new sandbox
                  plan              Prints the plan
                  version           Prints the version
                  bench cold-start  Measures starts
                  bench peers       Measures others
                """))
    }

    // swift-format-ignore
    @Test("Markdown has the same in tables, with bars escaped")
    func markdown() {
        #expect(
            Self.command.markdown() == #"""
                ### `alcove run`

                Runs a command in a new sandbox.

                ```
                alcove run [flags] IMAGE -- COMMAND…
                ```

                The command sees only the image.

                Its exit code is kept.

                | Argument | Meaning |
                |---|---|
                | `IMAGE` | the image's directory |

                | Flag | Meaning | Default |
                |---|---|---|
                | `-m`, `--memory SIZE` | the most memory that the sandbox can use \#
                before it is killed | `128MiB` |
                | `--env K=V` | a variable, as \<name>\|value; may be repeated |  |
                | `--socket PATH` | the agent; or `S` | none |

                Exit codes:

                |  | Meaning |
                |---|---|
                | `64` | a flag \| an argument is not known |

                A shell:

                ```
                alcove run ./image -- /bin/sh
                ```

                """#)
        #expect(
            CommandParserTests.program.markdown().hasPrefix("| Command | What it does |\n|---|"))
    }
}
