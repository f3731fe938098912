public import LinuxKernel
public import ProtocolBuffers
public import RPC

/// A call of a server with its method's messages: a ``RPC/ClientCall`` that writes and reads them.
///
/// Like that it belongs to the loop's thread. Set what it tells right after it was made; the
/// actions are dropped when the call ends, so they can hold it.
public struct TypedClientCall<Request: Message, Response: Message>: Sendable {
    /// The call below, for what has no messages in it.
    public let base: ClientCall

    public init(_ base: ClientCall) {
        self.base = base
    }

    public var loop: EventLoop { base.loop }
    /// Whether messages can be sent.
    public var isOpen: Bool { base.isOpen }
    /// Whether little waits to be sent. Who sends on regardless fills memory.
    public var isWritable: Bool { base.isWritable }

    /// Calls an action with each answer. One that is not the method's message ends the call as
    /// INTERNAL. Until it is set, answers are dropped.
    public func onMessage(_ action: @escaping (Response) -> Void) {
        let base = base
        base.onMessage = { bytes in
            do throws(WireError) {
                action(try Response(decoding: bytes, limits: WireLimits(bytes: bytes.count)))
            } catch {
                base.cancel(
                    RPC.Status(.internal, "the answer is no \(Response.messageName): \(error)"))
            }
        }
    }

    /// Calls an action when there is room to send again, after `isWritable` was false.
    public func onWritable(_ action: @escaping () -> Void) { base.onWritable = action }

    /// Calls an action once and last, whoever ended the call, with why it failed if it did.
    public func onEnd(_ action: @escaping (CallFailure?) -> Void) {
        base.onEnd = { status, _ in action(status.code == .ok ? nil : CallFailure(status)) }
    }

    /// Sends a request. Dropped when the call is over.
    public func send(_ request: Request) { base.send(request.encoded()) }

    /// Says that no more requests come.
    public func finishSending() { base.finishSending() }

    /// Ends the call now, here and for the server.
    public func cancel() { base.cancel() }

    /// Takes no answers until `resume`; the server waits when the stream's window is full.
    public func pause() { base.pause() }
    public func resume() { base.resume() }
}

extension ClientConnection {
    /// Begins a call of any kind, to send requests and to be told answers.
    ///
    /// - Parameter deadline: by `MonotonicClock`.
    public func open<Request: Message, Response: Message>(
        _ method: Method<Request, Response>, metadata: Metadata = Metadata(),
        deadline: UInt64? = nil
    ) -> TypedClientCall<Request, Response> {
        TypedClientCall(call(method.path, metadata: metadata, deadline: deadline))
    }

    /// Begins a call with its only request: answers are still to come.
    public func open<Request: Message, Response: Message>(
        _ method: Method<Request, Response>, _ request: Request,
        metadata: Metadata = Metadata(), deadline: UInt64? = nil
    ) -> TypedClientCall<Request, Response> {
        let call = open(method, metadata: metadata, deadline: deadline)
        call.send(request)
        call.finishSending()
        return call
    }

    /// Calls a unary method, and then an action with its answer, once.
    @discardableResult
    public func call<Request: Message, Response: Message>(
        _ method: Method<Request, Response>, _ request: Request,
        metadata: Metadata = Metadata(), deadline: UInt64? = nil,
        then action: @escaping (Result<Response, CallFailure>) -> Void
    ) -> TypedClientCall<Request, Response> {
        precondition(method.kind == .unary, "\(method.path) is \(method.kind)")
        let call = open(method, request, metadata: metadata, deadline: deadline)
        call.onOnlyAnswer(action)
        return call
    }
}

extension TypedClientCall {
    /// Calls an action with the answer of a method that gives one, once. Instead of `onMessage`
    /// and `onEnd`.
    public func onOnlyAnswer(_ action: @escaping (Result<Response, CallFailure>) -> Void) {
        var answer: Response?
        let base = base
        onMessage { response in
            guard answer == nil else {
                base.cancel(RPC.Status(.internal, "there is more than one answer"))
                return
            }
            answer = response
        }
        onEnd { failure in
            if let failure {
                action(.failure(failure))
            } else if let answer {
                action(.success(answer))
            } else {
                action(
                    .failure(CallFailure(RPC.Status(.internal, "the call ended without an answer")))
                )
            }
        }
    }
}
