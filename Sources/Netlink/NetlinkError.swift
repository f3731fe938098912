public import LinuxKernel

/// A request of netlink that failed: what was asked for, on what, and what the kernel says.
///
/// Reads like ``make link `s17`: File exists (name already used)``.
public struct NetlinkError: Error, Hashable, Sendable {
    /// A verb and its object: `make link`.
    public let action: String
    public let subject: String
    public let errorNumber: ErrorNumber
    /// The kernel's own explanation, where it gives one.
    public let kernelWords: String?

    public init(
        action: String, subject: String, errorNumber: ErrorNumber, kernelWords: String? = nil
    ) {
        self.action = action
        self.subject = subject
        self.errorNumber = errorNumber
        self.kernelWords = kernelWords
    }

    /// One of sending or receiving.
    public init(_ error: SystemCallError, during action: String, subject: String) {
        self.init(
            action: action, subject: subject, errorNumber: error.errorNumber,
            kernelWords: error.call)
    }

    /// An answer that is none.
    static func malformed(_ action: String, _ subject: String, _ what: String) -> NetlinkError {
        NetlinkError(
            action: action, subject: subject, errorNumber: .badMessage, kernelWords: what)
    }
}

extension NetlinkError: CustomStringConvertible {
    public var description: String {
        let first = "\(action) `\(subject)`: \(errorNumber)"
        guard let kernelWords else { return first }
        return "\(first) (\(kernelWords))"
    }
}
