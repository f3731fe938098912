internal import CInitProtocol
internal import LinuxKernel

extension Timeline.Stage {
    /// What the host is told of it as.
    var reported: alcove_monitor_stage? {
        switch self {
        case .machineMade: ALCOVE_MONITOR_MACHINE
        case .devicesAttached: ALCOVE_MONITOR_DEVICES
        case .kernelLoaded, .stateLoaded: ALCOVE_MONITOR_LOADED
        case .filesRefused: ALCOVE_MONITOR_FENCED
        case .guestEntered: ALCOVE_MONITOR_ENTERED
        case .guestBegan: ALCOVE_MONITOR_GUEST_BEGAN
        case .guestReady: ALCOVE_MONITOR_GUEST_READY
        case .snapshotRead, .pagesLoaded, .processorsStarted, .held, .startAsked, .workloadStarted,
            .workloadEnded, .guestEnded:
            nil
        }
    }
}

/// Tells the host how it goes, by the records that alcove-init reports with: what the host sees of
/// the workload is the workload in the guest.
struct Reporter {
    enum Event {
        case started(pid: Int32)
        case executionFailed(error: Int32, stage: UInt32)
        case outOfMemory
        /// The guest or its monitor, not the workload.
        case failed
        /// Of the start; when it was reached, on the monotonic clock.
        case stage(alcove_monitor_stage, nanoseconds: UInt64)
    }

    private let descriptors: [Int32]

    init(_ descriptors: [Int32]) {
        self.descriptors = descriptors
    }

    func tell(_ event: Event) {
        var record = alcove_report()
        record.nanoseconds = MonotonicClock.nanoseconds
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
        case .stage(let stage, let nanoseconds):
            record.kind = ALCOVE_REPORT_STAGE.rawValue
            record.value = Int32(stage.rawValue)
            record.nanoseconds = nanoseconds
        }
        for descriptor in descriptors { PlainRecord.write(record, to: descriptor) }
    }
}
