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
                `--json` prints the result after the command's output; `--result` keeps the two \
                apart. Both also tell of a sandbox that was refused before it was started.
                """,
            flags: SandboxFlags.flags + [
                Flag(
                    "timeout", value: "DURATION", help: "stop it after this time, as in 30s or 1.5m"
                ),
                Flag(
                    "stop-grace", value: "DURATION", default: "2s",
                    help: "time between SIGTERM, which asks it to stop, and its end, as in 500ms"),
                Flag("timeline", help: "print when each stage of the start was reached"),
                Flag("json", help: "print the result as JSON, as the last line of the output"),
                Flag("result", value: "FILE", help: "write the result as JSON to a file"),
            ],
            arguments: [SandboxFlags.image], trailing: .command, tables: [exitCodes],
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
            + SandboxError.Code.allCases.map { .init("\($0.rawValue)", $0.meaning) }
            + [.init("\(SandboxOutcome.outOfMemoryCode)", "the memory limit is used up")])

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let outcome: SandboxOutcome
        do {
            outcome = try run(parsed)
        } catch {
            do {
                try writeResult(SandboxOutcome(refused: Messages.refusal(error)), parsed)
            } catch let other {
                // What was refused is told by the caller, and its code is the exit code.
                Messages.tell(Messages.refusal(other))
            }
            throw error
        }
        try tell(outcome, parsed)
        return outcome.exitCode
    }

    private static func run(_ parsed: ParsedCommand) throws -> SandboxOutcome {
        // Takes as long as all that happens here before a sandbox needs one. With a user namespace
        // the sandbox makes its own.
        let network = parsed.isGiven("map-user") ? nil : try NetworkMaker()
        let image = try ImageTree.open(parsed.argument("IMAGE") ?? "")
        var spec = try SandboxFlags.spec(parsed, image: image)
        spec.timeout = try parsed.duration("timeout")
        spec.terminal = Terminal.isTerminal(0) && Terminal.isTerminal(1)
        if spec.terminal, !spec.environment.contains(where: { $0.hasPrefix("TERM=") }) {
            spec.environment.append("TERM=" + (ProcessEnvironment.value(of: "TERM") ?? "linux"))
        }
        let host = try SandboxHost(
            initProgram: SandboxFlags.initProgram(), limits: Set(spec.limits.kinds),
            isDedicated: true)
        let prepared = try PreparedSandbox(
            spec, image: image, on: host, network: spec.canJoinNetwork ? .begun : .new)
        warn(of: prepared.limits)
        let outcome = try ForegroundSession.run(
            prepared, network: network, grace: try parsed.duration("stop-grace") ?? .seconds(2),
            withTimeline: ["timeline", "json"].contains { parsed.isOn($0) }
                || parsed.isGiven("result"))
        host.removeAbandoned()
        return outcome
    }

    private static func warn(of limits: [LimitStatus]) {
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

    /// The result for a program, where it was asked for.
    private static func writeResult(_ outcome: SandboxOutcome, _ parsed: ParsedCommand) throws {
        guard parsed.isOn("json") || parsed.isGiven("result") else { return }
        let line = JSONWriter.text(outcome.json) + "\n"
        if parsed.isOn("json") { StandardStream.output.write(line) }
        if let path = parsed.string("result") {
            let file = try Files.open(path, [.writeOnly, .create, .truncate])
            try file.writeAll(Array(line.utf8))
        }
    }
}
