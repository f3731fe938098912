internal import AgentAPI
internal import AgentViews
internal import Console
internal import LinuxKernel
internal import SandboxModel

/// `alcove logs`
enum LogsCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "logs", summary: "print what a sandbox wrote",
            discussion: """
                Standard output and standard error of the sandbox come out on those of `alcove`. \
                They are kept until the sandbox is removed, in files of bounded size: of what is \
                older than they hold, the number of lost lines is told.
                """,
            flags: [
                Flag("follow", short: "f", help: "go on until the sandbox has ended"),
                Flag("tail", short: "n", value: "LINES", help: "the last lines alone"),
                Flag(
                    "since", value: "TIME",
                    help: "from then on: a time ago, as in 10m, or 2026-01-31T12:00:00Z"),
                Flag("timestamps", short: "t", help: "begin each line with its time, in UTC"),
                Flag("stdout", help: "standard output alone"),
                Flag("stderr", help: "standard error alone"),
                Flag("json", help: "print a line of JSON for each line"), Agent.socketFlag,
            ],
            arguments: [
                Argument(
                    "ID", completes: .lines(of: "alcove ps --all --quiet"), help: "the sandbox")
            ], tables: [AgentExitCode.table],
            examples: [Example("alcove logs -f --tail 20 web", "the last lines, and what comes")]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let id = parsed.argument("ID") ?? ""
        var request = LogsRequest(id: id, follow: parsed.isOn("follow"))
        request.tail = try parsed.integer("tail", in: 0...Int(Int32.max)).map { UInt64($0) }
        if let since = parsed.string("since") {
            do throws(FlagError) {
                request.sinceAtNanoseconds = try TimeText.point(since, now: WallClock.nanoseconds)
            } catch {
                throw parsed.refuse("since", error.message, hint: error.hint)
            }
        }
        if parsed.isOn("stdout") { request.streams.append(.stdout) }
        if parsed.isOn("stderr") { request.streams.append(.stderr) }
        let agent = try Agent(parsed)
        let entries = agent.connection.stream(SandboxesMethods.logs, request)
        var writer = LogWriter(withTimestamps: parsed.isOn("timestamps"))
        do throws(CallFailure) {
            while let entry = try entries.next() {
                if parsed.isOn("json") {
                    StandardStream.output.write(MessageJSON.line(entry))
                    continue
                }
                if let loss = LogWriter.loss(entry) { Messages.warn(loss) }
                let stream = entry.stream == .stderr ? StandardStream.error : .output
                stream.write(writer.bytes(entry))
            }
        } catch {
            throw AgentFailure(cannot: "read the logs of `\(id)`", error)
        }
        return 0
    }
}
