/// A table for terminals: columns aligned, numbers to the right.
public struct TextTable: Sendable {
    public enum Alignment: Equatable, Sendable {
        /// To the right when every filled cell below the header begins like a number.
        case automatic
        case left
        case right
    }

    private let header: [String]?
    private let alignments: [Alignment]
    private var rows: [[String]] = []
    private static let gap = 2

    /// - Parameter alignments: of the first columns; the others are `automatic`.
    public init(header: [String]? = nil, alignments: [Alignment] = []) {
        self.header = header?.map(PlainText.escaped)
        self.alignments = alignments
    }

    /// Adds a row. It may be shorter or longer than others. What would disturb the terminal, such
    /// as a line break, is shown as an escape.
    public mutating func add(_ cells: [String]) { rows.append(cells.map(PlainText.escaped)) }

    /// The lines, each ending with a line break and none with spaces.
    ///
    /// - Parameter width: the most characters in a line: the widest columns are cut, with `…`, to
    ///   no less than four characters each. Nil cuts nothing. Characters are counted as Unicode's
    ///   grapheme clusters; those which a terminal shows two cells wide count as one.
    public func render(width: Int? = nil) -> String {
        let lines = (header.map { [$0] } ?? []) + rows
        let columns = lines.map(\.count).max() ?? 0
        var widths = [Int](repeating: 0, count: columns)
        for line in lines {
            for (column, cell) in line.enumerated() {
                widths[column] = max(widths[column], cell.count)
            }
        }
        if let width { Self.shrink(&widths, to: width) }
        let isRight = (0..<columns).map(isRightAligned)
        var text = ""
        for line in lines {
            var shown = ""
            for (column, cell) in line.enumerated() {
                if column > 0 { shown += String(repeating: " ", count: Self.gap) }
                let cell = PlainText.cut(cell, to: widths[column])
                let fill = String(repeating: " ", count: widths[column] - cell.count)
                shown += isRight[column] ? fill + cell : cell + fill
            }
            while shown.last == " " { shown.removeLast() }
            text += shown + "\n"
        }
        return text
    }

    /// The same table in Markdown. Needs a header, and is empty without one.
    public func markdown() -> String {
        guard let header else { return "" }
        let marks = header.indices.map { isRightAligned($0) ? "---:|" : "---|" }
        let lines =
            ["| \(header.map(Markdown.code).joined(separator: " | ")) |", "|" + marks.joined()]
            + rows.map { "| \($0.map(Markdown.code).joined(separator: " | ")) |" }
        return lines.joined(separator: "\n") + "\n"
    }

    private func isRightAligned(_ column: Int) -> Bool {
        switch column < alignments.count ? alignments[column] : .automatic {
        case .left: return false
        case .right: return true
        case .automatic:
            let cells = rows.compactMap { column < $0.count ? $0[column] : nil }
            let filled = cells.filter { !$0.isEmpty && $0 != "-" && $0 != "–" }
            return !filled.isEmpty && filled.allSatisfy(Self.isNumber)
        }
    }

    /// Whether the cell is a number, with a unit or without: `12`, `-1.5`, `1,040`, `3.2 ms`,
    /// `45%`, `0.6×`; not `2026-01-01` nor `10.0.0.1/24`.
    private static func isNumber(_ cell: String) -> Bool {
        let signless = cell.drop { "+-−±<>≤≥~".contains($0) }
        guard let first = signless.first, first.isASCII, first.isNumber else { return false }
        let unit = signless.drop { ($0.isASCII && $0.isNumber) || $0 == "." || $0 == "," }
        let points = signless.filter { $0 == "." }.count
        return points <= 1 && unit.count <= 8
            && unit.allSatisfy { $0.isLetter || " %×/".contains($0) }
    }

    /// Takes width from the widest columns until the line fits or none has any left to give.
    private static func shrink(_ widths: inout [Int], to width: Int) {
        let least = 4
        var excess = widths.reduce(0, +) + gap * max(0, widths.count - 1) - width
        while excess > 0 {
            guard let widest = widths.max(), widest > least else { return }
            let next = max(least, widths.filter { $0 < widest }.max() ?? least)
            let places = widths.indices.filter { widths[$0] == widest }
            let each = min(widest - next, max(1, excess / places.count))
            for place in places where excess > 0 {
                widths[place] -= each
                excess -= each
            }
        }
    }
}
