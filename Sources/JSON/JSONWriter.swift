/// Writes JSON. Every `JSONValue` has a text, and the text is always valid.
public enum JSONWriter {
    public enum Style: Sendable {
        /// One line without spaces.
        case compact
        /// One member or element in each line, indented by two spaces.
        case pretty
    }

    /// The text without a line break at the end.
    public static func text(_ value: JSONValue, style: Style = .compact) -> String {
        var text = ""
        append(value, style: style, depth: 0, to: &text)
        return text
    }

    private static func append(
        _ value: JSONValue, style: Style, depth: Int, to text: inout String
    ) {
        switch value {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += String(value)
        case .unsigned(let value): text += String(value)
        // The shortest text that reads back as the same number: 0.1, 1e-07, 5e+20.
        case .double(let value): text += value.value.description
        case .string(let value): append(value, to: &text)
        case .array(let values):
            if values.isEmpty {
                text += "[]"
                return
            }
            text += "["
            for (place, value) in values.enumerated() {
                if place > 0 { text += "," }
                startLine(style, depth + 1, &text)
                append(value, style: style, depth: depth + 1, to: &text)
            }
            startLine(style, depth, &text)
            text += "]"
        case .object(let object): append(object, style: style, depth: depth, to: &text)
        }
    }

    private static func append(
        _ object: JSONObject, style: Style, depth: Int, to text: inout String
    ) {
        if object.members.isEmpty {
            text += "{}"
            return
        }
        text += "{"
        for (place, member) in object.members.enumerated() {
            if place > 0 { text += "," }
            startLine(style, depth + 1, &text)
            append(member.key, to: &text)
            text += style == .pretty ? ": " : ":"
            append(member.value, style: style, depth: depth + 1, to: &text)
        }
        startLine(style, depth, &text)
        text += "}"
    }

    private static func startLine(_ style: Style, _ depth: Int, _ text: inout String) {
        guard style == .pretty else { return }
        text += "\n"
        for _ in 0..<depth { text += "  " }
    }

    private static func append(_ string: String, to text: inout String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\u{8}": text += "\\b"
            case "\u{C}": text += "\\f"
            default:
                // DEL and the C1 controls are allowed in JSON, and yet steer terminals; the two
                // line separators end a line for some readers of JSON lines.
                switch scalar.value {
                case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029:
                    let digits = String(scalar.value, radix: 16)
                    text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                default: text.unicodeScalars.append(scalar)
                }
            }
        }
        text += "\""
    }
}
