/// Text that is safe to print: what users and workloads typed may hold anything.
public enum PlainText {
    /// The most characters in a line that a person is told.
    static let longestLine = 2000

    /// `text` as one line for a person, whatever is in it: escaped, and cut in its middle where it
    /// is very long, since the end says what to do.
    public static func line(_ text: String) -> String {
        let scalars = text.unicodeScalars
        let end = longestLine / 4
        guard text.utf8.count > longestLine, scalars.count > longestLine else {
            return escaped(text)
        }
        return escaped(Substring(scalars.prefix(longestLine - end - 1))) + "…"
            + escaped(Substring(scalars.suffix(end)))
    }

    /// `text` cut to `width` characters, the last one then a `…`.
    public static func cut(_ text: String, to width: Int) -> String {
        let shown = text.prefix(max(0, width))
        guard shown.endIndex != text.endIndex else { return text }
        return shown.dropLast() + "…"
    }

    /// `text` in backticks, escaped, and cut to 80 characters.
    public static func quoted(_ text: some StringProtocol) -> String {
        let shown = text.prefix(80)
        let isCut = shown.endIndex != text.endIndex
        return "`\(escaped(shown))\(isCut ? "…" : "")`"
    }

    /// `text` with control characters, and those that reorder a line, written as escapes.
    public static func escaped(_ text: some StringProtocol) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if isPrintable(scalar) {
                    result.unicodeScalars.append(scalar)
                } else {
                    result += "\\u{\(String(scalar.value, radix: 16))}"
                }
            }
        }
        return result
    }

    /// Whether a terminal shows the scalar in place: no control, no line break, no reordering.
    static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0, 0x2028...0x202E, 0x2066...0x2069, 0x200E...0x200F: false
        default: true
        }
    }

    /// Whether a word of a command line is a flag. A lone dash is not: it means standard input.
    static func looksLikeFlag(_ word: String) -> Bool {
        word.utf8.first == UInt8(ascii: "-") && word.utf8.count > 1
    }

    /// What is before and after the first `mark`. Goes by bytes: a combining mark after an `=`
    /// makes another character of it, and still it is an `=` to every other program.
    static func split(
        _ text: String, at mark: Unicode.Scalar
    ) -> (before: String, after: String?) {
        guard let place = text.unicodeScalars.firstIndex(of: mark) else { return (text, nil) }
        let after = text.unicodeScalars.index(after: place)
        return (String(text.unicodeScalars[..<place]), String(text.unicodeScalars[after...]))
    }

    /// `text` filled up with spaces to `width` characters.
    static func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    /// The words of `text` in lines of at most `width` characters. A longer word has a line of
    /// its own; a line break in `text` is kept.
    public static func wrapped(_ text: String, width: Int) -> [String] {
        var lines: [String] = []
        for paragraph in text.split(separator: "\n", omittingEmptySubsequences: false) {
            var line = ""
            var length = 0
            for word in paragraph.split(separator: " ") {
                let size = word.count
                if length > 0 && length + 1 + size > width {
                    lines.append(line)
                    line = ""
                    length = 0
                }
                if length > 0 {
                    line += " "
                    length += 1
                }
                line += word
                length += size
            }
            lines.append(line)
        }
        return lines
    }
}
