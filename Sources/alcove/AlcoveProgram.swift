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
    /// Every command, and the first word of its path. Declaring one costs time: only those that
    /// the words could mean are declared.
    private static var declarations: [(word: String, commands: () -> [PerformableCommand])] {
        [
            ("run", { [RunCommand.declaration] }),
            ("create", { [CreateCommand.declaration] }),
            ("start", { [LifecycleCommands.start] }),
            ("stop", { [LifecycleCommands.stop] }),
            ("rm", { [LifecycleCommands.remove] }),
            ("ps", { [PsCommand.declaration] }),
            ("exec", { [ExecCommand.declaration] }),
            ("logs", { [LogsCommand.declaration] }),
            ("stats", { [StatsCommand.declaration] }),
            ("events", { [EventsCommand.declaration] }),
            ("wait", { [LifecycleCommands.wait] }),
            ("pause", { [LifecycleCommands.pause] }),
            ("resume", { [LifecycleCommands.resume] }),
            ("update", { [UpdateCommand.declaration] }),
            ("top", { [TopCommand.declaration] }),
            ("capacity", { [NodeCommands.capacity] }),
            ("drain", { [NodeCommands.drain] }),
            ("info", { [NodeCommands.info] }),
            ("image", { ImageCommands.declarations }),
            ("network", { NetworkCommands.declarations }),
            ("port-forward", { [PortForwardCommand.declaration] }),
            ("proxy", { ProxyCommands.declarations }),
            ("plan", { [PlanCommand.declaration] }),
            ("policy", { [PolicyCommand.declaration] }),
            ("doctor", { [DoctorCommand.declaration] }),
            ("bench", { [BenchCommand.declaration, AgentBenchCommand.declaration] }),
            ("simulate", { SimulateCommand.declarations }),
            ("completion", { [CompletionCommand.declaration] }),
            ("version", { [VersionCommand.declaration] }),
        ]
    }

    private static func commands(for words: [String]) -> [PerformableCommand] {
        let declarations = declarations
        let match = declarations.first { $0.word == words.first }
        return match?.commands() ?? declarations.flatMap { $0.commands() }
    }

    private static func program(of commands: [PerformableCommand]) -> Program {
        Program(
            "alcove",
            summary: "start sandboxes, drive those of this node's agent, and look at the host",
            commands: commands.map(\.command))
    }

    /// The program with every command.
    static var whole: Program { program(of: commands(for: [])) }

    static func run(_ words: [String]) -> Never {
        let commands = commands(for: words)
        let program = program(of: commands)
        let code: Int32
        do {
            switch try program.parse(words, environment: { ProcessEnvironment.value(of: $0) }) {
            case .help(let help):
                let output = StandardStream.output
                output.write(help.text(width: output.textWidth))
                code = 0
            case .perform(let parsed): code = try perform(parsed, commands)
            }
        } catch let failure as AgentFailure {
            Messages.tell(failure)
            code = failure.code
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
