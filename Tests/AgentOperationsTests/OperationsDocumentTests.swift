import AgentOperations
import Foundation
import TestSupport
import Testing

/// The tables of `docs/operations.md` are made by the code. With `ALCOVE_WRITE_DOCS=1` in the
/// environment the test writes them anew:
/// `ALCOVE_WRITE_DOCS=1 swift test --disable-xctest --filter OperationsDocumentTests`.
@Suite struct OperationsDocumentTests {
    private static let tables: [(name: String, text: String)] = [
        ("configuration", ConfigurationDocument.markdown()),
        ("metrics", MetricsDocument.markdown()),
    ]

    @Test("the tables in docs/operations.md are those of the code")
    func tables() throws {
        let path = PackageRoot.path("docs/operations.md")
        let written = try String(contentsOfFile: path, encoding: .utf8)
        var page = written
        for (name, text) in Self.tables {
            let begin = try #require(
                page.range(of: "<!-- table: \(name) -->\n"), "the page has no table `\(name)`")
            let end = try #require(
                page.range(of: "<!-- end -->", range: begin.upperBound..<page.endIndex))
            page.replaceSubrange(begin.upperBound..<end.lowerBound, with: text)
        }
        if ProcessInfo.processInfo.environment["ALCOVE_WRITE_DOCS"] == "1" {
            try page.write(toFile: path, atomically: true, encoding: .utf8)
            return
        }
        let changed = zip(page.split(separator: "\n"), written.split(separator: "\n"))
            .first { $0 != $1 }
        #expect(
            page == written,
            """
            docs/operations.md is not what the code does, run this test with ALCOVE_WRITE_DOCS=1; \
            first difference: \(changed.map { "\($0.0)" } ?? "the length")
            """)
    }

    @Test("the help of the configuration names every key within the width")
    func help() {
        let help = ConfigurationDocument.help(width: 80)
        for key in ConfigurationKey.all {
            #expect(help.contains(key.isTable ? "[\(key.path)]" : "  \(key.parts.name) = "))
        }
        #expect(help.split(separator: "\n").allSatisfy { $0.count <= 80 })
    }
}
