internal import AgentAPI
internal import Console
internal import LinuxKernel
internal import ProtocolBuffers
internal import SandboxModel

/// `alcove bench agent`
enum AgentBenchCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "bench agent", summary: "measure how long the agent takes, from create to running",
            discussion: """
                Creates and starts sandboxes through the agent's socket, on one connection, and \
                measures each from the call until the agent has said that its command runs. With \
                `--two-calls` one call creates and another one starts. \
                Then waits for its end and removes it, which is not in the samples but in the \
                number a second. The command should do nothing.
                """,
            flags: [
                Flag("count", short: "n", value: "N", default: "100", help: "samples to take"),
                Flag(
                    "concurrency", short: "c", value: "N", default: "1",
                    help: "sandboxes in flight at the same time"),
                Flag("warm-up", value: "N", default: "5", help: "starts before the first sample"),
                Flag("two-calls", help: "create and start by a call each"),
                SandboxFlags.isolationFlag,
                Flag("json", help: "print one JSON line for each sample, and one for the summary"),
            ] + AgentSpec.imageFlags + AgentSpec.timeFlags + NetworkFlags.flags + SandboxFlags.flags
                + [Agent.socketFlag],
            arguments: [AgentSpec.image], trailing: .command,
            examples: [
                Example(
                    "alcove bench agent -n 500 --read-only IMAGE -- /bin/true",
                    "500 sandboxes, one after another"),
                Example(
                    "alcove bench agent -n 2000 -c 16 IMAGE -- /bin/true", "sixteen in flight"),
            ]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let spec = try AgentSpec.spec(parsed)
        let count = try parsed.integer("count", in: 1...1_000_000) ?? 100
        let concurrency = try parsed.integer("concurrency", in: 1...1024) ?? 1
        let warmUp = try parsed.integer("warm-up", in: 0...10_000) ?? 5
        let agent = try Agent(parsed)
        let bench = AgentBench(
            agent.connection, spec, concurrency: concurrency,
            startsApart: parsed.isOn("two-calls"))
        _ = try bench.run(count: warmUp)
        let result = try bench.run(count: count)
        let parameters: JSONValue = [
            "concurrency": JSONValue(concurrency), "command": JSONValue(parsed.trailing),
            "read_only": JSONValue(parsed.isOn("read-only")),
            "two_calls": JSONValue(parsed.isOn("two-calls")),
        ]
        StandardStream.output.write(
            parsed.isOn("json") ? result.jsonLines(parameters: parameters) : result.table)
        return 0
    }
}

/// Sandboxes by way of the agent, some at once.
private final class AgentBench {
    private let agent: AgentConnection
    private let spec: AgentAPI.SandboxSpec
    private let concurrency: Int
    private let startsApart: Bool
    private var begun = 0
    private var done = 0
    private var samples: [ColdStartResult.Sample] = []
    private var failure: CallFailure?
    private var lastID = 0

    init(
        _ agent: AgentConnection, _ spec: AgentAPI.SandboxSpec, concurrency: Int, startsApart: Bool
    ) {
        self.agent = agent
        self.spec = spec
        self.concurrency = concurrency
        self.startsApart = startsApart
    }

    func run(count: Int) throws -> ColdStartResult {
        begun = 0
        done = 0
        samples = []
        let start = MonotonicClock.nanoseconds
        for _ in 0..<min(concurrency, count) { begin(of: count) }
        agent.run { self.done == count || self.failure != nil }
        if let failure { throw failure }
        return ColdStartResult(
            samples: samples, elapsed: MonotonicClock.nanoseconds - start,
            whole: "create to running")
    }

    private func begin(of count: Int) {
        guard begun < count, failure == nil else { return }
        begun += 1
        lastID += 1
        let id = "bench-\(ThisProcess.identifier)-\(lastID)"
        let asked = MonotonicClock.nanoseconds
        let request = CreateRequest(id: id, spec: spec, start: !startsApart)
        call(SandboxesMethods.create, request) { [self] _ in
            let created = MonotonicClock.nanoseconds
            guard startsApart else {
                note([("running", created - asked)])
                return end(id, of: count)
            }
            call(SandboxesMethods.start, StartRequest(id: id)) { [self] _ in
                let running = MonotonicClock.nanoseconds
                note([("created", created - asked), ("running", running - asked)])
                end(id, of: count)
            }
        }
    }

    private func note(_ stages: [(what: String, nanoseconds: UInt64)]) {
        samples.append(
            ColdStartResult.Sample(
                total: stages.last?.nanoseconds ?? 0,
                timeline: [.init(what: "asked for", nanoseconds: 0)]
                    + stages.map { .init(what: $0.what, nanoseconds: $0.nanoseconds) }))
    }

    private func end(_ id: String, of count: Int) {
        call(SandboxesMethods.wait, WaitRequest(id: id)) { [self] _ in
            call(SandboxesMethods.delete, DeleteRequest(id: id)) { [self] _ in
                done += 1
                begin(of: count)
            }
        }
    }

    private func call<Request: Message, Response: Message>(
        _ method: Method<Request, Response>, _ request: Request,
        then next: @escaping (Response) -> Void
    ) {
        agent.connection.call(method, request) { [self] result in
            switch result {
            case .success(let response): next(response)
            case .failure(let failed): failure = failure ?? failed
            }
        }
    }
}
