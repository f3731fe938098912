public import AgentAPI

/// Log entries as the bytes that a person or a pipe gets.
public struct LogWriter: Sendable {
    private let withTimestamps: Bool
    /// Streams on which a line has begun and goes on.
    private var open: Set<Int32> = []

    public init(withTimestamps: Bool) {
        self.withTimestamps = withTimestamps
    }

    /// The entry's bytes, after its time where a line begins.
    public mutating func bytes(_ entry: LogEntry) -> [UInt8] {
        let stream = entry.stream.rawValue
        let begins = !open.contains(stream)
        if entry.partial { open.insert(stream) } else { open.remove(stream) }
        guard withTimestamps, begins else { return entry.data }
        return Array((TimeText.utc(entry.atNanoseconds, decimals: 6) + " ").utf8) + entry.data
    }

    /// What is said of lines that are gone; nothing when there are none.
    public static func loss(_ entry: LogEntry) -> String? {
        switch entry.lost {
        case 0: nil
        case 1: "a line is lost: older log files were removed"
        default: "\(entry.lost) lines are lost: older log files were removed"
        }
    }
}
