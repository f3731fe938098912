/// Samples of one measurement, sorted.
///
/// Percentiles go by the nearest rank: the p-th percentile of n samples is the sample at rank
/// ⌈p/100 · n⌉, counted from 1. It is always a sample that was measured, never a value between
/// two. So the median of an even number is the lower of the middle two, and p99 of fewer than
/// 100 samples is the maximum.
public struct Distribution: Equatable, Sendable {
    /// From the least to the greatest; never empty.
    public let sorted: [Double]
    public let mean: Double

    /// Nil when there are no samples, or when one is infinite or NaN.
    public init?(_ samples: [Double]) {
        guard !samples.isEmpty, samples.allSatisfy(\.isFinite) else { return nil }
        sorted = samples.sorted()
        var mean = 0.0
        // Divided before the sum, which could overflow where the mean does not.
        for (count, sample) in samples.enumerated() {
            mean += sample / Double(count + 1) - mean / Double(count + 1)
        }
        self.mean = mean
    }

    /// Nil when there are no samples. Above 2^53 nanoseconds (104 days) the last digits are lost.
    public init?(nanoseconds: [UInt64]) {
        // Not `map(Double.init)`: for UInt64 that is the one which takes a bit pattern.
        self.init(nanoseconds.map { Double($0) })
    }

    public var count: Int { sorted.count }
    public var minimum: Double { sorted[0] }
    public var maximum: Double { sorted[sorted.count - 1] }
    public var median: Double { percentile(50) }
    public var p90: Double { percentile(90) }
    public var p99: Double { percentile(99) }
    public var p999: Double { percentile(99.9) }

    /// The percentile by nearest rank. `percent` counts to a thousandth, from 0 (the minimum) to
    /// 100 (the maximum); what is outside is an error of the program and traps.
    public func percentile(_ percent: Double) -> Double {
        precondition(percent >= 0 && percent <= 100, "a percentile is from 0 to 100")
        // In whole thousandths, since 0.999 · 1000 would round up to rank 1000.
        let thousandths = Int((percent * 1000).rounded())
        let (whole, rest) = (count * thousandths).quotientAndRemainder(dividingBy: 100_000)
        return sorted[max(1, whole + (rest > 0 ? 1 : 0)) - 1]
    }

    /// The share of samples that are at most `value`, from 0 to 1.
    public func share(atMost value: Double) -> Double {
        Double(countOfSamples(atMost: value)) / Double(count)
    }

    func countOfSamples(atMost value: Double) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle] <= value { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// How values are spread over an axis or over bins.
public enum ValueScale: Equatable, Sendable {
    case linear
    /// Equal ratios are equally far apart. Values have to be positive.
    case logarithmic

    /// Where on the scale a value is.
    func position(_ value: Double) -> Double {
        switch self {
        case .linear: value
        case .logarithmic: Logarithm.base2(max(value, .leastNormalMagnitude))
        }
    }

    /// The value at a place of the scale.
    func value(_ position: Double) -> Double {
        switch self {
        case .linear: position
        case .logarithmic: Logarithm.power2(position)
        }
    }
}

/// How many samples fall into each of a row of equal bins.
public struct Histogram: Equatable, Sendable {
    public struct Bin: Equatable, Sendable {
        /// Samples equal to it belong here, in the first bin, or to the bin before.
        public let lower: Double
        /// Samples equal to it belong here.
        public let upper: Double
        public let count: Int
    }

    public let bins: [Bin]

    /// - Parameters:
    ///   - count: of bins, at least one and at most 1000.
    ///   - scale: of the bins' widths; a logarithmic one needs positive samples, and otherwise
    ///     becomes linear.
    ///   - range: of all bins together, by default from the minimum to the maximum. Samples
    ///     outside are left out.
    public init(
        _ distribution: Distribution, bins count: Int = 20, scale: ValueScale = .linear,
        range: ClosedRange<Double>? = nil
    ) {
        let range = range ?? distribution.minimum...distribution.maximum
        let scale = range.lowerBound > 0 ? scale : .linear
        let wanted = min(1000, max(1, count))
        let start = scale.position(range.lowerBound)
        let step = (scale.position(range.upperBound) - start) / Double(wanted)
        // All samples are equal, or as good as equal: one bin holds them.
        let number = step > 0 && start + step > start ? wanted : 1
        var bins: [Bin] = []
        bins.reserveCapacity(number)
        var lower = range.lowerBound
        var below = distribution.sorted.prefix { $0 < range.lowerBound }.count
        for place in 1...number {
            let isLast = place == number
            let upper =
                isLast ? range.upperBound : scale.value(start + step * Double(place))
            let total = max(below, distribution.countOfSamples(atMost: upper))
            bins.append(Bin(lower: lower, upper: upper, count: total - below))
            below = total
            lower = upper
        }
        self.bins = bins
    }

    /// One character for each bin: its height is the share of the largest bin. An empty bin is a
    /// space, and any other has at least the lowest bar.
    public func sparkline() -> String {
        let bars: [Character] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
        let highest = bins.map(\.count).max() ?? 0
        return String(
            bins.map { bin in
                bin.count == 0 ? " " : bars[min(7, bin.count * 8 / max(1, highest))]
            })
    }
}
