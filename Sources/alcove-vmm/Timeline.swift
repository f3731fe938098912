internal import LinuxKernel

/// When each stage of a start was reached.
final class Timeline {
    enum Stage: String {
        case machineMade = "machine made"
        case devicesAttached = "devices attached"
        case kernelLoaded = "kernel loaded"
        case snapshotRead = "snapshot read"
        case stateLoaded = "state loaded"
        case pagesLoaded = "pages loaded"
        case filesRefused = "files refused"
        case processorsStarted = "processors started"
        case held
        case startAsked = "start asked"
        case guestEntered = "guest entered"
        /// Its first process runs.
        case guestBegan = "guest's first process began"
        case guestReady = "guest ready"
        case workloadStarted = "workload started"
        case workloadEnded = "workload ended"
        case guestEnded = "guest ended"
    }

    /// In the order of their times.
    private(set) var moments: [(stage: Stage, nanoseconds: UInt64)] = []
    /// When it began, on the monotonic clock.
    let start = MonotonicClock.nanoseconds

    func reached(_ stage: Stage) {
        moments.append((stage, MonotonicClock.nanoseconds - start))
    }

    /// Adds what another thread, or the guest, has reached, once.
    ///
    /// - Parameter time: on the monotonic clock.
    func add(_ stage: Stage, at time: UInt64) {
        guard !moments.contains(where: { $0.stage == stage }) else { return }
        // What a guest says is not believed to be before the monitor began.
        let span = time > start ? time - start : 0
        let place = moments.firstIndex { $0.nanoseconds > span }
        moments.insert((stage, span), at: place ?? moments.count)
    }

    /// One line.
    static func text(
        of moments: [(stage: Stage, nanoseconds: UInt64)], from start: UInt64
    ) -> String {
        let stages = moments.map { "\($0.stage.rawValue) \($0.nanoseconds / 1000) us" }
        return "timeline: began \(start / 1000) us, " + stages.joined(separator: ", ")
    }
}
