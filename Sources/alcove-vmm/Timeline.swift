internal import LinuxKernel

/// When each stage of a start was reached.
final class Timeline {
    private(set) var moments: [(stage: String, nanoseconds: UInt64)] = []
    private let start = MonotonicClock.nanoseconds
    /// How long the guest's own clock ran until it was ready.
    var guestNanoseconds: UInt64?

    func reached(_ stage: String) {
        moments.append((stage, MonotonicClock.nanoseconds - start))
    }

    /// One line.
    var text: String {
        let stages = moments.map { "\($0.stage) \($0.nanoseconds / 1000) us" }
        return "timeline: " + stages.joined(separator: ", ")
    }
}
