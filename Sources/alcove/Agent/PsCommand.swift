internal import AgentAPI
internal import AgentViews
internal import Console
internal import LinuxKernel
internal import RPC

/// `alcove ps`
enum PsCommand {
    private static let states = SandboxState.known.map(\.label).joined(separator: ", ")

    static let declaration = PerformableCommand(
        command: Command(
            "ps", summary: "list the sandboxes of this node",
            discussion: """
                Without `--all` and `--state` those that are over are left out. A limit in \
                parentheses does not hold on this node.
                """,
            flags: [
                Flag("all", short: "a", help: "stopped and failed ones too"),
                Flag(
                    "state", value: "STATE", repeatable: true,
                    completes: .words(SandboxState.known.map(\.label)),
                    help: "those in this state: " + states),
                Flag("quiet", short: "q", help: "print ids alone"),
                Flag("watch", short: "w", help: "print them again after each change"),
                Agent.jsonFlag, Agent.socketFlag,
            ],
            arguments: [
                Argument(
                    "ID", required: false, repeatable: true,
                    completes: .lines(of: "alcove ps --all --quiet"), help: "these alone")
            ], tables: [AgentExitCode.table],
            examples: [
                Example("alcove ps --all", "all of them"),
                Example("alcove ps --watch --json", "for a program, a line after each change"),
            ]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let states = try states(parsed)
        let agent = try Agent(parsed)
        if !parsed.isOn("watch") {
            let (list, code) = try self.list(agent, parsed, states)
            StandardStream.output.write(text(list, parsed, style: .document))
            return code
        }
        let screen = Screen()
        while true {
            let (list, _) = try self.list(agent, parsed, states)
            screen.show(text(list, parsed, style: .line), isDocument: parsed.isOn("json"))
            try waitForChange(agent, after: list.eventNumber)
        }
    }

    private static func states(_ parsed: ParsedCommand) throws -> [SandboxState] {
        let names = parsed.strings("state")
        let known = SandboxState.known
        if names.isEmpty {
            let all = parsed.isOn("all") || !parsed.arguments("ID").isEmpty
            return all ? [] : known.filter { !$0.isOver }
        }
        return try names.map { name throws(FlagError) in
            guard let state = known.first(where: { $0.label == name }) else {
                throw parsed.refuse(
                    "state", "`\(PlainText.escaped(name.prefix(40)))` is no state",
                    hint: "one of \(known.map(\.label).joined(separator: ", "))")
            }
            return state
        }
    }

    /// All pages as one answer, and the exit code: ids that are not there are told.
    private static func list(
        _ agent: Agent, _ parsed: ParsedCommand, _ states: [SandboxState]
    ) throws -> (ListResponse, Int32) {
        let ids = parsed.arguments("ID")
        guard ids.isEmpty else {
            let first = try agent.request(
                SandboxesMethods.list, ListRequest(pageSize: 1), to: "list the sandboxes")
            var list = ListResponse(eventNumber: first.eventNumber)
            let code = agent.forEach(
                ids, "show", SandboxesMethods.get, request: { GetRequest(id: $0) }
            ) { _, response in
                if let sandbox = response.sandbox,
                    states.isEmpty || states.contains(sandbox.state)
                {
                    list.sandboxes.append(sandbox)
                }
                return 0
            }
            return (list, code)
        }
        return (try agent.allSandboxes(states), 0)
    }

    private enum Style {
        case document, line
    }

    private static func text(
        _ list: ListResponse, _ parsed: ParsedCommand, style: Style
    ) -> String {
        if parsed.isOn("json") {
            return style == .document ? MessageJSON.document(list) : MessageJSON.line(list)
        }
        if parsed.isOn("quiet") {
            return list.sandboxes.map { PlainText.line($0.id) + "\n" }.joined()
        }
        return SandboxText.table(
            list.sandboxes, now: WallClock.nanoseconds, width: StandardStream.output.tableWidth)
    }

    /// Waits for the next event, and a little longer for those that follow at once.
    private static func waitForChange(_ agent: Agent, after number: UInt64) throws {
        let events = agent.connection.connection.open(
            SandboxesMethods.watch,
            WatchRequest(fromNumber: number + 1, heartbeatNanoseconds: 60_000_000_000))
        var isChanged = false
        var timer: ScheduledAction?
        var failure: CallFailure?
        var isOver = false
        events.onMessage { event in
            if case .heartbeat = event.kind { return }
            guard timer == nil else { return }
            timer = agent.loop.schedule(after: .milliseconds(100)) { isChanged = true }
        }
        events.onEnd {
            failure = $0
            isOver = true
        }
        agent.connection.run { isChanged || isOver }
        events.cancel()
        if isChanged { return }
        if let timer { agent.loop.cancel(timer) }
        // More has happened than is kept: that is a change too.
        if let failure, failure.code != .outOfRange {
            throw AgentFailure(cannot: "watch the sandboxes", failure)
        }
    }
}

extension Agent {
    /// All sandboxes in these states, or in any where none is given.
    func allSandboxes(_ states: [SandboxState]) throws(AgentFailure) -> ListResponse {
        var list = ListResponse()
        while true {
            let page = try request(
                SandboxesMethods.list,
                ListRequest(states: states, afterID: list.sandboxes.last?.id ?? ""),
                to: "list the sandboxes")
            // What happens between two pages must not be missed by who watches from there.
            if list.sandboxes.isEmpty { list.eventNumber = page.eventNumber }
            list.sandboxes += page.sandboxes
            guard page.more, !page.sandboxes.isEmpty else { return list }
        }
    }
}
