internal import AgentAPI
internal import AgentViews
internal import Console
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// The commands about the node: `capacity`, `drain` and `info`.
enum NodeCommands {
    static let declarations = [capacity, drain, info]

    static let capacity = PerformableCommand(
        command: Command(
            "capacity", summary: "say what this node can still take",
            discussion: """
                A sandbox is admitted when what it asks for and its overhead fit into what is \
                allocatable and not reserved. The bars show what is in use, what is reserved \
                beyond that, what is free, and what the operator keeps back.
                """,
            flags: [
                Flag("watch", short: "w", help: "again after each change"), Agent.jsonFlag,
                Agent.socketFlag,
            ], tables: [AgentExitCode.table],
            examples: [
                Example("alcove capacity", "bars for each resource"),
                Example("alcove capacity --watch --json", "a line after each change"),
            ]),
        perform: { parsed in
            let agent = try Agent(parsed)
            let isForPrograms = parsed.isOn("json")
            guard parsed.isOn("watch") else {
                let response = try agent.request(
                    NodeMethods.capacity, CapacityRequest(), to: "tell the capacity")
                let capacity = response.capacity ?? Capacity()
                StandardStream.output.write(
                    isForPrograms
                        ? MessageJSON.document(capacity) : CapacityText.text(capacity, width: width)
                )
                return 0
            }
            let screen = Screen()
            let answers = agent.connection.stream(
                NodeMethods.watchCapacity, WatchCapacityRequest())
            do throws(CallFailure) {
                while let capacity = try answers.next()?.capacity {
                    screen.show(
                        isForPrograms
                            ? MessageJSON.line(capacity)
                            : CapacityText.text(capacity, width: width),
                        isDocument: isForPrograms)
                }
            } catch {
                throw AgentFailure(cannot: "watch the capacity", error)
            }
            return 0
        })

    static let drain = PerformableCommand(
        command: Command(
            "drain", summary: "take no new sandboxes on this node, or take them again",
            discussion: """
                Sandboxes that run go on, until the deadline where one is given: those that still \
                run then are stopped, each with its own grace.
                """,
            flags: [
                Flag(
                    "deadline", value: "DURATION", defaultNote: "never",
                    help: "when sandboxes that still run are stopped, as in 5m"),
                Flag("end", help: "take new sandboxes again"),
                Flag("wait", help: "answer when no sandbox is left"), Agent.jsonFlag,
                Agent.socketFlag,
            ], tables: [AgentExitCode.table],
            examples: [
                Example("alcove drain --deadline 5m --wait", "empty the node"),
                Example("alcove drain --end", "put it into service again"),
            ]),
        perform: drain)

    private static func drain(_ parsed: ParsedCommand) throws -> Int32 {
        let deadline = try parsed.duration("deadline")
        let isEnd = parsed.isOn("end")
        if isEnd, let other = ["deadline", "wait"].first(where: { parsed.isGiven($0) }) {
            throw FlagError(
                "`--end` and `--\(other)` exclude each other", hint: "leave one of them")
        }
        let agent = try Agent(parsed)
        let order: DrainRequest.Order =
            isEnd
            ? .end(.init())
            : .begin(
                .init(deadlineNanoseconds: deadline.map { UInt64(clamping: $0.nanoseconds) }))
        var response = try agent.request(
            NodeMethods.drain, DrainRequest(order: order), to: "drain the node")
        if parsed.isOn("wait") {
            if !parsed.isOn("json"), response.remaining > 0 {
                StandardStream.output.write(NodeText.drain(response))
            }
            try waitUntilEmpty(agent)
            response.remaining = 0
        }
        StandardStream.output.write(
            parsed.isOn("json") ? MessageJSON.document(response) : NodeText.drain(response))
        return 0
    }

    /// Waits until the node is drained.
    private static func waitUntilEmpty(_ agent: Agent) throws(AgentFailure) {
        let answers = agent.connection.stream(NodeMethods.watchCapacity, WatchCapacityRequest())
        do throws(CallFailure) {
            while let capacity = try answers.next()?.capacity {
                let kinds = capacity.conditions.map(\.kind)
                if kinds.contains(.drained) { return }
                guard kinds.contains(.draining) else {
                    throw CallFailure(
                        .aborted, reason: "drain_ended", "somebody ended the drain",
                        hint: "`alcove drain` begins another one")
                }
            }
        } catch {
            throw AgentFailure(cannot: "wait for the node to be drained", error)
        }
    }

    static let info = PerformableCommand(
        command: Command(
            "info", summary: "say what this node and its agent are",
            flags: [Agent.jsonFlag, Agent.socketFlag], tables: [AgentExitCode.table],
            examples: [Example("alcove info", "the node's name, agent, kernel and CPU")]),
        perform: { parsed in
            let info = try Agent(parsed).request(
                NodeMethods.info, InfoRequest(), to: "tell about the node")
            StandardStream.output.write(
                parsed.isOn("json")
                    ? MessageJSON.document(info)
                    : NodeText.info(info, now: WallClock.nanoseconds, width: width))
            return 0
        })

    private static var width: Int { StandardStream.output.textWidth }
}
