public import LinuxKernel

/// Bounds on what a server can make a client hold, and on how long a client waits.
public struct ClientLimits: Hashable, Sendable {
    /// The longest message that is taken, in bytes.
    public var messageSize = 16 * 1024 * 1024
    /// All headers or trailers of an answer, as HTTP/2 counts them.
    public var headerListSize = 65536
    /// How much of a stream, and of a whole connection, can be on its way.
    public var streamWindow = 256 * 1024
    public var connectionWindow = 4 * 1024 * 1024
    /// How long the server may take to accept the connection and to say hello.
    public var handshake = Duration.seconds(10)
    /// After this long without a byte the server is pinged, and after `keepaliveTimeout` more the
    /// connection is closed. Nil: never, as the kernel tells at once of a server that is gone.
    public var keepalive: Duration?
    public var keepaliveTimeout = Duration.seconds(20)

    public init() {}

    var settings: HTTP2Session.Settings {
        HTTP2Session.Settings(
            concurrentStreams: 0,
            streamWindow: UInt32(clamping: min(streamWindow, Int(Int32.max))),
            connectionWindow: UInt32(clamping: min(connectionWindow, Int(Int32.max))),
            headerListSize: UInt32(clamping: headerListSize))
    }
}

/// A connection to a gRPC server on a Unix socket, for any number of calls at once.
///
/// It lives on the loop's thread: it is made, used and let go there. It does not come back: whoever
/// wants another makes one.
public final class ClientConnection: @unchecked Sendable {
    /// Why a connection ended.
    public enum End: Hashable, Sendable {
        /// `close` was called.
        case closed
        /// The server could not be reached.
        case unreachable(SystemCallError)
        /// The server closed it, or is gone.
        case lost
        /// What the server sends is no HTTP/2.
        case broken
        /// The server did not say hello, or did not answer pings.
        case unanswered
        /// The server said that it ends, with a code of HTTP/2 and a text, and all calls were over.
        case goneAway(code: UInt32, text: String)
    }

    public let loop: EventLoop
    public let limits: ClientLimits
    public let path: String
    /// The connection is over. Told once, after the ends of all calls.
    public var onClose: ((End) -> Void)?
    /// The server takes no new calls on this connection; those that run can finish.
    public var onGoAway: (() -> Void)?

    private let session: HTTP2Session
    private var transport: Transport?
    /// Not yet connected: the server's backlog is full.
    private var waiting: Descriptor?
    private var retry: ScheduledAction?
    private var handshake: ScheduledAction?
    private var calls: [Int32: ClientCall] = [:]
    private var heads: [Int32: ResponseHead] = [:]
    private var writable: [ClientCall] = []
    private var isClosing = false
    private var end: End?
    private var goAway: (code: UInt32, text: String)?

    /// Connects. Calls can be made at once.
    public init(
        to path: String, on loop: EventLoop, limits: ClientLimits = ClientLimits()
    ) throws(SystemCallError) {
        guard let session = HTTP2Session(.client, limits.settings) else {
            // ENOMEM
            throw SystemCallError(
                call: "connect", subject: path, errorNumber: ErrorNumber(rawValue: 12))
        }
        self.path = path
        self.loop = loop
        self.limits = limits
        self.session = session
        loop.checkThread()
        session.owner = self
        try connect(try UnixSockets.make(), pause: .milliseconds(1))
        guard end == nil else { return }
        handshake = loop.schedule(after: limits.handshake) { [weak self] in
            self?.handshake = nil
            self?.finish(.unanswered)
        }
    }

    deinit {
        if let retry { loop.cancel(retry) }
        if let handshake { loop.cancel(handshake) }
        transport?.close()
    }

    private func connect(_ socket: consuming Descriptor, pause: Duration) throws(SystemCallError) {
        do throws(SystemCallError) {
            try UnixSockets.connect(socket, to: path)
        } catch {
            guard error.errorNumber == .wouldBlock else { throw error }
            waiting = consume socket
            retry = loop.schedule(after: pause) { [weak self] in
                self?.connectAgain(pause: min(pause * 2, .milliseconds(100)))
            }
            return
        }
        let transport = Transport(socket, session, self, loop)
        guard transport.start(keepalive: limits.keepalive, timeout: limits.keepaliveTimeout) else {
            // ENOMEM
            throw SystemCallError(
                call: "epoll_ctl", subject: path, errorNumber: ErrorNumber(rawValue: 12))
        }
        self.transport = transport
    }

    /// No event tells of room in a backlog.
    private func connectAgain(pause: Duration) {
        retry = nil
        guard let socket = waiting.take() else { return }
        do throws(SystemCallError) {
            try connect(socket, pause: pause)
        } catch {
            finish(.unreachable(error))
        }
    }

    // MARK: - For callers

    /// Whether new calls can be made.
    public var isOpen: Bool { end == nil && goAway == nil }

    /// Begins a call. On a connection that takes none it ends in the loop's next turn, as
    /// UNAVAILABLE.
    ///
    /// - Parameters:
    ///   - path: `/package.Service/Method`
    ///   - deadline: by `MonotonicClock`. The server is told, and the call ends then whatever the
    ///     server does.
    public func call(
        _ path: String, metadata: Metadata = Metadata(), deadline: UInt64? = nil
    ) -> ClientCall {
        loop.checkThread()
        var timeout: UInt64?
        if let deadline {
            let now = MonotonicClock.nanoseconds
            guard deadline > now else { return failed(path, .deadlinePassed) }
            timeout = deadline - now
        }
        guard isOpen else { return failed(path, (end ?? goneAway).status) }
        guard let stream = session.request(.request(path, metadata, timeout: timeout)) else {
            // All numbers of streams were used.
            return failed(path, Status(.unavailable, "the connection has taken all its calls"))
        }
        let call = ClientCall(
            path, stream: stream, deadline: deadline, messageSize: limits.messageSize,
            connection: self)
        calls[stream] = call
        transport?.needTurn()
        return call
    }

    private func failed(_ path: String, _ status: Status) -> ClientCall {
        let call = ClientCall(
            path, stream: 0, deadline: nil, messageSize: 0, connection: self)
        loop.whenTurnEnds { call.close(status) }
        return call
    }

    /// Ends the connection and every call on it, which end as CANCELLED.
    public func close() {
        loop.checkThread()
        guard end == nil, !isClosing else { return }
        isClosing = true
        session.terminate(.noError)
        transport?.takeTurn()
        finish(.closed)
    }

    private var goneAway: End {
        .goneAway(code: goAway?.code ?? 0, text: goAway?.text ?? "")
    }

    private func finish(_ end: End) {
        guard self.end == nil else { return }
        self.end = end
        transport?.close()
        transport = nil
        waiting = nil
        for action in [retry, handshake].compactMap(\.self) { loop.cancel(action) }
        (retry, handshake) = (nil, nil)
        heads = [:]
        writable = []
        let left = calls
        calls = [:]
        for stream in left.keys.sorted() { left[stream]?.close(end.status) }
        let onClose = onClose
        self.onClose = nil
        onGoAway = nil
        onClose?(end)
    }

    // MARK: - For calls

    func resume(_ stream: Int32) {
        session.resume(stream: stream)
        transport?.needTurn()
    }

    func reset(_ stream: Int32, _ code: HTTP2Session.ErrorCode) {
        guard stream > 0 else { return }
        session.reset(stream: stream, code)
        transport?.needTurn()
    }

    func acknowledge(_ stream: Int32, _ count: Int) {
        session.acknowledge(stream: stream, bytes: count)
        transport?.needTurn()
    }

    func tellWritable(_ call: ClientCall) {
        writable.append(call)
    }

    func forget(_ stream: Int32) {
        heads[stream] = nil
        calls[stream] = nil
        // The last call of a server that goes away.
        if goAway != nil { transport?.needTurn() }
    }
}

extension ClientConnection: TransportOwner {
    func bytesReceived() {}

    func turnEnded() {
        let calls = writable
        writable = []
        for call in calls { call.tellWritable() }
        if goAway != nil, self.calls.isEmpty { finish(goneAway) }
    }

    func transportEnded(_ end: Transport.End) {
        // Who said why it goes may just close.
        let cause: End =
            switch end {
            case _ where isClosing: .closed
            case .lost, .over: goAway == nil ? .lost : goneAway
            case .broken: .broken
            case .unanswered: .unanswered
            }
        finish(cause)
    }

    func headersBegan(stream: Int32, _ kind: HTTP2Session.HeaderKind) {
        guard calls[stream] != nil else { return }
        heads[stream] = ResponseHead(limit: limits.headerListSize)
    }

    func receivedField(stream: Int32, name: String, value: [UInt8]) {
        heads[stream]?.add(name, value)
    }

    func receivedHeaders(
        stream: Int32, _ kind: HTTP2Session.HeaderKind, endsStream: Bool
    ) {
        guard let head = heads.removeValue(forKey: stream) else { return }
        calls[stream]?.receive(head, endsStream: endsStream)
    }

    func receivedData(stream: Int32, _ bytes: [UInt8]) {
        // One call that takes nothing must not hold up the others.
        session.acknowledge(connectionBytes: bytes.count)
        if let call = calls[stream] {
            call.receive(bytes)
        } else {
            session.acknowledge(stream: stream, bytes: bytes.count)
        }
    }

    func receivedEnd(stream: Int32) {
        calls[stream]?.receiveEnd()
    }

    func receivedPing(isAnswer: Bool) {}

    func receivedSettings() {
        guard let handshake else { return }
        loop.cancel(handshake)
        self.handshake = nil
    }

    func receivedGoAway(lastStream: Int32, code: UInt32, text: [UInt8]) {
        let isFirst = goAway == nil
        goAway = (code, String(decoding: text.prefix(1000), as: UTF8.self))
        if isFirst { onGoAway?() }
    }

    func sentEnd(stream: Int32) {}

    func notSent(stream: Int32) {
        calls[stream]?.close(Status(.unavailable, "the server takes no calls any more"))
    }

    func streamClosed(stream: Int32, code: UInt32) {
        heads[stream] = nil
        calls[stream]?.close(.streamReset(code))
    }

    func fill(stream: Int32, _ room: inout MutableSpan<UInt8>) -> HTTP2Session.Filling {
        guard let call = calls[stream] else { return .later }
        return call.fill(&room)
    }
}

extension ClientConnection.End {
    /// How calls end with the connection.
    var status: Status {
        switch self {
        case .closed: Status(.cancelled, "the connection was closed")
        default: Status(.unavailable, "\(self)")
        }
    }
}

extension ClientConnection.End: CustomStringConvertible {
    public var description: String {
        switch self {
        case .closed: "the connection was closed"
        case .unreachable(let error): "\(error)"
        case .lost: "the server closed the connection"
        case .broken: "the server does not speak HTTP/2"
        case .unanswered: "the server does not answer"
        case .goneAway(_, let text):
            text.isEmpty ? "the server goes away" : "the server goes away: \(text)"
        }
    }
}
