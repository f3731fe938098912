/// How much may pass: tokens that come back with time, up to a burst. Time is given by whoever
/// asks, in nanoseconds of a clock that does not go back.
///
/// More than the burst passes when the bucket is full, and what it lacks is owed: the rate holds
/// over time whatever the size of what passes.
public struct TokenBucket: Hashable, Sendable {
    public struct Limit: Hashable, Sendable {
        public let perSecond: UInt64
        public let burst: UInt64

        /// Nil where nothing could ever pass.
        public init?(perSecond: UInt64, burst: UInt64) {
            guard perSecond > 0, burst > 0 else { return nil }
            self.perSecond = perSecond
            self.burst = burst
        }
    }

    public private(set) var limit: Limit
    /// In tokens of a thousand millionth: exact for every rate. Below zero while something is owed.
    private var level: Int128
    private var lastRefill: UInt64

    private static let unit: Int128 = 1_000_000_000

    /// A full one.
    public init(_ limit: Limit, at now: UInt64) {
        self.limit = limit
        level = Int128(limit.burst) * Self.unit
        lastRefill = now
    }

    /// Takes an amount if it may pass now.
    public mutating func take(_ amount: UInt64, at now: UInt64) -> Bool {
        guard nanoseconds(until: amount, at: now) == 0 else { return false }
        level -= Int128(amount) * Self.unit
        return true
    }

    /// How long it takes until an amount may pass, if nothing else does.
    public mutating func nanoseconds(until amount: UInt64, at now: UInt64) -> UInt64 {
        refill(at: now)
        let missing = Int128(min(amount, limit.burst)) * Self.unit - level
        guard missing > 0 else { return 0 }
        let rate = Int128(limit.perSecond)
        return UInt64(clamping: (missing + rate - 1) / rate)
    }

    /// Holds another limit from now on. What is owed stays owed.
    public mutating func change(to limit: Limit, at now: UInt64) {
        refill(at: now)
        self.limit = limit
        level = min(level, Int128(limit.burst) * Self.unit)
    }

    private mutating func refill(at now: UInt64) {
        guard now > lastRefill else { return }
        let full = Int128(limit.burst) * Self.unit
        let (refill, overflow) = Int128(now - lastRefill)
            .multipliedReportingOverflow(by: Int128(limit.perSecond))
        let (sum, overflowToo) = level.addingReportingOverflow(refill)
        level = overflow || overflowToo ? full : min(full, sum)
        lastRefill = now
    }
}

/// What a device may move: nil is without limit.
public struct TransferLimits: Hashable, Sendable {
    public var bytes: TokenBucket.Limit?
    public var operations: TokenBucket.Limit?

    public init(bytes: TokenBucket.Limit? = nil, operations: TokenBucket.Limit? = nil) {
        self.bytes = bytes
        self.operations = operations
    }

    public static let none = TransferLimits()
}

/// The two buckets of a device: a transfer passes both, or takes from neither.
public struct TransferLimiter: Hashable, Sendable {
    private var bytes: TokenBucket?
    private var operations: TokenBucket?

    public init(_ limits: TransferLimits, at now: UInt64) {
        bytes = limits.bytes.map { TokenBucket($0, at: now) }
        operations = limits.operations.map { TokenBucket($0, at: now) }
    }

    public var limits: TransferLimits {
        TransferLimits(bytes: bytes?.limit, operations: operations?.limit)
    }

    /// Where it is true no clock need be asked.
    public var isUnlimited: Bool { bytes == nil && operations == nil }

    /// How many nanoseconds it takes until one operation of so many bytes may pass.
    public mutating func nanoseconds(until count: UInt64, at now: UInt64) -> UInt64 {
        max(
            bytes?.nanoseconds(until: count, at: now) ?? 0,
            operations?.nanoseconds(until: 1, at: now) ?? 0)
    }

    /// Takes one operation of so many bytes if it may pass now. Otherwise gives how many
    /// nanoseconds it takes until it may.
    public mutating func take(bytes count: UInt64, at now: UInt64) -> UInt64 {
        let delay = nanoseconds(until: count, at: now)
        guard delay == 0 else { return delay }
        _ = bytes?.take(count, at: now)
        _ = operations?.take(1, at: now)
        return 0
    }

    public mutating func change(to limits: TransferLimits, at now: UInt64) {
        Self.change(&bytes, to: limits.bytes, at: now)
        Self.change(&operations, to: limits.operations, at: now)
    }

    private static func change(
        _ bucket: inout TokenBucket?, to limit: TokenBucket.Limit?, at now: UInt64
    ) {
        guard let limit else {
            bucket = nil
            return
        }
        if bucket == nil { bucket = TokenBucket(limit, at: now) }
        bucket?.change(to: limit, at: now)
    }
}
