internal import LinuxKernel

/// One client: its socket, its session and its calls. Lives on the loop's thread.
final class Connection {
    let peer: PeerCredentials
    let loop: EventLoop
    let limits: ServerLimits
    let isReadOnly: Bool
    unowned let server: Server
    private let session: HTTP2Session
    private var transport: Transport?

    private var calls: [Int32: ServerCall] = [:]
    /// The header block that is coming.
    private var head: (stream: Int32, fields: RequestHead)?
    /// Calls to tell of room, once the session is left.
    private var writable: [ServerCall] = []

    private var hasSettings = false
    private var progress: ScheduledAction?
    private var pings: Int
    private var pingTime: UInt64 = 0
    private var isShuttingDown = false
    private var hasGoneAway = false

    init?(
        _ socket: consuming Descriptor, peer: PeerCredentials, isReadOnly: Bool, server: Server
    ) {
        guard let session = HTTP2Session(.server, server.limits.settings) else { return nil }
        self.peer = peer
        self.isReadOnly = isReadOnly
        self.server = server
        self.session = session
        loop = server.loop
        limits = server.limits
        pings = server.limits.pings
        session.owner = self
        let transport = Transport(socket, session, self, loop)
        guard transport.start(keepalive: limits.keepalive, timeout: limits.keepaliveTimeout) else {
            return nil
        }
        self.transport = transport
        watchProgress()
    }

    private func needTurn() { transport?.needTurn() }

    private func close(_ cause: ServerCall.Cancellation) {
        guard let transport else { return }
        self.transport = nil
        transport.close()
        if let progress { loop.cancel(progress) }
        progress = nil
        let left = calls.values
        calls = [:]
        server.counters.openCalls -= left.count
        for call in left { call.close(cause) }
        writable = []
        server.connectionClosed(self)
    }

    // MARK: - Times

    /// A client has to get on while it says hello and while it sends a header block.
    private func watchProgress() {
        let waits = !hasSettings || head != nil
        if waits, progress == nil, transport != nil {
            progress = loop.schedule(after: limits.handshake) { [weak self] in
                guard let self else { return }
                progress = nil
                server.counters.brokenConnections += 1
                close(.connectionLost)
            }
        } else if !waits, let progress {
            loop.cancel(progress)
            self.progress = nil
        }
    }

    // MARK: - The end

    func shutDown() {
        guard !isShuttingDown else { return }
        isShuttingDown = true
        session.announceShutdown()
        // Calls that were on their way when the client heard of it arrive before the answer.
        session.ping()
        needTurn()
    }

    private func goAwayIfDone() {
        guard hasGoneAway, calls.isEmpty, transport?.isEnding == false else { return }
        session.terminate(.noError)
        needTurn()
    }

    /// Cancels what is left, says so, and closes.
    func endNow() {
        guard transport?.isEnding == false else { return close(.shutdown) }
        let status = Status(.unavailable, "the server shuts down")
        for call in calls.values { call.cancel(.shutdown, status) }
        session.goAway()
        transport?.takeTurn()
        close(.shutdown)
    }

    // MARK: - For calls

    var isOverMemory: Bool { server.isOverMemory }

    func callEnded(_ path: String, _ code: Status.Code, _ nanoseconds: UInt64) {
        server.onCallEnd?(path, code, nanoseconds)
    }

    func account(_ change: Int) {
        server.counters.heldBytes += change
    }

    func answer(_ stream: Int32, _ block: HeaderBlock, hasBody: Bool) {
        session.answer(stream: stream, block, hasBody: hasBody)
        needTurn()
    }

    func resume(_ stream: Int32) {
        session.resume(stream: stream)
        needTurn()
    }

    func reset(_ stream: Int32, _ code: HTTP2Session.ErrorCode) {
        session.reset(stream: stream, code)
        needTurn()
    }

    func acknowledge(_ stream: Int32, _ count: Int) {
        session.acknowledge(stream: stream, bytes: count)
        needTurn()
    }

    func tellWritable(_ call: ServerCall) {
        writable.append(call)
    }

    private func tellWritable() {
        let calls = writable
        writable = []
        for call in calls { call.tellWritable() }
    }
}

extension Connection: TransportOwner {
    func bytesReceived() { watchProgress() }

    func turnEnded() {
        tellWritable()
        goAwayIfDone()
    }

    func transportEnded(_ end: Transport.End) {
        switch end {
        case .broken, .unanswered: server.counters.brokenConnections += 1
        case .lost, .over: break
        }
        close(.connectionLost)
    }

    func headersBegan(stream: Int32, _ kind: HTTP2Session.HeaderKind) {
        guard kind == .request else { return }
        head = (stream, RequestHead(limit: limits.headerListSize))
        pings = limits.pings
    }

    func receivedField(stream: Int32, name: String, value: [UInt8]) {
        // What comes after the request's own headers is of no use here.
        guard head?.stream == stream else { return }
        head?.fields.add(name, value)
    }

    func receivedHeaders(
        stream: Int32, _ kind: HTTP2Session.HeaderKind, endsStream: Bool
    ) {
        if let head, head.stream == stream, kind == .request {
            self.head = nil
            begin(stream, head.fields)
        } else if !endsStream {
            session.reset(stream: stream, .protocolError)
        }
        if endsStream { receivedEnd(stream: stream) }
    }

    private func begin(_ stream: Int32, _ head: RequestHead) {
        switch head.refusal {
        case .http(let status, let message):
            session.answer(
                stream: stream, .refusal(httpStatus: status, message), hasBody: false)
            return
        case .status(let status):
            refuse(stream, status)
            return
        case nil: break
        }
        let endpoint: Endpoint
        switch server.endpoint(head.path, isReadOnly: isReadOnly) {
        case .success(let found): endpoint = found
        case .failure(let status):
            refuse(stream, status)
            return
        }
        var deadline: UInt64?
        if let timeout = head.timeout {
            let (sum, overflow) = MonotonicClock.nanoseconds.addingReportingOverflow(timeout)
            if timeout == 0 {
                refuse(stream, Status(.deadlineExceeded, "the deadline passed"))
                return
            }
            deadline = overflow ? nil : sum
        }
        let call = ServerCall(stream: stream, head: head, deadline: deadline, connection: self)
        calls[stream] = call
        server.counters.calls += 1
        server.counters.openCalls += 1
        server.onCallBegin?()
        endpoint.handler(call)
    }

    private func refuse(_ stream: Int32, _ status: Status) {
        var block = HeaderBlock.answer
        block.add(status)
        session.answer(stream: stream, block, hasBody: false)
    }

    func receivedData(stream: Int32, _ bytes: [UInt8]) {
        pings = limits.pings
        // One call that takes nothing must not hold up the others: the streams' own windows bound
        // what each can send.
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

    func receivedPing(isAnswer: Bool) {
        guard !isAnswer else {
            if isShuttingDown, !hasGoneAway {
                hasGoneAway = true
                session.goAway()
            }
            return
        }
        let now = MonotonicClock.nanoseconds
        let seconds = Int(clamping: (now - pingTime) / 1_000_000_000)
        if seconds > 0 {
            pingTime = now
            pings = min(limits.pings, pings + min(seconds, limits.pings))
        }
        pings -= 1
        guard pings < 0, transport?.isEnding == false else { return }
        transport?.isEnding = true
        server.counters.brokenConnections += 1
        session.terminate(.enhanceYourCalm)
    }

    func receivedSettings() {
        hasSettings = true
    }

    // Clients take no calls.
    func receivedGoAway(lastStream: Int32, code: UInt32, text: [UInt8]) {}

    // Servers make none.
    func notSent(stream: Int32) {}

    func sentEnd(stream: Int32) {
        pings = limits.pings
        // The answer is whole, and what the client still sends is of no use: it can stop.
        if !session.hasRemoteEnded(stream: stream) { session.reset(stream: stream, .noError) }
    }

    func streamClosed(stream: Int32, code: UInt32) {
        if head?.stream == stream { head = nil }
        guard let call = calls.removeValue(forKey: stream) else { return }
        server.counters.openCalls -= 1
        call.close(.byClient)
    }

    func fill(stream: Int32, _ room: inout MutableSpan<UInt8>) -> HTTP2Session.Filling {
        guard let call = calls[stream] else { return .later }
        return call.fill(&room)
    }
}
