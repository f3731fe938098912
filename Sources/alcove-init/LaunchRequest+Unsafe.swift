internal import CInit

/// What the host asks for by the argument vector:
/// `alcove-init REPORT_FD LISTENER_FD OPTIONS PATH ARGV0 [ARG…]`, each of the first three `-` for
/// none.
///
/// Only the host writes it, yet it is read strictly: a mistake must not start a workload.
struct LaunchRequest {
    /// The writing end of the pipe for reports.
    private(set) var reportDescriptor: Int32?
    /// The listener of a seccomp filter, which tells of denied calls.
    private(set) var listenerDescriptor: Int32?
    /// `t`: descriptor 0 becomes the workload's controlling terminal.
    private(set) var hasTerminal = false
    /// `d`: when nobody can read the reports any more, everything is killed.
    private(set) var diesWithReader = false
    let workload: Workload

    private static let reportIndex = 1
    private static let listenerIndex = 2
    private static let optionsIndex = 3
    private static let pathIndex = 4
    private static let argumentsIndex = 5

    /// Nil if the vector is not of the form above.
    ///
    /// The vector must be null at its end and live as long as the process.
    @unsafe
    init?(vector: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>, count: Int) {
        // SAFETY: no index reaches `count`, and each string ends in a zero byte.
        guard count > Self.argumentsIndex,
            let report = unsafe vector[Self.reportIndex],
            let listener = unsafe vector[Self.listenerIndex],
            let options = unsafe vector[Self.optionsIndex],
            let path = unsafe vector[Self.pathIndex]
        else { return nil }
        unsafe workload = Workload(path: path, arguments: vector + Self.argumentsIndex)
        guard unsafe Self.parse(descriptor: report, into: &reportDescriptor),
            unsafe Self.parse(descriptor: listener, into: &listenerDescriptor),
            unsafe parse(options: options)
        else { return nil }
        if let reportDescriptor, reportDescriptor == listenerDescriptor { return nil }
        if diesWithReader && reportDescriptor == nil { return nil }
    }

    static func printUsage() {
        let usage: StaticString =
            "usage: alcove-init REPORT_FD|- LISTENER_FD|- [td]|- PATH ARGV0 [ARG...]\n"
        // SAFETY: a static string's bytes are always there.
        _ = unsafe cinit_write(2, usage.utf8Start, usage.utf8CodeUnitCount)
    }

    /// A decimal number above 2, because 0 to 2 are the workload's.
    private static func parse(
        descriptor text: UnsafePointer<CChar>, into descriptor: inout Int32?
    ) -> Bool {
        // SAFETY: `index` stops at the zero byte which ends the string.
        if unsafe text[0] == CharacterCode.dash && text[1] == 0 { return true }
        var value: Int32 = 0
        var index = 0
        while unsafe text[index] != 0 {
            let digit = unsafe text[index] &- CharacterCode.zero
            guard digit >= 0, digit <= 9, value < 1_000_000 else { return false }
            value = value * 10 + Int32(digit)
            index += 1
        }
        guard value > 2 else { return false }
        descriptor = value
        return true
    }

    private mutating func parse(options text: UnsafePointer<CChar>) -> Bool {
        // SAFETY: `index` stops at the zero byte which ends the string.
        if unsafe text[0] == CharacterCode.dash && text[1] == 0 { return true }
        var index = 0
        while unsafe text[index] != 0 {
            switch unsafe text[index] {
            case CharacterCode.t: hasTerminal = true
            case CharacterCode.d: diesWithReader = true
            default: return false
            }
            index += 1
        }
        return index > 0
    }

    private enum CharacterCode {
        static let dash: CChar = 45
        static let zero: CChar = 48
        static let d: CChar = 100
        static let t: CChar = 116
    }
}

/// The program that the sandbox is for.
@safe
struct Workload {
    private let path: UnsafePointer<CChar>
    private let arguments: UnsafePointer<UnsafeMutablePointer<CChar>?>

    /// Both must live as long as the process; the vector ends in null.
    @unsafe
    init(
        path: UnsafePointer<CChar>, arguments: UnsafePointer<UnsafeMutablePointer<CChar>?>
    ) {
        // SAFETY: kept as given; the caller promises their lifetime.
        unsafe self.path = path
        unsafe self.arguments = arguments
    }

    /// Executes it as a child, in a session of its own. The child's pid, or minus an error number.
    func spawn(withTerminal terminal: Bool) -> Int32 {
        // SAFETY: `init` was promised that both live and end as C wants it.
        unsafe cinit_spawn(path, arguments, terminal)
    }
}
