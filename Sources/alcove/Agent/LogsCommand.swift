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
        var writer = LogWriter(withTimestamps: parsed.isOn("timestamps"))
        var place = LogPlace()
        // What cannot be found again is not: the last lines are others after a while.
        let isLasting = request.follow && request.tail == nil
        func copy() throws(AgentFailure) {
            let entries = agent.connection.stream(SandboxesMethods.logs, place.request(request))
            do throws(CallFailure) {
                while let entry = try entries.next() {
                    guard place.isNew(entry) else { continue }
                    write(entry, &writer, parsed)
                }
            } catch {
                throw AgentFailure(cannot: "read the logs of `\(id)`", error)
            }
        }
        if isLasting { try agent.lasting(copy) } else { try copy() }
        return 0
    }

    private static func write(
        _ entry: LogEntry, _ writer: inout LogWriter, _ parsed: ParsedCommand
    ) {
        if parsed.isOn("json") {
            StandardStream.output.write(MessageJSON.line(entry))
            return
        }
        if let loss = LogWriter.loss(entry) { Messages.warn(loss) }
        let stream = entry.stream == .stderr ? StandardStream.error : .output
        stream.write(writer.bytes(entry))
    }
}

/// How far logs were read, to go on from there: the time of the last entry, and how many entries
/// of that time came.
struct LogPlace {
    private var time: Int64 = 0
    private var count = 0
    /// Entries of that time which will come again.
    private var repeated = 0

    /// The same request, from here on.
    mutating func request(_ request: LogsRequest) -> LogsRequest {
        guard time > 0 else { return request }
        repeated = count
        var request = request
        request.sinceAtNanoseconds = time
        return request
    }

    /// Whether an entry was not there before.
    mutating func isNew(_ entry: LogEntry) -> Bool {
        if entry.atNanoseconds == time {
            if repeated > 0 {
                repeated -= 1
                return false
            }
            count += 1
        } else {
            (time, count, repeated) = (entry.atNanoseconds, 1, 0)
        }
        return true
    }
}
