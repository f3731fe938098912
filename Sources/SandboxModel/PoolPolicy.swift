/// How many instances of one function are held ready, decided once a second from what was measured
/// in it.
///
/// Two numbers hold at any time. ``Decision/spare`` are ready whatever is busy: whoever takes one
/// has another made at once, so that they need to last only for the time which that takes.
/// ``Decision/total``, busy ones included, were needed within a short time before, and are not
/// thrown away to be made again a moment later.
///
/// Pure, without a clock: its owner calls ``step(_:)`` at each second. Time and memory of a step do
/// not depend on how much was measured.
public struct PoolPolicy: Sendable {
    /// What was measured in a second.
    public struct Observation: Hashable, Sendable {
        /// Starts that were asked for.
        public var arrivals: Int
        /// The most that were busy at once, those included that waited.
        public var peak: Int
        public var pressure: MemoryPressure

        public init(arrivals: Int, peak: Int, pressure: MemoryPressure = .none) {
            self.arrivals = arrivals
            self.peak = peak
            self.pressure = pressure
        }
    }

    /// What the node's memory allows.
    public enum MemoryPressure: Hashable, Sendable, CaseIterable {
        case none
        /// Nothing is made ahead; what is ready stays.
        case some
        /// Nothing is made ahead, and no more than the least stays ready.
        case full
    }

    /// What holds until the next step.
    public struct Decision: Hashable, Sendable {
        /// Ready ones, at least.
        public var spare: Int
        /// Ready and busy ones together, at least.
        public var total: Int
        /// The most that may be ready.
        public var most: Int
        /// Whether some may be made ahead.
        public var refills: Bool

        /// How many should be ready while so many are busy.
        public func ready(busy: Int) -> Int { min(max(spare, total - busy), most) }
    }

    public let settings: Settings
    public private(set) var decision: Decision
    var rate = RateForecast()
    var bursts: BurstMemory
    var peaks: RecentMaximum
    var period = PeriodMemory()
    /// What the terms of the last step asked for, before anything was held back.
    var wanted = Wanted()
    var spareShrink: LateShrink
    var secondsSinceArrival: Int?
    var pressure = MemoryPressure.none

    /// What each term asks for, in ready instances.
    struct Wanted: Hashable, Sendable {
        var mean = 0.0
        var forecast = 0
        var burst = 0
        var recent = 0
        var periodic = 0

        var spare: Int { max(forecast + burst, recent, periodic) }
    }

    public init(_ settings: Settings) {
        self.settings = settings
        bursts = BurstMemory(halfLife: settings.burstHalfLife)
        peaks = RecentMaximum(seconds: settings.holdSeconds)
        spareShrink = LateShrink(quiet: settings.quietSeconds, part: settings.shrinkPart)
        decision = Decision(
            spare: settings.least, total: settings.least, most: settings.most, refills: true)
    }

    /// Takes in a second that is over, and decides for the next one.
    @discardableResult
    public mutating func step(_ seen: Observation) -> Decision {
        precondition(seen.arrivals >= 0 && seen.peak >= 0, "fewer than none were measured")
        pressure = seen.pressure
        let expected = rate.expected(trendShare: settings.trendShare)
        rate.step(arrivals: seen.arrivals)
        bursts.step(arrivals: seen.arrivals, expected: expected, settings)
        period.step(arrivals: seen.arrivals)
        peaks.step(seen.peak)
        secondsSinceArrival =
            seen.arrivals > 0 ? 0 : secondsSinceArrival.map { min($0 + 1, 1 << 30) }

        wanted.mean = rate.expected(trendShare: settings.trendShare) * settings.leadSeconds
        // One that is as good as certain not to come needs none; for it there is `recent`.
        wanted.forecast =
            wanted.mean > settings.tail.probability
            ? settings.tail.quantile(mean: wanted.mean) : 0
        let onceMore = bursts.excess * min(settings.leadSeconds, 1)
        wanted.burst = Int((onceMore.squareRoot() * settings.burstShare).rounded(.up))
        let isRecent = secondsSinceArrival.map { $0 < settings.keepSeconds } ?? false
        // Between the calls of a slow timer nobody comes.
        let isPause = period.isRegular && period.mean > Double(settings.keepSeconds)
        wanted.recent = isRecent && !isPause ? 1 : 0
        wanted.periodic = period.expects(within: settings.leadSeconds) ? 1 : 0
        // Without a start for that long the forecast is of something that has ended.
        if !isRecent { (wanted.forecast, wanted.burst) = (0, 0) }

        let spare = spareShrink.step(wanted: wanted.spare)
        decision = limited(spare: spare, total: peaks.maximum)
        return decision
    }

    private func limited(spare: Int, total: Int) -> Decision {
        let bounded = min(max(spare, settings.least), settings.most)
        switch pressure {
        case .none:
            return Decision(spare: bounded, total: total, most: settings.most, refills: true)
        case .some:
            return Decision(spare: bounded, total: total, most: settings.most, refills: false)
        case .full:
            return Decision(
                spare: settings.least, total: 0, most: settings.least, refills: false)
        }
    }
}

extension PoolPolicy {
    /// What an owner can choose.
    public struct Settings: Hashable, Sendable {
        /// Ready ones of a function, at least and at most.
        public var least: Int
        public var most: Int
        /// How long it takes to make one ready.
        public var leadSeconds: Double
        /// How probable it may be that the spare ones are not enough for that time.
        public var tail: PoissonTail
        /// As many as were busy at once within so many seconds are kept.
        public var holdSeconds: Int
        /// So many seconds less has to be enough before fewer are held ready.
        public var quietSeconds: Int
        /// Then this part of what is too many goes, each second.
        public var shrinkPart: Double
        /// One is held ready for so long after the last start.
        public var keepSeconds: Int
        /// How much of a rise is expected to come once more in the next second.
        public var trendShare: Double
        /// How many are ready for a burst: so many times the root of what the largest one needs.
        public var burstShare: Double
        /// After so many seconds a burst counts half.
        public var burstHalfLife: Double

        public init(
            least: Int = 0, most: Int = 1000, leadSeconds: Double = 0.1,
            tail: PoissonTail = .standard, holdSeconds: Int = 20, quietSeconds: Int = 30,
            shrinkPart: Double = 0.125, keepSeconds: Int = 600, trendShare: Double = 2,
            burstShare: Double = 2, burstHalfLife: Double = 3600
        ) {
            precondition(least >= 0 && least <= most, "the least is above the most")
            precondition(leadSeconds >= 0 && leadSeconds < 1e6, "making one takes a time")
            precondition(holdSeconds > 0 && quietSeconds >= 0 && keepSeconds >= 0)
            precondition(shrinkPart > 0 && shrinkPart <= 1 && burstHalfLife > 0)
            self.least = least
            self.most = most
            self.leadSeconds = leadSeconds
            self.tail = tail
            self.holdSeconds = holdSeconds
            self.quietSeconds = quietSeconds
            self.shrinkPart = shrinkPart
            self.keepSeconds = keepSeconds
            self.trendShare = trendShare
            self.burstShare = burstShare
            self.burstHalfLife = burstHalfLife
        }
    }
}
