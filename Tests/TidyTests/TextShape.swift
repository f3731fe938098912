/// How every text file looks to the bytes.
enum TextShape {
    static let columns = 100

    static func findings(_ file: SourceFile) -> [Finding] {
        var findings = lineFindings(file)
        if !file.text.isEmpty, file.text.utf8.last != 10 {
            findings.append(
                file.finding(file.lines.count, "no newline at the end of the file: add one"))
        }
        if file.text.hasSuffix("\n\n") {
            findings.append(
                file.finding(file.lines.count, "an empty line at the end of the file: remove it"))
        }
        return findings
    }

    private static func lineFindings(_ file: SourceFile) -> [Finding] {
        var findings: [Finding] = []
        let wide = wideLines(file)
        for (index, line) in file.lines.enumerated() {
            let bytes = line.utf8
            if bytes.last == 13 {
                findings.append(
                    file.finding(index + 1, "a carriage return: end lines with a newline alone"))
            } else if bytes.last == 32 || bytes.last == 9 {
                findings.append(file.finding(index + 1, "white space at the end of the line"))
            }
            if bytes.contains(9) {
                findings.append(file.finding(index + 1, "a tab: indent with 4 spaces"))
            }
            if bytes.count > columns, line.count > columns, !wide.contains(index) {
                findings.append(
                    file.finding(index + 1, "\(line.count) columns: break at \(columns)"))
            }
        }
        return findings
    }

    /// Lines that may be wide: those of other languages, tables and quoted output in Markdown, and
    /// lines that have no place to break.
    private static func wideLines(_ file: SourceFile) -> Set<Int> {
        if file.language == .other || file.isGenerated { return Set(file.lines.indices) }
        let unbreakable = file.lines.indices.filter {
            !file.lines[$0].drop { $0 == " " }.dropFirst(3).contains(" ")
        }
        guard file.language == .markdown else { return Set(unbreakable) }
        let page = MarkdownPage(file)
        return Set(unbreakable).union(page.fencedLines).union(
            file.lines.indices.filter { file.lines[$0].drop { $0 == " " }.hasPrefix("|") })
    }
}
