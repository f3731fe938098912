/// Pieces of a picture in SVG. Coordinates are written to a tenth; all text is escaped.
struct SVG {
    enum Anchor: String {
        case start
        case middle
        case end
    }

    private(set) var body = ""

    /// Colours of the parts which are not data.
    static let ink = "#1f2328"
    static let faint = "#57606a"
    static let grid = "#e4e7eb"
    static let axis = "#8c959f"

    mutating func text(
        _ text: String, _ x: Double, _ y: Double, size: Int = 13, anchor: Anchor = .start,
        color: String = SVG.ink, bold: Bool = false, turned: Bool = false
    ) {
        body += "<text x=\"\(Self.number(x))\" y=\"\(Self.number(y))\" font-size=\"\(size)\""
        body += " fill=\"\(color)\""
        if anchor != .start { body += " text-anchor=\"\(anchor.rawValue)\"" }
        if bold { body += " font-weight=\"600\"" }
        if turned {
            body += " transform=\"rotate(-90 \(Self.number(x)) \(Self.number(y)))\""
        }
        body += ">\(Self.escaped(text))</text>\n"
    }

    mutating func line(
        _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, color: String,
        width: Double = 1, dashes: String? = nil
    ) {
        body += "<line x1=\"\(Self.number(x1))\" y1=\"\(Self.number(y1))\""
        body += " x2=\"\(Self.number(x2))\" y2=\"\(Self.number(y2))\""
        body += " stroke=\"\(color)\" stroke-width=\"\(Self.number(width))\""
        if let dashes { body += " stroke-dasharray=\"\(dashes)\"" }
        body += "/>\n"
    }

    mutating func rectangle(
        _ x: Double, _ y: Double, _ width: Double, _ height: Double, color: String
    ) {
        body += "<rect x=\"\(Self.number(x))\" y=\"\(Self.number(y))\""
        body += " width=\"\(Self.number(width))\" height=\"\(Self.number(height))\""
        body += " fill=\"\(color)\"/>\n"
    }

    mutating func circle(_ x: Double, _ y: Double, radius: Double, color: String) {
        body += "<circle cx=\"\(Self.number(x))\" cy=\"\(Self.number(y))\""
        body += " r=\"\(Self.number(radius))\" fill=\"\(color)\""
        body += " stroke=\"#ffffff\" stroke-width=\"1.5\"/>\n"
    }

    /// A line through the points: a closed area when it is filled.
    mutating func path(
        _ points: [(x: Double, y: Double)], stroke: String?, fill: String? = nil,
        dashes: String? = nil
    ) {
        let steps = points.map { "\(Self.number($0.x)) \(Self.number($0.y))" }
        body += "<path d=\"M\(steps.joined(separator: "L"))\(fill == nil ? "" : "Z")\""
        body += " fill=\"\(fill ?? "none")\""
        if let stroke {
            body += " stroke=\"\(stroke)\" stroke-width=\"2\" stroke-linejoin=\"round\""
        }
        if let dashes { body += " stroke-dasharray=\"\(dashes)\"" }
        body += "/>\n"
    }

    /// The whole document.
    func document(width: Double, height: Double, title: String, description: String) -> String {
        let size = "\(Self.number(width)) \(Self.number(height))"
        return """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(Self.number(width))" \
            height="\(Self.number(height))" viewBox="0 0 \(size)" role="img" \
            font-family="Inter, 'Helvetica Neue', 'Liberation Sans', Arial, 'DejaVu Sans', \
            sans-serif">
            <title>\(Self.escaped(title))</title>
            <desc>\(Self.escaped(description))</desc>
            <rect width="100%" height="100%" fill="#ffffff"/>
            \(body)</svg>

            """
    }

    /// About how wide a text is: an upper estimate for sans-serif fonts.
    static func width(of text: String, size: Int = 13) -> Double {
        Double(text.count) * Double(size) * 0.6
    }

    static func number(_ value: Double) -> String {
        let text = NumberText.fixed(value, decimals: 1)
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }

    /// Text for content and attributes. What XML forbids even as an escape becomes U+FFFD.
    static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            default:
                let isAllowed =
                    PlainText.isPrintable(scalar) && scalar.value != 0xFFFE
                    && scalar.value != 0xFFFF
                result.unicodeScalars.append(isAllowed ? scalar : "\u{FFFD}")
            }
        }
        return result
    }
}
