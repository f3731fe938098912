/// What is wrong with a text of JSON, and where.
public struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
    public let message: String
    /// From 1.
    public let line: Int
    /// From 1, in characters of Unicode (scalars).
    public let column: Int

    public var description: String { "\(line):\(column): \(message)" }
}

/// How much is read. What is above is refused.
public struct JSONLimits: Equatable, Sendable {
    /// Bytes of the whole text.
    public let size: Int
    /// How deep arrays and objects may be in one another. Each level takes stack.
    public let depth: Int

    public init(size: Int = 1 << 20, depth: Int = 32) {
        self.size = size
        self.depth = depth
    }
}

/// Reads JSON as RFC 8259 has it, strictly: UTF-8 without a byte order mark, one value, no
/// trailing commas or comments, no lone surrogates, no key twice in an object (keys that are
/// canonically equivalent in Unicode are the same), whole numbers exact or refused.
public struct JSONReader {
    private let bytes: [UInt8]
    private let limits: JSONLimits
    private var place = 0

    public static func read(
        _ text: String, limits: JSONLimits = JSONLimits()
    ) throws(JSONError) -> JSONValue {
        try read(Array(text.utf8), limits: limits)
    }

    public static func read(
        _ bytes: [UInt8], limits: JSONLimits = JSONLimits()
    ) throws(JSONError) -> JSONValue {
        guard bytes.count <= limits.size else {
            throw JSONError(
                message: "\(bytes.count) bytes are more than the \(limits.size) allowed", line: 1,
                column: 1)
        }
        var reader = JSONReader(bytes: bytes, limits: limits)
        if let invalid = reader.firstInvalidByte() {
            throw reader.error("invalid UTF-8", at: invalid)
        }
        let value = try reader.readValue(depth: 0)
        reader.skipSpace()
        guard reader.place == bytes.count else {
            throw reader.error("more text after the value")
        }
        return value
    }

    private init(bytes: [UInt8], limits: JSONLimits) {
        self.bytes = bytes
        self.limits = limits
    }

    private func firstInvalidByte() -> Int? {
        do {
            _ = try UTF8Span(validating: bytes.span)
            return nil
        } catch {
            return error.byteOffsets.lowerBound
        }
    }

    private func error(_ message: String, at offset: Int? = nil) -> JSONError {
        var line = 1
        var column = 1
        for byte in bytes.prefix(offset ?? place) {
            if byte == UInt8(ascii: "\n") {
                line += 1
                column = 1
            } else if byte & 0xC0 != 0x80 {
                column += 1
            }
        }
        return JSONError(message: message, line: line, column: column)
    }

    private var current: UInt8? { place < bytes.count ? bytes[place] : nil }

    private mutating func skipSpace() {
        while let byte = current {
            switch byte {
            case 0x20, 0x09, 0x0A, 0x0D: place += 1
            default: return
            }
        }
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard current == UInt8(ascii: scalar) else { return false }
        place += 1
        return true
    }

    private mutating func readValue(depth: Int) throws(JSONError) -> JSONValue {
        skipSpace()
        guard let byte = current else { throw error("the text ends where a value is expected") }
        switch byte {
        case UInt8(ascii: "{"): return .object(try readObject(depth: depth))
        case UInt8(ascii: "["): return .array(try readArray(depth: depth))
        case UInt8(ascii: "\""): return .string(try readString())
        case UInt8(ascii: "t"): return try readWord("true", .bool(true))
        case UInt8(ascii: "f"): return try readWord("false", .bool(false))
        case UInt8(ascii: "n"): return try readWord("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try readNumber()
        default: throw error("expected a value")
        }
    }

    private mutating func readWord(
        _ word: String, _ value: JSONValue
    ) throws(JSONError) -> JSONValue {
        guard bytes[place...].starts(with: word.utf8) else { throw error("expected a value") }
        place += word.utf8.count
        return value
    }

    private func checkDepth(_ depth: Int) throws(JSONError) {
        guard depth < limits.depth else { throw error("nested deeper than \(limits.depth)") }
    }

    private mutating func readArray(depth: Int) throws(JSONError) -> [JSONValue] {
        try checkDepth(depth)
        place += 1
        var values: [JSONValue] = []
        skipSpace()
        if take("]") { return values }
        while true {
            values.append(try readValue(depth: depth + 1))
            skipSpace()
            if take("]") { return values }
            guard take(",") else { throw error("expected `,` or `]`") }
        }
    }

    private mutating func readObject(depth: Int) throws(JSONError) -> JSONObject {
        try checkDepth(depth)
        place += 1
        var members: [JSONObject.Member] = []
        var keys: Set<String> = []
        skipSpace()
        if take("}") { return JSONObject() }
        while true {
            skipSpace()
            guard current == UInt8(ascii: "\"") else { throw error("expected a key") }
            let start = place
            let key = try readString()
            guard keys.insert(key).inserted else {
                throw error("key \(Self.quoted(key)) occurs twice", at: start)
            }
            skipSpace()
            guard take(":") else { throw error("expected `:`") }
            members.append(JSONObject.Member(key: key, value: try readValue(depth: depth + 1)))
            skipSpace()
            if take("}") { return JSONObject(unique: members) }
            guard take(",") else { throw error("expected `,` or `}`") }
        }
    }

    /// `-`? (0 | [1-9] digits) (`.` digits)? ([eE] [+-]? digits)?
    private mutating func readNumber() throws(JSONError) -> JSONValue {
        let start = place
        let isNegative = take("-")
        if !take("0") { try readDigits() }
        if let byte = current, Self.isDigit(byte) {
            throw error("a number cannot begin with 0", at: start)
        }
        var isWhole = true
        if take(".") {
            isWhole = false
            try readDigits()
        }
        if take("e") || take("E") {
            isWhole = false
            if !take("+") { _ = take("-") }
            try readDigits()
        }
        let text = String(decoding: bytes[start..<place], as: UTF8.self)
        // Minus zero is no integer: the sign would be lost.
        if isWhole && text != "-0" {
            if let value = Int64(text) { return .integer(value) }
            if !isNegative, let value = UInt64(text) { return .unsigned(value) }
            throw error("the number does not fit 64 bits", at: start)
        }
        guard let value = Double(text).flatMap(JSONValue.Finite.init) else {
            throw error("the number is too large", at: start)
        }
        return .double(value)
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    /// `key` in backticks, as JSON writes it, which is safe to print, and cut to 80 characters.
    private static func quoted(_ key: String) -> String {
        let isCut = key.count > 80
        let text = JSONWriter.text(.string(String(key.prefix(80))))
        return "`\(text.dropFirst().dropLast())\(isCut ? "…" : "")`"
    }

    private mutating func readDigits() throws(JSONError) {
        guard let byte = current, Self.isDigit(byte) else {
            throw error("expected a digit")
        }
        while let byte = current, Self.isDigit(byte) { place += 1 }
    }

    private mutating func readString() throws(JSONError) -> String {
        let opening = place
        place += 1
        var result = ""
        var start = place
        while let byte = current {
            switch byte {
            case UInt8(ascii: "\""):
                result += String(decoding: bytes[start..<place], as: UTF8.self)
                place += 1
                return result
            case UInt8(ascii: "\\"):
                result += String(decoding: bytes[start..<place], as: UTF8.self)
                result.unicodeScalars.append(try readEscape())
                start = place
            case 0..<0x20: throw error("a control character has to be escaped in a string")
            default: place += 1
            }
        }
        throw error("the string does not end", at: opening)
    }

    private mutating func readEscape() throws(JSONError) -> Unicode.Scalar {
        let start = place
        place += 1
        guard let byte = current else { throw error("the escape does not end", at: start) }
        place += 1
        switch byte {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try readUnicode(from: start)
        default: throw error("unknown escape", at: start)
        }
    }

    private mutating func readUnicode(from start: Int) throws(JSONError) -> Unicode.Scalar {
        let high = try readHex()
        if let scalar = Unicode.Scalar(high) { return scalar }
        // A surrogate, which means something only as the first of two.
        guard high < 0xDC00, take("\\"), take("u") else {
            throw error("lone surrogate", at: start)
        }
        let low = try readHex()
        guard (0xDC00..<0xE000).contains(low),
            let scalar = Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00))
        else { throw error("lone surrogate", at: start) }
        return scalar
    }

    private mutating func readHex() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = current, let digit = Character(Unicode.Scalar(byte)).hexDigitValue
            else { throw error("expected four hexadecimal digits") }
            value = value << 4 | UInt32(digit)
            place += 1
        }
        return value
    }
}
