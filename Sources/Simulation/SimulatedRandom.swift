/// Random numbers of a simulation: the same seed gives the same ones everywhere.
///
/// The generator is SplitMix64; the distributions are computed here, since the C library's
/// mathematics differs in the last digit from one version to the next.
struct SimulatedRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    /// Above 0 and at most 1.
    mutating func unit() -> Double { Double((next() >> 11) + 1) / Double(1 << 53) }

    mutating func uniform(_ range: ClosedRange<Double>) -> Double {
        range.lowerBound + (range.upperBound - range.lowerBound) * unit()
    }

    /// The time until the next of independent events.
    mutating func exponential(mean: Double) -> Double { -mean * Mathematics.logarithm(unit()) }

    /// All orders of magnitude are equally probable.
    mutating func logarithmic(_ range: ClosedRange<Double>) -> Double {
        let low = Mathematics.logarithm(range.lowerBound)
        return Mathematics.exponential(uniform(low...Mathematics.logarithm(range.upperBound)))
    }

    /// About the normal distribution with mean 0 and deviation 1.
    mutating func normal() -> Double {
        var sum = -6.0
        for _ in 0..<12 { sum += unit() }
        return sum
    }
}

/// The functions that a generator needs, to more digits than it matters.
enum Mathematics {
    static let ln2 = 0.693_147_180_559_945_3

    static func logarithm(_ value: Double) -> Double {
        // value = 2^exponent · significand, and ln s = 2 · artanh((s - 1) / (s + 1)).
        let ratio = (value.significand - 1) / (value.significand + 1)
        let square = ratio * ratio
        var term = ratio
        var sum = 0.0
        for divisor in stride(from: 1.0, through: 25, by: 2) {
            sum += term / divisor
            term *= square
        }
        return Double(value.exponent) * ln2 + 2 * sum
    }

    static func exponential(_ value: Double) -> Double {
        let exponent = (value / ln2).rounded()
        let rest = value - exponent * ln2
        var term = 1.0
        var sum = 1.0
        for divisor in 1...14 {
            term *= rest / Double(divisor)
            sum += term
        }
        return Double(sign: .plus, exponent: Int(exponent), significand: sum)
    }

    /// The cosine of a turn's part.
    static func cosine(turns: Double) -> Double {
        let part = (turns - turns.rounded()) * 6.283_185_307_179_586
        let square = part * part
        var term = 1.0
        var sum = 1.0
        for place in 1...11 {
            term *= -square / Double((2 * place - 1) * 2 * place)
            sum += term
        }
        return sum
    }
}
