import Foundation
import SandboxModel
import Testing

/// The tables of `README.md` say what the code does.
@Suite struct DocumentedNumbersTests {
    private static func readme() throws -> String {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("README.md")
        return try String(contentsOf: url, encoding: .utf8)
    }

    /// The rows of the first table with this header, without header and marks.
    private static func rows(below header: String) throws -> [String] {
        let lines = try readme().components(separatedBy: "\n")
        let place = try #require(lines.firstIndex(of: header), "no table `\(header)`")
        return Array(lines[(place + 2)...].prefix { $0.hasPrefix("|") })
    }

    @Test("each exit code is in the table, in the words of the help, with its name for programs")
    func exitCodes() throws {
        let expected =
            SandboxError.Code.allCases.map { "| \($0.rawValue) | `\($0.name)` | \($0.meaning) |" }
            + ["| \(SandboxOutcome.outOfMemoryCode) | | the memory limit is used up |"]
        #expect(try Self.rows(below: "| code | in JSON | meaning |") == expected)
    }

    @Test("the names of codes are distinct, and in snake case")
    func names() {
        let names = SandboxError.Code.allCases.map(\.name)
        #expect(Set(names).count == names.count)
        for name in names {
            #expect(name.allSatisfy { $0 == "_" || ("a"..."z").contains($0) }, "\(name)")
        }
    }

    @Test("each promised number is in the table of promises, and nothing else")
    func promises() throws {
        typealias Promised = PromisedNumbers
        let promises = try Self.rows(below: "| what | promised |").map { row in
            row.components(separatedBy: " | ").last?.replacingOccurrences(of: " |", with: "")
        }
        #expect(
            promises == [
                "at most \(Promised.runToBubblewrap)", "at most \(Promised.runToCrun)",
                "at most \(Promised.residentToFloor)", "at most \(Promised.pooledToFloor)",
                "at least \(Promised.sandboxesPerSecond)",
                "at most \(Promised.initFileKilobytes) KiB",
                "at most \(Promised.initMemoryKilobytes) KiB",
                "at most \(Promised.baseImageKilobytes) KiB",
            ])
    }
}
