/// The header block of a request, taken field by field.
struct RequestHead {
    enum Refusal: Equatable {
        case http(status: Int, message: String)
        case status(Status)
    }

    let limit: Int
    private(set) var path = ""
    private(set) var metadata = Metadata()
    /// Nanoseconds.
    private(set) var timeout: UInt64?
    private var size = 0
    private var method: [UInt8] = []
    private var contentType: [UInt8] = []
    private var failure: Status?

    init(limit: Int) {
        self.limit = limit
    }

    mutating func add(_ name: String, _ value: [UInt8]) {
        // Counted as HTTP/2 does.
        size += name.utf8.count + value.count + 32
        guard size <= limit else {
            // What comes after the limit is not kept.
            if failure == nil {
                failure = Status(
                    .resourceExhausted, "the request's headers are longer than \(limit) bytes")
            }
            return
        }
        switch name {
        case ":method": method = value
        case ":path": path = String(decoding: value, as: UTF8.self)
        case "content-type": contentType = value
        case "grpc-timeout":
            timeout = CallTimeout.nanoseconds(value)
            if timeout == nil {
                fail(Status(.internal, "`grpc-timeout` is not up to 8 digits and a unit"))
            }
        default:
            // `:authority` may be anything: clients make it of the socket's path.
            if name.hasPrefix(":") || Metadata.isReserved(name) { return }
            do throws(Metadata.Invalid) {
                try metadata.receive(name, value)
            } catch {
                fail(Status(.internal, "\(error)"))
            }
        }
    }

    private mutating func fail(_ status: Status) {
        if failure == nil { failure = status }
    }

    /// Why it is no call to answer, if it is none.
    var refusal: Refusal? {
        if failure?.code == .resourceExhausted, let failure { return .status(failure) }
        guard method == Array("POST".utf8) else {
            return .http(status: 405, message: "a gRPC call is a POST")
        }
        guard Self.isGRPC(contentType) else {
            return .http(status: 415, message: "the content type is not `application/grpc`")
        }
        if let failure { return .status(failure) }
        return nil
    }

    private static let grpc = Array("application/grpc".utf8)

    static func isGRPC(_ type: [UInt8]) -> Bool {
        guard type.starts(with: grpc) else { return false }
        guard type.count > grpc.count else { return true }
        return type[grpc.count] == UInt8(ascii: "+") || type[grpc.count] == UInt8(ascii: ";")
    }
}
