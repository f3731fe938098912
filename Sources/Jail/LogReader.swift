public import SandboxModel

public enum LogStream: UInt8, CaseIterable, Sendable {
    /// The standard output, or the terminal.
    case output = 1
    case error = 2
}

/// A line, or a part of one.
public struct LogLine: Equatable, Sendable {
    public var stream: LogStream
    /// When alcove-init read its first byte, by the clock of the day.
    public var atNanoseconds: Int64
    /// With its newline, if it has one. At most ``longest``.
    public var data: [UInt8]
    /// The line goes on in the next entry of the stream.
    public var isPartial: Bool
    /// Lines of the stream before this one that are lost.
    public var lost: UInt64

    /// A longer line comes in parts.
    public static let longest = 64 << 10
}

/// Reads the logs of a lasting sandbox, oldest first, while alcove-init may write them.
public final class LogReader {
    /// - Parameters:
    ///   - since: only what was written at this time or later.
    ///   - tail: only the last lines: this many.
    public init(
        _ folder: SandboxFolder, streams: Set<LogStream> = Set(LogStream.allCases),
        since: Int64 = .min, tail: UInt64? = nil
    ) throws(SandboxError) {
        throw SandboxError(.unavailable, "not yet")
    }

    /// The next line; nothing when there is none for now.
    public func next() -> LogLine? { nil }

    /// What was read of lines that have no end yet.
    ///
    /// - Parameter isOver: the sandbox has ended, and nothing more will come.
    public func takeUnfinished(isOver: Bool) -> [LogLine] { [] }
}

/// Tells when logs grow: one for any number of sandboxes.
public final class LogWatcher {
    public struct Token: Hashable, Sendable {
        let number: Int32
    }

    public init() throws(SandboxError) { throw SandboxError(.unavailable, "not yet") }

    /// Readable when ``takeChanged()`` has something to give. Corresponds to `inotify`.
    public var descriptor: Int32 { -1 }
    /// The same token for the same folder. Watch first, then read.
    public func watch(_ folder: SandboxFolder) throws(SandboxError) -> Token {
        Token(number: 0)
    }
    public func unwatch(_ token: Token) {}
    public func takeChanged() -> Set<Token> { [] }
}
