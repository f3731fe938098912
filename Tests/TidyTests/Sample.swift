import Testing

/// A file that breaks a rule, or none, and where.
struct Sample: Sendable, CustomTestStringConvertible {
    let path: String
    let text: String
    /// The lines that are found, with a part of what is said of each.
    let found: [(line: Int, message: String)]

    var testDescription: String { "\(path): \(text.prefix(50).debugDescription)" }

    static func good(_ path: String, _ text: String) -> Sample {
        Sample(path: path, text: text, found: [])
    }

    static func bad(_ path: String, _ text: String, _ line: Int, _ message: String) -> Sample {
        Sample(path: path, text: text, found: [(line, message)])
    }

    /// Expects that exactly those lines are found, each with its words.
    func expect(
        _ findings: (SourceFile) -> [Finding], isExecutable: Bool = false,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let file = SourceFile(path: path, text: text, isExecutable: isExecutable)
        Self.expect(findings(file), found, sourceLocation: sourceLocation)
    }

    static func expect(
        _ findings: [Finding], _ expected: [(line: Int, message: String)],
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let sorted = findings.sorted()
        #expect(sorted.map(\.line) == expected.map(\.line), sourceLocation: sourceLocation)
        for (finding, expectation) in zip(sorted, expected) {
            #expect(
                finding.message.contains(expectation.message), sourceLocation: sourceLocation)
        }
    }
}
