internal import LinuxKernel

/// What went wrong with an image: one line, a hint, and a code for who has to answer for it.
public struct ImageError: Error, Equatable, Sendable {
    public enum Code: String, CaseIterable, Sendable {
        /// An archive or a document in it is not what it claims to be.
        case malformed
        /// Content has another digest or length than it was announced with.
        case digestMismatch = "digest_mismatch"
        /// Something is larger, deeper or more than the limits of the store.
        case limitExceeded = "limit_exceeded"
        /// A layer holds what the policy refuses: paths out of the tree, devices, attributes.
        case refused
        /// A format, a media type or a platform that is not for this store or this node.
        case unsupported
        case notFound = "not_found"
        /// Somebody uses it.
        case inUse = "in_use"
        /// What lies in the store is not what was written there.
        case damaged
        case noSpace = "no_space"
        case cancelled
        case notPermitted = "not_permitted"
        /// A call of the kernel failed that should not.
        case storage
    }

    public let code: Code
    public let message: String
    public let hint: String?

    public init(_ code: Code, _ message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }

    /// A failed call, with what it was made for.
    init(_ error: SystemCallError, doing what: String) {
        switch error.errorNumber.rawValue {
        // ENOSPC, EDQUOT
        case 28, 122:
            self.init(
                .noSpace, "\(what): \(error)",
                hint: "make room by `alcove image prune`, or give the store a larger disk")
        // EPERM, EACCES
        case 1, 13: self.init(.notPermitted, "\(what): \(error)")
        default: self.init(.storage, "\(what): \(error)")
        }
    }

    /// The same with the place in front, where it happened.
    func at(_ place: String) -> ImageError {
        ImageError(code, "\(place): \(message)", hint: hint)
    }
}

extension ImageError: CustomStringConvertible {
    public var description: String {
        guard let hint else { return message }
        return "\(message) (\(hint))"
    }
}

/// Does something with the kernel, whose failure reads as what was to be done and the reason.
func storing<Result: ~Copyable>(
    _ what: @autoclosure () -> String, _ body: () throws(SystemCallError) -> Result
) throws(ImageError) -> Result {
    do throws(SystemCallError) {
        return try body()
    } catch {
        throw ImageError(error, doing: what())
    }
}
