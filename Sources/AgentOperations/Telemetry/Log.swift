public import LinuxKernel

/// The log: constant messages with dotted keys, as lines or as entries of the journal.
///
/// Whoever logs never waits for whoever reads. A line that finds no room is dropped and counted,
/// and the next one that finds room says how many were.
///
/// The process is to ignore SIGPIPE, see `ThisProcess.ignoreBrokenPipes`.
public final class Log: Sendable {
    /// Keys are dotted and lower case: `sandbox.id`, `jail.step`. No key is `time`, `level` or
    /// `message`. Values are bounded and escaped, whatever they hold.
    public typealias Fields = KeyValuePairs<StaticString, LogValue>

    public enum Format: String, Hashable, Sendable {
        /// An object of JSON in each line.
        case json
        /// Lines for people.
        case text
        /// Entries of the journal; lines of JSON while it is not there.
        case journal
    }

    public struct Counters: Hashable, Sendable {
        public var written: UInt64 = 0
        public var dropped: UInt64 = 0
    }

    private struct State {
        var level: LogLevel
        var counters = Counters()
        /// Dropped, and not yet told of.
        var untold: UInt64 = 0
        /// The end of a line that did not go out whole.
        var rest: [UInt8] = []
    }

    public static let journalAddress = UnixAddress.path("/run/systemd/journal/socket")

    public let format: Format
    private let state: Locked<State>
    private let output: LineOutput
    private let journal: DatagramSocket?
    private let journalAddress: UnixAddress
    private let identifier: String

    /// - Parameters:
    ///   - descriptor: where lines go: standard error. It stays the caller's.
    ///   - identifier: what the journal knows the program by.
    public init(
        level: LogLevel = .info, format: Format, descriptor: Int32 = 2,
        journalAddress: UnixAddress = Log.journalAddress, identifier: String = "alcoved"
    ) {
        self.format = format
        state = Locked(State(level: level))
        output = LineOutput(descriptor)
        journal = format == .journal ? try? DatagramSocket() : nil
        self.journalAddress = journalAddress
        self.identifier = identifier
    }

    /// What is logged: this, and what is worse.
    public var level: LogLevel {
        get { state.with { $0.level } }
        set { state.with { $0.level = newValue } }
    }

    public var counters: Counters { state.with { $0.counters } }

    /// What somebody asked for failed.
    public func error(_ message: StaticString, _ fields: @autoclosure () -> Fields = [:]) {
        log(.error, message, fields)
    }

    /// Abnormal, yet nothing that was asked for failed.
    public func warning(_ message: StaticString, _ fields: @autoclosure () -> Fields = [:]) {
        log(.warning, message, fields)
    }

    /// Rare changes of state.
    public func info(_ message: StaticString, _ fields: @autoclosure () -> Fields = [:]) {
        log(.info, message, fields)
    }

    /// What helps to find a fault. Its fields are not made where nobody wants them.
    public func debug(_ message: StaticString, _ fields: @autoclosure () -> Fields = [:]) {
        log(.debug, message, fields)
    }

    private func log(_ level: LogLevel, _ message: StaticString, _ fields: () -> Fields) {
        guard level <= self.level else { return }
        let line = LogLine(
            level, message, fields(), nanoseconds: WallClock.nanoseconds,
            bound: LineOutput.longestLine)
        let bytes = bytes(of: line)
        state.with { state in
            tellOfDropped(&state)
            guard state.untold == 0, put(bytes, line, &state) else {
                state.counters.dropped += 1
                state.untold += 1
                return
            }
            state.counters.written += 1
        }
    }

    private func bytes(of line: LogLine) -> [UInt8] {
        switch format {
        case .json: line.json()
        case .text: line.text()
        case .journal: line.journal(identifier: identifier)
        }
    }

    private func tellOfDropped(_ state: inout State) {
        guard state.untold > 0 else { return }
        let line = LogLine(
            .warning, "lines of the log were dropped", ["log.dropped": LogValue(state.untold)],
            nanoseconds: WallClock.nanoseconds, bound: LineOutput.longestLine)
        if put(bytes(of: line), line, &state) { state.untold = 0 }
    }

    /// Whether it went out, or will.
    private func put(_ bytes: [UInt8], _ line: LogLine, _ state: inout State) -> Bool {
        guard format == .journal else { return write(bytes, &state) }
        switch journal?.send(bytes, to: journalAddress) ?? .failed(.noDevice) {
        case .bytes: return true
        case .wouldBlock: return false
        // There is no journal, or it is being replaced.
        case .failed: return write(line.json(), &state)
        }
    }

    private func write(_ bytes: [UInt8], _ state: inout State) -> Bool {
        if !state.rest.isEmpty {
            guard case .bytes(let count) = output.write(state.rest) else { return false }
            state.rest.removeFirst(count)
            guard state.rest.isEmpty else { return false }
        }
        guard case .bytes(let count) = output.write(bytes) else { return false }
        state.rest = Array(bytes[count...])
        return true
    }
}

extension Log.Format {
    /// What the configuration means here.
    ///
    /// - Parameters:
    ///   - environment: entries such as `NAME=value`.
    ///   - descriptor: standard error.
    public init(
        _ choice: AgentConfiguration.LogFormat, environment: [String], descriptor: Int32 = 2
    ) {
        switch choice {
        case .json: self = .json
        case .text: self = .text
        case .journald: self = .journal
        case .automatic:
            if Self.leadsToJournal(EnvironmentValues(environment), descriptor) {
                self = .journal
            } else {
                self = Terminal.isTerminal(descriptor) ? .text : .json
            }
        }
    }

    /// Corresponds to `JOURNAL_STREAM`: the device and inode of what leads there, which is another
    /// one once standard error was led elsewhere.
    private static func leadsToJournal(_ values: EnvironmentValues, _ descriptor: Int32) -> Bool {
        let parts = (values["JOURNAL_STREAM"] ?? "").split(separator: ":").map { UInt64($0) }
        guard parts.count == 2, let device = parts[0], let inode = parts[1],
            let file = try? Files.open("/proc/self/fd/\(descriptor)", .path),
            let status = try? Files.status(of: file)
        else { return false }
        // Corresponds to `makedev`.
        let (major, minor) = (UInt64(status.device.major), UInt64(status.device.minor))
        let number =
            (major & 0xFFF) << 8 | (major & ~0xFFF) << 32 | minor & 0xFF | (minor & ~0xFF) << 12
        return number == device && status.inode == inode
    }
}
