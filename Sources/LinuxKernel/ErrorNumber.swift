internal import CLinux

/// The error number that a system call gave back.
public struct ErrorNumber: RawRepresentable, Hashable, Sendable {
    public let rawValue: Int32

    public init(rawValue: Int32) {
        self.rawValue = rawValue
    }

    /// `EPERM`
    public static let notPermitted = ErrorNumber(rawValue: 1)
    /// `ENOENT`
    public static let noEntry = ErrorNumber(rawValue: 2)
    /// `ESRCH`
    public static let noProcess = ErrorNumber(rawValue: 3)
    /// `EINTR`
    public static let interrupted = ErrorNumber(rawValue: 4)
    /// `ENXIO`
    public static let noDevice = ErrorNumber(rawValue: 6)
    /// `EBADF`
    public static let badDescriptor = ErrorNumber(rawValue: 9)
    /// `ECHILD`
    public static let noChild = ErrorNumber(rawValue: 10)
    /// `EAGAIN`
    public static let wouldBlock = ErrorNumber(rawValue: 11)
    /// `ENOMEM`
    public static let noMemory = ErrorNumber(rawValue: 12)
    /// `EACCES`
    public static let permissionDenied = ErrorNumber(rawValue: 13)
    /// `EBUSY`
    public static let busy = ErrorNumber(rawValue: 16)
    /// `EEXIST`
    public static let exists = ErrorNumber(rawValue: 17)
    /// `EXDEV`
    public static let crossesDevice = ErrorNumber(rawValue: 18)
    /// `ENODEV`
    public static let noSuchDevice = ErrorNumber(rawValue: 19)
    /// `ENOTDIR`
    public static let notDirectory = ErrorNumber(rawValue: 20)
    /// `ENOSPC`
    public static let noSpace = ErrorNumber(rawValue: 28)
    /// `EPIPE`
    public static let brokenPipe = ErrorNumber(rawValue: 32)
    /// `EINVAL`
    public static let invalid = ErrorNumber(rawValue: 22)
    /// `ENOSYS`
    public static let notImplemented = ErrorNumber(rawValue: 38)
    /// `ENODATA`
    public static let noData = ErrorNumber(rawValue: 61)
    /// `EBADMSG`
    public static let badMessage = ErrorNumber(rawValue: 74)
    /// `EMSGSIZE`
    public static let messageTooLong = ErrorNumber(rawValue: 90)
    /// `EOPNOTSUPP`
    public static let notSupported = ErrorNumber(rawValue: 95)
    /// `ECONNRESET`
    public static let connectionReset = ErrorNumber(rawValue: 104)
    /// `ETIMEDOUT`
    public static let timedOut = ErrorNumber(rawValue: 110)
    /// `ECONNREFUSED`
    public static let connectionRefused = ErrorNumber(rawValue: 111)
    /// `EADDRINUSE`
    public static let addressInUse = ErrorNumber(rawValue: 98)
    /// `ELOOP`
    public static let linkLoop = ErrorNumber(rawValue: 40)
}

/// A failed system call: which, on what, and why. Adds no meaning of its own.
///
/// Reads like ``open `/dev/kvm`: Permission denied``.
public struct SystemCallError: Error, Hashable, Sendable {
    public let call: String
    public let subject: String?
    public let errorNumber: ErrorNumber

    public init(call: String, subject: String? = nil, errorNumber: ErrorNumber) {
        self.call = call
        self.subject = subject
        self.errorNumber = errorNumber
    }
}

extension SystemCallError: CustomStringConvertible {
    public var description: String {
        guard let subject else { return "\(call): \(errorNumber)" }
        return "\(call) `\(subject)`: \(errorNumber)"
    }
}
