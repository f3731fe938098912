/// What is wrong with a command line, in one line, and what to write instead.
///
/// Both texts are lower case without a full stop, and hold no control characters whatever was
/// typed, so that they can be printed as they are.
public struct FlagError: Error, Equatable, Sendable {
    public let message: String
    public let hint: String?

    public init(_ message: String, hint: String? = nil) {
        self.message = message
        self.hint = hint
    }

    /// The same error, said of `subject`: a flag, an argument, an environment variable.
    func about(_ subject: String) -> FlagError {
        FlagError("\(subject): \(message)", hint: hint)
    }
}

extension FlagError: CustomStringConvertible {
    public var description: String {
        guard let hint else { return message }
        return "\(message) (\(hint))"
    }
}
