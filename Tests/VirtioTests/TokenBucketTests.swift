import TestSupport
import Testing
import Virtio

private let second: UInt64 = 1_000_000_000

/// A bucket that can be changed within an expectation.
private final class Bench {
    private var bucket: TokenBucket

    init(perSecond: UInt64, burst: UInt64, at now: UInt64 = 0) throws {
        bucket = TokenBucket(try Self.limit(perSecond, burst), at: now)
    }

    static func limit(_ perSecond: UInt64, _ burst: UInt64) throws -> TokenBucket.Limit {
        try #require(TokenBucket.Limit(perSecond: perSecond, burst: burst))
    }

    func take(_ amount: UInt64, at now: UInt64) -> Bool { bucket.take(amount, at: now) }

    func nanoseconds(until amount: UInt64, at now: UInt64) -> UInt64 {
        bucket.nanoseconds(until: amount, at: now)
    }

    func change(perSecond: UInt64, burst: UInt64, at now: UInt64) throws {
        bucket.change(to: try Self.limit(perSecond, burst), at: now)
    }
}

@Suite struct TokenBucketTests {
    @Test("a burst passes at once, and then what comes back with time")
    func burstAndRefill() throws {
        let bucket = try Bench(perSecond: 100, burst: 10, at: 5)
        for _ in 0..<10 { #expect(bucket.take(1, at: 5)) }
        #expect(!bucket.take(1, at: 5))
        #expect(bucket.nanoseconds(until: 1, at: 5) == 10_000_000)
        #expect(!bucket.take(1, at: 10_000_004))
        #expect(bucket.take(1, at: 10_000_005))
        #expect(bucket.nanoseconds(until: 10, at: 10_000_005) == 100_000_000)
        // It holds no more than its burst.
        #expect(bucket.take(10, at: 90 * second))
        #expect(!bucket.take(1, at: 90 * second))
    }

    @Test("more than the burst passes a full bucket, and is owed")
    func debt() throws {
        let bucket = try Bench(perSecond: 10, burst: 10)
        #expect(bucket.take(30, at: 0))
        #expect(bucket.nanoseconds(until: 1, at: 0) == 2_100_000_000)
        #expect(!bucket.take(1, at: 2 * second))
        #expect(!bucket.take(30, at: 2 * second))
        #expect(bucket.take(30, at: 3 * second))
    }

    @Test("a clock that goes back, or far ahead, gives nothing twice and overflows nothing")
    func clock() throws {
        let bucket = try Bench(perSecond: .max, burst: .max, at: 9)
        #expect(bucket.take(.max, at: 3))
        #expect(bucket.nanoseconds(until: .max, at: 9) == second)
        #expect(!bucket.take(.max, at: second))
        #expect(bucket.take(.max, at: .max))
        #expect(bucket.nanoseconds(until: .max, at: .max) == second)
        let slow = try Bench(perSecond: 1, burst: .max)
        #expect(slow.take(.max, at: 0))
        #expect(slow.nanoseconds(until: .max, at: 0) == .max)
    }

    @Test("nothing passes a limit of nothing, so there is none")
    func nothing() {
        #expect(TokenBucket.Limit(perSecond: 0, burst: 1) == nil)
        #expect(TokenBucket.Limit(perSecond: 1, burst: 0) == nil)
    }

    @Test("over time the rate holds to the token, whatever is taken when", arguments: 0..<50)
    func rate(seed: UInt64) throws {
        var generator = SeededRandom(seed: seed)
        let rate = UInt64.random(in: 1...5000, using: &generator)
        let burst = UInt64.random(in: 1...1000, using: &generator)
        let bucket = try Bench(perSecond: rate, burst: burst)
        var now: UInt64 = 0
        var passed: UInt64 = 0
        for _ in 0..<2000 {
            let amount = UInt64.random(in: 0...burst, using: &generator)
            now += bucket.nanoseconds(until: amount, at: now)
            #expect(bucket.take(amount, at: now))
            passed += amount
            // All that came in until now, and no more.
            #expect(passed <= burst + UInt64(UInt128(now) * UInt128(rate) / UInt128(second)))
        }
        // No moment was wasted, but the part of one to which each wait is rounded up.
        let least = UInt128(passed - min(passed, burst)) * UInt128(second) / UInt128(rate)
        #expect(now <= UInt64(least) + 2000)
    }

    @Test("a limit can be changed: what is owed stays owed, what is left is no more than the burst")
    func change() throws {
        let bucket = try Bench(perSecond: 10, burst: 100)
        try bucket.change(perSecond: 1, burst: 5, at: 0)
        #expect(bucket.take(5, at: 0))
        #expect(!bucket.take(1, at: 0))
        #expect(bucket.take(5, at: 5 * second))
        #expect(bucket.take(25, at: 10 * second))
        try bucket.change(perSecond: 20, burst: 5, at: 10 * second)
        #expect(bucket.nanoseconds(until: 5, at: 10 * second) == 1_250_000_000)
    }

    @Test("a transfer passes both limits or takes from neither")
    func both() throws {
        let operations = try #require(TokenBucket.Limit(perSecond: 1, burst: 2))
        let bytes = try #require(TokenBucket.Limit(perSecond: 1000, burst: 1000))
        var limiter = TransferLimiter(
            TransferLimits(bytes: bytes, operations: operations), at: 0)
        #expect(limiter.take(bytes: 600, at: 0) == 0)
        #expect(limiter.take(bytes: 600, at: 0) == 200_000_000)
        #expect(limiter.take(bytes: 400, at: 0) == 0)
        #expect(limiter.take(bytes: 1, at: 0) == second)
        limiter.change(to: TransferLimits(bytes: bytes), at: 0)
        #expect(limiter.take(bytes: 100, at: second) == 0)
        #expect(limiter.take(bytes: 1000, at: second) == 100_000_000)
        limiter.change(to: .none, at: second)
        #expect(limiter.isUnlimited && limiter.limits == .none)
        #expect(limiter.take(bytes: .max, at: second) == 0)
    }
}
