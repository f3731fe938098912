public import LinuxKernel

/// Bounds on what clients can make a server hold.
public struct ServerLimits: Hashable, Sendable {
    public var connections = 1024
    /// Calls at once on one connection.
    public var concurrentCalls = 2048
    /// The longest message that is taken, in bytes.
    public var messageSize = 4 * 1024 * 1024
    /// All headers of a request, as HTTP/2 counts them.
    public var headerListSize = 16384
    /// How much of a stream, and of a whole connection, can be on its way.
    public var streamWindow = 128 * 1024
    public var connectionWindow = 4 * 1024 * 1024
    /// Messages that are not complete, not yet taken or not yet sent, of all calls together. Above
    /// it new calls are refused.
    public var memory = 256 * 1024 * 1024
    /// How long a client may take for the first bytes of HTTP/2, and for a header block.
    public var handshake = Duration.seconds(10)
    /// Pings in a row without a call, and how many more each second.
    public var pings = 100
    /// After this long without a byte a client is pinged, and after `keepaliveTimeout` more its
    /// connection is closed. Nil: never, as the kernel tells at once of a client that is gone.
    public var keepalive: Duration?
    public var keepaliveTimeout = Duration.seconds(20)

    public init() {}

    var settings: HTTP2Session.Settings {
        HTTP2Session.Settings(
            concurrentStreams: UInt32(clamping: concurrentCalls),
            streamWindow: UInt32(clamping: min(streamWindow, Int(Int32.max))),
            connectionWindow: UInt32(clamping: min(connectionWindow, Int(Int32.max))),
            headerListSize: UInt32(clamping: headerListSize))
    }
}

/// A gRPC server on Unix sockets. All of it lives on one loop's thread.
public final class Server: @unchecked Sendable {
    /// What happened so far.
    public struct Counters: Hashable, Sendable {
        public var acceptedConnections = 0
        /// Refused for their user.
        public var deniedConnections = 0
        /// Refused for the limit of connections.
        public var excessConnections = 0
        /// Ended for what they sent, or did not send in time.
        public var brokenConnections = 0
        public var openConnections = 0
        public var calls = 0
        public var openCalls = 0
        /// Bytes of messages held for all calls.
        public var heldBytes = 0
    }

    public let loop: EventLoop
    public let limits: ServerLimits
    private let endpoints: [String: Endpoint]
    /// Belongs to the loop's thread.
    public internal(set) var counters = Counters()
    /// Told after a connection came, went, was refused or broke.
    public var onConnectionChange: ((Counters) -> Void)?
    /// Told of each call that a handler gets.
    public var onCallBegin: (() -> Void)?
    /// Told of each call that ended: its path, its code, and how many nanoseconds it took. Set
    /// before the first client.
    public var onCallEnd: ((String, Status.Code, UInt64) -> Void)?
    private var listeners: [ListeningSocket] = []
    private var connections: [ObjectIdentifier: Connection] = [:]
    private var shutdownEnd: ScheduledAction?
    private var whenShutDown: [() -> Void] = []
    private var isShuttingDown = false

    public init(loop: EventLoop, endpoints: [Endpoint], limits: ServerLimits = ServerLimits()) {
        self.loop = loop
        self.limits = limits
        var table: [String: Endpoint] = [:]
        for endpoint in endpoints {
            let previous = table.updateValue(endpoint, forKey: endpoint.path)
            precondition(previous == nil, "each method has one endpoint: \(endpoint.path)")
        }
        self.endpoints = table
    }

    /// Takes clients of a listener from now on. Can be called on any thread.
    public func listen(on listener: Listener) {
        loop.enqueue {
            guard !self.isShuttingDown else { return listener.socket.removePath() }
            self.listeners.append(ListeningSocket(listener, self))
        }
    }

    /// Has the sockets that offer everything take these users from now on, and ends the
    /// connections of others. Called on the loop's thread.
    public func allow(_ users: Listener.Users) {
        for listener in listeners where !listener.isReadOnly { listener.users = users }
        for connection in connections.values
        where !connection.isReadOnly && !users.contains(connection.peer.uid) {
            connection.endNow()
        }
    }

    /// Takes no new connections and calls; lets those that run finish, and cancels what is left
    /// after a span of time. Can be called on any thread.
    public func shutDown(within span: Duration, then done: @escaping @Sendable () -> Void) {
        loop.enqueue { self.beginShutdown(span, done) }
    }

    private func beginShutdown(_ span: Duration, _ done: @escaping () -> Void) {
        whenShutDown.append(done)
        isShuttingDown = true
        for listener in listeners { listener.close() }
        listeners = []
        for connection in connections.values { connection.shutDown() }
        if let shutdownEnd { loop.cancel(shutdownEnd) }
        shutdownEnd = loop.schedule(after: span) { [weak self] in
            guard let self else { return }
            for connection in connections.values { connection.endNow() }
        }
        checkShutdown()
    }

    private func checkShutdown() {
        guard isShuttingDown, connections.isEmpty else { return }
        if let shutdownEnd { loop.cancel(shutdownEnd) }
        shutdownEnd = nil
        let done = whenShutDown
        whenShutDown = []
        for action in done { action() }
    }

    // MARK: - For listeners and connections

    /// Takes a connected socket.
    func adopt(
        _ socket: consuming Descriptor, users: Listener.Users = .any, isReadOnly: Bool = false
    ) {
        guard let peer = try? UnixSockets.peer(of: socket), users.contains(peer.uid) else {
            counters.deniedConnections += 1
            onConnectionChange?(counters)
            return
        }
        guard connections.count < limits.connections, !isShuttingDown else {
            counters.excessConnections += 1
            onConnectionChange?(counters)
            return
        }
        guard
            let connection = Connection(
                socket, peer: peer, isReadOnly: isReadOnly, server: self)
        else {
            counters.excessConnections += 1
            onConnectionChange?(counters)
            return
        }
        counters.acceptedConnections += 1
        counters.openConnections += 1
        onConnectionChange?(counters)
        connections[ObjectIdentifier(connection)] = connection
    }

    func connectionClosed(_ connection: Connection) {
        guard connections.removeValue(forKey: ObjectIdentifier(connection)) != nil else { return }
        counters.openConnections -= 1
        // Whatever it was that broke it is counted by now.
        onConnectionChange?(counters)
        for listener in listeners { listener.goOn() }
        checkShutdown()
    }

    var isOverMemory: Bool { counters.heldBytes > limits.memory }

    /// What answers a call, or why nothing does.
    func endpoint(_ path: String, isReadOnly: Bool) -> Result<Endpoint, Status> {
        guard let endpoint = endpoints[path] else {
            return .failure(Status(.unimplemented, "there is no method `\(path)`"))
        }
        guard !isReadOnly || endpoint.isReadOnly else {
            return .failure(
                Status(.permissionDenied, "this socket is read-only: use the agent's own socket"))
        }
        guard !isOverMemory else {
            return .failure(
                Status(.resourceExhausted, "too much waits in the server's memory: try later"))
        }
        return .success(endpoint)
    }
}

/// A listener on the loop.
private final class ListeningSocket: EventLoop.Handler {
    private let listener: Listener
    var users: Listener.Users
    var isReadOnly: Bool { listener.isReadOnly }
    private unowned let server: Server
    private var token: UInt64?
    private var retry: ScheduledAction?

    init(_ listener: Listener, _ server: Server) {
        self.listener = listener
        users = listener.users
        self.server = server
        goOn()
    }

    func isReady(_ events: PollEvents) {
        // Some at a time: those that are served already have their turn too.
        for _ in 0..<16 {
            do throws(SystemCallError) {
                let accepted = try UnixSockets.accept(listener.socket.descriptor)
                guard let socket = accepted else { return }
                server.adopt(socket, users: users, isReadOnly: listener.isReadOnly)
            } catch {
                // No descriptor or no memory is left. The client waits in the backlog until a
                // connection ends, or a while.
                rest()
                return
            }
        }
    }

    private func rest() {
        leave()
        guard retry == nil else { return }
        retry = server.loop.schedule(after: .milliseconds(200)) { [weak self] in
            self?.retry = nil
            self?.goOn()
        }
    }

    func goOn() {
        guard token == nil else { return }
        token = try? server.loop.add(listener.socket.descriptor.rawValue, .readable, self)
        if token == nil { rest() }
    }

    private func leave() {
        if let token { server.loop.remove(listener.socket.descriptor.rawValue, token: token) }
        token = nil
    }

    func close() {
        leave()
        if let retry { server.loop.cancel(retry) }
        listener.socket.removePath()
    }
}
