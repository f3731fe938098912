internal import LinuxKernel
public import SandboxModel

/// Where a lasting sandbox keeps what must survive its starter: the report of its life, two
/// segments of logs, and the socket that alcove-init listens at.
public struct SandboxFolder: Hashable, Sendable {
    public let path: String

    public init(_ path: String) {
        self.path = path
    }

    /// Makes the folder, for root alone, below one that is there. One that is there already is
    /// no error.
    public func make() throws(SandboxError) {
        throw SandboxError(.unavailable, "not yet")
    }

    /// Removes the files and the folder. What is not there is no error.
    public func remove() throws(SandboxError) {
        throw SandboxError(.unavailable, "not yet")
    }
}

/// What a sandbox needs to outlive its starter, see ``PreparedSandbox``.
public struct Lasting: Hashable, Sendable {
    /// Both segments of its logs together.
    public var logBytes: UInt64

    public init(logBytes: UInt64) {
        self.logBytes = logBytes
    }
}
