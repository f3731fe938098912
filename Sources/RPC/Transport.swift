internal import LinuxKernel

/// Whom a transport tells what came, and how it ended.
protocol TransportOwner: HTTP2SessionOwner {
    /// Bytes came, and the session has told what is in them.
    func bytesReceived()
    /// What there was to send is with the socket, as far as it goes for now.
    func turnEnded()
    /// Nothing can come or go any more. The owner closes the transport.
    func transportEnded(_ end: Transport.End)
}

/// A connected socket and the session of HTTP/2 over it. Lives on the loop's thread.
final class Transport: EventLoop.Handler {
    enum End {
        /// The socket failed, or the peer closed it.
        case lost
        /// The peer speaks something else.
        case broken
        /// The peer does not answer pings.
        case unanswered
        /// Both sides have said that it ends, and it is sent.
        case over
    }

    /// Where it stops taking frames from its session, and bytes of the peer.
    private static let outputLimit = 256 * 1024

    let loop: EventLoop
    let session: HTTP2Session
    private unowned let owner: any TransportOwner
    private let number: Int32
    private var descriptor: Descriptor?
    private var token: UInt64 = 0
    private var interest: PollEvents = [.readable, .peerClosed]
    private var output = OutgoingBytes()
    private var hasTurn = false
    /// The session calls its owner, and cannot be called for bytes.
    private var isInSession = false
    private var keepalive: ScheduledAction?
    private var lastReceived: UInt64 = 0
    /// Closes once everything is sent.
    var isEnding = false

    /// - Parameter owner: must close this before it goes away.
    init(
        _ socket: consuming Descriptor, _ session: HTTP2Session, _ owner: any TransportOwner,
        _ loop: EventLoop
    ) {
        self.loop = loop
        self.session = session
        self.owner = owner
        number = socket.rawValue
        descriptor = consume socket
    }

    /// Begins to send and receive. False when the kernel is out of memory for that.
    func start(keepalive span: Duration?, timeout: Duration) -> Bool {
        guard let token = try? loop.add(number, interest, self) else { return false }
        self.token = token
        lastReceived = MonotonicClock.nanoseconds
        if let span { scheduleKeepalive(span, timeout) }
        needTurn()
        return true
    }

    /// Whether it is started and not closed.
    var isOpen: Bool { token != 0 }

    func close() {
        guard isOpen else { return }
        loop.remove(number, token: token)
        token = 0
        if let keepalive { loop.cancel(keepalive) }
        keepalive = nil
        output.clear()
        descriptor = nil
    }

    func isReady(_ events: PollEvents) {
        if events.contains(.writable) { needTurn() }
        guard !events.isDisjoint(with: [.readable, .hungUp, .failed, .peerClosed]) else { return }
        guard interest.contains(.readable) else {
            // It takes nothing that waits, and now it is gone.
            owner.transportEnded(.lost)
            return
        }
        switch UnixSockets.receive(number, into: &loop.scratch) {
        case .wouldBlock: break
        case .bytes(0), .failed: owner.transportEnded(.lost)
        case .bytes(let count):
            lastReceived = MonotonicClock.nanoseconds
            isInSession = true
            let isSound = session.receive(loop.scratch, count: count)
            isInSession = false
            guard isOpen else { return }
            guard isSound else {
                owner.transportEnded(.broken)
                return
            }
            owner.bytesReceived()
            needTurn()
        }
    }

    /// Sends at the end of this turn what came together in it.
    func needTurn() {
        guard !hasTurn, isOpen else { return }
        hasTurn = true
        loop.whenTurnEnds { [weak self] in self?.takeTurn() }
    }

    func takeTurn() {
        guard !isInSession else { return needTurn() }
        hasTurn = false
        guard isOpen else { return }
        isInSession = true
        let isSound = session.produce(into: &output, limit: Self.outputLimit)
        isInSession = false
        guard isOpen else { return }
        guard isSound else {
            owner.transportEnded(.broken)
            return
        }
        if !output.isEmpty {
            switch UnixSockets.send(output.bytes, from: output.start, to: number) {
            case .bytes(let count): output.drop(count)
            case .wouldBlock: break
            case .failed:
                owner.transportEnded(.lost)
                return
            }
        }
        if output.isEmpty, session.wantsToSend { needTurn() }
        owner.turnEnded()
        guard isOpen else { return }
        if output.isEmpty, session.isOver || isEnding {
            owner.transportEnded(.over)
            return
        }
        updateInterest()
    }

    private func updateInterest() {
        var wanted: PollEvents = .peerClosed
        // A peer that does not take what is sent is not asked for more.
        if output.count < Self.outputLimit { wanted.insert(.readable) }
        if !output.isEmpty { wanted.insert(.writable) }
        guard wanted != interest else { return }
        interest = wanted
        loop.change(number, wanted, token: token)
    }

    private func scheduleKeepalive(_ span: Duration, _ timeout: Duration) {
        let before = lastReceived
        keepalive = loop.schedule(after: span) { [weak self] in
            guard let self, isOpen else { return }
            guard lastReceived == before else { return scheduleKeepalive(span, timeout) }
            session.ping()
            needTurn()
            keepalive = loop.schedule(after: timeout) { [weak self] in
                guard let self, isOpen else { return }
                guard lastReceived == before else { return scheduleKeepalive(span, timeout) }
                owner.transportEnded(.unanswered)
            }
        }
    }
}
