internal import Console
internal import LinuxKernel
internal import SandboxModel
internal import Simulation

/// `alcove simulate`
enum SimulateCommand {
    static let declarations = [declaration, SimulateFleetCommand.declaration]

    static let costFlags = [
        Flag(
            "cold", value: "DURATION", default: "100ms",
            help: "time to make an instance ready, as in 100ms"),
        Flag(
            "ready", value: "DURATION", default: "400us",
            help: "time to take one that is ready, as in 400us"),
        Flag(
            "keep-alive", value: "DURATION", default: "10m",
            help: "how long the pool that is compared keeps what was used, as in 10m"),
        Flag("most", value: "N", default: "1000", help: "ready ones of a function, at most"),
        Flag(
            "policy", value: "NAME=VALUE", repeatable: true,
            help: "change the policy: tail, hold, quiet, keep, trend, burst or half-life"),
    ]

    private static let declaration = PerformableCommand(
        command: Command(
            "simulate", summary: "run the policy of pools over a trace of starts",
            discussion: """
                Says how many starts find nothing ready, how long they wait, and what it costs to \
                hold instances ready: with the policy of pools, with a fixed keep-alive, and \
                without a pool. Nothing is started.
                Without --trace a generator makes the starts; the same seed gives the same ones. \
                docs/scaling.md describes the trace's format, the classes and the policy.
                """,
            flags: [
                Flag(
                    "trace", value: "FILE", completes: .files,
                    help: "read the starts from a file of comma-separated values"),
                Flag(
                    "class", value: "CLASS", repeatable: true,
                    completes: .words(TraceGenerator.Kind.allCases.map(\.rawValue)),
                    help: "generate steady, diurnal, bursty, spiky or rare functions"
                ),
                Flag("functions", value: "N", default: "6", help: "functions of each class"),
                Flag(
                    "length", value: "DURATION", default: "24h",
                    help: "how long starts are generated for, as in 24h"),
                Flag("seed", value: "N", default: "1", help: "of the generator"),
                Flag(
                    "write-trace", value: "FILE", completes: .files,
                    help: "write the starts to a file, as --trace reads them"),
            ] + costFlags + [
                Flag("json", help: "print the result as JSON"),
                Flag(
                    "svg", value: "FILE", completes: .files,
                    help: "write a picture of the pools over time"),
            ],
            examples: [
                Example("alcove simulate", "all classes, for a day"),
                Example(
                    "alcove simulate --class bursty --seed 7 --cold 1s",
                    "other functions, that are slow to make ready"),
                Example("alcove simulate --trace day.csv --json", "what was recorded somewhere"),
            ]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let costs = try costs(parsed)
        let trace = try trace(parsed)
        if let path = parsed.string("write-trace") {
            let file = try Files.open(path, [.writeOnly, .create, .truncate])
            try trace.write { (text) throws(SystemCallError) in
                try file.writeAll(Array(text.utf8))
            }
        }
        let outcomes = try keepings(parsed, costs).map {
            SimulationOutcome(trace, $0, costs: costs, parts: 60)
        }
        let report = SimulationReport(trace: trace, costs: costs, outcomes: outcomes)
        if let path = parsed.string("svg") {
            let file = try Files.open(path, [.writeOnly, .create, .truncate])
            try file.writeAll(Array(report.picture.utf8))
        }
        StandardStream.output.write(
            parsed.isOn("json") ? JSONWriter.text(report.json) + "\n" : report.text)
        return 0
    }

    private static func trace(_ parsed: ParsedCommand) throws -> Trace {
        guard let path = parsed.string("trace") else { return try generated(parsed) }
        for flag in ["class", "functions", "length", "seed"] where parsed.isGiven(flag) {
            throw parsed.refuse(flag, "is for a trace that is generated, not for one of --trace")
        }
        let file = try Files.open(path, .readOnly)
        var reader = TraceReader()
        while true {
            let bytes = try file.read(atMost: 1 << 16, subject: path)
            do throws(TraceError) {
                if bytes.isEmpty { return try reader.finish() }
                try reader.read(bytes)
            } catch {
                throw parsed.refuse("trace", "`\(path)` is no trace: \(error)")
            }
        }
    }

    private static func generated(_ parsed: ParsedCommand) throws -> Trace {
        let names = TraceGenerator.Kind.allCases.map(\.rawValue)
        var kinds: [TraceGenerator.Kind] = []
        for name in parsed.strings("class") {
            guard let kind = TraceGenerator.Kind(rawValue: name) else {
                throw parsed.refuse(
                    "class", "`\(name)` is none of \(names.joined(separator: ", "))",
                    hint: NearestName.find(name, among: names).map { "did you mean `\($0)`?" })
            }
            if !kinds.contains(kind) { kinds.append(kind) }
        }
        let length = try parsed.duration("length", in: .seconds(1)...(.seconds(30 * 86400)))
        let seed = try parsed.integer("seed", in: 0...Int.max) ?? 1
        let generator = TraceGenerator(
            seed: UInt64(seed), functionsOfEach: try parsed.integer("functions", in: 1...1000) ?? 6,
            seconds: Int(length?.components.seconds ?? 86400))
        return generator.trace(of: kinds.isEmpty ? TraceGenerator.Kind.allCases : kinds)
    }

    static func costs(_ parsed: ParsedCommand) throws -> StartCosts {
        StartCosts(
            cold: try microseconds(parsed, "cold", most: .seconds(3600)),
            ready: try microseconds(parsed, "ready", most: .seconds(3600)))
    }

    static func microseconds(
        _ parsed: ParsedCommand, _ flag: String, most: Duration
    ) throws -> Int {
        let (seconds, attoseconds) =
            (try parsed.duration(flag, in: .zero...most) ?? .zero).components
        return Int(seconds) * 1_000_000 + Int(attoseconds / 1_000_000_000_000)
    }

    /// The policy, the fixed keep-alive, and no pool.
    static func keepings(_ parsed: ParsedCommand, _ costs: StartCosts) throws -> [Keeping] {
        var settings = PoolPolicy.Settings(
            most: try parsed.integer("most", in: 0...1_000_000) ?? 1000,
            leadSeconds: Double(costs.cold) / 1e6)
        for pair in try parsed.pairs("policy") {
            guard let value = Double(pair.value), change(&settings, pair.key, value) else {
                throw parsed.refuse(
                    "policy", "`\(pair.key)` has no value `\(pair.value)`",
                    hint: "as in tail=0.002, hold=20, quiet=30, keep=600, trend=2, burst=2 or"
                        + " half-life=3600")
            }
        }
        let kept = try microseconds(parsed, "keep-alive", most: .seconds(30 * 86400))
        return [.policy(settings), .keepAlive(kept), .none]
    }

    /// False for what is not known or out of bounds.
    private static func change(
        _ settings: inout PoolPolicy.Settings, _ name: String, _ value: Double
    ) -> Bool {
        guard value >= 0, value <= 1e6 else { return false }
        switch name {
        case "tail" where value >= 1e-9 && value <= 0.1:
            settings.tail = PoissonTail(probability: value)
        case "hold" where value >= 1: settings.holdSeconds = Int(value)
        case "quiet": settings.quietSeconds = Int(value)
        case "keep": settings.keepSeconds = Int(value)
        case "trend" where value <= 100: settings.trendShare = value
        case "burst" where value <= 100: settings.burstShare = value
        case "half-life" where value >= 1: settings.burstHalfLife = value
        default: return false
        }
        return true
    }
}
