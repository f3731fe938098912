internal import Console
internal import Simulation

/// What `alcove simulate` tells, for people and for programs.
struct SimulationReport {
    let trace: Trace
    let costs: StartCosts
    let outcomes: [SimulationOutcome]

    /// What is called how in tables.
    static func name(_ keeping: Keeping) -> String {
        switch keeping {
        case .none: "no pool"
        case .keepAlive(let kept): "keep-alive \(Quantity.text(.microseconds(kept)))"
        case .policy: "policy"
        }
    }

    static func percent(_ share: Double) -> String { NumberText.short(share * 100) + "%" }

    static func time(_ microseconds: Int) -> String {
        microseconds == 0 ? "0 s" : TimeUnit.text(nanoseconds: Double(microseconds) * 1000)
    }

    var text: String {
        var table = TextTable(
            header: ["class", "kept by", "starts", "cold", "median", "p99", "idle GiB s", "made"])
        let rows = outcomes.first.map { $0.kinds.indices.map { Optional($0) } } ?? []
        for place in rows + [nil] {
            for (number, outcome) in outcomes.enumerated() {
                let kind = place.map { outcome.kinds[$0] } ?? outcome.total
                table.add([
                    number == 0 ? kind.kind : "", Self.name(outcome.keeping),
                    number == 0 ? NumberText.grouped(kind.invocations) : "",
                    Self.percent(kind.coldShare), Self.time(kind.wait(perMille: 500)),
                    Self.time(kind.wait(perMille: 990)),
                    NumberText.grouped(Int(kind.idleGiBSeconds.rounded())),
                    NumberText.grouped(kind.made),
                ])
            }
        }
        return table.render() + "\n" + overTime
    }

    /// Each line is one row of the picture: a character for each part of the time.
    private var overTime: String {
        guard let busy = outcomes.first?.total.timeline else { return "" }
        let part = Quantity.text(.seconds((busy.partLength + 500_000) / 1_000_000))
        var text = "over time, a character for \(part); rows of one kind to the same scale\n"
        let idle = outcomes.map { $0.total.timeline.idle }
        let most = idle.flatMap { $0 }.max() ?? 0
        let table: [(name: String, row: String)] =
            [("busy", Self.row(busy.busy, most: busy.busy.max() ?? 0))]
            + zip(outcomes, idle).filter { $0.0.keeping != .none }.map {
                ("idle: \(Self.name($0.0.keeping))", Self.row($0.1, most: most))
            }
            + coldRows
        let width = table.map(\.name.count).max() ?? 0
        for (name, row) in table {
            text += name + String(repeating: " ", count: width - name.count) + "  \(row)\n"
        }
        return text
    }

    private var coldRows: [(name: String, row: String)] {
        let rows = outcomes.filter { $0.keeping != .none }.map { outcome in
            (name: outcome.keeping, cold: outcome.total.timeline.cold.map { Double($0) })
        }
        let most = rows.flatMap(\.cold).max() ?? 0
        return rows.map { ("cold: \(Self.name($0.name))", Self.row($0.cold, most: most)) }
    }

    /// Heights as shares of `most`; nothing is a space, and anything at least the lowest bar.
    private static func row(_ values: [Double], most: Double) -> String {
        let bars: [Character] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
        let row = String(
            values.map { value in
                value <= 0 || most <= 0 ? " " : bars[min(7, Int(value * 8 / most))]
            })
        return "|\(row)|"
    }

    var json: JSONValue {
        [
            "invocations": JSONValue(trace.count),
            "functions": JSONValue(trace.functions.count),
            "length_us": JSONValue(trace.length),
            "cold_us": JSONValue(costs.cold),
            "ready_us": JSONValue(costs.ready),
            "outcomes": JSONValue(outcomes.map(Self.json)),
        ]
    }

    private static func json(_ outcome: SimulationOutcome) -> JSONValue {
        let timeline = outcome.total.timeline
        let perInstance = Double(timeline.partLength)
        return [
            "kept_by": JSONValue(name(outcome.keeping)),
            "classes": JSONValue(outcome.kinds.map(json)),
            "all": json(outcome.total),
            "timeline": [
                "part_us": JSONValue(timeline.partLength),
                "idle": JSONValue(timeline.idle.map { JSONValue($0 / perInstance) }),
                "busy": JSONValue(timeline.busy.map { JSONValue($0 / perInstance) }),
                "cold_starts": JSONValue(timeline.cold.map { JSONValue($0) }),
            ],
        ]
    }

    private static func json(_ kind: KindOutcome) -> JSONValue {
        [
            "class": JSONValue(kind.kind),
            "functions": JSONValue(kind.functions),
            "invocations": JSONValue(kind.invocations),
            "cold_starts": JSONValue(kind.coldWaits.count),
            "cold_share": JSONValue(kind.coldShare),
            "wait_median_us": JSONValue(kind.wait(perMille: 500)),
            "wait_p99_us": JSONValue(kind.wait(perMille: 990)),
            "idle_gib_seconds": JSONValue(kind.idleGiBSeconds),
            "busy_gib_seconds": JSONValue(kind.busyGiBSeconds),
            "made": JSONValue(kind.made),
        ]
    }

    var picture: String {
        guard let first = outcomes.first?.total.timeline else { return "" }
        let part = Double(first.partLength)
        let kept = outcomes.filter { $0.keeping != .none }
        let instances =
            [TimelinePicture.Series("busy", first.busy.map { $0 / part })]
            + kept.map { outcome in
                TimelinePicture.Series(
                    "idle: \(Self.name(outcome.keeping))",
                    outcome.total.timeline.idle.map { $0 / part })
            }
        let cold = kept.map { outcome in
            TimelinePicture.Series(
                "cold: \(Self.name(outcome.keeping))",
                outcome.total.timeline.cold.map { Double($0) })
        }
        return TimelinePicture(
            title: "Instances and cold starts over time",
            subtitle: "\(NumberText.grouped(trace.count)) starts of \(trace.functions.count) "
                + "functions; making one takes \(Self.time(costs.cold))",
            secondsOfPart: part / 1e6,
            panels: [.init("instances", instances), .init("cold starts", cold)]
        ).svg()
    }
}
