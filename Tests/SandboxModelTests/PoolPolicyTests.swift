import SandboxModel
import TestSupport
import Testing

@Suite struct PoolPolicyTests {
    private typealias Observation = PoolPolicy.Observation

    @Test("a function that nobody calls has the least, and one that was called has one ready")
    func beginning() {
        var policy = PoolPolicy(.init(leadSeconds: 0.1, quietSeconds: 10, keepSeconds: 20))
        for _ in 0..<100 { policy.step(Observation(arrivals: 0, peak: 0)) }
        #expect(policy.decision.ready(busy: 0) == 0)
        policy.step(Observation(arrivals: 1, peak: 1))
        #expect(policy.decision.ready(busy: 0) >= 1)
        for _ in 0..<19 { policy.step(Observation(arrivals: 0, peak: 0)) }
        #expect(policy.decision.ready(busy: 0) == 1)
        for _ in 0..<30 { policy.step(Observation(arrivals: 0, peak: 0)) }
        #expect(policy.decision.ready(busy: 0) == 0)
    }

    @Test("it grows in the second that shows the need, and shrinks late and in steps")
    func growth() {
        var policy = PoolPolicy(.init(leadSeconds: 1, holdSeconds: 8, quietSeconds: 10))
        for _ in 0..<60 { policy.step(Observation(arrivals: 1, peak: 2)) }
        let calm = policy.decision.spare
        policy.step(Observation(arrivals: 80, peak: 60))
        let grown = policy.decision.spare
        #expect(grown >= 24 && grown > 3 * calm && policy.decision.total == 60)
        for _ in 0..<10 {
            policy.step(Observation(arrivals: 0, peak: 0))
            #expect(policy.decision.spare >= grown)
        }
        var before = policy.decision.spare
        for _ in 0..<60 {
            let after = policy.step(Observation(arrivals: 0, peak: 0)).spare
            #expect(after <= before && before - after <= max(1, before / 8))
            before = after
        }
        #expect(before < grown && policy.decision.total == 0)
    }

    @Test("calls at even intervals find one ready, and none is held in the pause between them")
    func periodic() {
        var policy = PoolPolicy(.init(quietSeconds: 10, keepSeconds: 120))
        var missed: [Int] = []
        var ready = 0
        for second in 0..<36_000 {
            let isDue = second % 1200 == 700
            if isDue, policy.decision.ready(busy: 0) == 0 { missed.append(second) }
            if second > 18_000 { ready += policy.decision.ready(busy: 0) }
            policy.step(Observation(arrivals: isDue ? 1 : 0, peak: isDue ? 1 : 0))
        }
        #expect(missed == [700, 1900, 3100, 4300])
        #expect(ready > 0 && ready < 18_000 / 10, "\(ready)")
    }

    @Test("under pressure nothing is made ahead, and at the worst only the least stays")
    func pressure() {
        var policy = PoolPolicy(.init(least: 2))
        for _ in 0..<60 { policy.step(Observation(arrivals: 20, peak: 9)) }
        let calm = policy.decision
        #expect(calm.refills && calm.spare > 2 && policy.explanation.limitedBy == nil)
        policy.step(Observation(arrivals: 20, peak: 9, pressure: .some))
        #expect(!policy.decision.refills && policy.decision.spare >= 3)
        policy.step(Observation(arrivals: 20, peak: 9, pressure: .full))
        #expect(!policy.decision.refills && policy.decision.ready(busy: 0) == 2)
        #expect(policy.explanation.limitedBy?.contains("full") == true)
        policy.step(Observation(arrivals: 20, peak: 9))
        #expect(policy.decision.refills && policy.decision.spare >= calm.spare - 1)
    }

    @Test("the explanation has the terms that the decision was made of")
    func explanation() throws {
        var policy = PoolPolicy(.init(most: 5, leadSeconds: 1))
        for _ in 0..<30 { policy.step(Observation(arrivals: 50, peak: 40)) }
        let explanation = policy.explanation
        func value(_ name: String) throws -> Double {
            try #require(explanation.terms.first { $0.name == name }).value
        }
        #expect(try value("rate") == 50 && value("trend") == 0 && value("mean") == 50)
        #expect(try value("forecast") > 50 && value("peak") == 40)
        #expect(explanation.decision.spare == 5)
        #expect(explanation.limitedBy == "the most of the function is 5")
        #expect(Set(explanation.terms.map(\.name)).count == explanation.terms.count)
    }

    @Test(
        "whatever is measured, its bounds hold and equal input gives equal output", arguments: 1...8
    )
    func random(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let least = Int.random(in: 0...3, using: &random)
        let most = least + Int.random(in: 0...50, using: &random)
        let settings = PoolPolicy.Settings(
            least: least, most: most, leadSeconds: .random(in: 0...3, using: &random))
        var policy = PoolPolicy(settings)
        var twin = PoolPolicy(settings)
        let comment: Comment = "seed \(seed)"
        for _ in 0..<500 {
            let isCalm = Int.random(in: 0..<10, using: &random) > 0
            let arrivals = Int.random(in: 0...(isCalm ? 2 : 1000), using: &random)
            let peak = Int.random(in: 0...1000, using: &random)
            let seen = Observation(
                arrivals: arrivals, peak: peak,
                pressure: isCalm ? .none : .allCases.randomElement(using: &random) ?? .none)
            let before = policy.decision
            let decision = policy.step(seen)
            #expect(decision == twin.step(seen), comment)
            #expect(decision.refills == (seen.pressure == .none), comment)
            for busy in [0, 1, 20, 1000] {
                #expect((least...most).contains(decision.ready(busy: busy)), comment)
            }
            if seen.pressure == .none, before.refills {
                #expect(decision.total >= seen.peak, comment)
                #expect(before.spare - decision.spare <= max(1, before.spare / 8), comment)
            }
            for term in policy.explanation.terms {
                #expect(term.value.isFinite && term.value >= 0, "\(term) \(seed)")
            }
        }
    }

    @Test("a tail's quantile is the least count with no more than its probability")
    func tail() {
        let tail = PoissonTail(probability: 0.01)
        // By the tables of the distribution.
        for (mean, count) in [(0.01, 1), (0.1, 2), (1.0, 5), (5.0, 12), (10.0, 19), (20.0, 32)] {
            #expect(tail.quantile(mean: mean) == count, "\(mean)")
        }
        #expect(tail.quantile(mean: 0) == 0)
        var before = 0
        for mean in stride(from: 0.0, through: 500, by: 0.5) {
            let count = tail.quantile(mean: mean)
            #expect(count >= before && Double(count) >= mean, "\(mean)")
            before = count
        }
    }

    @Test("a budget gives the modest what they ask for, and never more than there is")
    func budget() {
        typealias Request = PoolBudget.Request
        let requests = [
            Request(count: 100, memoryMiB: 100), Request(count: 1, memoryMiB: 500),
            Request(count: 50, memoryMiB: 200), Request(count: 0, memoryMiB: 1),
        ]
        #expect(PoolBudget.shares(of: requests, memoryMiB: 2500) == [10, 1, 5, 0])
        #expect(PoolBudget.shares(of: requests, memoryMiB: 1 << 30) == [100, 1, 50, 0])
        #expect(PoolBudget.shares(of: requests, memoryMiB: -5) == [0, 0, 0, 0])
        #expect(PoolBudget.shares(of: [], memoryMiB: 5) == [])
        var random = SeededRandom(seed: 7)
        for _ in 0..<500 {
            let requests = (0..<Int.random(in: 1...20, using: &random)).map { _ in
                Request(
                    count: .random(in: 0...30, using: &random),
                    memoryMiB: .random(in: 1...1024, using: &random))
            }
            let memory = Int.random(in: 0...20_000, using: &random)
            let shares = PoolBudget.shares(of: requests, memoryMiB: memory)
            let used = zip(requests, shares).reduce(0) { $0 + $1.0.memoryMiB * $1.1 }
            #expect(used <= memory)
            for (request, share) in zip(requests, shares) {
                #expect(share <= request.count)
                let even = memory / requests.count / request.memoryMiB
                #expect(share >= min(request.count, even))
            }
        }
    }
}
