public import LinuxKernel

/// One call, as its handler sees it.
///
/// It lives on the loop's thread: callbacks are called there, and every member is used there.
/// Other threads hand work over by `loop.enqueue`. The callbacks are dropped when the call ends, so
/// they can hold the call.
public final class ServerCall: @unchecked Sendable {
    /// Why a call ended before its handler finished it.
    public enum Cancellation: Hashable, Sendable {
        case byClient
        case deadline
        case connectionLost
        case shutdown
        /// The client sent what the call cannot go on with.
        case badInput
    }

    /// Above this many bytes that wait to be sent, a call is not writable.
    static let highWater = 65536
    /// Below this many, it is again.
    static let lowWater = 16384

    public let path: String
    public let metadata: Metadata
    public let peer: PeerCredentials
    public let loop: EventLoop
    /// When its client stops waiting, by `MonotonicClock`.
    public let deadline: UInt64?

    /// A message came. Until it is set, messages are dropped.
    public var onMessage: (([UInt8]) -> Void)?
    /// The client sends no more messages.
    public var onHalfClose: (() -> Void)?
    /// Nobody waits for the answer any more. Not called once the call is finished.
    public var onCancel: ((Cancellation) -> Void)?
    /// There is room to send again, after `isWritable` was false.
    public var onWritable: (() -> Void)?

    let stream: Int32
    private weak var connection: Connection?
    private var input: CallInput
    private var outgoing = OutgoingBytes()
    private var accounted = 0
    private var isDelivering = false
    private var hasAnswered = false
    private var waitsForRoom = false
    /// What ends the answer, once all messages are out.
    private var ending: HeaderBlock?
    private var isClosed = false
    private let began = MonotonicClock.nanoseconds
    /// How it ended, once its handler or the connection has said so.
    private var endCode: Status.Code?
    private var deadlineAction: ScheduledAction?

    init(stream: Int32, head: RequestHead, deadline: UInt64?, connection: Connection) {
        self.stream = stream
        path = head.path
        metadata = head.metadata
        self.deadline = deadline
        peer = connection.peer
        loop = connection.loop
        input = CallInput(limit: connection.limits.messageSize)
        self.connection = connection
        if let deadline {
            deadlineAction = loop.schedule(at: deadline) { [weak self] in self?.expire() }
        }
    }

    // MARK: - For handlers

    /// Whether the call goes on: neither finished nor cancelled.
    public var isOpen: Bool { !isClosed && ending == nil }

    /// Whether little waits to be sent. Who sends on regardless fills memory.
    public var isWritable: Bool {
        guard isOpen else { return false }
        if outgoing.count < Self.highWater { return true }
        waitsForRoom = true
        return false
    }

    /// Sends the metadata before the first message. Later it is too late, and nothing is sent.
    public func sendMetadata(_ metadata: Metadata) {
        loop.checkThread()
        guard isOpen, !hasAnswered else { return }
        var block = HeaderBlock.answer
        block.add(metadata)
        begin(block)
    }

    /// Sends a message. Dropped when the call is over.
    public func send(_ message: [UInt8]) {
        loop.checkThread()
        guard isOpen, let connection else { return }
        if !hasAnswered { begin(HeaderBlock.answer) }
        let wasEmpty = outgoing.isEmpty
        outgoing.appendMessage(message)
        account()
        if wasEmpty { connection.resume(stream) }
    }

    /// Ends the call after what was sent. Later uses do nothing.
    public func finish(_ status: Status = .ok, trailers: Metadata = Metadata()) {
        loop.checkThread()
        guard isOpen, let connection else { return }
        endCode = status.code
        var block = status == .ok ? HeaderBlock.success : HeaderBlock()
        if status != .ok { block.add(status) }
        block.add(trailers)
        if hasAnswered {
            ending = block
            connection.resume(stream)
        } else {
            hasAnswered = true
            var whole = HeaderBlock.answer
            whole.append(block)
            ending = block
            connection.answer(stream, whole, hasBody: false)
        }
        dropInput()
        dropCallbacks()
    }

    /// Takes no messages until `resume`. What the client sends fills the stream's window, and then
    /// the client waits.
    public func pause() {
        loop.checkThread()
        input.isPaused = true
    }

    public func resume() {
        loop.checkThread()
        guard input.isPaused else { return }
        input.isPaused = false
        deliver()
    }

    private func begin(_ block: HeaderBlock) {
        hasAnswered = true
        connection?.answer(stream, block, hasBody: true)
    }

    // MARK: - For the connection

    func receive(_ bytes: [UInt8]) {
        guard isOpen else {
            connection?.acknowledge(stream, bytes.count)
            return
        }
        input.append(bytes)
        account()
        if connection?.isOverMemory == true, input.count > MessageAssembler.prefixLength {
            cancel(.badInput, Status(.resourceExhausted, "too much waits in the server's memory"))
            return
        }
        deliver()
    }

    func receiveEnd() {
        input.end()
        deliver()
    }

    /// Fills a frame of the answer.
    func fill(_ room: inout MutableSpan<UInt8>) -> HTTP2Session.Filling {
        let count = outgoing.take(into: &room)
        account()
        if waitsForRoom, outgoing.count < Self.lowWater, ending == nil {
            waitsForRoom = false
            connection?.tellWritable(self)
        }
        if outgoing.isEmpty, let ending { return .end(count, trailers: ending) }
        return count > 0 ? .bytes(count) : .later
    }

    func tellWritable() {
        if isOpen { onWritable?() }
    }

    /// The stream is gone.
    func close(_ cause: Cancellation) {
        guard !isClosed else { return }
        let wasOpen = isOpen
        isClosed = true
        if let deadlineAction { loop.cancel(deadlineAction) }
        deadlineAction = nil
        outgoing.clear()
        let onCancel = onCancel
        dropInput()
        dropCallbacks()
        account()
        let code = endCode ?? (cause == .deadline ? .deadlineExceeded : .cancelled)
        connection?.callEnded(path, code, MonotonicClock.nanoseconds - began)
        connection = nil
        if wasOpen { onCancel?(cause) }
    }

    /// Ends the call for its handler and for its client.
    func cancel(_ cause: Cancellation, _ status: Status) {
        guard !isClosed else { return }
        guard outgoing.isEmpty else {
            // Trailers would come after messages that nobody takes.
            let connection = connection
            close(cause)
            connection?.reset(stream, .cancel)
            return
        }
        let onCancel = isOpen ? onCancel : nil
        finish(status)
        onCancel?(cause)
    }

    /// Ends the call for what its client sent: for its handler at once, for its client after what
    /// was sent before, since the client is told why.
    package func fail(_ status: Status) {
        guard isOpen else { return }
        let onCancel = onCancel
        finish(status)
        onCancel?(.badInput)
    }

    private func expire() {
        deadlineAction = nil
        cancel(.deadline, Status(.deadlineExceeded, "the deadline passed"))
    }

    // MARK: - Input

    private func deliver() {
        guard !isDelivering else { return }
        isDelivering = true
        deliverMessages()
        isDelivering = false
        acknowledge()
    }

    private func deliverMessages() {
        while isOpen {
            switch input.next() {
            case .none: return
            case .message(let message):
                account()
                onMessage?(message)
            case .failure(let status): fail(status)
            case .end:
                acknowledge()
                onHalfClose?()
            }
        }
    }

    private func acknowledge() {
        let count = input.takeAcknowledgement()
        if count > 0 { connection?.acknowledge(stream, count) }
    }

    private func dropInput() {
        let count = input.drop()
        if count > 0 { connection?.acknowledge(stream, count) }
        account()
    }

    private func dropCallbacks() {
        onMessage = nil
        onHalfClose = nil
        onCancel = nil
        onWritable = nil
    }

    private func account() {
        let now = input.count + outgoing.count
        if now != accounted { connection?.account(now - accounted) }
        accounted = now
    }
}
