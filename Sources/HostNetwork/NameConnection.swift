internal import LinuxKernel

/// Messages of the domain name system on a connection, each behind its length.
final class NameStream {
    private let socket: InternetSocket
    private let limit: Int
    private var incoming: [UInt8] = []
    private var outgoing: [UInt8] = []
    private var sent = 0
    private var watch: Watch?
    /// Whether the next message is taken when it comes.
    private var isListening: Bool
    private let take: ([UInt8]?) -> Void

    /// - Parameter take: is called with each message, and with nothing when there are no more.
    init(
        _ socket: InternetSocket, on loop: EventLoop, longest limit: Int, isListening: Bool,
        take: @escaping ([UInt8]?) -> Void
    ) throws(SystemCallError) {
        self.socket = socket
        self.limit = limit
        self.isListening = isListening
        self.take = take
        watch = try loop.watch(socket.descriptor, for: isListening ? .readable : []) {
            [weak self] events in
            self?.isReady(events)
        }
    }

    /// Nothing is taken any more.
    func close() {
        watch?.cancel()
        watch = nil
    }

    /// Sends a message, and takes the next one only after that.
    func send(_ message: [UInt8]) {
        outgoing = UInt16(truncatingIfNeeded: message.count).networkBytes + message
        sent = 0
        isListening = true
        isReady([])
    }

    private func isReady(_ events: PollEvents) {
        if sent < outgoing.count {
            switch UnixSockets.send(outgoing, from: sent, to: socket.descriptor) {
            case .bytes(let count): sent += count
            case .wouldBlock: break
            case .failed: return end()
            }
        } else if isListening, !events.isEmpty {
            guard receive() else { return end() }
        } else if events.contains(.hungUp) || events.contains(.failed) {
            return end()
        }
        wait()
        deliver()
    }

    private func receive() -> Bool {
        var buffer = [UInt8](repeating: 0, count: limit + 2 - incoming.count)
        switch UnixSockets.receive(socket.descriptor, into: &buffer) {
        case .bytes(let count):
            incoming += buffer.prefix(count)
            return count > 0
        case .wouldBlock: return true
        case .failed: return false
        }
    }

    private func wait() {
        watch?.change(to: sent < outgoing.count ? .writable : isListening ? .readable : [])
    }

    private func deliver() {
        guard isListening, sent == outgoing.count, incoming.count >= 2 else { return }
        let count = Int(incoming[0]) << 8 | Int(incoming[1])
        guard count <= limit else { return end() }
        guard incoming.count >= 2 + count else { return }
        let message = Array(incoming[2..<(2 + count)])
        incoming.removeFirst(2 + count)
        isListening = false
        wait()
        take(message)
    }

    private func end() {
        guard watch != nil else { return }
        close()
        take(nil)
    }
}

/// A connection of a sandbox, on which it asks one question after the other.
final class NameConnection {
    /// How long it may be silent.
    private static let patience = Duration.seconds(10)

    let slot: SlotIndex
    private unowned let forwarder: NameForwarder
    private var client: NameStream?
    private var upstream: NameStream?
    private var timeout: ScheduledAction?
    private var question: (message: NameMessage, bytes: [UInt8])?
    private var attempts = 0

    init(
        _ socket: InternetSocket, of slot: SlotIndex, _ forwarder: NameForwarder
    ) throws(SystemCallError) {
        self.slot = slot
        self.forwarder = forwarder
        client = try NameStream(
            socket, on: forwarder.loop, longest: NameForwarder.longestQuestion, isListening: true
        ) { [weak self] in self?.takeQuestion($0) }
        wait(for: Self.patience) { $0.close() }
    }

    func close() {
        timeout.map(forwarder.loop.cancel)
        client?.close()
        upstream?.close()
        (client, upstream) = (nil, nil)
        forwarder.forget(self)
    }

    private func wait(for span: Duration, _ action: @escaping (NameConnection) -> Void) {
        timeout.map(forwarder.loop.cancel)
        timeout = forwarder.loop.schedule(after: span) { [weak self] in self.map(action) }
    }

    private func takeQuestion(_ bytes: [UInt8]?) {
        guard let bytes else { return close() }
        switch forwarder.judge(bytes, of: slot) {
        case .ignore: close()
        case .answer(let answer): give(answer)
        case .ask(let message):
            question = (message, bytes)
            attempts = 0
            ask()
        }
    }

    private func give(_ answer: [UInt8]) {
        upstream?.close()
        (upstream, question) = (nil, nil)
        wait(for: Self.patience) { $0.close() }
        client?.send(answer)
    }

    /// Each who can be asked has a while.
    private func ask() {
        guard let question else { return }
        let settings = forwarder.settings
        upstream?.close()
        upstream = nil
        guard attempts < settings.attempts else {
            forwarder.counts.unanswered += 1
            return give(
                NameMessage.refusal(
                    of: question.bytes, question.message, code: ResponseCode.failed))
        }
        let address = settings.upstreams[attempts % settings.upstreams.count]
        attempts += 1
        wait(for: settings.patience) { $0.ask() }
        // One that cannot be asked does not answer in time.
        upstream = try? stream(to: address)
        upstream?.send(question.bytes)
    }

    private func stream(to address: InternetAddress) throws(SystemCallError) -> NameStream {
        let socket = try InternetSocket(.stream, in: forwarder.network.node)
        try socket.connect(to: address)
        return try NameStream(
            socket, on: forwarder.loop, longest: Int(UInt16.max), isListening: false
        ) { [weak self] in self?.takeAnswer($0) }
    }

    private func takeAnswer(_ bytes: [UInt8]?) {
        guard let bytes, let question else { return }
        guard let message = NameMessage(bytes),
            message.identifier == question.message.identifier,
            let answer = forwarder.finish(
                bytes, message, to: question.message, question.bytes, slot)
        else {
            forwarder.counts.strange += 1
            upstream?.close()
            return
        }
        give(answer)
    }
}
