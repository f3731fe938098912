internal import AgentAPI
internal import AgentViews
internal import Console
internal import LinuxKernel
internal import ProtocolBuffers
internal import SandboxModel

/// The commands that change sandboxes by their ids: `start`, `stop`, `rm`, `pause`, `resume` and
/// `wait`. Each id is an attempt of its own.
enum LifecycleCommands {
    static let declarations = [start, stop, remove, pause, resume, wait]

    private static let discussion = """
        Each id is tried, whatever became of the others: a line on standard error tells of each \
        failure, and the exit code is the highest of theirs.
        """

    static let runningIDs = Argument(
        "ID", repeatable: true, completes: .lines(of: "alcove ps --quiet"),
        help: "the sandboxes")
    private static let allIDs = Argument(
        "ID", repeatable: true, completes: .lines(of: "alcove ps --all --quiet"),
        help: "the sandboxes")

    private static let json = Flag("json", help: "print a line of JSON for each")

    static let start = PerformableCommand(
        command: Command(
            "start", summary: "start sandboxes that were created", discussion: discussion,
            flags: [json, Agent.socketFlag], arguments: [allIDs],
            tables: [AgentExitCode.startTable],
            examples: [Example("alcove start web", "start one")]),
        perform: { parsed in
            try Agent(parsed).forEach(
                parsed.arguments("ID"), "start", SandboxesMethods.start,
                request: { StartRequest(id: $0) }, then: teller(parsed))
        })

    static let stop = PerformableCommand(
        command: Command(
            "stop", summary: "ask sandboxes to stop, and end them when their grace is over",
            discussion: discussion,
            flags: [
                Flag(
                    "grace", short: "g", value: "DURATION",
                    defaultNote: "that of the sandbox",
                    help: "time between the signal and the end, as in 10s; 0s ends it at once"),
                Flag(
                    "signal", value: "SIGNAL", default: "TERM", completes: .words(SignalName.all),
                    help: "the signal that asks: a name or a number"),
                json, Agent.socketFlag,
            ],
            arguments: [runningIDs], tables: [AgentExitCode.table],
            examples: [Example("alcove stop --grace 10s web db", "stop two")]),
        perform: { parsed in
            let grace = try parsed.duration("grace").map { UInt64(clamping: $0.nanoseconds) }
            let signal = try SignalName.read(parsed)
            return try Agent(parsed).forEach(
                parsed.arguments("ID"), "stop", SandboxesMethods.stop,
                request: { StopRequest(id: $0, graceNanoseconds: grace, signal: signal) },
                then: teller(parsed))
        })

    static let remove = PerformableCommand(
        command: Command(
            "rm", summary: "remove sandboxes and all that is kept of them",
            discussion: discussion,
            flags: [
                Flag("force", short: "f", help: "also those that run: they are killed"),
                json, Agent.socketFlag,
            ],
            arguments: [allIDs], tables: [AgentExitCode.table],
            examples: [Example("alcove rm --force web", "remove one, whatever it does")]),
        perform: { parsed in
            let force = parsed.isOn("force")
            return try Agent(parsed).forEach(
                parsed.arguments("ID"), "remove", SandboxesMethods.delete,
                request: { DeleteRequest(id: $0, force: force) }, then: teller(parsed))
        })

    static let pause = PerformableCommand(
        command: Command(
            "pause", summary: "freeze every process of sandboxes", discussion: discussion,
            flags: [json, Agent.socketFlag], arguments: [runningIDs],
            tables: [AgentExitCode.table], examples: [Example("alcove pause web", "freeze one")]),
        perform: { parsed in
            try Agent(parsed).forEach(
                parsed.arguments("ID"), "pause", SandboxesMethods.pause,
                request: { PauseRequest(id: $0) }, then: teller(parsed))
        })

    static let resume = PerformableCommand(
        command: Command(
            "resume", summary: "let paused sandboxes run again", discussion: discussion,
            flags: [json, Agent.socketFlag], arguments: [runningIDs],
            tables: [AgentExitCode.table], examples: [Example("alcove resume web", "thaw one")]),
        perform: { parsed in
            try Agent(parsed).forEach(
                parsed.arguments("ID"), "resume", SandboxesMethods.resume,
                request: { ResumeRequest(id: $0) }, then: teller(parsed))
        })

    static let wait = PerformableCommand(
        command: Command(
            "wait", summary: "wait until sandboxes have ended, and exit as they did",
            discussion: """
                Says how each ended. The exit code is that of the command, as `alcove run` gives \
                it; of several the highest.
                """,
            flags: [json, Agent.socketFlag], arguments: [allIDs], tables: [AgentExitCode.table],
            examples: [Example("alcove wait web", "wait for one")]),
        perform: wait)

    private static func wait(_ parsed: ParsedCommand) throws -> Int32 {
        let agent = try Agent(parsed)
        var worst: Int32 = 0
        for id in parsed.arguments("ID") {
            do throws(AgentFailure) {
                let response = try agent.lasting { () throws(AgentFailure) in
                    try agent.request(
                        SandboxesMethods.wait, WaitRequest(id: id), to: "wait for `\(id)`")
                }
                let outcome = response.sandbox?.outcome ?? Outcome()
                StandardStream.output.write(
                    parsed.isOn("json")
                        ? MessageJSON.line(response)
                        : PlainText.line("\(id)  \(SandboxText.ending(outcome))") + "\n")
                worst = max(worst, outcome.exitCode)
            } catch {
                Messages.tell(error)
                worst = max(worst, error.code)
            }
        }
        return worst
    }

    /// Prints the id, or the whole answer.
    private static func teller<Response: Message>(
        _ parsed: ParsedCommand
    ) -> (String, Response) -> Int32 {
        { id, response in
            StandardStream.output.write(
                parsed.isOn("json") ? MessageJSON.line(response) : PlainText.line(id) + "\n")
            return 0
        }
    }
}

/// Signals by the names that people type.
enum SignalName {
    /// Those that there are on Linux, in the order of their numbers from 1.
    static let all = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
        "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
        "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ]

    /// The number of `TERM`, `SIGTERM`, `term` or `15`.
    static func number(_ text: String) -> Int32? {
        if let number = Int32(text) { return (1...64).contains(number) ? number : nil }
        let name = text.uppercased()
        let short = name.hasPrefix("SIG") ? String(name.dropFirst(3)) : name
        return all.firstIndex(of: short).map { Int32($0 + 1) }
    }

    /// What `--signal` names; nothing where it is not given.
    static func read(_ parsed: ParsedCommand) throws(FlagError) -> Int32? {
        guard parsed.isGiven("signal"), let text = parsed.string("signal") else { return nil }
        guard let number = number(text) else {
            throw parsed.refuse(
                "signal", "`\(PlainText.escaped(text.prefix(40)))` is no signal",
                hint: "write a name, as in TERM, or a number from 1 to 64")
        }
        return number
    }
}
