internal import AgentAPI
internal import AgentViews
internal import Console
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// `alcove top`
enum TopCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "top", summary: "show this node and its sandboxes live, the busiest first",
            discussion: """
                `q` or Ctrl-C ends it, the space bar measures at once. Where the output is no \
                terminal, one picture is printed.
                """,
            flags: [
                Flag(
                    "interval", short: "i", value: "DURATION", default: "1s",
                    help: "time between two measurements, as in 500ms"),
                Agent.socketFlag,
            ], tables: [AgentExitCode.table],
            examples: [Example("alcove top --interval 2s", "with less work for the node")]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let interval =
            try parsed.duration("interval", in: .milliseconds(100)...(.seconds(3600)))
            ?? .seconds(1)
        let agent = try Agent(parsed)
        guard Terminal.isTerminal(StandardStream.output.rawValue) else {
            var meter = try TopMeter(agent)
            _ = try meter.measure()
            var isOver = false
            let timer = agent.loop.schedule(after: .milliseconds(250)) { isOver = true }
            agent.connection.run { isOver }
            agent.loop.cancel(timer)
            let lines = try meter.measure().lines(width: 160)
            StandardStream.output.write(lines.joined(separator: "\n") + "\n")
            return 0
        }
        return try TopView(agent, interval: interval).run()
    }
}

/// Asks the agent for all that a picture shows.
struct TopMeter {
    private static let shown: [SandboxState] = SandboxState.known.filter { !$0.isOver }

    private let agent: Agent
    private let node: InfoResponse
    private var samples: [String: UsageSample] = [:]

    init(_ agent: Agent) throws(AgentFailure) {
        self.agent = agent
        node = try agent.request(NodeMethods.info, InfoRequest(), to: "tell about the node")
    }

    mutating func measure() throws(AgentFailure) -> TopFrame {
        let capacity = try agent.request(
            NodeMethods.capacity, CapacityRequest(), to: "tell the capacity")
        let sandboxes = try agent.allSandboxes(Self.shown).sandboxes
        let measured = sandboxes.filter { [.running, .paused, .stopping].contains($0.state) }
        let stats = agent.statsOnce(measured.map(\.id))
        var samples: [String: UsageSample] = [:]
        for (id, stats) in stats {
            samples[id] = UsageSample(stats, after: self.samples[id]?.stats)
        }
        self.samples = samples
        return TopFrame(
            node: node, capacity: capacity.capacity ?? Capacity(),
            rows: sandboxes.map { TopFrame.Row(sandbox: $0, sample: samples[$0.id]) },
            now: WallClock.nanoseconds)
    }
}

extension Agent {
    /// One measurement of each. Those that ended meanwhile are left out.
    func statsOnce(_ ids: [String]) -> [String: StatsResponse] {
        var found: [String: StatsResponse] = [:]
        var open = ids.count
        for id in ids {
            let call = connection.connection.open(
                SandboxesMethods.stats, StatsRequest(id: id))
            call.onMessage { found[id] = $0 }
            call.onEnd { _ in open -= 1 }
        }
        connection.run { open == 0 }
        return found
    }
}

/// The live view on a terminal: what was there before comes back when it ends.
private final class TopView {
    private let agent: Agent
    private let interval: Duration
    private let signals: SignalReader
    private var isOver = false
    private var isDue = true
    private var needsDrawing = false
    private var code: Int32 = 0

    init(_ agent: Agent, interval: Duration) throws {
        self.agent = agent
        self.interval = interval
        signals = try SignalReader([.hangUp, .interrupt, .quit, .terminate, .windowChange, .pipe])
    }

    func run() throws -> Int32 {
        var meter = try TopMeter(agent)
        var frame = try meter.measure()
        let output = StandardStream.output
        let settings = Terminal.settings(of: 0)
        if let settings { Terminal.makeRaw(0, from: settings) }
        // The other screen, without a cursor and without lines that wrap.
        output.write("\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l")
        defer {
            output.write("\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l")
            if let settings { Terminal.restore(0, settings) }
        }
        let watches = try watch(keys: settings != nil)
        defer { for watch in watches { watch.cancel() } }
        isDue = false
        while true {
            draw(frame)
            let timer = agent.loop.schedule(after: interval) { self.isDue = true }
            while !isDue, !isOver {
                needsDrawing = false
                agent.connection.run { isDue || isOver || needsDrawing }
                if needsDrawing, !isOver { draw(frame) }
            }
            agent.loop.cancel(timer)
            if isOver { return code }
            isDue = false
            frame = try meter.measure()
        }
    }

    private func watch(keys: Bool) throws -> [Watch] {
        var watches = [
            try agent.loop.watch(signals.descriptor.rawValue, for: .readable) { _ in
                for signal in self.signals.pending() { self.take(signal) }
            }
        ]
        if keys {
            watches.append(try agent.loop.watch(0, for: .readable) { _ in self.takeKeys() })
        }
        return watches
    }

    private func take(_ signal: Signal) {
        if signal == .windowChange {
            needsDrawing = true
        } else if signal != .pipe {
            isOver = true
            code = signal == .interrupt ? 0 : 128 + signal.rawValue
        }
    }

    private func takeKeys() {
        guard let keys = StandardStream.input.read(atMost: 64), !keys.isEmpty else {
            isOver = true
            return
        }
        for key in keys {
            switch key {
            // Ctrl-C, Ctrl-D, and letters
            case 3, 4, UInt8(ascii: "q"), UInt8(ascii: "Q"): isOver = true
            case UInt8(ascii: " "): isDue = true
            default: break
            }
        }
    }

    private func draw(_ frame: TopFrame) {
        let size = Terminal.size(of: StandardStream.output.rawValue)
        let width = max(20, Int(size?.columns ?? 80))
        let height = max(4, Int(size?.rows ?? 24))
        let lines = frame.lines(width: width, height: height)
        // A terminal in raw mode needs the way back to the line's start.
        StandardStream.output.write(
            "\u{1b}[H" + lines.map { $0 + "\u{1b}[K" }.joined(separator: "\r\n") + "\u{1b}[J")
    }
}
