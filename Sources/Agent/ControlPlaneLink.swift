internal import AgentAPI
internal import AgentOperations
internal import LinuxKernel
internal import RPC

/// The agent as the client of its control plane.
///
///     away ──► registering ──► in session ──┐
///      ▲            │                       │
///      └── a pause that grows, partly random ◄┘
///
/// Each session begins with all sandboxes, and goes on with the events behind the last one that
/// the control plane has. An event is kept until it is acknowledged, so none is lost across a gap.
final class ControlPlaneLink: @unchecked Sendable {
    /// The pause after the first failure, and the longest one.
    private static let shortestPause = Duration.milliseconds(100)
    private static let longestPause = Duration.seconds(10)
    /// For a node that is not wanted.
    private static let unwantedPause = Duration.seconds(60)
    private static let registrationTimeout = Duration.seconds(10)
    private static let acknowledgedKey = "acknowledged-event"

    private let path: String
    private let node: NodeAgent
    private var connection: ClientConnection?
    private var session: ControlPlaneSession?
    private var pause = ControlPlaneLink.shortestPause
    private var retry: ScheduledAction?
    private var isClosed = false
    /// Why it could not be reached, as the log has it last.
    private var toldReason: String?

    /// Whether a session goes on.
    var isConnected: Bool { session != nil }

    init(path: String, node: NodeAgent) {
        self.path = path
        self.node = node
        let known = node.journal.value(Self.acknowledgedKey)
        let number = known.flatMap { UInt64(String(decoding: $0, as: UTF8.self)) } ?? 0
        node.journal.keepEvents(after: min(number, node.journal.history.last))
    }

    func start() {
        connect()
    }

    /// Ends the session for good.
    func close() {
        isClosed = true
        if let retry { node.loop.cancel(retry) }
        retry = nil
        leave()
    }

    /// Tells the control plane of a node that is not as it was. The session is a new one, which
    /// goes on where the last one ended.
    func registerAgain() {
        // One that waits for its next try will say it then.
        guard connection != nil, !isClosed else { return }
        leave()
        connect()
    }

    private func connect() {
        do throws(SystemCallError) {
            let connection = try ClientConnection(to: path, on: node.loop)
            self.connection = connection
            connection.onClose = { [weak self] _ in self?.comeBack() }
            register(connection)
        } catch {
            tell(away: "\(error)")
            comeBack()
        }
    }

    /// Once for each reason, not for each try.
    private func tell(away reason: String) {
        guard reason != toldReason else { return }
        toldReason = reason
        node.log.warning(
            "the control plane cannot be reached; trying on",
            ["control_plane.path": .text(path), "error": .text(reason)])
    }

    private func register(_ connection: ClientConnection) {
        let request = RegisterRequest(node: node.information, capacity: node.capacity())
        let deadline = MonotonicClock.nanoseconds(after: Self.registrationTimeout)
        connection.call(ControlPlaneMethods.register, request, deadline: deadline) {
            [weak self] result in
            guard let self, self.connection === connection else { return }
            switch result {
            case .success(let response): begin(response, on: connection)
            case .failure(let failure):
                if failure.code == .permissionDenied { pause = Self.unwantedPause }
                tell(away: failure.message)
                comeBack()
            }
        }
    }

    private func begin(_ response: RegisterResponse, on connection: ClientConnection) {
        let session = ControlPlaneSession(response, on: connection, node: node)
        self.session = session
        session.onWelcome = { [weak self] in self?.isWelcome() }
        session.onAcknowledged = { [weak self] number in self?.note(acknowledged: number) }
        session.begin { [weak self] in self?.comeBack() }
    }

    private func isWelcome() {
        toldReason = nil
        node.log.info(
            "in session with the control plane", ["control_plane.path": .text(path)])
        pause = Self.shortestPause
        node.metrics.controlPlaneSessions.add()
        node.metrics.controlPlaneConnected.set(true)
    }

    /// What is acknowledged need not be kept. Written down with whatever is written next: that a
    /// later agent sends some of it again is no harm.
    private func note(acknowledged number: UInt64) {
        node.journal.keepEvents(after: number)
        node.journal.setLater(Self.acknowledgedKey, to: Array("\(number)".utf8))
        node.gaugesChanged()
    }

    private func comeBack() {
        leave()
        guard retry == nil, !isClosed else { return }
        let nanoseconds = pause.wholeNanoseconds
        let wait = Duration.nanoseconds(Int64.random(in: nanoseconds / 2...nanoseconds))
        pause = max(pause, min(pause * 2, Self.longestPause))
        retry = node.loop.schedule(after: wait) { [weak self] in
            guard let self else { return }
            retry = nil
            // One that was not wanted is asked for again like any other.
            pause = min(pause, Self.longestPause)
            connect()
        }
    }

    private func leave() {
        session?.end()
        session = nil
        node.metrics.controlPlaneConnected.set(false)
        let connection = connection
        self.connection = nil
        connection?.onClose = nil
        connection?.close()
    }
}
