internal import Console
internal import LinuxKernel
internal import SandboxModel

/// A command with the function that performs it and gives the exit code.
struct PerformableCommand: Sendable {
    let command: Command
    let perform: @Sendable (ParsedCommand) throws -> Int32
}

/// The `alcove` command: which commands there are, and how what they throw is told.
enum AlcoveProgram {
    private static var commands: [PerformableCommand] {
        [
            RunCommand.declaration, PlanCommand.declaration, PolicyCommand.declaration,
            DoctorCommand.declaration, BenchCommand.declaration, VersionCommand.declaration,
        ]
    }

    /// The commands that the words could mean. Declaring one costs time: `run` starts without the
    /// others.
    private static func commands(for words: [String]) -> [PerformableCommand] {
        words.first == "run" ? [RunCommand.declaration] : commands
    }

    static func run(_ words: [String]) -> Never {
        let commands = commands(for: words)
        let program = Program(
            "alcove", summary: "start sandboxes and look at the host they run on",
            commands: commands.map(\.command))
        let code: Int32
        do {
            switch try program.parse(words, environment: { ProcessEnvironment.value(of: $0) }) {
            case .help(let help):
                let output = StandardStream.output
                output.write(help.text(width: output.textWidth))
                code = 0
            case .perform(let parsed): code = try perform(parsed, commands)
            }
        } catch {
            let refusal = Messages.refusal(error)
            Messages.tell(refusal)
            code = refusal.code.rawValue
        }
        ThisProcess.exit(code)
    }

    private static func perform(
        _ parsed: ParsedCommand, _ commands: [PerformableCommand]
    ) throws -> Int32 {
        guard let match = commands.first(where: { $0.command.path == parsed.command.path }) else {
            preconditionFailure("a parsed command is a declared one")
        }
        return try match.perform(parsed)
    }
}
