internal import ProtocolBuffers
public import RPC
public import SandboxModel

/// Why a call failed, as the agent says it and as a client reads it: gRPC's code and message, and
/// the `ErrorDetail` that goes along in `grpc-status-details-bin`.
public struct CallFailure: Error, Equatable, Sendable {
    public var code: RPC.Status.Code
    /// One line, without a full stop.
    public var message: String
    /// Stable, for programs: `limit_out_of_range`. Empty where the status came without a detail,
    /// from another server or from the connection itself.
    public var reason: String
    /// What to do about it. Empty where there is nothing to say.
    public var hint: String
    public var shortages: [ErrorDetail.Shortage]

    public init(
        _ code: RPC.Status.Code, reason: String, _ message: String, hint: String = "",
        shortages: [ErrorDetail.Shortage] = []
    ) {
        self.code = code
        self.message = message
        self.reason = reason
        self.hint = hint
        self.shortages = shortages
    }

    /// A request that makes no sense on any node.
    ///
    /// - Parameter field: as the definition has it: `spec.user`.
    public static func invalid(
        _ field: String, _ problem: String, hint: String = ""
    ) -> CallFailure {
        CallFailure(
            .invalidArgument, reason: "invalid_request", "`\(field)` \(problem)", hint: hint)
    }

    public var detail: ErrorDetail {
        ErrorDetail(code: reason, hint: hint, shortages: shortages)
    }
}

extension CallFailure: CustomStringConvertible {
    public var description: String { hint.isEmpty ? message : "\(message) (\(hint))" }
}

extension CallFailure {
    public init(_ error: SandboxError) {
        self.init(
            error.code.statusCode, reason: error.code.name, error.message, hint: error.hint ?? "")
    }

    /// What a failed call came with. Details that are not to be read are passed over: the code and
    /// the message hold without them.
    public init(_ status: RPC.Status) {
        self.init(status.code, reason: "", status.message)
        guard let detail = try? Status(decoding: status.details).detail() else { return }
        reason = detail.code
        hint = detail.hint
        shortages = detail.shortages
    }
}

extension SandboxError.Code {
    /// NOT_FOUND is not among them: it says that there is no sandbox of an id.
    public var statusCode: RPC.Status.Code {
        switch self {
        case .usage, .pathLeavesImage, .limitOutOfRange: .invalidArgument
        // What the image has, or the node, may be otherwise the next time, or on another node.
        case .imageMissing, .unavailable, .commandMissing, .commandNotExecutable,
            .directoryMissing, .userMissing:
            .failedPrecondition
        case .exhausted: .resourceExhausted
        case .setUpFailed: .internal
        case .notPermitted: .permissionDenied
        case .timedOut: .deadlineExceeded
        }
    }

    /// The code of a name, as `ErrorDetail.code` has it.
    public init?(named name: String) {
        guard let code = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = code
    }
}

extension RPC.Status {
    /// Clients bound all trailers to 8 KiB by default, and lose the code with what is over it.
    private static let longestText = 1024
    private static let mostShortages = 32

    public init(_ failure: CallFailure) {
        var detail = failure.detail
        guard detail != ErrorDetail() else {
            self.init(failure.code, failure.message)
            return
        }
        detail.hint = Self.cut(detail.hint)
        detail.shortages = Array(detail.shortages.prefix(Self.mostShortages))
        let whole = Status(
            code: Int32(failure.code.rawValue), message: Self.cut(failure.message), detail: detail)
        self.init(failure.code, failure.message, details: whole.encoded())
    }

    public init(_ error: SandboxError) {
        self.init(CallFailure(error))
    }

    static func notAMessage<Request: Message>(
        _ type: Request.Type, _ error: WireError
    ) -> RPC.Status {
        RPC.Status(
            CallFailure(
                .invalidArgument, reason: "invalid_request",
                "the request is no \(Request.messageName): \(error)"))
    }

    private static func cut(_ text: String) -> String {
        guard text.utf8.count > longestText else { return text }
        var short = ""
        for scalar in text.unicodeScalars {
            guard short.utf8.count + 4 <= longestText - 3 else { break }
            short.unicodeScalars.append(scalar)
        }
        return short + "..."
    }
}
