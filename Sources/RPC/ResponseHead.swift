/// The header blocks of an answer, taken field by field: what it begins with, and its trailers.
struct ResponseHead {
    let limit: Int
    private(set) var metadata = Metadata()
    private var size = 0
    private var httpStatus: [UInt8] = []
    private var contentType: [UInt8] = []
    private var status: [UInt8]?
    private var message: [UInt8] = []
    private var details: [UInt8] = []
    private var failure: Status?

    init(limit: Int) {
        self.limit = limit
    }

    mutating func add(_ name: String, _ value: [UInt8]) {
        // Counted as HTTP/2 does.
        size += name.utf8.count + value.count + 32
        guard size <= limit else {
            // What comes after the limit is not kept.
            fail(.resourceExhausted, "the answer's headers are longer than \(limit) bytes")
            return
        }
        switch name {
        case ":status": httpStatus = value
        case "content-type": contentType = value
        case "grpc-status": status = value
        case "grpc-message": message = value
        case "grpc-status-details-bin": details = Base64.decode(value) ?? []
        case "grpc-encoding":
            // Messages say themselves whether they are compressed.
            break
        default:
            if name.hasPrefix(":") || Metadata.isReserved(name) { return }
            do throws(Metadata.Invalid) {
                try metadata.receive(name, value)
            } catch {
                fail(.internal, "the answer's \(error)")
            }
        }
    }

    private mutating func fail(_ code: Status.Code, _ message: String) {
        if failure == nil { failure = Status(code, message) }
    }

    /// Whether the answer itself is still to come: `100 Continue` and the like.
    var isInterim: Bool { httpStatus.count == 3 && httpStatus[0] == UInt8(ascii: "1") }

    /// What the first block says against the answer. A block that is the whole answer is judged
    /// by `ending`.
    var refusal: Status? {
        if let failure { return failure }
        guard httpStatus == Array("200".utf8) else { return status == nil ? httpFailure : ending }
        guard RequestHead.isGRPC(contentType) else {
            return Status(
                .unknown, "the answer is no gRPC: its content type is `\(text(contentType))`")
        }
        return nil
    }

    /// How the call ended, by its last block.
    var ending: Status {
        if failure?.code == .resourceExhausted, let failure { return failure }
        guard let status else {
            if httpStatus.isEmpty { return Status(.unknown, "the answer ends without a status") }
            return refusal ?? Status(.unknown, "the answer ends without a status")
        }
        guard let number = Int(text(status)), let code = Status.Code(rawValue: number) else {
            return Status(.unknown, "the answer's status `\(text(status))` is none")
        }
        if code == .ok { return failure ?? .ok }
        return Status(code, Status.decodedMessage(message), details: details)
    }

    /// Corresponds to the table of "HTTP to gRPC Status Code Mapping".
    private var httpFailure: Status {
        let shown = text(httpStatus)
        let code: Status.Code =
            switch Int(shown) {
            case 400: .internal
            case 401: .unauthenticated
            case 403: .permissionDenied
            case 404: .unimplemented
            case 429, 502, 503, 504: .unavailable
            default: .unknown
            }
        return Status(code, "the answer is no gRPC: its HTTP status is `\(shown)`")
    }

    private func text(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.prefix(100), as: UTF8.self)
    }
}

extension Status {
    /// What `grpc-message` stands for. What is no escape stays as it is.
    static func decodedMessage(_ text: [UInt8]) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        var index = 0
        while index < text.count {
            if text[index] == UInt8(ascii: "%"), index + 2 < text.count,
                let high = hexValue(text[index + 1]), let low = hexValue(text[index + 2])
            {
                bytes.append(high << 4 | low)
                index += 3
            } else {
                bytes.append(text[index])
                index += 1
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// Corresponds to the table of HTTP/2's error codes in gRPC's protocol.
    static func streamReset(_ code: UInt32) -> Status {
        let (status, text): (Code, String) =
            switch code {
            case 7: (.unavailable, "the server did not take the call")
            case 8: (.cancelled, "the server cancelled the call")
            case 11: (.resourceExhausted, "the server is asked too much")
            case 12: (.permissionDenied, "the server finds the connection too insecure")
            default: (.internal, "the server reset the call with HTTP/2's error \(code)")
            }
        return Status(status, text)
    }
}
