internal import AgentAPI
internal import AgentViews
internal import Console
internal import LinuxKernel
internal import RPC

/// `alcove events`
enum EventsCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "events", summary: "print what happened on this node",
            discussion: """
                Without `--follow`, all that is kept, or from the number of `--from` on. With \
                `--follow`, what happens from now on, after that from the number on. Numbers rise \
                by one, over restarts of the agent too.
                """,
            flags: [
                Flag("from", value: "NUMBER", help: "the first event, by its number"),
                Flag("follow", short: "f", help: "go on with what happens"),
                Flag("json", help: "print a line of JSON for each event"), Agent.socketFlag,
            ],
            arguments: [
                Argument(
                    "ID", required: false, repeatable: true,
                    completes: .lines(of: "alcove ps --all --quiet"),
                    help: "events of these sandboxes alone")
            ], tables: [AgentExitCode.table],
            examples: [
                Example("alcove events --follow", "what happens from now on"),
                Example("alcove events --from 120 --json", "what happened since, for a program"),
            ]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let from = try parsed.integer("from", in: 1...Int.max).map { UInt64($0) }
        let agent = try Agent(parsed)
        var request = WatchRequest(sandboxIDs: parsed.arguments("ID"))
        if parsed.isOn("follow") {
            request.fromNumber = from ?? 0
            try agent.lasting { () throws(AgentFailure) in
                try watch(agent, &request, upTo: nil, parsed)
            }
            return 0
        }
        let last = try agent.request(
            SandboxesMethods.list, ListRequest(pageSize: 1), to: "list the events"
        ).eventNumber
        guard last > 0, from ?? 1 <= last else { return 0 }
        request.fromNumber = try from ?? oldest(agent, last: last)
        // The least there is: a heartbeat ends it when no event of these sandboxes does.
        request.heartbeatNanoseconds = 100_000_000
        try watch(agent, &request, upTo: last, parsed)
        return 0
    }

    /// Prints events until one of a number, which may only be told by a heartbeat. The request is
    /// then one for what comes behind the last one that was told.
    private static func watch(
        _ agent: Agent, _ request: inout WatchRequest, upTo last: UInt64?, _ parsed: ParsedCommand
    ) throws(AgentFailure) {
        let events = agent.connection.stream(SandboxesMethods.watch, request)
        do throws(CallFailure) {
            while let event = try events.next() {
                // Where to go on after the agent went away.
                request.fromNumber = event.number + 1
                if case .heartbeat = event.kind {
                    if let last, event.number >= last { return }
                    continue
                }
                if let last, event.number > last { return }
                StandardStream.output.write(
                    parsed.isOn("json") ? MessageJSON.line(event) : EventText.line(event))
                if event.number == last { return }
            }
        } catch {
            throw AgentFailure(cannot: "watch the events", error)
        }
    }

    /// The number of the oldest event that is kept. The agent refuses those before it, so that it
    /// is found by halving.
    private static func oldest(_ agent: Agent, last: UInt64) throws(AgentFailure) -> UInt64 {
        var (low, high): (UInt64, UInt64) = (1, last)
        while low < high {
            let middle = low + (high - low) / 2
            if try isKept(agent, low) { return low }
            if try isKept(agent, middle) { high = middle } else { low = middle + 1 }
        }
        return low
    }

    private static func isKept(_ agent: Agent, _ number: UInt64) throws(AgentFailure) -> Bool {
        let events = agent.connection.stream(
            SandboxesMethods.watch,
            WatchRequest(fromNumber: number, heartbeatNanoseconds: 100_000_000))
        do throws(CallFailure) {
            return try events.next() != nil
        } catch {
            guard error.code == .outOfRange else {
                throw AgentFailure(cannot: "watch the events", error)
            }
            return false
        }
    }
}
