public import SandboxModel
public import Store

/// Why the agent cannot run: one line, and what to do about it.
public struct AgentError: Error, Sendable, CustomStringConvertible {
    public enum Kind: Sendable {
        /// The record is damaged, or another version's: it will be so the next time, too.
        case recordUnusable
        /// There is no room for the record, or it cannot be written.
        case recordUnreachable
        case other
    }

    public let kind: Kind
    public let message: String
    public let hint: String?

    public init(_ message: String, hint: String? = nil, kind: Kind = .other) {
        self.kind = kind
        self.message = message
        self.hint = hint
    }

    public init(_ error: StoreError) {
        switch error.kind {
        case .corrupt:
            self.init(error.message, hint: Self.setAside, kind: .recordUnusable)
        case .newerSchema:
            self.init(error.message, hint: error.hint, kind: .recordUnusable)
        case .full, .readOnly:
            self.init(error.message, hint: error.hint, kind: .recordUnreachable)
        case .busy, .other: self.init(error.message, hint: error.hint)
        }
    }

    static let setAside =
        "set it aside by `alcoved --set-record-aside`: the agent that starts then takes over what"
        + " runs"

    public init(_ error: SandboxError) {
        self.init(error.message, hint: error.hint)
    }

    public var description: String {
        guard let hint else { return message }
        return "\(message) (\(hint))"
    }
}
