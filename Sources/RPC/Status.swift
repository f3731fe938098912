/// How a call ended. Corresponds to gRPC's status: a code, a text for people, and details for
/// programs.
public struct Status: Hashable, Sendable, Error {
    /// Corresponds to `google.rpc.Code`.
    public enum Code: Int, CaseIterable, Sendable {
        case ok = 0
        case cancelled = 1
        case unknown = 2
        case invalidArgument = 3
        case deadlineExceeded = 4
        case notFound = 5
        case alreadyExists = 6
        case permissionDenied = 7
        case resourceExhausted = 8
        case failedPrecondition = 9
        case aborted = 10
        case outOfRange = 11
        case unimplemented = 12
        case `internal` = 13
        case unavailable = 14
        case dataLoss = 15
        case unauthenticated = 16
    }

    public let code: Code
    public let message: String
    /// A serialized `google.rpc.Status`, sent as `grpc-status-details-bin`; none when empty.
    public let details: [UInt8]

    public init(_ code: Code, _ message: String = "", details: [UInt8] = []) {
        self.code = code
        self.message = message
        self.details = details
    }

    public static let ok = Status(.ok)

    /// The longest `grpc-message` that is sent, encoded: clients bound all trailers, to 8 KiB by
    /// default, and one that is over the bound hides the code too.
    static let longestMessage = 2048

    /// The message as `grpc-message` has it: percent-encoded, and cut with dots where it is too
    /// long.
    var encodedMessage: [UInt8] {
        var encoded: [UInt8] = []
        encoded.reserveCapacity(message.utf8.count)
        for scalar in message.unicodeScalars {
            let before = encoded.count
            for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter {
                if byte >= 0x20, byte <= 0x7e, byte != UInt8(ascii: "%") {
                    encoded.append(byte)
                } else {
                    encoded.append(UInt8(ascii: "%"))
                    encoded.append(hexDigit(byte >> 4))
                    encoded.append(hexDigit(byte & 15))
                }
            }
            if encoded.count > Self.longestMessage - 3 {
                encoded.removeSubrange(before...)
                encoded += Array("...".utf8)
                break
            }
        }
        return encoded
    }
}

private func hexDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + value - 10
}
