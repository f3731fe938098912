import Testing

@testable import AgentOperations

/// A document as `path = value` lines, so that tests can say what they expect.
func flattened(_ text: String) throws -> [String] {
    try TOMLParser.parse(Array(text.utf8)).entries.map {
        "\(TOMLDocument.text(of: $0.path)) = \(shown($0.item.value))"
    }
}

private func shown(_ value: TOMLValue) -> String {
    switch value {
    case .string(let text): TOMLDocument.text(of: text)
    case .integer(let number): "\(number)"
    case .boolean(let isOn): "\(isOn)"
    case .array(let items): "[\(items.map { shown($0.value) }.joined(separator: ", "))]"
    }
}

@Suite struct TOMLParserTests {
    @Test(
        "what is in the subset is read as TOML says",
        arguments: [
            ("", []),
            ("# only a comment", []),
            ("a = 1", ["a = 1"]),
            ("  a\t=\t1  # one\r\n\r\nb = 2", ["a = 1", "b = 2"]),
            ("a-b_C9 = true\n9 = false", ["a-b_C9 = true", "9 = false"]),
            ("\"a b\" = 'c \\d'\n'x\"y' = \"\"", ["\"a b\" = \"c \\\\d\"", "\"x\\\"y\" = \"\""]),
            ("a . b.'c' = 1", ["a.b.c = 1"]),
            ("[t]\na = 1\n[ t . u ]\nb.c = 2\nb.d = 3", ["t.a = 1", "t.u.b.c = 2", "t.u.b.d = 3"]),
            ("[a.b]\nc = 1\n[a]\nd = 2", ["a.b.c = 1", "a.d = 2"]),
            ("n = [ 1, 2,\n # in between\n 3, ]", ["n = [1, 2, 3]"]),
            ("s = ['a', \"b\"]\ne = []", ["s = [\"a\", \"b\"]", "e = []"]),
            (
                "a = +1_000\nb = -0\nc = 0xFf\nd = 0o17\ne = 0b1_0",
                [
                    "a = 1000", "b = 0", "c = 255", "d = 15", "e = 2",
                ]
            ),
            (
                "a = 9223372036854775807\nb = -9223372036854775808",
                [
                    "a = 9223372036854775807", "b = -9223372036854775808",
                ]
            ),
            (#"a = "\t\n\"\\\u00e9\U0001F600""#, [#"a = "\t\n\"\\é😀""#]),
        ] as [(String, [String])])
    func reads(_ text: String, _ expected: [String]) throws {
        #expect(try flattened(text) == expected)
    }

    @Test(
        "what is not is refused where it stands",
        arguments: [
            ("a", 1, 2, "where `=` should"),
            ("a = ", 1, 5, "the end of the file where a value"),
            ("a = 1 2", 1, 7, "`2` where the line should end"),
            ("a = 1\nb = 2\na = 3", 3, 1, "given twice"),
            ("[a]\n[b]\n[a]", 3, 1, "given twice"),
            ("a.b = 1\n[a]", 2, 1, "given twice"),
            ("[a]\nb.c = 1\n[a.b]", 3, 1, "given twice"),
            ("[a.b]\n[a]\nb.c = 1", 3, 1, "given twice"),
            ("a = 1\na.b = 2", 2, 1, "given twice"),
            ("a = 1\n[a.b]", 2, 1, "given twice"),
            ("[[a]]", 1, 2, "an array of tables"),
            ("[a", 1, 3, "where `]` should close"),
            ("[]", 1, 2, "where a key should be"),
            ("= 1", 1, 1, "where a key should be"),
            ("a. = 1", 1, 4, "where a key should be"),
            ("é = 1", 1, 1, "`é` where a key"),
            ("a = é", 1, 5, "no value"),
            ("a = 'é' b", 1, 9, "where the line should end"),
            ("a = {}", 1, 5, "a table in braces"),
            ("a = 1.5", 1, 5, "`1.5` is no value"),
            ("a = 1e3", 1, 5, "no value"),
            ("a = 2024-01-01", 1, 5, "no value"),
            ("a = 01", 1, 5, "no value"),
            ("a = 1__0", 1, 5, "no value"),
            ("a = 0x", 1, 5, "no value"),
            ("a = -0x1", 1, 5, "no value"),
            ("a = 9223372036854775808", 1, 5, "too large"),
            ("a = yes", 1, 5, "no value"),
            ("a = \"b", 1, 5, "does not end"),
            ("a = \"b\nc\"", 1, 5, "does not end"),
            ("a = \"\"\"b\"\"\"", 1, 5, "several lines"),
            ("a = \"\\q\"", 1, 6, "an unknown escape"),
            ("a = \"\\ud800\"", 1, 6, "no character"),
            ("a = \"\\u12\"", 1, 6, "no character"),
            ("a = \"\\u0000\"", 1, 6, "a zero byte"),
            ("a = \"\u{1}\"", 1, 6, "a control character in a string"),
            ("# \u{7F}", 1, 3, "a control character in a comment"),
            ("a = 1\rb = 2", 1, 6, "where the line should end"),
            ("a = [1, 'b']", 1, 9, "a string in an array that began with an integer"),
            ("a = [[1]]", 1, 6, "an array in an array"),
            ("a = [1", 1, 7, "where `,` or `]`"),
            ("a = [,]", 1, 6, "where a value"),
            ("a.b.c.d.e.f.g.h.i = 1", 1, 18, "more than 8 names"),
        ])
    func refuses(_ text: String, _ line: Int, _ column: Int, _ words: String) {
        let error = #expect(throws: TOMLError.self) { try flattened(text) }
        #expect(error?.position == TOMLPosition(line: line, column: column))
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }

    @Test("a file is bounded in every direction")
    func bounds() throws {
        #expect(throws: TOMLError.self) {
            try flattened(String(repeating: "#", count: TOMLDocument.Bounds.bytes + 1))
        }
        _ = try flattened(String(repeating: "#", count: TOMLDocument.Bounds.bytes))
        let keys = (0...TOMLDocument.Bounds.entries).map { "k\($0) = 1\n" }
        #expect(throws: TOMLError.self) { try flattened(keys.joined()) }
        _ = try flattened(keys.dropLast().joined())
        let tables = (0...TOMLDocument.Bounds.entries).map { "[k\($0)]\n" }
        #expect(throws: TOMLError.self) { try flattened(tables.joined()) }
        let elements = String(repeating: "1,", count: TOMLDocument.Bounds.elements)
        _ = try flattened("a = [\(elements)]")
        #expect(throws: TOMLError.self) { try flattened("a = [\(elements)1]") }
        let text = String(repeating: "x", count: TOMLDocument.Bounds.stringBytes)
        _ = try flattened("a = '\(text)'")
        #expect(throws: TOMLError.self) { try flattened("a = '\(text)x'") }
        #expect(throws: TOMLError.self) { try flattened("\(text)x = 1") }
    }

    @Test("bytes that are no text are refused")
    func brokenText() {
        for bytes in [[0xFF], [0xC3], [0xED, 0xA0, 0x80], [0xC0, 0x80]] as [[UInt8]] {
            let error = #expect(throws: TOMLError.self) {
                try TOMLParser.parse(Array("a = '".utf8) + bytes + Array("'".utf8))
            }
            #expect(error?.message == "the file is no UTF-8 text")
        }
    }
}
