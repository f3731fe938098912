internal import AgentAPI
internal import Console
internal import Jail
internal import LinuxKernel
internal import SandboxModel

/// `alcove run`
enum RunCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "run", summary: "run a command in a sandbox, in the foreground",
            discussion: """
                The command's standard streams are those of `alcove`; it gets a terminal of its \
                own when `alcove` has one. SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1 and SIGUSR2 \
                are passed on to it. When it ends, everything that it has left running ends too.
                Where an agent answers at the socket, and there is no standard input to pass on, \
                the agent runs it: IMAGE can be the name of an imported image then, the first \
                SIGHUP, SIGINT, SIGQUIT or SIGTERM asks it to stop, and the second ends it. There \
                is no standard input when that is /dev/null, closed, or an empty pipe whose \
                writer is gone. In all other cases, a terminal among them, and with `--local`, \
                `alcove` starts the sandbox itself. `--agent` insists on the agent, and leaves \
                standard input alone. COMMAND takes the place of an imported image's own and \
                stands behind its entrypoint; it can be left out where the image has one.
                `--isolation auto` is what the agent chooses, and `process` without one. A microVM \
                that `alcove` starts itself has the directory as a disk, which is packed when it \
                is first used and kept in /var/cache/alcove.
                `--json` prints the result after the command's output; `--result` keeps the two \
                apart. Both also tell of a sandbox that was refused before it was started.
                """,
            flags: SandboxFlags.flags + [
                Flag("local", help: "start it from here, whether there is an agent or not"),
                Flag("agent", help: "have the agent start it, without standard input"),
                Agent.socketFlag, SandboxFlags.isolationFlag,
            ] + AgentSpec.imageFlags + AgentSpec.timeFlags + NetworkFlags.flags + [
                Flag("timeline", help: "print when each stage of the start was reached"),
                Flag("json", help: "print the result as JSON, as the last line of the output"),
                Flag(
                    "result", value: "FILE", completes: .files,
                    help: "write the result as JSON to a file"),
            ],
            arguments: [AgentSpec.image], trailing: .optionalCommand, tables: [exitCodes],
            examples: [
                Example(
                    "alcove run build/rootfs/base -- sh -c 'echo hello'", "a shell command"),
                Example(
                    "alcove run --memory 128MiB --pids 64 --read-only IMAGE -- /bin/app",
                    "limited, on a read-only root"),
            ]),
        perform: perform)

    private static let exitCodes = HelpTable(
        "Exit codes",
        rows: [
            .init("0-255", "the command's own, or 128 and the number of the signal that ended it")
        ]
            + (SandboxError.Code.allCases.map { (code: $0.rawValue, meaning: $0.meaning) }
            + AgentExitCode.allCases.map { (code: $0.rawValue, meaning: $0.meaning) }
            + [(code: SandboxOutcome.outOfMemoryCode, meaning: "the memory limit is used up")])
            .sorted { $0.code < $1.code }.map { .init("\($0.code)", $0.meaning) })

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let outcome: SandboxOutcome
        do {
            outcome =
                try agent(parsed).map { try run(parsed, on: $0) } ?? run(parsed)
        } catch {
            do {
                try writeResult(of: error, parsed)
            } catch let other {
                // What was refused is told by the caller, and its code is the exit code.
                Messages.tell(Messages.refusal(other))
            }
            throw error
        }
        try tell(outcome, parsed)
        return outcome.exitCode
    }

    /// The agent, where it is to run the sandbox.
    private static func agent(_ parsed: ParsedCommand) throws -> Agent? {
        let (isLocal, isAgent) = (parsed.isOn("local"), parsed.isOn("agent"))
        if isLocal, isAgent {
            throw FlagError(
                "`--local` and `--agent` exclude each other", hint: "leave one of them")
        }
        if isAgent { return try Agent(parsed) }
        let socket = parsed.string("socket") ?? Agent.standardSocket
        guard !isLocal, Files.exists(socket), StandardStream.input.isOver else { return nil }
        return try? Agent(parsed)
    }

    private static func run(_ parsed: ParsedCommand, on agent: Agent) throws -> SandboxOutcome {
        try AgentRun.run(try AgentSpec.spec(parsed), on: agent) { limits in
            warn(of: limits.compactMap(\.model))
        }
    }

    private static func run(_ parsed: ParsedCommand) throws -> SandboxOutcome {
        // Takes as long as all that happens here before a sandbox needs one. With a user namespace
        // the sandbox makes its own.
        let network = parsed.isGiven("map-user") ? nil : try NetworkMaker()
        let image = try localImage(parsed)
        var spec = try SandboxFlags.spec(parsed, image: image)
        spec.timeout = try parsed.duration("timeout")
        spec.terminal = Terminal.isTerminal(0) && Terminal.isTerminal(1)
        if spec.terminal, !spec.environment.contains(where: { $0.hasPrefix("TERM=") }) {
            spec.environment.append("TERM=" + (ProcessEnvironment.value(of: "TERM") ?? "linux"))
        }
        let sandbox = try LocalSandbox(
            spec, image: image, isolation: try SandboxFlags.localIsolation(parsed),
            network: .begun)
        warn(of: sandbox.limits)
        var outcome = try ForegroundSession.run(
            sandbox.prepared, network: network,
            grace: try parsed.duration("stop-grace") ?? .seconds(2),
            withTimeline: ["timeline", "json"].contains { parsed.isOn($0) }
                || parsed.isGiven("result"))
        outcome.limits = sandbox.limits
        sandbox.host.removeAbandoned()
        return outcome
    }

    /// The directory tree, where no agent starts the sandbox.
    private static func localImage(_ parsed: ParsedCommand) throws -> ImageTree {
        for flag in ["layer", "entrypoint"] where parsed.isGiven(flag) {
            throw FlagError(
                "`--\(flag)` is for images that the agent has", hint: "give `--agent` too")
        }
        guard parsed.string("scratch-on") != SandboxSpec.ScratchPlace.disk.rawValue else {
            throw FlagError(
                "`--scratch-on disk` is for sandboxes of the agent", hint: "give `--agent` too")
        }
        guard !parsed.trailing.isEmpty else {
            throw FlagError(
                "the command is missing",
                hint: "a directory tree names none; an imported image may, with `--agent`")
        }
        let path = parsed.argument("IMAGE") ?? ""
        do throws(SandboxError) {
            return try ImageTree.open(path)
        } catch {
            // What is no directory here may be a name that the agent knows.
            guard error.code == .imageMissing, AgentSpec.image(path) == path,
                !path.hasPrefix("/")
            else { throw error }
            throw SandboxError(
                error.code, error.message,
                hint: "give the path of a directory tree; an imported image is run by the agent,"
                    + " with `--agent`")
        }
    }

    private static func warn(of limits: [SandboxModel.LimitStatus]) {
        for limit in limits {
            guard let reason = limit.reason else { continue }
            Messages.write(
                "alcove: warning: the \(limit.kind.rawValue) limit of \(limit.request) does not"
                    + " hold: \(reason)")
        }
    }

    private static func tell(_ outcome: SandboxOutcome, _ parsed: ParsedCommand) throws {
        if let message = outcome.complaint {
            Messages.write("alcove: \(message)")
        }
        if parsed.isOn("timeline") {
            let moments = outcome.timeline.map { (label: $0.what, nanoseconds: $0.nanoseconds) }
            let stream = StandardStream.error
            stream.write(TimelineText.render(moments, width: stream.textWidth))
            for limit in outcome.limits {
                Messages.write(
                    "limit \(limit.kind.rawValue) \(limit.request): "
                        + (limit.reason.map { "does not hold, \($0)" } ?? "holds"))
            }
        }
        try writeResult(outcome, parsed)
    }

    /// The result of what was refused before anything was started.
    private static func writeResult(of error: any Error, _ parsed: ParsedCommand) throws {
        guard let failure = error as? AgentFailure else {
            return try writeResult(SandboxOutcome(refused: Messages.refusal(error)), parsed)
        }
        try writeResult(failure.refusal, parsed)
    }

    /// The result for a program, where it was asked for.
    private static func writeResult(_ outcome: SandboxOutcome, _ parsed: ParsedCommand) throws {
        guard parsed.isOn("json") || parsed.isGiven("result") else { return }
        try writeResult(outcome.json, parsed)
    }

    private static func writeResult(_ result: JSONValue, _ parsed: ParsedCommand) throws {
        guard parsed.isOn("json") || parsed.isGiven("result") else { return }
        let line = JSONWriter.text(result) + "\n"
        if parsed.isOn("json") { StandardStream.output.write(line) }
        if let path = parsed.string("result") {
            let file = try Files.open(path, [.writeOnly, .create, .truncate])
            try file.writeAll(Array(line.utf8))
        }
    }
}
