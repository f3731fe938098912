internal import AgentAPI
internal import Console
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// `alcove run` by way of the agent: a sandbox of its own, created, started, followed to its end
/// and removed. The agent may go away meanwhile and come back.
final class AgentRun {
    /// What asks it to stop. The second one ends it at once.
    private static let stopping: [Signal] = [.hangUp, .interrupt, .quit, .terminate]
    /// What the agent cannot pass on to a workload.
    private static let unsupported: [Signal] = [.user1, .user2]

    private let agent: Agent
    private let id: String
    private let signals: SignalReader
    private var hasStarted = false
    private var mayHaveStarted = false
    private var stops = 0
    private var isOver = false
    private var hasReader = true
    private var place = LogPlace()

    /// Runs it to its end.
    static func run(
        _ spec: AgentAPI.SandboxSpec, on agent: Agent, warn: ([AgentAPI.LimitStatus]) -> Void
    ) throws -> SandboxOutcome {
        // Its signals are held from here on, so that none leaves the sandbox behind.
        let run = try AgentRun(agent, id: AgentSpec.newID(for: "run"))
        do throws(AgentFailure) {
            let created = try agent.lasting { () throws(AgentFailure) in
                try agent.request(
                    SandboxesMethods.create, CreateRequest(id: run.id, spec: spec),
                    to: "create the sandbox")
            }
            warn(created.sandbox?.limits ?? [])
            let outcome = try agent.lasting { () throws(AgentFailure) in try run.follow() }
            run.remove()
            return outcome
        } catch {
            run.leave(after: error)
            throw error
        }
    }

    private init(_ agent: Agent, id: String) throws {
        self.agent = agent
        self.id = id
        signals = try SignalReader(Self.stopping + Self.unsupported + [.pipe])
    }

    /// Starts it, which is no error of one that runs, and copies its output to its end.
    private func follow() throws(AgentFailure) -> SandboxOutcome {
        let watch: Watch
        do throws(SystemCallError) {
            watch = try agent.loop.watch(signals.descriptor.rawValue, for: .readable) { _ in
                for signal in self.signals.pending() { self.take(signal) }
            }
        } catch {
            preconditionFailure("a descriptor of signals can be waited for: \(error)")
        }
        defer { watch.cancel() }
        try start()
        try copyLogs()
        let answer = try agent.request(
            SandboxesMethods.wait, WaitRequest(id: id), to: "wait for the sandbox")
        let outcome = answer.sandbox?.outcome ?? Outcome()
        return SandboxOutcome(outcome, limits: answer.sandbox?.limits ?? [])
            ?? SandboxOutcome(
                ending: .ended(.exited(code: outcome.exitCode)),
                usage: .init(userMicroseconds: 0, systemMicroseconds: 0, peakResidentKilobytes: 0),
                limits: [], timeline: [])
    }

    private func start() throws(AgentFailure) {
        guard !hasStarted else { return }
        do throws(AgentFailure) {
            _ = try agent.request(
                SandboxesMethods.start, StartRequest(id: id), to: "start the sandbox")
        } catch {
            // An agent that went away may have started it, and it may have ended since.
            guard mayHaveStarted, error.code == AgentExitCode.wrongState.rawValue else {
                mayHaveStarted = error.isLost
                throw error
            }
        }
        hasStarted = true
    }

    private func copyLogs() throws(AgentFailure) {
        let output = OutputPump(.output, on: agent.loop)
        let error = OutputPump(.error, on: agent.loop)
        let logs = agent.connection.connection.open(
            SandboxesMethods.logs, place.request(LogsRequest(id: id, follow: true)))
        var failure: CallFailure?
        isOver = false
        logs.onMessage { [self] entry in
            guard place.isNew(entry), hasReader else { return }
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
                self.hasReader = false
                logs.resume()
                // As if it had written to the pipe itself.
                self.stop(.pipe)
            }
        }
        agent.connection.run { isOver && output.isEmpty && error.isEmpty }
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
            try agent.lasting { () throws(AgentFailure) in
                _ = try agent.request(
                    SandboxesMethods.delete, DeleteRequest(id: id, force: true),
                    to: "remove `\(id)`")
            }
        } catch {
            // What was never made, or was removed by the agent that went away, is no failure.
            guard error.code != AgentExitCode.notFound.rawValue else { return }
            Messages.tell(error)
        }
    }

    private func leave(after failure: AgentFailure) {
        if failure.isLost {
            Messages.warn("sandbox `\(id)` may be left: `alcove rm --force \(id)` removes it")
        } else {
            remove()
        }
    }
}
