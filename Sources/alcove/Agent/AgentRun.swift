internal import AgentAPI
internal import Console
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// `alcove run` by way of the agent: a sandbox of its own, created, started, followed to its end
/// and removed.
final class AgentRun {
    /// What asks it to stop. The second one ends it at once.
    private static let stopping: [Signal] = [.hangUp, .interrupt, .quit, .terminate]
    /// What the agent cannot pass on to a workload.
    private static let unsupported: [Signal] = [.user1, .user2]

    private let agent: Agent
    private let id: String
    private let signals: SignalReader
    private let output: OutputPump
    private let error: OutputPump
    private var stops = 0
    private var isOver = false

    /// Runs it to its end.
    static func run(
        _ spec: AgentAPI.SandboxSpec, on agent: Agent, warn: ([AgentAPI.LimitStatus]) -> Void
    ) throws -> SandboxOutcome {
        // Held from here on, so that whoever ends this process finds what to remove.
        let run = try AgentRun(agent, id: AgentSpec.newID(for: "run"))
        let created = try agent.request(
            SandboxesMethods.create, CreateRequest(id: run.id, spec: spec),
            to: "create the sandbox")
        defer { run.remove() }
        warn(created.sandbox?.limits ?? [])
        return try run.follow()
    }

    private init(_ agent: Agent, id: String) throws {
        self.agent = agent
        self.id = id
        signals = try SignalReader(Self.stopping + Self.unsupported + [.pipe])
        output = OutputPump(.output, on: agent.loop)
        error = OutputPump(.error, on: agent.loop)
    }

    private func follow() throws -> SandboxOutcome {
        let watch = try agent.loop.watch(signals.descriptor.rawValue, for: .readable) { _ in
            for signal in self.signals.pending() { self.take(signal) }
        }
        defer { watch.cancel() }
        _ = try agent.request(
            SandboxesMethods.start, StartRequest(id: id), to: "start the sandbox")
        try copyLogs()
        let answer = try agent.request(
            SandboxesMethods.wait, WaitRequest(id: id), to: "wait for the sandbox")
        agent.connection.run { output.isEmpty && error.isEmpty }
        let outcome = answer.sandbox?.outcome ?? Outcome()
        return SandboxOutcome(outcome, limits: answer.sandbox?.limits ?? [])
            ?? SandboxOutcome(
                ending: .ended(.exited(code: outcome.exitCode)),
                usage: .init(userMicroseconds: 0, systemMicroseconds: 0, peakResidentKilobytes: 0),
                limits: [], timeline: [])
    }

    private func copyLogs() throws(AgentFailure) {
        let logs = agent.connection.connection.open(
            SandboxesMethods.logs, LogsRequest(id: id, follow: true))
        var failure: CallFailure?
        logs.onMessage { [self] entry in
            let pump = entry.stream == .stderr ? error : output
            pump.write(entry.data)
            if pump.isFull { logs.pause() }
        }
        logs.onEnd {
            failure = $0
            self.isOver = true
        }
        for pump in [output, error] {
            pump.onRoom = { logs.resume() }
            pump.onBroken = {
                logs.resume()
                // As if it had written to the pipe itself.
                self.stop(.pipe)
            }
        }
        agent.connection.run { isOver }
        if let failure { throw AgentFailure(cannot: "read the output of the sandbox", failure) }
    }

    private func take(_ signal: Signal) {
        if Self.stopping.contains(signal) {
            stop(signal)
        } else if signal != .pipe {
            Messages.warn("\(signal.name) is not passed on by way of the agent, see `--local`")
        }
    }

    private func stop(_ signal: Signal) {
        stops += 1
        let request = StopRequest(
            id: id, graceNanoseconds: stops > 1 ? 0 : nil, signal: signal.rawValue)
        // What came of it is told by the sandbox's end.
        agent.connection.connection.call(SandboxesMethods.stop, request) { _ in }
    }

    private func remove() {
        do throws(AgentFailure) {
            _ = try agent.request(
                SandboxesMethods.delete, DeleteRequest(id: id, force: true),
                to: "remove `\(id)`")
        } catch {
            Messages.tell(error)
        }
    }
}
