internal import CInit
internal import CInitProtocol

/// What the host is told.
enum Report {
    case initReady
    case started(process: Int32)
    case execFailed(errorNumber: Int32)
    case denied(call: Int32, architecture: UInt32, thread: Int32)
    case exited(code: Int32)
    case signaled(signal: Int32, coreDumped: Bool)

    fileprivate var record: alcove_report {
        switch self {
        case .initReady:
            Self.record(ALCOVE_REPORT_INIT_READY)
        case .started(let process):
            Self.record(ALCOVE_REPORT_STARTED, process)
        case .execFailed(let errorNumber):
            Self.record(ALCOVE_REPORT_EXEC_FAILED, errorNumber)
        case .denied(let call, let architecture, let thread):
            Self.record(
                ALCOVE_REPORT_DENIED, call,
                UInt64(architecture) << 32 | UInt64(UInt32(bitPattern: thread)))
        case .exited(let code):
            Self.record(ALCOVE_REPORT_EXITED, code)
        case .signaled(let signal, let coreDumped):
            Self.record(ALCOVE_REPORT_SIGNALED, signal, coreDumped ? 1 : 0)
        }
    }

    private static func record(
        _ kind: alcove_report_kind, _ value: Int32 = 0, _ detail: UInt64 = 0
    ) -> alcove_report {
        alcove_report(
            kind: kind.rawValue, value: value, detail: detail,
            nanoseconds: cinit_monotonic_nanoseconds())
    }
}

/// The writing end of the pipe to the host, and the file of a lasting sandbox; or neither.
struct Reporter {
    /// Only so many denied calls are reported: a hostile workload must neither flood the reader
    /// nor fill the pipe, or the report of its end would be lost.
    private static let mostDenied = 16

    private(set) var descriptor: Int32?
    private let file: Int32?
    private var deniedLeft = Reporter.mostDenied

    init(descriptor: Int32?, file: Int32?) {
        self.descriptor = descriptor
        self.file = file
        // Its reader must never be able to stop this process.
        if let descriptor { _ = cinit_set_nonblocking(descriptor) }
    }

    mutating func send(_ report: Report) {
        guard descriptor != nil || file != nil else { return }
        if case .denied = report {
            guard deniedLeft > 0 else { return }
            deniedLeft -= 1
        }
        let record = report.record
        // First the one that stays: who reads the other may look for this one.
        if let file { write(record, to: file) }
        if let descriptor { write(record, to: descriptor) }
    }

    mutating func close() {
        if let descriptor { _ = cinit_close(descriptor) }
        descriptor = nil
    }
}
