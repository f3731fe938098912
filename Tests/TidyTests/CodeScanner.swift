/// Blanks comments, and the inside of literals where asked, line for line.
///
/// Knows as much of Swift as it takes not to mistake text for code: nested comments, raw and
/// multi-line strings, code inside of strings, regular expressions. Of C: comments and literals.
struct CodeScanner {
    static func scan(_ text: String, isSwift: Bool, keepsLiterals: Bool) -> String {
        var scanner = CodeScanner(
            input: Array(text.utf8), isSwift: isSwift, keepsLiterals: keepsLiterals)
        scanner.output.reserveCapacity(scanner.input.count)
        while scanner.index < scanner.input.count {
            scanner.scanCode(isInterpolation: false)
        }
        return String(decoding: scanner.output, as: UTF8.self)
    }

    private static let quote = UInt8(ascii: "\"")
    private static let hash = UInt8(ascii: "#")
    private static let slash = UInt8(ascii: "/")
    private static let backslash = UInt8(ascii: "\\")
    private static let newline = UInt8(ascii: "\n")

    private let input: [UInt8]
    private let isSwift: Bool
    private let keepsLiterals: Bool
    private var output: [UInt8] = []
    private var index = 0
    /// The last byte of code that is no space, to tell a regular expression from a division.
    private var previous: UInt8 = 0

    private init(input: [UInt8], isSwift: Bool, keepsLiterals: Bool) {
        self.input = input
        self.isSwift = isSwift
        self.keepsLiterals = keepsLiterals
    }

    private func byte(_ offset: Int = 0) -> UInt8 {
        index + offset < input.count ? input[index + offset] : 0
    }

    private func starts(with text: StaticString) -> Bool {
        "\(text)".utf8.enumerated().allSatisfy { byte($0.offset) == $0.element }
    }

    private mutating func keep(_ count: Int = 1) {
        for _ in 0..<count where index < input.count {
            output.append(input[index])
            index += 1
        }
    }

    private mutating func blank(_ count: Int = 1) {
        for _ in 0..<count where index < input.count {
            output.append(input[index] == Self.newline ? Self.newline : UInt8(ascii: " "))
            index += 1
        }
    }

    private mutating func literal(_ count: Int = 1) {
        if keepsLiterals { keep(count) } else { blank(count) }
    }

    /// To the end, or to the parenthesis that closes an interpolation.
    private mutating func scanCode(isInterpolation: Bool) {
        var depth = 0
        while index < input.count {
            let current = byte()
            if starts(with: "//") {
                while index < input.count, byte() != Self.newline { blank() }
            } else if starts(with: "/*") {
                scanComment()
            } else if current == Self.quote {
                scanString(hashes: 0)
            } else if !isSwift, current == UInt8(ascii: "'") {
                scanCharacter()
            } else if isSwift, current == Self.hash, let hashes = hashesBeforeLiteral() {
                let isString = byte(hashes) == Self.quote
                literal(hashes)
                if isString { scanString(hashes: hashes) } else { scanExpression(hashes: hashes) }
            } else if isSwift, current == Self.slash, startsExpression() {
                scanExpression(hashes: 0)
            } else {
                if current == UInt8(ascii: "(") { depth += 1 }
                if current == UInt8(ascii: ")") {
                    if isInterpolation, depth == 0 { return }
                    depth -= 1
                }
                if current > UInt8(ascii: " ") { previous = current }
                keep()
            }
        }
    }

    private mutating func scanComment() {
        var depth = 0
        repeat {
            if starts(with: "/*"), isSwift || depth == 0 {
                depth += 1
                blank(2)
            } else if starts(with: "*/") {
                depth -= 1
                blank(2)
            } else {
                blank()
            }
        } while depth > 0 && index < input.count
    }

    private mutating func scanString(hashes: Int) {
        let isMultiline = isSwift && starts(with: "\"\"\"")
        let quotes = isMultiline ? 3 : 1
        keep(quotes)
        previous = Self.quote
        while index < input.count {
            if byte() == Self.backslash, isEscape(hashes: hashes) {
                literal(1 + hashes)
                if isSwift, byte() == UInt8(ascii: "(") {
                    keep()
                    scanCode(isInterpolation: true)
                    keep()
                } else {
                    literal()
                }
            } else if byte() == Self.quote, closes(quotes: quotes, hashes: hashes) {
                keep(quotes)
                literal(hashes)
                previous = Self.quote
                return
            } else if byte() == Self.newline, !isMultiline {
                return
            } else {
                literal()
            }
        }
    }

    private func isEscape(hashes: Int) -> Bool {
        (0..<hashes).allSatisfy { byte(1 + $0) == Self.hash }
    }

    private func closes(quotes: Int, hashes: Int) -> Bool {
        (0..<quotes).allSatisfy { byte($0) == Self.quote }
            && (0..<hashes).allSatisfy { byte(quotes + $0) == Self.hash }
    }

    private mutating func scanCharacter() {
        literal()
        while index < input.count, byte() != UInt8(ascii: "'"), byte() != Self.newline {
            literal(byte() == Self.backslash ? 2 : 1)
        }
        literal()
    }

    /// How many `#` stand here before a string or a regular expression.
    private func hashesBeforeLiteral() -> Int? {
        var count = 0
        while byte(count) == Self.hash { count += 1 }
        return byte(count) == Self.quote || byte(count) == Self.slash ? count : nil
    }

    /// Whether the slash here begins a regular expression: where a value is expected, with no
    /// space after it and another slash on the line.
    private func startsExpression() -> Bool {
        guard "(,=:[{|&?".utf8.contains(previous), byte(1) > UInt8(ascii: " ") else { return false }
        var offset = 1
        while byte(offset) != 0, byte(offset) != Self.newline {
            if byte(offset) == Self.slash { return true }
            offset += byte(offset) == Self.backslash ? 2 : 1
        }
        return false
    }

    private mutating func scanExpression(hashes: Int) {
        literal()
        while index < input.count {
            if byte() == Self.backslash {
                literal(2)
            } else if byte() == Self.slash,
                (0..<hashes).allSatisfy({ byte(1 + $0) == Self.hash })
            {
                literal(1 + hashes)
                previous = Self.quote
                return
            } else if byte() == Self.newline, hashes == 0 {
                return
            } else {
                literal()
            }
        }
    }
}
