public import LinuxKernel
public import ProtocolBuffers
public import RPC

/// Calls of an agent that wait for their answers, for programs without an event loop of their own.
///
/// There is no thread behind it: the loop runs on the thread of the caller while that waits. What
/// else the program waits for meanwhile, such as its terminal, is watched on the same loop:
///
///     let agent = try AgentConnection(path: "/run/alcove/agent.sock")
///     let info = try agent.request(NodeMethods.info, InfoRequest())
///     let events = agent.stream(SandboxesMethods.watch, WatchRequest())
///     while let event = try events.next() { … }
///
///     let exec = agent.open(SandboxesMethods.exec)
///     exec.onMessage { response in … }
///     let input = try agent.loop.watch(0, for: .readable) { _ in exec.send(…) }
///     try agent.wait(for: exec)
///     input.cancel()
public final class AgentConnection {
    public let loop: EventLoop
    public let connection: ClientConnection

    /// Connects. What fails later, fails the calls as UNAVAILABLE.
    public init(path: String, limits: ClientLimits = ClientLimits()) throws(SystemCallError) {
        loop = try EventLoop(named: "agent")
        connection = try ClientConnection(to: path, on: loop, limits: limits)
    }

    deinit { connection.close() }

    private func deadline(_ timeout: Duration?) -> UInt64? {
        timeout.map { MonotonicClock.nanoseconds(after: $0) }
    }

    /// Calls a unary method and waits for its answer.
    public func request<Request: Message, Response: Message>(
        _ method: Method<Request, Response>, _ request: Request, timeout: Duration? = nil
    ) throws(CallFailure) -> Response {
        var result: Result<Response, CallFailure>?
        connection.call(method, request, deadline: deadline(timeout)) { result = $0 }
        while true {
            if let result { return try result.get() }
            loop.runOnThisThread(until: { result != nil })
        }
    }

    /// Calls a method with one request, whose answers are taken one by one.
    public func stream<Request: Message, Response: Message>(
        _ method: Method<Request, Response>, _ request: Request, timeout: Duration? = nil
    ) -> AgentStream<Response> {
        AgentStream(connection.open(method, request, deadline: deadline(timeout)))
    }

    /// Begins a call of any kind. Nothing of it happens before `wait` or `run`.
    public func open<Request: Message, Response: Message>(
        _ method: Method<Request, Response>, timeout: Duration? = nil
    ) -> TypedClientCall<Request, Response> {
        connection.open(method, deadline: deadline(timeout))
    }

    /// Waits for the end of a call. Its `onEnd` stays the caller's.
    public func wait<Request: Message, Response: Message>(
        for call: TypedClientCall<Request, Response>
    ) throws(CallFailure) {
        loop.runOnThisThread(until: { call.base.status != nil })
        if let status = call.base.status, status.code != .ok { throw CallFailure(status) }
    }

    /// Runs the loop until something holds that the callbacks of calls and watches bring about.
    public func run(until isDone: () -> Bool) {
        loop.runOnThisThread(until: isDone)
    }
}

/// The answers of one call, to wait for one after the other. What is not taken yet waits at the
/// server, beyond a bound.
public final class AgentStream<Response: Message> {
    private let base: ClientCall
    private var taken: Response?

    init<Request: Message>(_ call: TypedClientCall<Request, Response>) {
        base = call.base
        call.pause()
        call.onMessage { [weak self] response in
            call.pause()
            self?.taken = response
        }
    }

    deinit { cancel() }

    /// The next answer; nothing after the last one of a call that ended well.
    public func next() throws(CallFailure) -> Response? {
        while true {
            if let response = taken {
                taken = nil
                return response
            }
            if let status = base.status {
                if status.code == .ok { return nil }
                throw CallFailure(status)
            }
            base.resume()
            base.loop.runOnThisThread(until: { taken != nil || base.status != nil })
        }
    }

    /// Ends the call, for who takes no more answers. Letting go of the stream does the same.
    public func cancel() { base.cancel() }
}
