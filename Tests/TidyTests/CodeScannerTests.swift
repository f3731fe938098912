import Testing

@Suite struct CodeScannerTests {
    static let swift: [(String, String)] = [
        ("a // b", "a     "),
        ("a /* b /* c */ d */ e", "a                   e"),
        ("a(\"b\")", "a(\" \")"),
        ("a(\"b \\\" c\") + d", "a(\"      \") + d"),
        ("\"a \\(b(\"c\")) d\"", "\"   (b(\" \"))  \""),
        ("#\"a \" \\(b) \\#(c)\"# d", " \"           (c)\"  d"),
        ("\"\"\"\na \" b\n\"\"\" c", "\"\"\"\n     \n\"\"\" c"),
        ("x = /a\"b/ + c", "x =       + c"),
        ("x = a / b / c", "x = a / b / c"),
        ("#/a\"/b/# + c", "         + c"),
        ("\"it's\" 'x'", "\"    \" 'x'"),
    ]

    @Test("Swift without comments and the inside of literals", arguments: swift)
    func swiftCode(_ sample: (text: String, code: String)) {
        #expect(
            CodeScanner.scan(sample.text, isSwift: true, keepsLiterals: false) == sample.code)
    }

    static let c: [(String, String)] = [
        ("a /* b /* c */ d", "a              d"),
        ("a('\"', '\\'') // b", "a(   ,     )     "),
        ("f(\"a\\\"b\", c)", "f(\"    \", c)"),
    ]

    @Test("C without comments and the inside of literals", arguments: c)
    func cCode(_ sample: (text: String, code: String)) {
        #expect(
            CodeScanner.scan(sample.text, isSwift: false, keepsLiterals: false) == sample.code)
    }

    @Test("the text without comments keeps its literals")
    func literals() {
        let text = "a(\"// b \\(c /* d */)\") // e"
        #expect(
            CodeScanner.scan(text, isSwift: true, keepsLiterals: true)
                == "a(\"// b \\(c        )\")     ")
    }

    @Test("lines stay where they are, whatever is blanked")
    func lines() {
        let text = "\"\"\"\n\(String(repeating: "é\n", count: 3))\"\"\"\n/*\n\n*/\nlast"
        let code = CodeScanner.scan(text, isSwift: true, keepsLiterals: false)
        #expect(SourceFile.lines(code).count == SourceFile.lines(text).count)
        #expect(SourceFile.lines(code).last == "last")
    }

    @Test(
        "text that ends in the middle of something ends the scan",
        arguments: ["\"a", "\"\"\"a", "/* a", "\"\\(", "#\"", "x = /a", "#/a", "'", "\"\\"])
    func unfinished(_ text: String) {
        for isSwift in [true, false] {
            let code = CodeScanner.scan(text, isSwift: isSwift, keepsLiterals: false)
            #expect(code.utf8.count == text.utf8.count)
        }
    }
}
