internal import LinuxKernel

/// How much of the node's processors is in use, by everything that runs on it: of the last second
/// or more, as the kernel counts.
final class ProcessorUse: Sendable {
    private struct Sample {
        var busy: UInt64
        var all: UInt64
        var at: UInt64
    }

    private struct State {
        var last: Sample?
        var milliCPUs: UInt64 = 0
    }

    /// The kernel counts in hundredths of a second: over less than this the share is a guess.
    private static let shortestTime: UInt64 = 1_000_000_000
    private let state = Locked(State())

    /// 0 until there are two readings to compare.
    var milliCPUs: UInt64 {
        guard let text = try? Files.read("/proc/stat") else { return 0 }
        return note(text, at: MonotonicClock.nanoseconds)
    }

    func note(_ text: String, at now: UInt64) -> UInt64 {
        state.with { state in
            let isDue = state.last.map { now >= $0.at + Self.shortestTime } ?? true
            guard isDue, let sample = Self.sample(text, at: now) else { return state.milliCPUs }
            if let last = state.last, sample.all > last.all {
                let busy = sample.busy > last.busy ? sample.busy - last.busy : 0
                let cpus = UInt64(text.split(separator: "\n").count(where: Self.isProcessor))
                state.milliCPUs = min(busy * cpus * 1000 / (sample.all - last.all), cpus * 1000)
            }
            state.last = sample
            return state.milliCPUs
        }
    }

    /// `cpu3 …`; not the line of all of them.
    private static func isProcessor(_ line: Substring) -> Bool {
        line.hasPrefix("cpu") && line.dropFirst(3).first?.isNumber == true
    }

    /// `cpu  user nice system idle iowait irq softirq steal guest guest_nice`; what guests use is
    /// in `user` and `nice` already.
    private static func sample(_ text: String, at now: UInt64) -> Sample? {
        guard let line = text.split(separator: "\n").first, line.hasPrefix("cpu ") else {
            return nil
        }
        let numbers = line.split(separator: " ").dropFirst().prefix(8).compactMap { UInt64($0) }
        guard numbers.count == 8 else { return nil }
        let all = numbers.reduce(0) { $0 &+ $1 }
        return Sample(busy: all &- numbers[3] &- numbers[4], all: all, at: now)
    }
}
