public import ProtocolBuffers
public import RPC

extension Endpoint {
    /// A method with one request and one answer. The handler is called with the request, on the
    /// loop's thread, and must not block; the answer can come later.
    public static func unary<Request: Message, Response: Message>(
        _ method: Method<Request, Response>, isReadOnly: Bool = false,
        handler: @escaping @Sendable (Request, TypedCall<Request, Response>) -> Void
    ) -> Endpoint {
        precondition(method.kind == .unary, "\(method.path) is \(method.kind)")
        return request(method, isReadOnly, handler)
    }

    /// A unary method whose answer is there at once.
    public static func answer<Request: Message, Response: Message>(
        _ method: Method<Request, Response>, isReadOnly: Bool = false,
        handler: @escaping @Sendable (Request) throws(CallFailure) -> Response
    ) -> Endpoint {
        unary(method, isReadOnly: isReadOnly) { request, call in
            do throws(CallFailure) {
                call.finish(with: try handler(request))
            } catch {
                call.finish(error)
            }
        }
    }

    /// A method with one request and a stream of answers.
    public static func serverStream<Request: Message, Response: Message>(
        _ method: Method<Request, Response>, isReadOnly: Bool = false,
        handler: @escaping @Sendable (Request, TypedCall<Request, Response>) -> Void
    ) -> Endpoint {
        precondition(method.kind == .serverStreaming, "\(method.path) is \(method.kind)")
        return request(method, isReadOnly, handler)
    }

    /// A method with a stream of requests and one answer. The handler sets the call's callbacks.
    public static func clientStream<Request: Message, Response: Message>(
        _ method: Method<Request, Response>, isReadOnly: Bool = false,
        handler: @escaping @Sendable (TypedCall<Request, Response>) -> Void
    ) -> Endpoint {
        precondition(method.kind == .clientStreaming, "\(method.path) is \(method.kind)")
        return Endpoint(method.path, isReadOnly: isReadOnly) { handler(TypedCall($0)) }
    }

    /// A method with streams both ways. The handler sets the call's callbacks.
    public static func bidirectional<Request: Message, Response: Message>(
        _ method: Method<Request, Response>, isReadOnly: Bool = false,
        handler: @escaping @Sendable (TypedCall<Request, Response>) -> Void
    ) -> Endpoint {
        precondition(method.kind == .bidirectional, "\(method.path) is \(method.kind)")
        return Endpoint(method.path, isReadOnly: isReadOnly) { handler(TypedCall($0)) }
    }

    private static func request<Request: Message, Response: Message>(
        _ method: Method<Request, Response>, _ isReadOnly: Bool,
        _ handler: @escaping @Sendable (Request, TypedCall<Request, Response>) -> Void
    ) -> Endpoint {
        .request(method.path, isReadOnly: isReadOnly) { base, bytes in
            let call = TypedCall<Request, Response>(base)
            do throws(WireError) {
                handler(
                    try Request(decoding: bytes, limits: WireLimits(bytes: bytes.count)), call)
            } catch {
                call.finish(.notAMessage(Request.self, error))
            }
        }
    }
}
