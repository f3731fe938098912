import Foundation

/// What the rules read of a page of Markdown.
struct MarkdownPage {
    struct Span: Equatable {
        let line: Int
        let text: String
    }

    /// The lines of code blocks between fences, the fences too. Counted from 0.
    let fencedLines: Set<Int>
    /// The text between backticks.
    let codeSpans: [Span]
    /// The targets of links and pictures.
    let links: [Span]
    /// The names that a link can point to after `#`.
    let anchors: Set<String>

    init(_ file: SourceFile) {
        let fenced = Self.fenced(file.lines)
        fencedLines = fenced
        let prose = file.lines.indices.map { fenced.contains($0) ? "" : file.lines[$0] }
        codeSpans = Self.codeSpan.matches(in: prose.joined(separator: "\n")).map {
            Span(line: $0.line, text: $0.groups[1])
        }
        let linkText = prose.map(Self.withoutCode).joined(separator: "\n")
        links = [Self.link, Self.reference, Self.attribute].flatMap { pattern in
            pattern.matches(in: linkText).map { Span(line: $0.line, text: $0.groups[1]) }
        }
        anchors = Self.anchors(prose)
    }

    private static let codeSpan = Pattern("`([^`\n]+)`")
    private static let link = Pattern(#"\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)"#)
    private static let reference = Pattern(#"^\s{0,3}\[[^\]]+\]:\s*<?([^\s>]+)"#)
    private static let attribute = Pattern(
        #"<(?:img|a|source)\b[^>]*\b(?:src|href|srcset)="([^"]+)""#)
    private static let named = Pattern(#"<a\b[^>]*\b(?:id|name)="([^"]+)""#)
    private static let heading = Pattern(#"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$"#)
    private static let headingLink = Pattern(#"!?\[([^\]]*)\]\([^)]*\)"#)

    private static func fenced(_ lines: [String]) -> Set<Int> {
        var fenced: Set<Int> = []
        var fence: String?
        for (index, line) in lines.enumerated() {
            let text = line.drop { $0 == " " }
            if let open = fence {
                fenced.insert(index)
                if text.hasPrefix(open) { fence = nil }
            } else if text.hasPrefix("```") || text.hasPrefix("~~~") {
                fenced.insert(index)
                fence = String(text.prefix(3))
            }
        }
        return fenced
    }

    private static func withoutCode(_ line: String) -> String {
        line.components(separatedBy: "`").enumerated()
            .map { $0.offset % 2 == 0 ? $0.element : "" }.joined()
    }

    private static func anchors(_ prose: [String]) -> Set<String> {
        var anchors = Set(named.matches(in: prose.joined(separator: "\n")).map { $0.groups[1] })
        var counts: [String: Int] = [:]
        for match in heading.matches(in: prose.joined(separator: "\n")) {
            let slug = slug(match.groups[1])
            let count = counts[slug, default: 0]
            anchors.insert(count == 0 ? slug : "\(slug)-\(count)")
            counts[slug] = count + 1
        }
        return anchors
    }

    /// The anchor that GitHub gives a heading.
    static func slug(_ heading: String) -> String {
        var text = heading
        for match in headingLink.matches(in: heading) {
            text = text.replacingOccurrences(of: match.groups[0], with: match.groups[1])
        }
        return String(
            text.lowercased().compactMap { character in
                if character == " " { return "-" }
                let isKept = character.isLetter || character.isNumber
                return isKept || character == "-" || character == "_" ? character : nil
            })
    }
}
