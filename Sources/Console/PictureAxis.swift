/// The time axis that all parts of a picture share.
struct PictureAxis {
    let scale: ValueScale
    let unit: TimeUnit
    /// Nanoseconds at both ends.
    let range: ClosedRange<Double>
    /// Where the ends are in the picture.
    let left: Double
    let right: Double

    private let start: Double
    private let length: Double

    init(
        _ distributions: [Distribution], scale wanted: ValueScale?, left: Double, right: Double
    ) {
        let least = distributions.map(\.minimum).min() ?? 0
        let most = distributions.map(\.maximum).max() ?? 1
        let tail = distributions.map(\.p99).max() ?? most
        // A rare outlier would squeeze everything else: it is counted in words instead.
        let end = min(most, tail > 0 ? tail * 1.5 : most)
        let spreads = least > 0 && end / least > 4
        scale = least > 0 ? wanted ?? (spreads ? .logarithmic : .linear) : .linear
        let low = scale.position(least)
        let high = scale.position(end)
        // When all samples are equal there is still an axis about them.
        let pad =
            high > low
            ? (high - low) * 0.03 : scale == .linear ? max(least.magnitude * 0.1, 1) : 0.5
        let lower = scale == .linear && least >= 0 ? max(0, low - pad) : low - pad
        start = lower
        length = high + pad - lower
        range = scale.value(lower)...scale.value(high + pad)
        let typical = distributions.map(\.median)
        let largest = TimeUnit(fitting: typical.max() ?? 1)
        // One unit for all: the larger one unless the small values would be mostly zeros.
        let isTiny = least > 0 && least / largest.rawValue < 0.01
        unit = isTiny ? max(TimeUnit(fitting: least * 100), TimeUnit(fitting: end / 100)) : largest
        self.left = left
        self.right = right
    }

    func x(_ value: Double) -> Double {
        left + (right - left) * (scale.position(value) - start) / length
    }

    func value(at x: Double) -> Double {
        scale.value(start + length * (x - left) / (right - left))
    }

    /// A value in the axis's unit, or in its own where that would be a long row of digits.
    func text(_ nanoseconds: Double) -> String {
        let size = nanoseconds.magnitude / unit.rawValue
        return size == 0 || (size >= 0.001 && size < 100_000)
            ? unit.text(nanoseconds: nanoseconds) : TimeUnit.text(nanoseconds: nanoseconds)
    }

    /// How many equal bins the axis is cut into, so that the narrowest series has enough of them
    /// to show its shape and not more than its samples can fill. None is under five wide.
    func bins(for distributions: [Distribution]) -> Int {
        let wanted = distributions.map { distribution in
            let own = min(40, max(10, 1.5 * Double(distribution.count).squareRoot()))
            let span = x(distribution.percentile(95)) - x(distribution.minimum)
            return own * (right - left) / max(span, 1)
        }
        return Int(min((right - left) / 5, max(30, wanted.max() ?? 30)))
    }

    /// The places of labels, in nanoseconds, far enough from each other for their texts.
    var ticks: [Double] {
        switch scale {
        case .linear: linearTicks
        case .logarithmic: logarithmicTicks
        }
    }

    func label(_ tick: Double) -> String { Self.trimmed(tick / unit.rawValue) }

    static func trimmed(_ value: Double) -> String {
        var text = NumberText.fixed(value, decimals: 6)
        while text.hasSuffix("0") { text.removeLast() }
        if text.hasSuffix(".") { text.removeLast() }
        return text
    }

    private var linearTicks: [Double] {
        let span = (range.upperBound - range.lowerBound) / unit.rawValue
        let step = Self.niceStep(span * 72 / (right - left))
        let first = (range.lowerBound / unit.rawValue / step).rounded(.up)
        let last = (range.upperBound / unit.rawValue / step).rounded(.down)
        guard step > 0, first <= last, last - first < 100 else { return [] }
        return stride(from: first, through: last, by: 1).map { $0 * step * unit.rawValue }
    }

    private var logarithmicTicks: [Double] {
        let sets: [[Double]] = [
            [1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2, 2.2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9],
            [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8], [1, 1.5, 2, 3, 4, 5, 7], [1, 2, 3, 5],
            [1, 2, 5], [1, 3],
        ]
        for set in sets {
            let ticks = logarithmicTicks(set)
            let places = ticks.map(x)
            if zip(places, places.dropFirst()).allSatisfy({ $1 - $0 >= 52 }) { return ticks }
        }
        let decades = logarithmicTicks([1])
        let every = max(1, (decades.count + 11) / 12)
        return decades.enumerated().filter { $0.offset.isMultiple(of: every) }.map(\.element)
    }

    private func logarithmicTicks(_ factors: [Double]) -> [Double] {
        var decade = 1e-3
        var ticks: [Double] = []
        while decade <= range.upperBound && decade < 1e300 {
            ticks += factors.map { $0 * decade }.filter(range.contains)
            decade *= 10
        }
        return ticks
    }

    /// The least of the factors times a power of ten that is at least `least`.
    static func niceStep(_ least: Double, _ factors: [Double] = [1, 2, 2.5, 5]) -> Double {
        guard least > 0, least < 1e300 else { return 1 }
        var power = 1.0
        while power > least { power /= 10 }
        while power * 10 <= least { power *= 10 }
        let factor = factors.first { $0 * power >= least } ?? 10
        return factor * power
    }
}
