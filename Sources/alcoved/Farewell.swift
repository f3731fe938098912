internal import Agent
internal import AgentOperations
internal import LinuxKernel
internal import RPC

/// The end of the daemon, which a signal asks for.
///
///     serving ──► draining ──► ending
///        │    (if configured)     ▲
///        └────────────────────────┘
///
/// A second signal ends the draining: sandboxes that still run are left to the next agent.
final class Farewell {
    private enum State {
        case serving, draining, ending
    }

    /// How long calls may go on.
    private static let callSpan = Duration.seconds(2)
    /// How much longer than its deadline a drain may take: sandboxes have a grace of their own.
    /// What still runs then is left to the next agent, like all of it without a drain.
    private static let drainExcess = Duration.seconds(60)

    private let agent: Agent
    private let server: Server
    private let manager: ServiceManager
    private let log: Log
    /// Zero leaves sandboxes running.
    var drainDeadline: Duration
    private var state = State.serving

    init(
        _ agent: Agent, _ server: Server, _ manager: ServiceManager, _ log: Log,
        drainDeadline: Duration
    ) {
        self.agent = agent
        self.server = server
        self.manager = manager
        self.log = log
        self.drainDeadline = drainDeadline
    }

    var hasBegun: Bool { state != .serving }

    /// A signal has come. Called on the loop's thread.
    func advance() {
        switch state {
        case .serving where drainDeadline > .zero: drain()
        case .serving, .draining: end()
        case .ending: break
        }
    }

    private func drain() {
        state = .draining
        log.info(
            "draining before the end",
            [
                "drain.remaining": LogValue(agent.remaining),
                "drain.deadline": .duration(drainDeadline),
            ])
        // Who is told of it too late ends the service the hard way, which is no harm.
        _ = try? manager.tell(
            .stopping, .status("draining"), .extendTimeout(drainDeadline + Self.drainExcess))
        _ = server.loop.schedule(after: drainDeadline + Self.drainExcess) { self.end() }
        agent.empty(within: drainDeadline) { self.end() }
    }

    private func end() {
        guard state != .ending else { return }
        if agent.remaining > 0, state == .draining {
            log.warning(
                "sandboxes are left to the next agent",
                ["drain.remaining": LogValue(agent.remaining)])
        }
        state = .ending
        _ = try? manager.tell(.stopping, .status("ending"))
        agent.end()
        server.shutDown(within: Self.callSpan) { [loop = server.loop] in loop.stop() }
    }
}
