internal import Console

/// What a key of a log's line can say.
///
/// Never the value of an environment variable: those hold secrets.
public enum LogValue: Hashable, Sendable {
    case text(String)
    case integer(Int64)
    case boolean(Bool)
    case number(Double)
    /// In seconds for programs, with its unit for people.
    case duration(Duration)

    public init(_ value: some BinaryInteger) { self = .integer(Int64(clamping: value)) }

    /// An error, as people read it.
    public init(_ error: any Error) { self = .text("\(error)") }
}

extension LogValue: ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral,
    ExpressibleByBooleanLiteral
{
    public init(stringLiteral value: String) { self = .text(value) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(booleanLiteral value: Bool) { self = .boolean(value) }
}

extension LogValue {
    /// For programs; a text is at most so many bytes, the last ones then `…`.
    func json(longest: Int) -> JSONValue {
        switch self {
        case .text(let text): .string(Self.cut(text, to: longest))
        case .integer(let value): JSONValue(value)
        case .boolean(let value): .bool(value)
        case .number(let value): JSONValue(value)
        case .duration(let span): JSONValue(span / .seconds(1))
        }
    }

    /// On one line and without what would steer a terminal.
    func plain(longest: Int) -> String {
        switch self {
        case .text(let text): Self.quoted(Self.cut(text, to: longest))
        case .integer(let value): String(value)
        case .boolean(let value): value ? "true" : "false"
        case .number(let value): value.description
        case .duration(let span): Quantity.text(span)
        }
    }

    /// As it is.
    func raw(longest: Int) -> String {
        switch self {
        case .text(let text): Self.cut(text, to: longest)
        case .duration(let span): (span / .seconds(1)).description
        case .integer, .boolean, .number: plain(longest: longest)
        }
    }

    static func cut(_ text: String, to bytes: Int) -> String {
        guard text.utf8.count > bytes else { return text }
        var result = ""
        var size = 0
        for scalar in text.unicodeScalars {
            size += UTF8.width(scalar)
            if size > bytes - 3 { break }
            result.unicodeScalars.append(scalar)
        }
        return result + "…"
    }

    /// In quotes where it would otherwise run into what is beside it.
    private static func quoted(_ text: String) -> String {
        let escaped = PlainText.escaped(text)
        let isPlain =
            !escaped.isEmpty
            && escaped.unicodeScalars.allSatisfy { $0 != " " && $0 != "\"" && $0 != "=" }
        if isPlain { return escaped }
        var result = "\""
        for scalar in escaped.unicodeScalars {
            if scalar == "\"" { result += "\\" }
            result.unicodeScalars.append(scalar)
        }
        return result + "\""
    }
}
