import Foundation
import JSON
import SandboxModel
import TestSupport
import Testing

/// `alcove simulate`, and what `docs/scaling.md` says of its results. With `ALCOVE_WRITE_DOCS=1` in
/// the environment the tables are written anew:
/// `ALCOVE_WRITE_DOCS=1 swift test --disable-xctest --filter SimulateCommandTests`.
@Suite struct SimulateCommandTests {
    private func output(_ words: [String]) throws -> String {
        let result = try run(
            Products.path("alcove"), arguments: words, timeout: .seconds(600))
        #expect(result.succeeded && result.errorOutput.isEmpty, "\(result)")
        return result.output
    }

    private func json(_ words: [String]) throws -> JSONValue {
        try JSONReader.read(output(words + ["--json"]))
    }

    private func refusal(_ words: [String]) throws -> String {
        let result = try run(Products.path("alcove"), arguments: words)
        #expect(result.code == 64 && result.output.isEmpty, "\(result)")
        return result.errorOutput
    }

    /// The commands whose output stands in the page.
    private static let documented = ["simulate", "simulate fleet"]

    @Test("the tables in docs/scaling.md are what the commands print", arguments: documented)
    func page(command: String) throws {
        let path = PackageRoot.path("docs/scaling.md")
        let written = try String(contentsOfFile: path, encoding: .utf8)
        var page = written
        let begin = try #require(page.range(of: "<!-- output: \(command) -->\n"))
        let end = try #require(
            page.range(of: "<!-- end -->", range: begin.upperBound..<page.endIndex))
        let text = try output(command.split(separator: " ").map(String.init))
        page.replaceSubrange(begin.upperBound..<end.lowerBound, with: "```\n\(text)```\n")
        if ProcessInfo.processInfo.environment["ALCOVE_WRITE_DOCS"] == "1" {
            try page.write(toFile: path, atomically: true, encoding: .utf8)
            return
        }
        #expect(page == written, "docs/scaling.md: run this test with ALCOVE_WRITE_DOCS=1")
    }

    @Test("the promised share of cold starts holds, at no more idle cost than a fixed keep-alive")
    func promise() throws {
        let promised = PromisedNumbers.pooledColdSharePercent
        let page = try String(
            contentsOfFile: PackageRoot.path("docs/scaling.md"), encoding: .utf8)
        #expect(page.contains("at most \(promised) %"))
        for seed in 1...2 {
            let words = ["--class", "steady", "--class", "bursty", "--seed", "\(seed)"]
            let outcomes = try #require(
                try json(["simulate"] + words)["outcomes"]?.array)
            for place in 0..<2 {
                let policy = try #require(outcomes[0]["classes"]?.array?[place])
                let fixed = try #require(outcomes[1]["classes"]?.array?[place])
                #expect(outcomes[0]["kept_by"]?.string == "policy")
                #expect(outcomes[1]["kept_by"]?.string == "keep-alive 10m")
                let cold = try #require(policy["cold_starts"]?.double)
                let starts = try #require(policy["invocations"]?.double)
                #expect(cold / starts * 100 <= promised, "seed \(seed): \(policy)")
                #expect(
                    try #require(policy["idle_gib_seconds"]?.double)
                        <= #require(fixed["idle_gib_seconds"]?.double), "seed \(seed)")
            }
        }
    }

    @Test("a trace that was written gives the same numbers when it is read")
    func writtenTrace() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/simulate-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let trace = folder + "/trace.csv"
        let words = ["--class", "spiky", "--functions", "2", "--length", "2h"]
        let made = try json(
            ["simulate", "--write-trace", trace, "--svg", folder + "/a.svg"] + words)
        #expect(try json(["simulate", "--trace", trace]) == made)
        let svg = try String(contentsOfFile: folder + "/a.svg", encoding: .utf8)
        #expect(svg.hasPrefix("<svg") && svg.contains("cold: keep-alive 10m"))
        let bad = folder + "/bad.csv"
        try "function,class,arrival_us,duration_us,memory_mib\nf,k,1,x,1\n"
            .write(toFile: bad, atomically: true, encoding: .utf8)
        let refusal = try refusal(["simulate", "--trace", bad])
        #expect(refusal.contains("line 2: duration_us is not a whole number"), "\(refusal)")
    }

    @Test("what makes no sense is refused")
    func refused() throws {
        #expect(try refusal(["simulate", "--class", "burtsy"]).contains("did you mean `bursty`"))
        #expect(
            try refusal(["simulate", "--trace", "x", "--seed", "3"]).contains("is generated"))
        #expect(
            try refusal(["simulate", "fleet", "--nodes", "100000", "--rate", "1000"])
                .contains("more than 5,000,000"))
        #expect(try refusal(["simulate", "fleet", "--routing", "x"]).contains("random, even"))
        #expect(try refusal(["simulate", "fleet", "--duration", "0s"]).contains("no time"))
    }

    @Test("a fleet's times add up, and a pool lets fewer wait than none")
    func fleet() throws {
        let outcomes = try #require(
            try json(["simulate", "fleet", "--nodes", "100", "--routing", "even"]).array)
        #expect(outcomes.compactMap { $0["kept_by"]?.string }.count == 3)
        let after = try outcomes.map { try #require($0["times"]?.array?.last) }
        #expect(after.allSatisfy { $0["time"]?.string == "all after" })
        let waiting = after.compactMap { $0["waiting"]?.int64 }
        #expect(waiting.count == 3 && waiting[0] < waiting[1] && waiting[1] < waiting[2])
        #expect(after[2]["starts"]?.int64 == waiting[2])
    }
}
