/// Starts a second, as far as they can be told for the next ones: an average that follows at once,
/// one that is slow, and how far the first is ahead of the second.
struct RateForecast: Hashable, Sendable {
    private(set) var fast = 0.0
    private(set) var slow = 0.0
    private var seconds = 0.0
    static let fastPart = 0.3
    static let slowSeconds = 120.0

    /// The rise that the fast average shows goes on for as long as that average is behind.
    var trend: Double {
        // A few starts more than the mean are no rise: that much is chance.
        max(0, fast - slow - 2 * (slow * Self.fastPart).squareRoot())
    }

    func expected(trendShare: Double) -> Double { max(fast, slow) + trend * trendShare }

    mutating func step(arrivals: Int) {
        // In the beginning there is nothing but what was seen: an average of all of it.
        seconds = min(seconds + 1, Self.slowSeconds)
        fast += (Double(arrivals) - fast) * max(Self.fastPart, 1 / seconds)
        slow += (Double(arrivals) - slow) / seconds
        if fast < 1e-9 { fast = 0 }
        if slow < 1e-9 { slow = 0 }
    }
}

/// How many starts more came in one second than could be expected, halved every so often.
struct BurstMemory: Hashable, Sendable {
    private(set) var excess = 0.0
    private let keeps: Double

    init(halfLife: Double) {
        keeps = PoissonTail.inverseExponential(0.693_147_180_559_945_3 / halfLife)
    }

    mutating func step(arrivals: Int, expected: Double, _ settings: PoolPolicy.Settings) {
        excess *= keeps
        if excess < 0.01 { excess = 0 }
        let usual = PoissonTail.veryRare.quantile(mean: expected)
        excess = max(excess, Double(arrivals - max(usual, 1)))
    }
}

/// The greatest of the last so many values, to an eighth of that time.
struct RecentMaximum: Hashable, Sendable {
    private var parts: [Int]
    private let length: Int
    private var filled = 0
    private(set) var maximum = 0

    init(seconds: Int) {
        length = max(1, (seconds + 7) / 8)
        parts = Array(repeating: 0, count: 8)
    }

    mutating func step(_ value: Int) {
        if filled == length {
            parts.removeLast()
            parts.insert(0, at: 0)
            filled = 0
        }
        filled += 1
        parts[0] = max(parts[0], value)
        maximum = parts.max() ?? 0
    }
}

/// Follows what is wanted up at once; down only after a quiet time, and then in steps.
struct LateShrink: Hashable, Sendable {
    private(set) var held = 0
    private(set) var quietFor = 0
    private let quiet: Int
    private let part: Double

    init(quiet: Int, part: Double) {
        self.quiet = quiet
        self.part = part
    }

    mutating func step(wanted: Int) -> Int {
        if wanted >= held {
            held = wanted
            quietFor = 0
            return held
        }
        quietFor += 1
        if quietFor > quiet {
            let excess = Double(held - wanted)
            held -= max(1, Int(excess * part))
        }
        return held
    }
}

/// Whether starts come at even intervals, such as those of a timer, and when the next one is due.
struct PeriodMemory: Hashable, Sendable {
    private var sinceLast: Int?
    private(set) var mean = 0.0
    private(set) var deviation = 0.0
    private(set) var gaps = 0
    /// Shorter ones are what the rate is for.
    static let shortest = 30

    mutating func step(arrivals: Int) {
        let elapsed = sinceLast.map { min($0 + 1, 1 << 30) }
        sinceLast = elapsed
        guard arrivals > 0 else { return }
        sinceLast = 0
        guard let elapsed, elapsed >= Self.shortest else { return }
        let gap = Double(elapsed)
        gaps = min(gaps + 1, 1000)
        if gaps == 1 { mean = gap }
        let part = max(0.125, 1 / Double(gaps))
        deviation += ((gap - mean).magnitude - deviation) * part
        mean += (gap - mean) * part
    }

    var isRegular: Bool { gaps >= 3 && deviation < mean * 0.1 }

    /// Whether the next one is due, when what is begun now is ready after `lead` seconds.
    func expects(within lead: Double) -> Bool {
        guard isRegular, let sinceLast else { return false }
        let margin = 3 * deviation + 2
        let next = Double(sinceLast) + 1
        return next + lead >= mean - margin && next <= mean + margin
    }
}
