internal import AgentAPI
internal import AgentViews
internal import Console
internal import LinuxKernel
internal import ProtocolBuffers
internal import RPC

/// `alcove stats`
enum StatsCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "stats", summary: "print what sandboxes use",
            discussion: """
                Without an id, of all that run. CPU is the part of one CPU between two \
                measurements; for people the first two are taken a quarter of a second apart. \
                What the node cannot measure is left out.
                """,
            flags: [
                Flag("watch", short: "w", help: "again and again, until all have ended"),
                Flag(
                    "interval", short: "i", value: "DURATION", default: "1s",
                    help: "time between two measurements with --watch, as in 500ms"),
                Flag("json", help: "print a line of JSON for each sandbox"), Agent.socketFlag,
            ],
            arguments: [
                Argument(
                    "ID", required: false, repeatable: true,
                    completes: .lines(of: "alcove ps --quiet"), help: "the sandboxes")
            ], tables: [AgentExitCode.table],
            examples: [Example("alcove stats --watch web", "one, each second")]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let interval = try parsed.duration("interval", in: .milliseconds(10)...(.seconds(86400)))
        let agent = try Agent(parsed)
        var ids = parsed.arguments("ID")
        if ids.isEmpty {
            let running: [SandboxState] = [.running, .paused, .stopping]
            ids = try agent.allSandboxes(running).sandboxes.map(\.id)
        }
        let isForPrograms = parsed.isOn("json")
        let meter = StatsMeter(agent, ids: ids)
        if parsed.isOn("watch") {
            let screen = Screen()
            try meter.measure(each: interval ?? .seconds(1)) { rows in
                screen.show(text(rows, isForPrograms), isDocument: isForPrograms)
                return true
            }
        } else if isForPrograms {
            try meter.measure(each: nil) { rows in
                StandardStream.output.write(text(rows, true))
                return false
            }
        } else {
            var last: [StatsText.Row] = []
            try meter.measure(each: .milliseconds(250)) { rows in
                last = rows
                return rows.contains { $0.sample.cpus == nil }
            }
            // Of one that cannot be measured there is a line on standard error, and no table here.
            if !last.isEmpty || ids.isEmpty {
                StandardStream.output.write(text(last, false))
            }
        }
        return meter.worstCode
    }

    private static func text(_ rows: [StatsText.Row], _ isForPrograms: Bool) -> String {
        guard isForPrograms else {
            return StatsText.table(rows, width: StandardStream.output.tableWidth)
        }
        return rows.map { row in
            var object = JSONObject()
            object["id"] = JSONValue(row.id)
            if case .object(let rest) = MessageJSON.value(row.sample.stats) {
                for member in rest.members { object[member.key] = member.value }
            }
            return JSONWriter.text(.object(object)) + "\n"
        }.joined()
    }
}

/// Measures several sandboxes at once, by a stream each.
final class StatsMeter {
    private let agent: Agent
    private let ids: [String]
    private var rows: [Int: StatsText.Row] = [:]
    /// Those whose stream goes on.
    private var open: Set<Int> = []
    /// Those that have not answered since the last round.
    private var awaited: Set<Int> = []
    private(set) var worstCode: Int32 = 0

    init(_ agent: Agent, ids: [String]) {
        self.agent = agent
        self.ids = ids
    }

    /// Calls an action whenever every sandbox that still runs was measured, until it gives false
    /// or none is left.
    ///
    /// - Parameter interval: nothing for one measurement.
    func measure(each interval: Duration?, then action: ([StatsText.Row]) -> Bool) throws {
        var calls: [TypedClientCall<StatsRequest, StatsResponse>] = []
        for (place, id) in ids.enumerated() {
            let request = StatsRequest(
                id: id, intervalNanoseconds: interval.map { UInt64(clamping: $0.nanoseconds) })
            let call = agent.connection.connection.open(SandboxesMethods.stats, request)
            open.insert(place)
            awaited.insert(place)
            call.onMessage { self.take($0, at: place, isLast: interval == nil) }
            call.onEnd { self.end(place, $0) }
            calls.append(call)
        }
        defer { for call in calls { call.cancel() } }
        repeat {
            agent.connection.run { awaited.isEmpty }
            let shown = rows.keys.sorted().compactMap { rows[$0] }
            let isLast = open.isEmpty && interval != nil && rows.isEmpty
            if isLast && !ids.isEmpty { return }
            guard action(shown), !open.isEmpty else { return }
            awaited = open
        } while true
    }

    private func take(_ stats: StatsResponse, at place: Int, isLast: Bool) {
        let before = rows[place]?.sample.stats
        rows[place] = StatsText.Row(
            id: ids[place], sample: UsageSample(stats, after: before))
        awaited.remove(place)
    }

    private func end(_ place: Int, _ failure: CallFailure?) {
        open.remove(place)
        awaited.remove(place)
        guard let failure, failure.code != .cancelled else { return }
        rows[place] = nil
        let error = AgentFailure(cannot: "measure `\(ids[place])`", failure)
        Messages.tell(error)
        worstCode = max(worstCode, error.code)
    }
}
