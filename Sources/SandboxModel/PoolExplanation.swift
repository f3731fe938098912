/// Why a pool has the size that it has: what each term asked for, and what came of them.
public struct PoolExplanation: Hashable, Sendable {
    public struct Term: Hashable, Sendable {
        /// What programs know it by.
        public let name: String
        /// What it asks for; the rates are starts a second.
        public let value: Double
        public let meaning: String
    }

    public let terms: [Term]
    public let decision: PoolPolicy.Decision
    /// What held the decision back from what the terms asked for, in words; nil for nothing.
    public let limitedBy: String?
}

extension PoolPolicy {
    /// Of the last step.
    public var explanation: PoolExplanation {
        typealias Term = PoolExplanation.Term
        let share = settings.trendShare
        let terms = [
            Term(
                name: "rate", value: max(rate.fast, rate.slow),
                meaning: "starts a second: the higher of the average of seconds and of minutes"),
            Term(
                name: "trend", value: rate.trend * share,
                meaning: "starts a second more, as the first average is above the second"),
            Term(
                name: "mean", value: wanted.mean,
                meaning: "starts while one is made, by rate and trend"),
            Term(
                name: "forecast", value: Double(wanted.forecast),
                meaning: "ready ones for that mean, so that seldom more are asked for"),
            Term(
                name: "burst", value: Double(wanted.burst),
                meaning: "more, since so many more than expected came at once before"),
            Term(
                name: "recent", value: Double(wanted.recent),
                meaning: "at least, since the last start is not long ago"),
            Term(
                name: "periodic", value: Double(wanted.periodic),
                meaning: "at least, since starts come at even intervals and one is due"),
            Term(
                name: "held", value: Double(spareShrink.held),
                meaning: "what was held before, until less was enough for long, and then in steps"),
            Term(
                name: "peak", value: Double(peaks.maximum),
                meaning: "busy at once within a short time, kept with the ready ones"),
        ]
        return PoolExplanation(terms: terms, decision: decision, limitedBy: limitedBy)
    }

    private var limitedBy: String? {
        switch pressure {
        case .full: "the node's memory is full: no more than the least stays ready"
        case .some: "the node's memory is short: nothing is made ahead"
        case .none:
            if spareShrink.held > settings.most {
                "the most of the function is \(settings.most)"
            } else if spareShrink.held < settings.least {
                "the least of the function is \(settings.least)"
            } else {
                nil
            }
        }
    }
}
