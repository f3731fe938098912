/// How much a line of the log matters.
public enum LogLevel: String, CaseIterable, Comparable, Hashable, Sendable {
    /// What somebody asked for failed.
    case error
    /// Abnormal, yet nothing that was asked for failed.
    case warning
    /// Rare changes of state.
    case info
    /// What helps to find a fault.
    case debug

    /// As syslog numbers it: less is worse.
    public var priority: Int {
        switch self {
        case .error: 3
        case .warning: 4
        case .info: 6
        case .debug: 7
        }
    }

    /// By how much they say: errors are the least.
    public static func < (left: LogLevel, right: LogLevel) -> Bool {
        left.priority < right.priority
    }
}
