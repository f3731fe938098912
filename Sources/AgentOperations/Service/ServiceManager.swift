public import LinuxKernel

/// What the service manager said in the environment and cannot have meant.
public struct ServiceError: Error, Hashable, Sendable, CustomStringConvertible {
    public let message: String

    public init(_ message: String) { self.message = message }

    public var description: String { message }
}

/// The service manager that started this process, as far as it wants to be told of it.
/// Corresponds to `sd_notify(3)` and `sd_watchdog_enabled(3)`.
///
/// Without a service manager nothing is told to anybody.
public final class ServiceManager: Sendable {
    /// What it can be told.
    public enum Message: Hashable, Sendable {
        /// The service is there for its clients, or has read its configuration again.
        case ready
        case reloading
        case stopping
        /// One line for people: `systemctl status` shows it.
        case status(String)
        /// The service is alive.
        case watchdog
        /// The service found itself to be broken: as if it had not been alive in time.
        case watchdogTrigger
        /// Which process is the service, where that changes.
        case mainProcess(Int32)
        /// Why the service failed.
        case failure(ErrorNumber)
        /// Starting or stopping takes that much longer.
        case extendTimeout(Duration)

        var lines: String {
            switch self {
            case .ready: "READY=1"
            // The time parts this reload from an earlier one.
            case .reloading:
                "RELOADING=1\nMONOTONIC_USEC=\(MonotonicClock.nanoseconds / 1000)"
            case .stopping: "STOPPING=1"
            case .status(let text): "STATUS=\(Self.line(text))"
            case .watchdog: "WATCHDOG=1"
            case .watchdogTrigger: "WATCHDOG=trigger"
            case .mainProcess(let identifier): "MAINPID=\(identifier)"
            case .failure(let number): "ERRNO=\(number.rawValue)"
            case .extendTimeout(let span):
                "EXTEND_TIMEOUT_USEC=\(Self.microseconds(span))"
            }
        }

        private static func microseconds(_ span: Duration) -> Int64 {
            let (seconds, attoseconds) = span.components
            let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
            return overflow ? .max : max(0, whole &+ attoseconds / 1_000_000_000_000)
        }

        /// A line break would begin a variable of its own.
        private static func line(_ text: String) -> String {
            let scalars = text.unicodeScalars.prefix(400).map {
                $0.value < 0x20 || $0.value == 0x7F ? " " : Character($0)
            }
            return String(scalars)
        }
    }

    /// What it puts into the environment, which no child is to inherit.
    public static let variables = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]

    /// How often it wants to hear of a living service; nothing when it does not ask. Tell it
    /// `.watchdog` about twice as often, from the thread whose standstill it should notice.
    public let watchdogInterval: Duration?
    private let address: UnixAddress?
    private let socket: DatagramSocket?

    /// Reads what stands in an environment.
    ///
    /// - Parameters:
    ///   - environment: entries such as `NAME=value`.
    ///   - process: the number of this process.
    public init(environment: [String], process: Int32) throws {
        let values = EnvironmentValues(environment)
        let interval = try Self.watchdog(values, process: process)
        let text = values["NOTIFY_SOCKET"] ?? ""
        let address = UnixAddress(text)
        guard address != nil || text.isEmpty else {
            throw ServiceError("NOTIFY_SOCKET is no socket's address: `\(text.prefix(120))`")
        }
        socket = try Self.socket(isNeeded: address != nil)
        self.address = address
        watchdogInterval = interval
    }

    private static func socket(isNeeded: Bool) throws(SystemCallError) -> DatagramSocket? {
        guard isNeeded else { return nil }
        return try DatagramSocket()
    }

    /// Takes over what the service manager told this process, and takes it out of the environment.
    ///
    /// For the start of a program: no other thread may be at the environment meanwhile.
    public static func adopt() throws -> ServiceManager {
        let manager = try ServiceManager(
            environment: ProcessEnvironment.entries, process: ThisProcess.identifier)
        ProcessEnvironment.remove(variables)
        return manager
    }

    private static func watchdog(
        _ values: EnvironmentValues, process: Int32
    ) throws(ServiceError) -> Duration? {
        guard let text = values["WATCHDOG_USEC"], !text.isEmpty else { return nil }
        guard let microseconds = Int64(text), microseconds > 0 else {
            throw ServiceError("WATCHDOG_USEC is no time: `\(text.prefix(40))`")
        }
        // Meant for a process that started this one.
        if let owner = values["WATCHDOG_PID"], !owner.isEmpty, owner != "\(process)" { return nil }
        return .microseconds(microseconds)
    }

    /// Whether somebody wants to be told.
    public var isPresent: Bool { address != nil }

    /// Tells all of these at once. Never waits.
    ///
    /// - Returns: false when nobody wants to be told.
    @discardableResult
    public func tell(_ messages: Message...) throws(SystemCallError) -> Bool {
        guard let address else { return false }
        let text = Array(messages.map(\.lines).joined(separator: "\n").utf8)
        let transfer: UnixSockets.Transfer
        switch socket {
        case .some(let socket): transfer = socket.send(text, to: address)
        case .none: return false
        }
        let failure: ErrorNumber
        switch transfer {
        case .bytes: return true
        case .wouldBlock: failure = .wouldBlock
        case .failed(let number): failure = number
        }
        throw SystemCallError(
            call: "sendto", subject: address.description, errorNumber: failure)
    }
}

/// An environment by names. Of a name that occurs twice the first entry holds, as in C.
struct EnvironmentValues {
    private var values: [String: String] = [:]

    init(_ entries: [String]) {
        for entry in entries {
            let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, values[String(parts[0])] == nil else { continue }
            values[String(parts[0])] = String(parts[1])
        }
    }

    subscript(name: String) -> String? { values[name] }
}
