internal import CInitProtocol
internal import LinuxKernel

/// Tells the host how it goes, by the records that alcove-init reports with: what the host sees of
/// the workload is the workload in the guest.
struct Reporter {
    enum Event {
        case started(pid: Int32)
        case executionFailed(error: Int32, stage: UInt32)
        case outOfMemory
        /// The guest or its monitor, not the workload.
        case failed
    }

    private let descriptors: [Int32]

    init(_ descriptors: [Int32]) {
        self.descriptors = descriptors
    }

    func tell(_ event: Event) {
        var record = alcove_report()
        switch event {
        case .started(let pid):
            record.kind = ALCOVE_REPORT_STARTED.rawValue
            record.value = pid
        case .executionFailed(let error, let stage):
            record.kind = ALCOVE_REPORT_EXEC_FAILED.rawValue
            record.value = error
            record.detail = UInt64(stage)
        case .outOfMemory: record.kind = ALCOVE_REPORT_OUT_OF_MEMORY.rawValue
        case .failed: record.kind = ALCOVE_REPORT_GUEST_FAILED.rawValue
        }
        record.nanoseconds = MonotonicClock.nanoseconds
        for descriptor in descriptors { PlainRecord.write(record, to: descriptor) }
    }
}
