import Testing

@testable import Agent

@Suite struct SlotDemandTests {
    private static let second: UInt64 = 1_000_000_000

    @Test("what is ready follows the busiest second of the last minute, and the bounds hold")
    func target() {
        var demand = SlotDemand()
        #expect(demand.target(at: 0, within: 4...100) == 4 && demand.isQuiet)
        for count in 1...10 {
            demand.take(at: Self.second + UInt64(count))
            #expect(demand.target(at: 2 * Self.second, within: 4...100) == max(4, 2 * count))
        }
        for _ in 0..<3 { demand.take(at: 30 * Self.second) }
        #expect(demand.target(at: 61 * Self.second, within: 4...100) == 20)
        #expect(demand.target(at: 61 * Self.second, within: 4...7) == 7)
        // The crowd is a minute ago, what came later is not.
        #expect(demand.target(at: 62 * Self.second, within: 4...100) == 6 && !demand.isQuiet)
        #expect(demand.target(at: 91 * Self.second, within: 4...100) == 4 && demand.isQuiet)
    }
}
