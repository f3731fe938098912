import Testing

@testable import Console

@Suite struct TextTests {
    @Test("Columns are aligned, numbers to the right")
    func table() {
        var table = TextTable(header: ["what", "median", "n", "note"])
        table.add(["alcove", "1.9 ms", "1,000", "é"])
        table.add(["bubblewrap", "12.4 ms", "5", ""])
        #expect(
            table.render() == """
                what         median      n  note
                alcove       1.9 ms  1,000  é
                bubblewrap  12.4 ms      5

                """)
        #expect(
            table.markdown() == """
                | what | median | n | note |
                |---|---:|---:|---|
                | alcove | 1.9 ms | 1,000 | é |
                | bubblewrap | 12.4 ms | 5 |  |

                """)
    }

    @Test("Wide columns are cut, and control characters are shown")
    func cut() {
        var table = TextTable()
        table.add(["a\u{1b}[31m", String(repeating: "x", count: 50), "10.0.0.1"])
        table.add(["b"])
        let lines = table.render(width: 40).split(separator: "\n")
        #expect(lines[0].count == 40)
        #expect(lines[0].hasPrefix("a\\u{1b}[31m  xxx"))
        #expect(lines[0].hasSuffix("x…  10.0.0.1"))
        #expect(lines[1] == "b")
        #expect(table.render(width: 0).split(separator: "\n")[0] == "a\\u…  xxx…  10.…")
    }

    @Test("A timeline has offsets, branches and bars")
    func timeline() {
        let text = TimelineText.render(
            [
                (label: "request", nanoseconds: 0), (label: "cgroup ready", nanoseconds: 41_000),
                (label: "namespaces", nanoseconds: 310_000), (label: "a\nb", nanoseconds: 300_000),
            ], barWidth: 8)
        #expect(
            text == """
                  0.000 ms  request
                  0.041 ms  ├ cgroup ready  █▎        +0.041
                  0.310 ms  ├ namespaces    ████████  +0.269
                  0.300 ms  └ a\\nb                    +0.000

                """)
        #expect(TimelineText.render([]) == "")
        #expect(TimelineText.render([(label: "x", nanoseconds: .max)]).contains(" s  x"))
    }

    @Test(
        "A timeline fits its width: labels are cut, and bars made shorter",
        arguments: [60, 80, 120])
    func timelineWidth(_ width: Int) {
        let label = String(repeating: "a long label ", count: 40)
        let text = TimelineText.render(
            [
                (label: "request", nanoseconds: 0), (label: label, nanoseconds: 41_000),
                (label: "end", nanoseconds: 310_000),
            ], width: width)
        let lines = text.split(separator: "\n")
        #expect(lines.allSatisfy { $0.count <= width }, "\(text)")
        #expect(lines[1].contains("├ a long") && lines[1].contains("…  █"), "\(text)")
    }

    @Test("A line for a person is one line, without control characters, and not endless")
    func line() {
        #expect(
            PlainText.line("no `a\nb\u{1b}[2J\u{202e}` (mend it)")
                == "no `a\\nb\\u{1b}[2J\\u{202e}` (mend it)")
        let long = PlainText.line("begin" + String(repeating: "e\u{301}", count: 1 << 20) + "(end)")
        #expect(long.hasPrefix("begin") && long.hasSuffix("(end)"))
        #expect(long.unicodeScalars.count == PlainText.longestLine)
        #expect(PlainText.line(String(repeating: "x", count: 2000)).count == 2000)
        #expect(PlainText.cut("four", to: 4) == "four" && PlainText.cut("four!", to: 4) == "fou…")
    }

    @Test("Numbers are rounded as written")
    func numbers() {
        #expect(NumberText.fixed(1.005, decimals: 1) == "1.0")
        #expect(NumberText.fixed(-0.06, decimals: 1) == "-0.1")
        #expect(NumberText.fixed(2.5, decimals: 0) == "3")
        #expect(NumberText.fixed(.infinity, decimals: 2) == "inf")
        #expect(NumberText.fixed(1e300, decimals: 2) == "1e+300")
        #expect(
            [0.0412, 0.9996, 1.534, 9.996, 15.34, 153.4, 1534].map(NumberText.short)
                == ["0.0412", "1.00", "1.53", "10.0", "15.3", "153", "1534"])
        #expect(NumberText.grouped(-1_234_567) == "-1,234,567")
        #expect(NumberText.grouped(123) == "123")
        #expect(TimeUnit.text(nanoseconds: 1_530_000) == "1.53 ms")
        #expect(TimeUnit.text(nanoseconds: 0) == "0 ns")
    }
}
