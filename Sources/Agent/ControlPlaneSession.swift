internal import AgentAPI
internal import LinuxKernel
internal import ProtocolBuffers
internal import RPC
internal import SandboxModel

/// One session with the control plane: what is sent when there is room for it, in this order: the
/// parts of a resync, the capacity, events.
final class ControlPlaneSession {
    private typealias Body = AgentMessage.MessageMessage

    private static let usualHeartbeat = Duration.seconds(5)
    private static let shortestHeartbeat = Duration.milliseconds(100)
    /// Changes of the capacity within this time are told as one.
    private static let coalescing = Duration.milliseconds(100)
    private static let sandboxesInPart = 100
    private static let eventsInBatch = 128
    private static let longestToken = 4096

    var onWelcome: () -> Void = {}
    var onAcknowledged: (UInt64) -> Void = { _ in }

    private let node: NodeAgent
    private let call: TypedClientCall<AgentMessage, ControlMessage>
    private let token: [UInt8]
    private let heartbeat: Duration
    /// How far a resync has come: the last id that was sent, and the event that it shows.
    private var resync: (after: String, event: UInt64)?
    /// The event to send next, once the control plane has said which it has.
    private var nextEvent: UInt64?
    /// The last one that it has.
    private var acknowledged: UInt64 = 0
    private var sentCapacity: UInt64 = 0
    private var capacityIsDue = true
    private var eventWatcher: UInt64?
    private var capacityWatcher: UInt64?
    private var gathering: ScheduledAction?
    private var beat: ScheduledAction?

    init(_ registration: RegisterResponse, on connection: ClientConnection, node: NodeAgent) {
        self.node = node
        token = Array(registration.sessionToken.prefix(Self.longestToken))
        heartbeat = max(
            registration.heartbeatNanoseconds.map { .nanoseconds(Int64(clamping: $0)) }
                ?? Self.usualHeartbeat, Self.shortestHeartbeat)
        call = connection.open(ControlPlaneMethods.session)
    }

    func begin(whenEnded ended: @escaping () -> Void) {
        call.onMessage { [weak self] message in self?.take(message) }
        call.onWritable { [weak self] in self?.pump() }
        call.onEnd { _ in ended() }
        let history = node.journal.history
        send(
            .hello(
                .init(
                    nodeID: node.identity.id, sessionToken: token,
                    oldestEventNumber: history.oldest > history.last ? 0 : history.oldest,
                    lastEventNumber: history.last)))
        eventWatcher = history.addWatcher { [weak self] in self?.pump() }
        capacityWatcher = node.watchCapacity { [weak self] in self?.gatherCapacity() }
        beginResync()
        armBeat()
    }

    func end() {
        if let eventWatcher { node.journal.history.removeWatcher(eventWatcher) }
        if let capacityWatcher { node.unwatchCapacity(capacityWatcher) }
        for timer in [gathering, beat] {
            if let timer { node.loop.cancel(timer) }
        }
        eventWatcher = nil
        capacityWatcher = nil
        gathering = nil
        beat = nil
        call.onEnd { _ in }
        call.cancel()
    }

    // MARK: - From the control plane

    private func take(_ message: ControlMessage) {
        switch message.message {
        case .welcome(let welcome):
            guard nextEvent == nil else { return }
            // One that has more than there is had another record of this node: it has the resync.
            let known = min(welcome.lastEventNumber, node.journal.history.last)
            nextEvent = max(known + 1, node.journal.history.oldest)
            acknowledged = known
            onWelcome()
            onAcknowledged(known)
        case .acknowledgement(let acknowledgement):
            // Never more than was sent, nor less than before.
            guard let nextEvent, acknowledgement.eventNumber < nextEvent,
                acknowledgement.eventNumber > acknowledged
            else { break }
            acknowledged = acknowledgement.eventNumber
            onAcknowledged(acknowledged)
        case .drain(let order):
            // What could not be written down is told by the answer, which says how it is now.
            switch order.order {
            case .begin(let begin):
                try? node.beginDrain(
                    within: begin.deadlineNanoseconds.map { .nanoseconds(Int64(clamping: $0)) })
            case .end: try? node.endDrain()
            case nil: break
            }
            send(.drain(node.drainAnswer))
        case .resync: beginResync()
        // Of a newer control plane.
        case nil: break
        }
        pump()
    }

    // MARK: - To the control plane

    private func send(_ body: Body) {
        call.send(AgentMessage(message: body))
    }

    private func beginResync() {
        resync = ("", node.journal.history.last)
        pump()
    }

    /// Sends what there is room for.
    private func pump() {
        while call.isOpen, call.isWritable {
            if resync != nil {
                sendPart()
            } else if capacityIsDue {
                sendCapacity()
            } else if !sendEvents() {
                return
            }
        }
    }

    private func sendPart() {
        guard let (after, event) = resync else { return }
        let (page, more) = node.registry.page(after: after, limit: Self.sandboxesInPart) {
            $0.isCreated && $0.state != .removing
        }
        send(
            .resync(
                .init(sandboxes: page.map(\.sandbox), eventNumber: event, complete: !more)))
        resync = more ? (page.last?.id ?? after, event) : nil
    }

    private func sendCapacity() {
        capacityIsDue = false
        let capacity = node.capacity()
        sentCapacity = capacity.version
        send(.capacity(capacity))
    }

    /// False when there is none to send now.
    private func sendEvents() -> Bool {
        guard let next = nextEvent else { return false }
        let history = node.journal.history
        guard let kept = history.events(from: next, limit: Self.eventsInBatch) else {
            nextEvent = history.oldest
            return true
        }
        guard !kept.isEmpty else { return false }
        for each in kept where call.isWritable {
            nextEvent = each.number + 1
            guard let event = try? Event(decoding: each.bytes) else { continue }
            send(.event(event))
        }
        return true
    }

    private func gatherCapacity() {
        guard gathering == nil, sentCapacity != node.capacityVersion else { return }
        gathering = node.loop.schedule(after: Self.coalescing) { [weak self] in
            guard let self else { return }
            gathering = nil
            capacityIsDue = true
            pump()
        }
    }

    private func armBeat() {
        beat = node.loop.schedule(after: heartbeat) { [weak self] in
            guard let self else { return }
            if call.isWritable {
                send(
                    .heartbeat(
                        .init(
                            atNanoseconds: WallClock.nanoseconds,
                            lastEventNumber: node.journal.history.last,
                            capacityVersion: sentCapacity)))
            }
            armBeat()
        }
    }
}
