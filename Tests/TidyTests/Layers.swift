/// The table of layers in the design says what the table of imports holds.
enum Layers {
    static let page = "docs/design.md"
    private static let header = "| target | holds | may import |"

    /// A row of the page: the targets that it speaks of, and the modules that they may import.
    struct Row: Equatable {
        let targets: [String]
        let modules: [String]
    }

    static func findings(_ tree: Tree) -> [Finding] {
        guard let file = tree.file(page) else { return [] }
        return findings(file, rows: ImportTable.rows)
    }

    static func findings(_ file: SourceFile, rows: [ImportTable.Row]) -> [Finding] {
        func finding(_ line: Int, _ message: String) -> Finding {
            Finding(path: file.path, line: line, message: message)
        }
        guard let header = file.lines.firstIndex(of: header) else {
            return [finding(1, "there is no table `\(header)`")]
        }
        var findings: [Finding] = []
        var missing = rows
        for (place, line) in file.lines.enumerated().dropFirst(header + 2) {
            guard line.hasPrefix("|") else { break }
            let cells = line.split(separator: "|", omittingEmptySubsequences: false)
            guard cells.count == 5 else {
                findings.append(finding(place + 1, "a row has three cells"))
                continue
            }
            for target in names(in: cells[1]) {
                guard let row = missing.firstIndex(where: { $0.target == target }) else {
                    findings.append(
                        finding(place + 1, "`\(target)` has no row in the table of imports"))
                    continue
                }
                let modules = missing.remove(at: row).modules
                if modules != Set(names(in: cells[3])) {
                    let list = modules.sorted().joined(separator: ", ")
                    findings.append(
                        finding(
                            place + 1, "`\(target)` may import: \(list.isEmpty ? "nothing" : list)")
                    )
                }
            }
        }
        return findings + missing.map { finding(header + 1, "a row for `\($0.target)` is missing") }
    }

    /// The names between backticks.
    private static func names(in cell: Substring) -> [String] {
        cell.split(separator: "`", omittingEmptySubsequences: false).enumerated()
            .filter { $0.offset % 2 == 1 }.map { String($0.element) }
    }
}
