import Testing

@testable import Agent

@Suite struct ProcessorUseTests {
    private static func text(busy: Int, idle: Int, cpus: Int = 2) -> String {
        let processors = (0..<cpus).map { "cpu\($0) 0 0 0 0 0 0 0 0 0 0\n" }.joined()
        return "cpu  \(busy) 0 0 \(idle) 0 0 0 0 0 0\n\(processors)intr 5 0\n"
    }

    @Test("what is in use is the share of the time between two readings")
    func share() {
        let use = ProcessorUse()
        #expect(use.note(Self.text(busy: 1000, idle: 1000), at: 0) == 0)
        // Half of two processors.
        #expect(use.note(Self.text(busy: 1100, idle: 1100), at: 1_000_000_000) == 1000)
        // Sooner than a second later: as before.
        #expect(use.note(Self.text(busy: 1101, idle: 1100), at: 1_500_000_000) == 1000)
        #expect(use.note(Self.text(busy: 1100, idle: 1300), at: 3_000_000_000) == 0)
        #expect(use.note(Self.text(busy: 1500, idle: 1300), at: 9_000_000_000) == 2000)
    }

    @Test(
        "what is no such file says nothing",
        arguments: ["", "cpu", "cpu  1 2 3", "cpu  a b c d e f g h", "intr 1 2 3 4 5 6 7 8\n"])
    func malformed(text: String) {
        let use = ProcessorUse()
        #expect(use.note(text, at: 0) == 0)
        #expect(use.note(text, at: 5_000_000_000) == 0)
    }

    @Test("counters that go back break nothing")
    func backwards() {
        let use = ProcessorUse()
        _ = use.note(Self.text(busy: 1000, idle: 1000), at: 0)
        #expect(use.note(Self.text(busy: 500, idle: 2000), at: 2_000_000_000) == 0)
        #expect(use.note(Self.text(busy: 600, idle: 100), at: 4_000_000_000) == 0)
    }
}
