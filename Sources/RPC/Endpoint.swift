/// One method of a service, and what answers its calls.
public struct Endpoint: Sendable {
    /// `/package.Service/Method`
    public let path: String
    /// Whether it changes nothing, so that a read-only listener offers it.
    public let isReadOnly: Bool
    let handler: @Sendable (ServerCall) -> Void

    /// A method whose requests are a stream, or which wants each message as it comes. The handler
    /// sets the call's callbacks. It runs on the loop's thread, as they do, and must not block.
    public init(
        _ path: String, isReadOnly: Bool = false,
        handler: @escaping @Sendable (ServerCall) -> Void
    ) {
        self.path = path
        self.isReadOnly = isReadOnly
        self.handler = handler
    }

    /// A method with one request and one or more answers. The handler is called when the request
    /// is there as a whole; a call with none or several of them fails before.
    public static func request(
        _ path: String, isReadOnly: Bool = false,
        handler: @escaping @Sendable (ServerCall, [UInt8]) -> Void
    ) -> Endpoint {
        Endpoint(path, isReadOnly: isReadOnly) { call in
            var request: [UInt8]?
            call.onMessage = { message in
                guard request == nil else {
                    call.finish(Status(.internal, "there is more than one request"))
                    return
                }
                request = message
            }
            call.onHalfClose = {
                guard let whole = request else {
                    call.finish(Status(.internal, "there is no request"))
                    return
                }
                request = nil
                handler(call, whole)
            }
        }
    }
}
