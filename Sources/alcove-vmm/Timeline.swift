internal import LinuxKernel

/// When each stage of a start was reached.
final class Timeline {
    /// In the order of their times.
    private(set) var moments: [(stage: String, nanoseconds: UInt64)] = []
    /// When it began, on the monotonic clock.
    let start = MonotonicClock.nanoseconds
    /// How long the guest's own clock ran until it was ready.
    var guestNanoseconds: UInt64?

    func reached(_ stage: String) {
        moments.append((stage, MonotonicClock.nanoseconds - start))
    }

    /// Adds what another thread has reached, once.
    ///
    /// - Parameter time: on the monotonic clock.
    func add(_ stage: String, at time: UInt64) {
        guard !moments.contains(where: { $0.stage == stage }) else { return }
        let span = time - start
        let place = moments.firstIndex { $0.nanoseconds > span }
        moments.insert((stage, span), at: place ?? moments.count)
    }

    /// One line.
    static func text(
        of moments: [(stage: String, nanoseconds: UInt64)], from start: UInt64
    ) -> String {
        let stages = moments.map { "\($0.stage) \($0.nanoseconds / 1000) us" }
        return "timeline: began \(start / 1000) us, " + stages.joined(separator: ", ")
    }
}
