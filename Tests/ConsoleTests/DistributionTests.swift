import TestSupport
import Testing

@testable import Console

@Suite struct DistributionTests {
    @Test("Percentiles are samples at the nearest rank")
    func percentiles() throws {
        let thousand = try #require(Distribution((1...1000).map(Double.init).reversed()))
        #expect(thousand.median == 500)
        #expect(thousand.p90 == 900)
        #expect(thousand.p99 == 990)
        #expect(thousand.p999 == 999)
        #expect(thousand.percentile(0) == 1)
        #expect(thousand.percentile(100) == 1000)
        #expect(abs(thousand.mean - 500.5) < 1e-9)
        let five = try #require(Distribution([15, 20, 35, 40, 50]))
        #expect([5, 30, 40, 50, 100].map(five.percentile) == [15, 20, 20, 35, 50])
        let one = try #require(Distribution(nanoseconds: [7]))
        #expect([one.minimum, one.median, one.p999, one.maximum, one.mean] == [7, 7, 7, 7, 7])
    }

    @Test("No samples, or such that are no numbers, are no distribution")
    func refused() {
        #expect(Distribution([]) == nil)
        #expect(Distribution([1, .nan]) == nil)
        #expect(Distribution([.infinity]) == nil)
    }

    @Test("A percentile outside of 0 to 100 traps")
    func outside() async {
        await #expect(processExitsWith: .failure) {
            _ = Distribution([1])?.percentile(101)
        }
    }

    @Test("Every sample is in one bin", arguments: 1...6)
    func histogram(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let samples = (0..<500).map { _ in
            Double.random(in: 1...4, using: &random)
                * Double(1 << Int.random(in: 0..<20, using: &random))
        }
        let distribution = try #require(Distribution(samples))
        for scale in [ValueScale.linear, .logarithmic] {
            let histogram = Histogram(distribution, bins: 33, scale: scale)
            #expect(histogram.bins.count == 33)
            #expect(histogram.bins.map(\.count).reduce(0, +) == 500, "seed \(seed)")
            #expect(histogram.sparkline().count == 33)
            for bin in histogram.bins.dropFirst() {
                let inside = samples.filter { $0 > bin.lower && $0 <= bin.upper }
                #expect(inside.count == bin.count)
            }
        }
    }

    @Test("Sparklines show heights, and gaps as spaces")
    func sparkline() throws {
        let samples = [1.0, 1, 1, 1, 1, 1, 1, 1, 2.5, 4, 4, 4, 4]
        let distribution = try #require(Distribution(samples))
        #expect(Histogram(distribution, bins: 4).sparkline() == "█▂ ▅")
        let equal = try #require(Distribution([3, 3, 3]))
        #expect(Histogram(equal).sparkline() == "█")
        #expect(Histogram(equal, range: 4...9).bins.allSatisfy { $0.count == 0 })
    }

    @Test("Logarithms are right to twelve digits")
    func logarithms() {
        #expect(Logarithm.base2(1) == 0)
        #expect(Logarithm.base2(1024) == 10)
        #expect(abs(Logarithm.base2(10) - 3.321928094887362) < 1e-12)
        for exponent in stride(from: -60.0, through: 60, by: 0.37) {
            #expect(abs(Logarithm.base2(Logarithm.power2(exponent)) - exponent) < 1e-12)
        }
    }
}
