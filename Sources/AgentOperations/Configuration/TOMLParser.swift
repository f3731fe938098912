internal import Console

/// Reads the subset of TOML that `TOMLDocument` describes.
struct TOMLParser {
    /// How a table came about, which decides whether it may be named again.
    private enum Node {
        case value(TOMLPosition)
        /// By its own header.
        case header(TOMLPosition)
        /// As the part before a point, in a header.
        case implied
        /// As the part before a point, in a key.
        case dotted(TOMLPosition)
    }

    private let bytes: [UInt8]
    private var place = 0
    private var line = 1
    private var lineStart = 0
    private var table: [String] = []
    private var nodes: [[String]: Node] = [:]
    private var document = TOMLDocument()

    /// Reads a whole file.
    static func parse(_ bytes: [UInt8]) throws(TOMLError) -> TOMLDocument {
        var parser = TOMLParser(bytes)
        try parser.checkBytes()
        while parser.place < bytes.count { try parser.readLine() }
        return parser.document
    }

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    static func isBare(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    // MARK: - Bytes

    private var byte: UInt8? { place < bytes.count ? bytes[place] : nil }

    private func follows(_ character: Unicode.Scalar, at offset: Int = 0) -> Bool {
        place + offset < bytes.count && bytes[place + offset] == UInt8(ascii: character)
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard follows(character) else { return false }
        place += 1
        return true
    }

    private var position: TOMLPosition { position(of: place) }

    /// Of a byte in the current line. Bytes within a character do not count.
    private func position(of place: Int) -> TOMLPosition {
        let before = bytes[lineStart..<min(place, bytes.count)]
        return TOMLPosition(
            line: line, column: 1 + before.lazy.filter { $0 & 0xC0 != 0x80 }.count)
    }

    private func fault(_ message: String, hint: String? = nil) -> TOMLError {
        TOMLError(position, message, hint: hint)
    }

    /// What stands here, for a message.
    private var shown: String {
        guard let byte, byte != UInt8(ascii: "\n"), byte != UInt8(ascii: "\r") else {
            return place < bytes.count ? "the end of the line" : "the end of the file"
        }
        let text = String(decoding: bytes[place...].prefix(4), as: UTF8.self)
        return "`" + text.unicodeScalars.prefix(1).map { PlainText.escaped(String($0)) }.joined()
            + "`"
    }

    /// Holds the bounds that no line can break by itself.
    private mutating func checkBytes() throws(TOMLError) {
        guard bytes.count <= TOMLDocument.Bounds.bytes else {
            throw fault("the file is longer than \(TOMLDocument.Bounds.bytes) bytes")
        }
        // A text of broken bytes comes back with other ones.
        guard Array(String(decoding: bytes, as: UTF8.self).utf8) == bytes else {
            throw fault("the file is no UTF-8 text")
        }
    }

    // MARK: - Lines

    private mutating func readLine() throws(TOMLError) {
        skipBlanks()
        switch byte {
        case nil, UInt8(ascii: "#"), UInt8(ascii: "\n"), UInt8(ascii: "\r"): break
        case UInt8(ascii: "["): try readHeader()
        default: try readEntry()
        }
        try endLine()
    }

    private mutating func skipBlanks() {
        while follows(" ") || follows("\t") { place += 1 }
    }

    /// Passes a comment and the line break.
    private mutating func endLine() throws(TOMLError) {
        skipBlanks()
        try skipComment()
        guard place < bytes.count else { return }
        guard try takeLineBreak() else {
            throw fault("\(shown) where the line should end")
        }
    }

    private mutating func skipComment() throws(TOMLError) {
        guard follows("#") else { return }
        while let byte, byte != UInt8(ascii: "\n") {
            if byte == UInt8(ascii: "\r"), follows("\n", at: 1) { return }
            try refuseControl(byte, in: "a comment")
            place += 1
        }
    }

    private mutating func takeLineBreak() throws(TOMLError) -> Bool {
        if follows("\r"), follows("\n", at: 1) { place += 1 }
        guard take("\n") else { return false }
        line += 1
        lineStart = place
        return true
    }

    private func refuseControl(_ byte: UInt8, in what: String) throws(TOMLError) {
        guard byte < 0x20 && byte != UInt8(ascii: "\t") || byte == 0x7F else { return }
        throw fault("a control character in \(what)")
    }

    // MARK: - Tables and keys

    private mutating func readHeader() throws(TOMLError) {
        let start = position
        place += 1
        if follows("[") {
            throw fault("an array of tables, which no key here takes", hint: "write `[table]`")
        }
        skipBlanks()
        let path = try readPath()
        guard take("]") else { throw fault("\(shown) where `]` should close the table's name") }
        for length in 1..<path.count {
            let prefix = Array(path.prefix(length))
            switch nodes[prefix] {
            case nil: nodes[prefix] = .implied
            case .value(let first): throw twice(prefix, first, start)
            case .header, .implied, .dotted: break
            }
        }
        switch nodes[path] {
        case nil, .implied: nodes[path] = .header(start)
        case .value(let first), .header(let first), .dotted(let first):
            throw twice(path, first, start)
        }
        try checkCount(document.headers.count)
        document.headers.append(TOMLDocument.Header(path: path, position: start))
        table = path
    }

    private mutating func readEntry() throws(TOMLError) {
        let start = position
        let keys = try readPath()
        guard take("=") else {
            throw fault(
                "\(shown) where `=` should follow the key",
                hint: "write `key = value`, or `[table]`")
        }
        let path = table + keys
        guard path.count <= TOMLDocument.Bounds.depth else {
            throw TOMLError(start, "more than \(TOMLDocument.Bounds.depth) names in a key")
        }
        for length in (table.count + 1)..<path.count {
            let prefix = Array(path.prefix(length))
            switch nodes[prefix] {
            case nil: nodes[prefix] = .dotted(start)
            case .dotted: break
            case .implied:
                throw TOMLError(
                    start, "the table `\(TOMLDocument.text(of: prefix))` is in use further up")
            case .value(let first), .header(let first): throw twice(prefix, first, start)
            }
        }
        switch nodes[path] {
        case nil: nodes[path] = .value(start)
        case .implied:
            throw TOMLError(start, "`\(TOMLDocument.text(of: path))` is a table further up")
        case .value(let first), .header(let first), .dotted(let first):
            throw twice(path, first, start)
        }
        skipBlanks()
        let item = try readItem(mayBeArray: true)
        try checkCount(document.entries.count)
        document.entries.append(TOMLDocument.Entry(path: path, position: start, item: item))
    }

    private func checkCount(_ count: Int) throws(TOMLError) {
        guard count < TOMLDocument.Bounds.entries else {
            throw fault("more than \(TOMLDocument.Bounds.entries) keys or tables")
        }
    }

    private func twice(
        _ path: [String], _ first: TOMLPosition, _ second: TOMLPosition
    ) -> TOMLError {
        TOMLError(
            second, "`\(TOMLDocument.text(of: path))` is given twice",
            hint: "the first is in line \(first.line)")
    }

    /// Names with points between, and the blanks behind.
    private mutating func readPath() throws(TOMLError) -> [String] {
        var path: [String] = []
        repeat {
            skipBlanks()
            path.append(try readKey())
            guard path.count <= TOMLDocument.Bounds.depth else {
                throw fault("more than \(TOMLDocument.Bounds.depth) names in a key")
            }
            skipBlanks()
        } while take(".")
        return path
    }

    private mutating func readKey() throws(TOMLError) -> String {
        if follows("\"") || follows("'") { return try readString() }
        let start = place
        while let byte, Self.isBare(byte) { place += 1 }
        guard place > start else {
            throw fault(
                "\(shown) where a key should be",
                hint: "a key has letters, digits, `_` and `-`, or stands in quotes")
        }
        guard place - start <= TOMLDocument.Bounds.stringBytes else {
            throw fault("a key of more than \(TOMLDocument.Bounds.stringBytes) bytes")
        }
        return String(decoding: bytes[start..<place], as: UTF8.self)
    }

    // MARK: - Values

    private mutating func readItem(mayBeArray: Bool) throws(TOMLError) -> TOMLItem {
        let start = position
        let value: TOMLValue
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): value = .string(try readString())
        case UInt8(ascii: "["):
            guard mayBeArray else { throw fault("an array in an array") }
            value = .array(try readArray())
        case UInt8(ascii: "{"):
            throw fault("a table in braces, which no key here takes", hint: "write `[table]`")
        default: value = try readWord()
        }
        return TOMLItem(value: value, position: start)
    }

    private mutating func readArray() throws(TOMLError) -> [TOMLItem] {
        place += 1
        var items: [TOMLItem] = []
        while true {
            try skipBetweenElements()
            if take("]") { return items }
            guard items.count < TOMLDocument.Bounds.elements else {
                throw fault("more than \(TOMLDocument.Bounds.elements) elements in an array")
            }
            let item = try readItem(mayBeArray: false)
            if let first = items.first, first.value.kind != item.value.kind {
                throw TOMLError(
                    item.position,
                    "\(item.value.kind) in an array that began with "
                        + first.value.kind)
            }
            items.append(item)
            try skipBetweenElements()
            if take(",") { continue }
            guard take("]") else { throw fault("\(shown) where `,` or `]` should be") }
            return items
        }
    }

    private mutating func skipBetweenElements() throws(TOMLError) {
        repeat {
            skipBlanks()
            try skipComment()
        } while try takeLineBreak()
    }

    /// A word without quotes.
    private mutating func readWord() throws(TOMLError) -> TOMLValue {
        let start = place
        let ends: [UInt8] = [
            UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"),
            UInt8(ascii: ","), UInt8(ascii: "]"), UInt8(ascii: "#"),
        ]
        while let byte, !ends.contains(byte) { place += 1 }
        let word = String(decoding: bytes[start..<place], as: UTF8.self)
        switch word {
        case "true": return .boolean(true)
        case "false": return .boolean(false)
        case "":
            throw fault("\(shown) where a value should be")
        default: break
        }
        let wordPosition = position(of: start)
        guard let digits = TOMLInteger(word) else {
            throw TOMLError(
                wordPosition, "`\(PlainText.escaped(word.prefix(40)))` is no value",
                hint: "text, times and sizes stand in quotes; others are whole numbers, "
                    + "true and false")
        }
        guard let value = digits.value else {
            throw TOMLError(wordPosition, "`\(word.prefix(40))` is too large a number")
        }
        return .integer(value)
    }
}

extension TOMLParser {
    // MARK: - Strings

    private mutating func readString() throws(TOMLError) -> String {
        let start = position
        let quote: Unicode.Scalar = follows("'") ? "'" : "\""
        place += 1
        if follows(quote), follows(quote, at: 1) {
            throw TOMLError(start, "a string of several lines, which no key here takes")
        }
        var content: [UInt8] = []
        while let byte {
            if byte == UInt8(ascii: quote) {
                place += 1
                return String(decoding: content, as: UTF8.self)
            }
            if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") { break }
            try refuseControl(byte, in: "a string")
            if byte == UInt8(ascii: "\\"), quote == "\"" {
                content += try readEscape()
            } else {
                content.append(byte)
                place += 1
            }
            guard content.count <= TOMLDocument.Bounds.stringBytes else {
                throw TOMLError(
                    start, "a string of more than \(TOMLDocument.Bounds.stringBytes) bytes")
            }
        }
        throw TOMLError(start, "a string that does not end in its line")
    }

    private mutating func readEscape() throws(TOMLError) -> [UInt8] {
        let start = position
        place += 1
        guard let letter = byte else { throw fault("an escape without a letter") }
        place += 1
        switch letter {
        case UInt8(ascii: "b"): return [8]
        case UInt8(ascii: "t"): return [9]
        case UInt8(ascii: "n"): return [10]
        case UInt8(ascii: "f"): return [12]
        case UInt8(ascii: "r"): return [13]
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): return [letter]
        case UInt8(ascii: "u"): return try readScalar(digits: 4, start)
        case UInt8(ascii: "U"): return try readScalar(digits: 8, start)
        default:
            throw TOMLError(
                start, "an unknown escape",
                hint: "write `\\\\` for a backslash, or the text in single quotes")
        }
    }

    private mutating func readScalar(
        digits: Int, _ start: TOMLPosition
    ) throws(TOMLError) -> [UInt8] {
        let text = bytes[place...].prefix(digits)
        let isHexadecimal = text.allSatisfy { byte in
            byte < 0x80 && Character(Unicode.Scalar(byte)).isHexDigit
        }
        guard text.count == digits, isHexadecimal,
            let value = UInt32(String(decoding: text, as: UTF8.self), radix: 16),
            let scalar = Unicode.Scalar(value)
        else {
            throw TOMLError(start, "an escape that is no character")
        }
        // No path, name or label can hold it.
        guard value != 0 else { throw TOMLError(start, "a zero byte in a string") }
        place += digits
        return Array(String(scalar).utf8)
    }
}

/// A whole number as TOML writes it.
private struct TOMLInteger {
    /// Nothing when it does not fit into 64 bits.
    let value: Int64?

    init?(_ word: String) {
        let hasSign = word.hasPrefix("+") || word.hasPrefix("-")
        var digits = hasSign ? word.dropFirst() : word[...]
        var radix = 10
        for (prefix, base) in [("0x", 16), ("0o", 8), ("0b", 2)] where digits.hasPrefix(prefix) {
            guard !hasSign else { return nil }
            digits = digits.dropFirst(2)
            radix = base
        }
        let parts = digits.utf8.split(
            separator: UInt8(ascii: "_"), omittingEmptySubsequences: false)
        guard !parts.contains(where: \.isEmpty) else { return nil }
        let plain = parts.flatMap { Array($0) }
        let areDigits = plain.allSatisfy { byte in
            byte < 0x80 && (Character(Unicode.Scalar(byte)).hexDigitValue ?? 16) < radix
        }
        guard areDigits else { return nil }
        if radix == 10, plain.count > 1, plain.first == UInt8(ascii: "0") { return nil }
        let sign = word.hasPrefix("-") ? "-" : ""
        value = Int64(sign + String(decoding: plain, as: UTF8.self), radix: radix)
    }
}
