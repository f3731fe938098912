/// How many independent events to be ready for, when on average so many happen.
public struct PoissonTail: Hashable, Sendable {
    /// The probability that there are as many or more.
    public let probability: Double
    /// At place n the greatest mean for which n are enough.
    private let means: [Double]
    /// So many standard deviations above a large mean.
    private let deviations: Double

    /// One in five hundred. The starts that find none are much rarer: the forecast is cautious, and
    /// what ends meanwhile is ready too.
    public static let standard = PoissonTail(probability: 2e-3)

    /// One in a million.
    static let veryRare = PoissonTail(probability: 1e-6)

    public init(probability: Double) {
        precondition(probability > 0 && probability < 0.5, "a tail is the rarer part")
        self.probability = probability
        means = (0...64).map { Self.greatestMean(count: $0, probability: probability) }
        let last = means[64]
        deviations = (64 - last) / last.squareRoot()
    }

    /// The least count that is reached with no more than the probability. For a mean too large for
    /// the table by the normal distribution, a little above the true one.
    public func quantile(mean: Double) -> Int {
        if mean <= 0 { return 0 }
        if mean > means[64] {
            return Int(min((mean + deviations * mean.squareRoot()).rounded(.up), 1e9))
        }
        var low = 0
        var high = 64
        while low < high {
            let middle = (low + high) / 2
            if means[middle] >= mean { high = middle } else { low = middle + 1 }
        }
        return low
    }

    private static func greatestMean(count: Int, probability: Double) -> Double {
        guard count > 0 else { return 0 }
        var low = 0.0
        var high = 64.0
        for _ in 0..<60 {
            let middle = (low + high) / 2
            if upperTail(mean: middle, from: count) <= probability {
                low = middle
            } else {
                high = middle
            }
        }
        return low
    }

    /// The probability of `count` events or more. Summed from that count upwards: the difference
    /// to 1 would have lost the small ones.
    static func upperTail(mean: Double, from count: Int) -> Double {
        var term = inverseExponential(mean)
        for place in 0..<count { term *= mean / Double(place + 1) }
        var sum = 0.0
        var place = count
        while place < count + 400 {
            sum += term
            place += 1
            term *= mean / Double(place)
            if term < sum * 1e-15 && Double(place) > mean { break }
        }
        return min(sum, 1)
    }

    /// e to the power of minus `value`, without the C library's mathematics: the same everywhere.
    static func inverseExponential(_ value: Double) -> Double {
        let small = value / 1024
        var term = 1.0
        var sum = 1.0
        for divisor in 1...12 {
            term *= -small / Double(divisor)
            sum += term
        }
        for _ in 0..<10 { sum *= sum }
        return sum
    }
}
