internal import Console
internal import LinuxKernel
internal import SandboxModel
internal import Simulation

/// `alcove simulate fleet`
enum SimulateFleetCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "simulate fleet", summary: "let the load of many simulated nodes double in a second",
            discussion: """
                Each node has one function and a pool of its own. Who spreads the starts knows \
                nothing of the nodes: `random` gives each start to a node by chance, `even` to \
                one after the other. Nothing is started.
                """,
            flags: [
                Flag("nodes", value: "N", default: "10000", help: "how many"),
                Flag("rate", value: "N", default: "4", help: "starts a second on each, before"),
                Flag("factor", value: "N", default: "2", help: "how many times that they become"),
                Flag(
                    "duration", value: "DURATION", default: "500ms",
                    help: "how long one typically runs, as in 500ms"),
                Flag(
                    "makes", value: "N", default: "50",
                    help: "how many a node can begin to make in a second"),
                Flag(
                    "routing", value: "ROUTING", default: "random",
                    completes: .words(Fleet.Routing.allCases.map(\.rawValue)),
                    help: "random or even"),
                Flag("seed", value: "N", default: "1", help: "of the starts"),
            ] + SimulateCommand.costFlags + [Flag("json", help: "print the result as JSON")],
            examples: [
                Example("alcove simulate fleet", "10,000 nodes"),
                Example(
                    "alcove simulate fleet --factor 10 --makes 20",
                    "ten times the load, on nodes that are slow"),
            ]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        var costs = try SimulateCommand.costs(parsed)
        costs.interval = 1_000_000 / (try parsed.integer("makes", in: 1...1_000_000) ?? 50)
        let routings = Fleet.Routing.allCases.map(\.rawValue)
        let routing = try parsed.choice("routing", of: routings)
        let duration = try SimulateCommand.microseconds(parsed, "duration", most: .seconds(60))
        guard duration > 0 else { throw parsed.refuse("duration", "is no time") }
        let fleet = Fleet(
            nodes: try parsed.integer("nodes", in: 1...100_000) ?? 10_000,
            rate: Double(try parsed.integer("rate", in: 1...1000) ?? 4),
            factor: Double(try parsed.integer("factor", in: 1...1000) ?? 2),
            durationSeconds: Double(duration) / 1e6,
            routing: routing.flatMap(Fleet.Routing.init) ?? .random,
            seed: UInt64(try parsed.integer("seed", in: 0...Int.max) ?? 1))
        guard Double(fleet.nodes) * fleet.rate * fleet.factor <= 5_000_000 else {
            throw parsed.refuse("nodes", "times the rate and the factor is more than 5,000,000")
        }
        let outcomes = try SimulateCommand.keepings(parsed, costs)
            .map { fleet.run($0, costs: costs) }
        let report = FleetReport(costs: costs, outcomes: outcomes)
        StandardStream.output.write(
            parsed.isOn("json") ? JSONWriter.text(report.json) + "\n" : report.text)
        return 0
    }
}

/// What `alcove simulate fleet` tells.
private struct FleetReport {
    let costs: StartCosts
    let outcomes: [FleetOutcome]

    /// How many seconds from the change on are told one by one.
    private static let shownSeconds = 5

    private typealias Row = (name: String, part: (FleetOutcome) -> FleetOutcome.Part)

    private var rows: [Row] {
        let seconds = (0..<Self.shownSeconds).map { second -> Row in
            ("second \(second + 1)", { $0.seconds[$0.fleet.secondsBefore + second] })
        }
        return [("before", { $0.before })] + seconds + [("all after", { $0.after })]
    }

    var text: String {
        var table = TextTable(
            header: ["time", "kept by", "starts", "wait", "share", "median", "p99", "longest"])
        for row in rows {
            for (number, outcome) in outcomes.enumerated() {
                let part = row.part(outcome)
                table.add([
                    number == 0 ? row.name : "", SimulationReport.name(outcome.keeping),
                    number == 0 ? NumberText.grouped(part.starts) : "",
                    NumberText.grouped(part.waits.count), SimulationReport.percent(part.coldShare),
                    SimulationReport.time(part.wait(perMille: 500)),
                    SimulationReport.time(part.wait(perMille: 990)),
                    SimulationReport.time(part.waits.last ?? 0),
                ])
            }
        }
        let idle = outcomes.filter { $0.keeping != .none }.map {
            "\(NumberText.short($0.meanIdle)) by \(SimulationReport.name($0.keeping))"
        }
        return table.render()
            + "\nthe times are of those that wait\n"
            + "held ready on a node, on average: \(idle.joined(separator: ", "))\n"
            + "routing: \(routing)\n"
    }

    private var routing: String {
        switch outcomes.first?.fleet.routing {
        case .even: "even: one node after the other, whatever they have ready"
        case .random, nil: "random: each start to a node by chance, whatever it has ready"
        }
    }

    var json: JSONValue {
        JSONValue(
            outcomes.map { outcome in
                [
                    "kept_by": JSONValue(SimulationReport.name(outcome.keeping)),
                    "nodes": JSONValue(outcome.fleet.nodes),
                    "routing": JSONValue(outcome.fleet.routing.rawValue),
                    "mean_idle": JSONValue(outcome.meanIdle),
                    "times": JSONValue(rows.map { Self.json($0.name, $0.part(outcome)) }),
                ]
            })
    }

    private static func json(_ name: String, _ part: FleetOutcome.Part) -> JSONValue {
        [
            "time": JSONValue(name),
            "starts": JSONValue(part.starts),
            "waiting": JSONValue(part.waits.count),
            "share": JSONValue(part.coldShare),
            "wait_median_us": JSONValue(part.wait(perMille: 500)),
            "wait_p99_us": JSONValue(part.wait(perMille: 990)),
            "wait_longest_us": JSONValue(part.waits.last ?? 0),
        ]
    }
}
