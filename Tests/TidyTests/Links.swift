import Foundation

/// Every link of the docs leads somewhere, and every page can be reached.
enum Links {
    static let entrances = ["README.md", "docs/design.md"]

    static func findings(_ tree: Tree) -> [Finding] {
        let pages = tree.files.filter { $0.language == .markdown }
        let parsed = Dictionary(uniqueKeysWithValues: pages.map { ($0.path, MarkdownPage($0)) })
        var findings: [Finding] = []
        var reached: Set<String> = []
        var reachedFromEntrances: Set<String> = []
        for page in pages {
            for link in parsed[page.path]?.links ?? [] where !isOutside(link.text) {
                let parts = link.text.split(
                    separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
                let target = parts[0].isEmpty ? page.path : resolve(String(parts[0]), from: page)
                guard let target, tree.exists(target) || target.isEmpty else {
                    findings.append(
                        page.finding(link.line, "a dead link: there is no file `\(link.text)`"))
                    continue
                }
                reached.insert(target)
                if entrances.contains(page.path) { reachedFromEntrances.insert(target) }
                guard parts.count == 2, let targetPage = parsed[target] else { continue }
                if !targetPage.anchors.contains(String(parts[1])) {
                    findings.append(
                        page.finding(
                            link.line,
                            "a dead link: `\(target)` has no heading for `#\(parts[1])`"))
                }
            }
        }
        return findings + unreached(tree, reached, reachedFromEntrances)
    }

    private static func unreached(
        _ tree: Tree, _ reached: Set<String>, _ reachedFromEntrances: Set<String>
    ) -> [Finding] {
        let entrancesText = entrances.joined(separator: " or ")
        return tree.paths.filter { $0.hasPrefix("docs/") && !entrances.contains($0) }.sorted()
            .compactMap { path in
                if path.hasSuffix(".md"), !reachedFromEntrances.contains(path) {
                    return Finding(
                        path: path, line: 1,
                        message: "a page that nobody finds: link it from \(entrancesText)")
                }
                if !path.hasSuffix(".md"), !reached.contains(path) {
                    return Finding(
                        path: path, line: 1,
                        message: "a file that no page links: link it or remove it")
                }
                return nil
            }
    }

    private static func isOutside(_ target: String) -> Bool {
        !scheme.lines(in: target).isEmpty
    }

    private static let scheme = Pattern(#"^([a-z][a-z0-9+.-]*:|//)"#)

    /// The path in the repository; nil where it leaves it.
    private static func resolve(_ target: String, from page: SourceFile) -> String? {
        let decoded = target.removingPercentEncoding ?? target
        let joined = decoded.hasPrefix("/") ? decoded : page.folder + decoded
        var parts: [Substring] = []
        for part in joined.split(separator: "/") where part != "." {
            if part != ".." {
                parts.append(part)
            } else if parts.popLast() == nil {
                return nil
            }
        }
        return parts.joined(separator: "/")
    }
}

/// What the docs call a file of the repository is one.
enum DocumentedPaths {
    static let roots = [
        "Sources/", "Tests/", "Benchmarks/", "scripts/", "docs/", "rootfs/", "proto/", ".ci/",
    ]

    static func findings(_ tree: Tree) -> [Finding] {
        tree.files.filter { $0.language == .markdown }.flatMap { file in
            let page = MarkdownPage(file)
            let fenced = page.fencedLines.sorted().map { index in
                MarkdownPage.Span(line: index + 1, text: command(file.lines[index]))
            }
            return (page.codeSpans + fenced).compactMap { span -> Finding? in
                guard let path = path(span.text), !tree.exists(path) else { return nil }
                return file.finding(span.line, "there is no `\(path)`: name what is there")
            }.sorted()
        }
    }

    /// A line of a code block without the prompt.
    private static func command(_ line: String) -> String {
        String(line.drop { $0 == " " || $0 == "$" || $0 == "#" })
    }

    /// The path that a piece of code begins with; nil for others and for patterns such as
    /// `Tests/<Target>Tests`.
    private static func path(_ text: String) -> String? {
        guard let word = text.split(separator: " ").first.map(String.init) else { return nil }
        let relative = word.hasPrefix("./") ? String(word.dropFirst(2)) : word
        guard roots.contains(where: { relative.hasPrefix($0) }),
            !relative.contains(where: { "<>*…{}[]$".contains($0) })
        else { return nil }
        let withoutLine = relative.split(separator: ":").first.map(String.init) ?? relative
        return withoutLine.hasSuffix("/") ? String(withoutLine.dropLast()) : withoutLine
    }
}
