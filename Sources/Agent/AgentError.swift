public import SandboxModel
public import Store

/// Why the agent cannot run: one line, and what to do about it.
public struct AgentError: Error, Sendable, CustomStringConvertible {
    public let message: String
    public let hint: String?

    public init(_ message: String, hint: String? = nil) {
        self.message = message
        self.hint = hint
    }

    public init(_ error: StoreError) {
        self.init(error.message, hint: error.hint)
    }

    public init(_ error: SandboxError) {
        self.init(error.message, hint: error.hint)
    }

    public var description: String {
        guard let hint else { return message }
        return "\(message) (\(hint))"
    }
}
