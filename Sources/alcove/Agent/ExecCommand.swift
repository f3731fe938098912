internal import AgentAPI
internal import Console
internal import LinuxKernel
internal import SandboxModel

/// `alcove exec`
enum ExecCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "exec", summary: "run a further command in a running sandbox",
            discussion: """
                Its standard output and standard error are those of `alcove`, its exit code too. \
                SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1 and SIGUSR2 are passed on to it; the \
                third SIGINT or SIGTERM gives it up. When `alcove` is gone, the command is killed.
                With `--terminal` it has a terminal of its own, of the size of yours, and every \
                key is its own. The command is killed when the reader of its output goes away.
                """,
            flags: [
                Flag(
                    "interactive", short: "i",
                    help: "pass standard input on; without it the command has none"),
                Flag("terminal", short: "t", help: "give the command a terminal"),
                Flag(
                    "env", short: "e", value: "NAME=VALUE", repeatable: true,
                    help: "set a variable, beside those of the sandbox"),
                Flag(
                    "workdir", short: "w", value: "PATH", defaultNote: "that of the sandbox",
                    help: "where the command starts"),
                Flag(
                    "user", short: "u", value: "USER[:GROUP]", defaultNote: "that of the sandbox",
                    help: "who the command runs as: numbers, or a name of the image"),
                Agent.socketFlag,
            ],
            arguments: [
                Argument("ID", completes: .lines(of: "alcove ps --quiet"), help: "the sandbox")
            ], trailing: .command, tables: [AgentExitCode.startTable],
            examples: [
                Example("alcove exec -it web -- sh", "a shell"),
                Example("alcove exec -i web -- tar -x <files.tar", "pass a file on"),
            ]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let id = parsed.argument("ID") ?? ""
        var start = ExecRequest.Start(
            sandboxID: id, command: parsed.trailing,
            environment: try parsed.pairs("env").map { "\($0.key)=\($0.value)" },
            workingDirectory: parsed.string("workdir") ?? "", user: parsed.string("user") ?? "")
        if parsed.isOn("terminal") {
            start.terminal = ExecSession.terminalSize ?? TerminalSize(columns: 80, rows: 24)
            if !start.environment.contains(where: { $0.hasPrefix("TERM=") }) {
                start.environment.append(
                    "TERM=" + (ProcessEnvironment.value(of: "TERM") ?? "linux"))
            }
        }
        let session = try ExecSession(
            try Agent(parsed), start, withInput: parsed.isOn("interactive"))
        return try session.run()
    }
}
