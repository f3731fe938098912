import AgentViews
import Console
import Foundation
import TestSupport
import Testing

@Suite struct TimeTextTests {
    private static let second: Int64 = 1_000_000_000

    @Test("points of time are those of Foundation, and read back", arguments: [1, 2, 3, 4])
    func points(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let formatter = ISO8601DateFormatter()
        for _ in 0..<500 {
            // What 64 bits of nanoseconds hold, from 1678 on.
            let seconds = Int64.random(in: -9_214_560_000...9_214_560_000, using: &random)
            let text = TimeText.utc(seconds * Self.second)
            let expected = formatter.string(from: Date(timeIntervalSince1970: Double(seconds)))
            #expect(text == expected)
            #expect(try TimeText.point(text, now: 0) == seconds * Self.second)
        }
    }

    @Test("a time is read with parts of a second, with an offset, as a date, or as a span ago")
    func reading() throws {
        let noon: Int64 = 1_769_860_800 * Self.second
        let cases: [(String, Int64)] = [
            ("2026-01-31T12:00:00Z", noon), ("2026-01-31 12:00:00Z", noon),
            ("2026-01-31T14:00:00+02:00", noon), ("2026-01-31T07:30:00-04:30", noon),
            ("2026-01-31T12:00:00.25Z", noon + Self.second / 4),
            ("2026-01-31T12:00:00.000000001Z", noon + 1),
            ("2026-01-31", noon - 12 * 3600 * Self.second),
            ("10m", noon - 600 * Self.second), ("1.5h", noon - 5400 * Self.second),
        ]
        for (text, point) in cases {
            #expect(try TimeText.point(text, now: noon) == point, "\(text)")
        }
    }

    @Test(
        "what is no time is refused",
        arguments: [
            "", "10", "yesterday", "2026-02-30", "2026-13-01", "2026-1-1", "2026-01-31T12:00",
            "2026-01-31T25:00:00Z", "2026-01-31T12:00:00", "2026-01-31T12:00:00+2",
            "2026-01-31T12:00:00.Z", "2026-01-31T12:00:00Zx", "-10m", "99999-01-01", "\u{1b}[0m",
        ])
    func refused(text: String) {
        #expect(throws: FlagError.self) { try TimeText.point(text, now: 0) }
    }

    @Test("spans have one unit or two")
    func spans() {
        let cases: [(Int64, String)] = [
            (0, "0ms"), (-5, "0ms"), (350_000_000, "350ms"), (12 * Self.second, "12s"),
            (200 * Self.second, "3m 20s"), (3600 * Self.second, "1h"),
            (187_200 * Self.second, "2d 4h"), (86_401 * Self.second, "1d"),
        ]
        for (nanoseconds, text) in cases { #expect(TimeText.span(nanoseconds) == text) }
    }
}
