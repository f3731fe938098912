internal import CInit
internal import CInitProtocol

/// What the host asks for by the argument vector:
/// `alcove-init REPORT_FD LISTENER_FD OPTIONS [LOG_BYTES LIMITS] PATH ARGV0 [ARG…]`, each of the
/// first three, and LIMITS, `-` for none. LOG_BYTES and LIMITS stand there with the option `l`.
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
    /// `l`: the sandbox outlives its starter. Descriptors come as `enum alcove_fixed_descriptor`
    /// has them.
    private(set) var lasts = false
    /// `m`: the workload is the monitor of a microVM. It gets the descriptors of the
    /// report, and tells itself when the workload in its guest starts.
    private(set) var isMonitor = false
    /// `n`: it gets the descriptor of its guest's link as well.
    private(set) var hasLink = false
    /// The bound of both segments of its logs.
    private(set) var logBytes: UInt64 = 0
    let workload: Workload

    private static let reportIndex = 1
    private static let listenerIndex = 2
    private static let optionsIndex = 3
    /// From here on without LOG_BYTES and LIMITS.
    private static let pathIndex = 4
    private static let leastCount = 6

    /// Nil if the vector is not of the form above.
    ///
    /// The vector must be null at its end and live as long as the process.
    @unsafe
    init?(vector: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>, count: Int) {
        // SAFETY: no index reaches `count`, and each string ends in a zero byte.
        guard count >= Self.leastCount,
            let report = unsafe vector[Self.reportIndex],
            let listener = unsafe vector[Self.listenerIndex],
            let options = unsafe vector[Self.optionsIndex]
        else { return nil }
        // SAFETY: as above.
        let hasLasting = unsafe Self.contains(CharacterCode.l, options)
        let pathIndex = Self.pathIndex + (hasLasting ? 2 : 0)
        // SAFETY: as above.
        guard count > pathIndex + 1, let path = unsafe vector[pathIndex] else { return nil }
        unsafe workload = Workload(path: path, arguments: vector + pathIndex + 1)
        guard unsafe Self.parse(descriptor: report, into: &reportDescriptor),
            unsafe Self.parse(descriptor: listener, into: &listenerDescriptor),
            unsafe parse(options: options)
        else { return nil }
        if let reportDescriptor, reportDescriptor == listenerDescriptor { return nil }
        if diesWithReader && reportDescriptor == nil { return nil }
        guard hasLasting else { return }
        // SAFETY: as above.
        guard !diesWithReader, let bytes = unsafe vector[Self.optionsIndex + 1],
            let limits = unsafe vector[Self.optionsIndex + 2],
            unsafe parse(logBytes: bytes), unsafe Self.add(limits: limits)
        else { return nil }
    }

    static func printUsage() {
        let usage: StaticString =
            """
            usage: alcove-init REPORT_FD|- LISTENER_FD|- [tdlm]|- [LOG_BYTES LIMITS|-] PATH ARGV0 \
            [ARG...]

            """
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
            case CharacterCode.l: lasts = true
            case CharacterCode.m: isMonitor = true
            case CharacterCode.n: hasLink = true
            default: return false
            }
            index += 1
        }
        return index > 0
    }

    private static func contains(_ code: CChar, _ text: UnsafePointer<CChar>) -> Bool {
        var index = 0
        // SAFETY: `index` stops at the zero byte which ends the string.
        while unsafe text[index] != 0 {
            // SAFETY: as above.
            if unsafe text[index] == code { return true }
            index += 1
        }
        return false
    }

    private mutating func parse(logBytes text: UnsafePointer<CChar>) -> Bool {
        var rest = unsafe text
        // SAFETY: the string ends in a zero byte.
        guard let value = unsafe Self.number(&rest), unsafe rest[0] == 0,
            value >= UInt64(ALCOVE_LOG_LEAST_BOUND)
        else { return false }
        logBytes = value
        return true
    }

    /// `RESOURCE:SOFT:HARD`, separated by commas.
    private static func add(limits text: UnsafePointer<CChar>) -> Bool {
        var rest = unsafe text
        // SAFETY: the string ends in a zero byte, which nothing below steps over.
        if unsafe rest[0] == CharacterCode.dash && rest[1] == 0 { return true }
        while true {
            // SAFETY: as above.
            guard let resource = unsafe number(&rest), resource < 64,
                unsafe skip(CharacterCode.colon, &rest), let soft = unsafe number(&rest),
                unsafe skip(CharacterCode.colon, &rest), let hard = unsafe number(&rest),
                soft <= hard, cinit_add_limit(Int32(resource), soft, hard)
            else { return false }
            // SAFETY: as above.
            if unsafe rest[0] == 0 { return true }
            guard unsafe skip(CharacterCode.comma, &rest) else { return false }
        }
    }

    private static func skip(_ code: CChar, _ text: inout UnsafePointer<CChar>) -> Bool {
        // SAFETY: `code` is not the zero byte that ends the string.
        guard unsafe text[0] == code else { return false }
        unsafe text += 1
        return true
    }

    /// A decimal number at the beginning of the text, which then begins behind it.
    private static func number(_ text: inout UnsafePointer<CChar>) -> UInt64? {
        var value: UInt64 = 0
        var count = 0
        while true {
            // SAFETY: stops at the zero byte which ends the string.
            let digit = unsafe text[0] &- CharacterCode.zero
            guard digit >= 0, digit <= 9 else { return count > 0 ? value : nil }
            let (tens, isTooMuch) = value.multipliedReportingOverflow(by: 10)
            let (sum, isMore) = tens.addingReportingOverflow(UInt64(digit))
            if isTooMuch || isMore { return nil }
            value = sum
            count += 1
            unsafe text += 1
        }
    }

    private enum CharacterCode {
        static let dash: CChar = 45
        static let zero: CChar = 48
        static let comma: CChar = 44
        static let colon: CChar = 58
        static let d: CChar = 100
        static let l: CChar = 108
        static let m: CChar = 109
        static let n: CChar = 110
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
    ///
    /// - Parameter streams: what become its descriptors 0 to 2; -1 for those of this process.
    func spawn(withTerminal terminal: Bool, streams: (Int32, Int32, Int32)) -> Int32 {
        var stage: Int32 = 0
        // SAFETY: `init` was promised that path and arguments live and end as C wants it.
        var programs = unsafe (UnsafeMutablePointer(mutating: path) as Text?, nil as Text?)
        // SAFETY: as above; the others live during the call. A pair lies as an array does.
        return unsafe withUnsafePointer(to: &programs) { programs in
            var command = unsafe cinit_command()
            unsafe command.programs = UnsafeRawPointer(programs).assumingMemoryBound(
                to: Text?.self)
            unsafe command.arguments = arguments
            unsafe command.streams = streams
            unsafe command.terminal = terminal
            unsafe command.told = -1
            return unsafe cinit_spawn(&command, &stage)
        }
    }

    private typealias Text = UnsafeMutablePointer<CChar>
}
