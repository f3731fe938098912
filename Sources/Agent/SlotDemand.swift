/// How many slots are to be ready: as many as were taken within two seconds when most were, of the
/// last minute. A crowd finds none of them ready once, and the next one finds all.
struct SlotDemand {
    private static let window: UInt64 = 60
    private static let ahead = 2

    /// Seconds in which some were taken, rising, and how many.
    private var taken: [(second: UInt64, count: Int)] = []

    mutating func take(at nanoseconds: UInt64) {
        let second = nanoseconds / 1_000_000_000
        if let last = taken.indices.last, taken[last].second == second {
            taken[last].count += 1
        } else {
            forget(before: second)
            taken.append((second, 1))
        }
    }

    mutating func target(at nanoseconds: UInt64, within bounds: ClosedRange<Int>) -> Int {
        forget(before: nanoseconds / 1_000_000_000)
        let most = taken.map(\.count).max() ?? 0
        return min(max(most * Self.ahead, bounds.lowerBound), bounds.upperBound)
    }

    /// Nothing that is counted still would change the target later.
    var isQuiet: Bool { taken.isEmpty }

    private mutating func forget(before second: UInt64) {
        taken.removeAll { $0.second + Self.window < second }
    }
}
