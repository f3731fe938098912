/// `Package.swift` says the same as the table of layers, and builds all Swift strictly.
enum Manifest {
    struct Target: Equatable {
        let kind: String
        let name: String
        let dependencies: Set<String>
        /// The names of constants in `swiftSettings:`; nil without such an argument.
        let settings: Set<String>?
        let line: Int
    }

    static func findings(_ tree: Tree) -> [Finding] {
        findings(tree, rows: ImportTable.rows)
    }

    static func findings(_ tree: Tree, rows: [ImportTable.Row]) -> [Finding] {
        guard let file = tree.file("Package.swift") else { return [] }
        let targets = targets(file)
        let strict = strictConstants(file)
        let names = Set(rows.map(\.target))
        var findings: [Finding] = []
        for row in rows {
            guard let target = targets.first(where: { $0.name == row.target }) else {
                findings.append(file.finding(1, "`\(row.target)` is no target: add it"))
                continue
            }
            let allowed = row.modules.intersection(names)
            if target.dependencies != allowed {
                findings.append(
                    file.finding(
                        target.line,
                        "`\(row.target)` depends on \(list(target.dependencies)) here and may "
                            + "import \(list(allowed)) in `Tests/TidyTests/ImportTable.swift`: "
                            + "make them equal"))
            }
        }
        for target in targets where !isC(target, rows, tree) {
            if target.settings?.isDisjoint(with: strict) ?? true {
                findings.append(
                    file.finding(
                        target.line,
                        "`\(target.name)` is built without the strict settings: add "
                            + "`swiftSettings: strict`"))
            }
        }
        return findings
    }

    private static func list(_ names: Set<String>) -> String {
        names.isEmpty ? "nothing" : names.sorted().joined(separator: ", ")
    }

    private static func isC(_ target: Target, _ rows: [ImportTable.Row], _ tree: Tree) -> Bool {
        if target.kind == "systemLibrary" { return true }
        return !tree.files.contains { file in
            file.language == .swift
                && (file.path.hasPrefix("Sources/\(target.name)/")
                    || file.path.hasPrefix("Tests/\(target.name)/"))
        }
    }

    private static let start = Pattern(
        #"\.(target|executableTarget|testTarget|systemLibrary)\(\s*name:\s*"([^"]+)""#)
    private static let dependencyList = Pattern(#"dependencies:\s*\[([^\]]*)\]"#)
    private static let string = Pattern(#""([^"]+)""#)
    private static let settingsArgument = Pattern(#"swiftSettings:\s*([^,)]*)"#)
    private static let word = Pattern(#"\b[A-Za-z_]\w*\b"#)
    private static let constant = Pattern(#"\blet\s+(\w+)\s*:\s*\[SwiftSetting\]\s*=\s*([^\n]*)"#)

    static func targets(_ file: SourceFile) -> [Target] {
        let text = file.withoutComments
        let matches = start.matches(in: text)
        let lines = SourceFile.lines(text)
        return matches.indices.map { index in
            let match = matches[index]
            let last = index + 1 < matches.count ? matches[index + 1].line - 1 : lines.count
            let body = lines[(match.line - 1)..<max(last, match.line)].joined(separator: "\n")
            let dependencies = dependencyList.matches(in: body).first?.groups[1] ?? ""
            let settings = settingsArgument.matches(in: body).first?.groups[1]
            return Target(
                kind: match.groups[1], name: match.groups[2],
                dependencies: Set(string.matches(in: dependencies).map { $0.groups[1] }),
                settings: settings.map { Set(word.matches(in: $0).map { $0.groups[0] }) },
                line: match.line)
        }
    }

    /// `strict`, and the constants that are made of it.
    private static func strictConstants(_ file: SourceFile) -> Set<String> {
        var strict: Set<String> = ["strict"]
        for match in constant.matches(in: file.withoutComments) {
            let words = Set(word.matches(in: match.groups[2]).map { $0.groups[0] })
            if !words.isDisjoint(with: strict) { strict.insert(match.groups[1]) }
        }
        return strict
    }
}
