internal import CInitProtocol
internal import LinuxKernel
internal import SandboxModel

/// Why a workload could not be executed.
struct ExecFailure: Equatable {
    let error: ErrorNumber
    /// Not the program: its working directory.
    let isOfDirectory: Bool
    /// In a guest, where nobody has looked before whether it is there.
    let isInGuest: Bool
}

/// Reads the records on a sandbox's report pipe. They come from inside, so nothing in them is
/// believed that has not been checked, and no number of them grows memory.
struct ReportReader {
    /// The version of the file's format, from its first record.
    private(set) var version: Int32?
    /// When it was asked for.
    private(set) var requested: UInt64?
    /// The child is past its set-up, and uses none of its starter's memory any more.
    private(set) var isInitReady = false
    private(set) var setUpFailure: (call: Int, error: ErrorNumber)?
    private(set) var execFailure: ExecFailure?
    private(set) var started: UInt64?
    private(set) var denied: [Int32] = []
    private(set) var exit: SandboxOutcome.Exit?
    /// A guest's memory was used up.
    private(set) var isOutOfMemory = false
    /// A guest, or its monitor, could not go on.
    private(set) var isGuestFailed = false
    private(set) var moments: [(String, UInt64)] = []
    private var partial: [UInt8] = []

    static let largestDeniedCount = 16
    private static let mostReads = 1024
    private static let recordSize = MemoryLayout<alcove_report>.size
    /// More than a sandbox ever reports.
    static let largestMomentCount = 16

    /// Reads until there is nothing more for now. False at the end: of a pipe when nobody can
    /// write any more, of a file always.
    @discardableResult
    mutating func drain(_ source: borrowing Descriptor) -> Bool {
        // A sandbox reports much less: whoever took over alcove-init is not listened to for ever.
        for _ in 0..<Self.mostReads {
            guard let bytes = try? source.read(atMost: 1024) else { return true }
            if bytes.isEmpty { return false }
            take(bytes)
        }
        return true
    }

    /// The workload never ran and never will.
    var isFailed: Bool { setUpFailure != nil || execFailure != nil || isGuestFailed }
    /// Nothing more will be told of the start.
    var isSettled: Bool { started != nil || isFailed }

    /// Takes bytes as they come; records may arrive in pieces.
    mutating func take(_ bytes: [UInt8]) {
        partial += bytes
        var start = 0
        while partial.count - start >= Self.recordSize {
            take(record: partial[start..<(start + Self.recordSize)])
            start += Self.recordSize
        }
        partial.removeFirst(start)
    }

    private mutating func take(record: ArraySlice<UInt8>) {
        func number(at offset: Int, bytes: Int) -> UInt64 {
            (0..<bytes).reduce(0) {
                $0 | UInt64(record[record.startIndex + offset + $1]) << UInt64(8 * $1)
            }
        }
        let kind = UInt32(truncatingIfNeeded: number(at: 0, bytes: 4))
        let value = Int32(truncatingIfNeeded: Int64(number(at: 4, bytes: 4)))
        let detail = number(at: 8, bytes: 8)
        let time = number(at: 16, bytes: 8)
        switch alcove_report_kind(rawValue: kind) {
        case ALCOVE_REPORT_SETUP_FAILED:
            setUpFailure = (Int(clamping: detail), ErrorNumber(rawValue: value))
        case ALCOVE_REPORT_REQUESTED where version == nil:
            version = value
            requested = time
        case ALCOVE_REPORT_INIT_READY:
            isInitReady = true
            note("alcove-init ready", time)
        case ALCOVE_REPORT_STARTED:
            started = time
            note("workload started", time)
        case ALCOVE_REPORT_EXEC_FAILED:
            execFailure = ExecFailure(
                error: ErrorNumber(rawValue: value),
                isOfDirectory: detail == UInt64(ALCOVE_STAGE_DIRECTORY.rawValue),
                isInGuest: detail != 0)
        case ALCOVE_REPORT_DENIED:
            if denied.count < Self.largestDeniedCount { denied.append(value) }
        case ALCOVE_REPORT_OUT_OF_MEMORY: isOutOfMemory = true
        case ALCOVE_REPORT_GUEST_FAILED: isGuestFailed = true
        case ALCOVE_REPORT_STAGE:
            if let name = Self.name(ofStage: UInt32(bitPattern: value)) { note(name, time) }
        case ALCOVE_REPORT_EXITED:
            exit = .exited(code: value & 0xff)
            note("workload ended", time)
        case ALCOVE_REPORT_SIGNALED:
            exit = .signaled(number: value & 0x7f, name: Signal(rawValue: value & 0x7f).name)
            note("workload ended", time)
        default: break
        }
    }

    private static func name(ofStage stage: UInt32) -> String? {
        switch alcove_monitor_stage(rawValue: stage) {
        case ALCOVE_MONITOR_BEGAN: "monitor began"
        case ALCOVE_MONITOR_MACHINE: "virtual machine made"
        case ALCOVE_MONITOR_DEVICES: "devices attached"
        case ALCOVE_MONITOR_LOADED: "kernel loaded"
        case ALCOVE_MONITOR_FENCED: "monitor fenced"
        case ALCOVE_MONITOR_ENTERED: "guest entered"
        case ALCOVE_MONITOR_GUEST_BEGAN: "guest's first process began"
        case ALCOVE_MONITOR_GUEST_READY: "guest ready"
        default: nil
        }
    }

    private mutating func note(_ what: String, _ time: UInt64) {
        if moments.count < Self.largestMomentCount { moments.append((what, time)) }
    }
}
