internal import CLinux

extension ErrorNumber: CustomStringConvertible {
    /// The C library's words for it: `Permission denied`.
    public var description: String {
        // SAFETY: the shim gives a static string or null.
        guard let text = unsafe alcove_error_text(rawValue) else { return "error \(rawValue)" }
        // SAFETY: as above.
        return unsafe String(cString: text)
    }
}

/// A signal's number, with its name.
public struct Signal: RawRepresentable, Hashable, Sendable {
    public let rawValue: Int32

    public init(rawValue: Int32) {
        self.rawValue = rawValue
    }

    public static let hangUp = Signal(rawValue: 1)
    public static let interrupt = Signal(rawValue: 2)
    public static let quit = Signal(rawValue: 3)
    public static let kill = Signal(rawValue: 9)
    public static let user1 = Signal(rawValue: 10)
    public static let user2 = Signal(rawValue: 12)
    public static let pipe = Signal(rawValue: 13)
    public static let terminate = Signal(rawValue: 15)
    public static let child = Signal(rawValue: 17)
    public static let windowChange = Signal(rawValue: 28)

    /// The name by which people know it: `SIGTERM`.
    public var name: String {
        // SAFETY: the shim gives a static string or null.
        guard let text = unsafe alcove_signal_name(rawValue) else { return "signal \(rawValue)" }
        // SAFETY: as above.
        return unsafe "SIG" + String(cString: text)
    }
}

/// The environment of this process.
public enum ProcessEnvironment {
    /// Every `NAME=value` entry, in order.
    public static var entries: [String] {
        var result: [String] = []
        // SAFETY: the environment is ended by null, and `remove` alone changes it, before there is
        // a second thread.
        guard var entry = unsafe alcove_environment() else { return [] }
        // SAFETY: as above.
        while let text = unsafe entry.pointee {
            // SAFETY: as above.
            unsafe result.append(String(cString: text))
            // SAFETY: as above.
            unsafe entry += 1
        }
        return result
    }

    /// The value of one variable.
    public static func value(of name: String) -> String? {
        let prefix = name + "="
        return entries.first { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
    }

    /// Takes variables out of the environment of this process, so that no child gets them.
    ///
    /// For the start of a program: no other thread may be at the environment meanwhile.
    public static func remove(_ names: [String]) {
        // SAFETY: the C library reads the name during the call; the caller keeps other threads off.
        for name in names { unsafe alcove_environment_remove(name) }
    }
}
