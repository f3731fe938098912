public import LinuxKernel

/// Answers `GET /metrics` on sockets, on a thread of its own: also while the agent's loop is held
/// up, which is when somebody wants to know.
///
/// A client can hold little: a bounded head, a bounded time, and one of few places. Others wait in
/// the socket's backlog.
public final class MetricsServer: @unchecked Sendable {
    public struct Limits: Hashable, Sendable {
        public var connections = 16
        /// For the whole of a request and its answer.
        public var time = Duration.seconds(10)

        public init() {}
    }

    private enum Token {
        static let wake: UInt64 = 0
        static let timer: UInt64 = 1
        static let firstListener: UInt64 = 2
    }

    /// A client.
    private final class Client {
        let descriptor: Descriptor
        let deadline: UInt64
        var request: [UInt8] = []
        /// Nothing while the request is not whole.
        var answer: [UInt8]?
        var sent = 0

        init(_ descriptor: consuming Descriptor, deadline: UInt64) {
            self.descriptor = descriptor
            self.deadline = deadline
        }
    }

    private let limits: Limits
    private let content: @Sendable () -> String
    private let poll: EventPoll
    private let wake: EventCounter
    private let timer: Timer
    private let isStopping = Locked(false)
    private let thread = Locked<ThreadBox?>(nil)

    // What follows belongs to the thread while it runs.
    private var listeners: [ListeningSocket]
    private var clients: [UInt64: Client] = [:]
    private var lastToken: UInt64
    private var isListening = false
    /// When connections are taken again, after there was no descriptor for one.
    private var restsUntil: UInt64 = 0
    private var buffer = [UInt8](repeating: 0, count: 4096)

    /// - Parameter content: called on the server's thread; it must not wait.
    public init(
        on listeners: [ListeningSocket], limits: Limits = Limits(),
        content: @escaping @Sendable () -> String
    ) throws(SystemCallError) {
        self.listeners = listeners
        self.limits = limits
        self.content = content
        poll = try EventPoll()
        wake = try EventCounter()
        timer = try Timer()
        lastToken = Token.firstListener + UInt64(listeners.count)
        try poll.add(wake.descriptor.rawValue, .readable, token: Token.wake)
        try poll.add(timer.descriptor.rawValue, .readable, token: Token.timer)
    }

    /// Starts answering. Until `stop`, this object lives.
    public func start() throws(SystemCallError) {
        let started = try KernelThread(named: "metrics") { self.run() }
        let box = ThreadBox(started)
        thread.with { $0 = box }
    }

    /// Ends the thread, its connections too, waits for it, and gives up the sockets and their
    /// paths. Not to be called by two threads at once.
    public func stop() {
        isStopping.with { $0 = true }
        wake.signal()
        let box = thread.with { thread in
            let box = thread
            thread = nil
            return box
        }
        box?.join()
        for listener in listeners { listener.removePath() }
        // Who still waits in a backlog learns that nobody will come.
        listeners = []
    }

    // MARK: - The thread

    private func run() {
        var batch = EventPoll.Batch(capacity: 32)
        while !isStopping.with({ $0 }) {
            let now = MonotonicClock.nanoseconds
            listen(clients.count < limits.connections && restsUntil <= now)
            armTimer(now)
            do throws(SystemCallError) {
                try poll.wait(into: &batch)
            } catch {
                preconditionFailure("waiting for a set of descriptors does not fail: \(error)")
            }
            for index in 0..<batch.count { handle(batch[index].token) }
            dropLate()
        }
        clients = [:]
    }

    private func handle(_ token: UInt64) {
        switch token {
        case Token.wake: wake.clear()
        case Token.timer: timer.clear()
        case Token.firstListener..<(Token.firstListener + UInt64(listeners.count)):
            accept(listeners[Int(token - Token.firstListener)])
        default:
            guard let client = clients[token] else { return }
            if client.answer == nil { read(client) }
            let isDone = write(client)
            if isDone { drop(token) } else { follow(client, token) }
        }
    }

    /// Waits for connections, or leaves them in the backlog.
    private func listen(_ listens: Bool) {
        guard listens != isListening else { return }
        isListening = listens
        for (index, listener) in listeners.enumerated() {
            let number = listener.descriptor.rawValue
            // Both fail for a descriptor that is in no set, or in it already, alone.
            if listens {
                try? poll.add(number, .readable, token: Token.firstListener + UInt64(index))
            } else {
                try? poll.remove(number)
            }
        }
    }

    private func accept(_ listener: ListeningSocket) {
        while clients.count < limits.connections {
            let socket: Descriptor?
            do throws(SystemCallError) {
                socket = try UnixSockets.accept(listener.descriptor)
            } catch {
                // No descriptor is free, and the connection stays where it is.
                restsUntil = MonotonicClock.nanoseconds(after: .milliseconds(200))
                return
            }
            guard let socket else { return }
            lastToken += 1
            let number = socket.rawValue
            guard (try? poll.add(number, .readable, token: lastToken)) != nil else { return }
            clients[lastToken] = Client(
                socket, deadline: MonotonicClock.nanoseconds(after: limits.time))
        }
    }

    private func read(_ client: Client) {
        while client.answer == nil {
            switch UnixSockets.receive(client.descriptor.rawValue, into: &buffer) {
            case .bytes(0), .failed:
                // Nobody is there who would read an answer.
                client.answer = []
            case .bytes(let count):
                client.request += buffer[..<count]
                answer(client)
            case .wouldBlock: return
            }
        }
    }

    private func answer(_ client: Client) {
        switch HTTPRequest.read(client.request) {
        case .incomplete: break
        case .refused(let status): client.answer = status.answer(status.reason.lowercased())
        case .complete(let request): client.answer = answer(to: request)
        }
        if client.answer != nil { client.request = [] }
    }

    private func answer(to request: HTTPRequest) -> [UInt8] {
        let isHead = request.method == "HEAD"
        guard isHead || request.method == "GET" else {
            return HTTPStatus.methodNotAllowed.answer("only GET and HEAD are answered")
        }
        guard request.path == "/metrics" else {
            return HTTPStatus.notFound.answer("the metrics are at /metrics", hasBody: !isHead)
        }
        return HTTPStatus.ok.answer(
            type: "text/plain; version=0.0.4; charset=utf-8", body: Array(content().utf8),
            hasBody: !isHead)
    }

    /// Whether nothing is left to do for a client.
    private func write(_ client: Client) -> Bool {
        guard let answer = client.answer else { return false }
        while client.sent < answer.count {
            switch UnixSockets.send(answer, from: client.sent, to: client.descriptor.rawValue) {
            case .bytes(let count): client.sent += count
            case .wouldBlock: return false
            case .failed: return true
            }
        }
        return true
    }

    private func follow(_ client: Client, _ token: UInt64) {
        let events: PollEvents = client.answer == nil ? .readable : .writable
        // It fails for a descriptor that is not in the set alone.
        try? poll.change(client.descriptor.rawValue, events, token: token)
    }

    private func drop(_ token: UInt64) {
        guard let client = clients.removeValue(forKey: token) else { return }
        try? poll.remove(client.descriptor.rawValue)
    }

    private func dropLate() {
        let now = MonotonicClock.nanoseconds
        for (token, client) in clients where client.deadline <= now {
            if client.answer == nil {
                client.answer = HTTPStatus.timedOut.answer("the request took too long")
                _ = write(client)
            }
            drop(token)
        }
    }

    private func armTimer(_ now: UInt64) {
        let rest = restsUntil > now ? restsUntil : .max
        let earliest = min(rest, clients.values.map(\.deadline).min() ?? .max)
        guard earliest < .max else { return }
        // It fails for what is no timer alone.
        try? timer.start(.nanoseconds(Int64(clamping: earliest > now ? earliest - now : 1)))
    }
}

/// Holds a thread until it is joined.
private final class ThreadBox: @unchecked Sendable {
    private var thread: KernelThread?

    init(_ thread: consuming KernelThread) { self.thread = consume thread }

    func join() { thread.take()?.join() }
}
