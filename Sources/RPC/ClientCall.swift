public import LinuxKernel

/// One call of a server, as its caller sees it.
///
/// It lives on the loop's thread: callbacks are called there, and every member is used there. Set
/// the callbacks right after the call was made: nothing is told before the loop's next turn. They
/// are dropped when the call ends, so they can hold the call. The connection keeps the call, so its
/// caller need not.
public final class ClientCall: @unchecked Sendable {
    public let path: String
    public let loop: EventLoop

    /// The answer begins, with this metadata. Not told of an answer that is nothing but an end.
    public var onMetadata: ((Metadata) -> Void)?
    /// A message came. Until it is set, messages are dropped.
    public var onMessage: (([UInt8]) -> Void)?
    /// There is room to send again, after `isWritable` was false.
    public var onWritable: (() -> Void)?
    /// The call is over, with this status and these trailers. Told once and last, whoever ended it,
    /// after all messages that came before.
    public var onEnd: ((Status, Metadata) -> Void)?

    /// How it ended; nothing while it goes on.
    public private(set) var status: Status?

    let stream: Int32
    private var connection: ClientConnection?
    private var input: CallInput
    private var isDelivering = false
    private var outgoing = OutgoingBytes()
    private var waitsForRoom = false
    private var hasFinishedSending = false
    /// What the answer begins with, once it has begun.
    private var hasAnswer = false
    /// How the server ended it, until all messages are taken.
    private var ending: (status: Status, trailers: Metadata)?
    private var deadlineAction: ScheduledAction?

    /// - Parameter stream: 0 for a call that could not begin, and is to be ended.
    init(
        _ path: String, stream: Int32, deadline: UInt64?, messageSize: Int,
        connection: ClientConnection
    ) {
        self.path = path
        self.stream = stream
        self.connection = connection
        loop = connection.loop
        input = CallInput(limit: messageSize)
        if let deadline, stream > 0 {
            deadlineAction = loop.schedule(at: deadline) { [weak self] in
                self?.deadlineAction = nil
                self?.cancel(.deadlinePassed)
            }
        }
    }

    // MARK: - For callers

    /// Whether messages can be sent.
    public var isOpen: Bool { status == nil && ending == nil && !hasFinishedSending }

    /// Whether little waits to be sent. Who sends on regardless fills memory.
    public var isWritable: Bool {
        guard isOpen else { return false }
        if outgoing.count < ServerCall.highWater { return true }
        waitsForRoom = true
        return false
    }

    /// Sends a message. Dropped when the call is over.
    public func send(_ message: [UInt8]) {
        loop.checkThread()
        guard isOpen, let connection else { return }
        let wasEmpty = outgoing.isEmpty
        outgoing.appendMessage(message)
        if wasEmpty { connection.resume(stream) }
    }

    /// Says that no more messages come, after those that were sent.
    public func finishSending() {
        loop.checkThread()
        guard isOpen else { return }
        hasFinishedSending = true
        connection?.resume(stream)
    }

    /// Ends the call now, here with this status, for the server as cancelled.
    public func cancel(_ status: Status = Status(.cancelled, "the call was cancelled")) {
        loop.checkThread()
        guard self.status == nil else { return }
        connection?.reset(stream, .cancel)
        end(status)
    }

    /// Takes no messages until `resume`. What the server sends fills the stream's window, and then
    /// the server waits.
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

    /// Bytes that came and were not taken, and that wait to be sent.
    var heldBytes: Int { input.count }
    var waitingBytes: Int { outgoing.count }

    // MARK: - For the connection

    /// A block of headers is complete.
    func receive(_ head: ResponseHead, endsStream: Bool) {
        guard status == nil, ending == nil else { return }
        if hasAnswer {
            guard endsStream else {
                cancel(Status(.internal, "the answer has headers between its messages"))
                return
            }
            complete(head.ending, head.metadata)
        } else if endsStream {
            complete(head.ending, head.metadata)
        } else if head.isInterim {
            return
        } else if let refusal = head.refusal {
            cancel(refusal)
        } else {
            hasAnswer = true
            onMetadata?(head.metadata)
        }
    }

    func receive(_ bytes: [UInt8]) {
        guard status == nil else {
            connection?.acknowledge(stream, bytes.count)
            return
        }
        guard hasAnswer else {
            cancel(Status(.internal, "the answer has messages before its headers"))
            return
        }
        input.append(bytes)
        deliver()
    }

    /// The answer ends without trailers.
    func receiveEnd() {
        complete(Status(.internal, "the answer ends without a status"), Metadata())
    }

    private func complete(_ status: Status, _ trailers: Metadata) {
        guard self.status == nil, ending == nil else { return }
        // The server listens no more.
        if !hasFinishedSending || !outgoing.isEmpty { connection?.reset(stream, .noError) }
        if let deadlineAction { loop.cancel(deadlineAction) }
        deadlineAction = nil
        outgoing.clear()
        ending = (status, trailers)
        input.end()
        deliver()
    }

    /// The stream is gone. A call whose end has come goes on until all messages are taken.
    func close(_ status: Status) {
        if ending == nil { end(status) }
    }

    func fill(_ room: inout MutableSpan<UInt8>) -> HTTP2Session.Filling {
        let count = outgoing.take(into: &room)
        if waitsForRoom, outgoing.count < ServerCall.lowWater, isOpen {
            waitsForRoom = false
            connection?.tellWritable(self)
        }
        if outgoing.isEmpty, hasFinishedSending { return .end(count, trailers: nil) }
        return count > 0 ? .bytes(count) : .later
    }

    func tellWritable() {
        if isOpen { onWritable?() }
    }

    // MARK: - Below

    private func deliver() {
        guard !isDelivering else { return }
        isDelivering = true
        deliverMessages()
        isDelivering = false
        acknowledge(input.takeAcknowledgement())
    }

    private func deliverMessages() {
        while status == nil {
            switch input.next() {
            case .none: return
            case .message(let message): onMessage?(message)
            case .failure(let failure):
                // What the server says of it comes first.
                if let ending, ending.status != .ok {
                    end(ending.status, ending.trailers)
                } else {
                    cancel(failure)
                }
            case .end: if let ending { end(ending.status, ending.trailers) }
            }
        }
    }

    private func acknowledge(_ count: Int) {
        if count > 0 { connection?.acknowledge(stream, count) }
    }

    private func end(_ status: Status, _ trailers: Metadata = Metadata()) {
        guard self.status == nil else { return }
        self.status = status
        if let deadlineAction { loop.cancel(deadlineAction) }
        deadlineAction = nil
        acknowledge(input.drop())
        outgoing.clear()
        let onEnd = onEnd
        onMetadata = nil
        onMessage = nil
        onWritable = nil
        self.onEnd = nil
        let connection = connection
        self.connection = nil
        connection?.forget(stream)
        onEnd?(status, trailers)
    }
}

extension Status {
    static let deadlinePassed = Status(.deadlineExceeded, "the deadline passed")
}
