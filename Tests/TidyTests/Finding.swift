/// A place that breaks a rule, and what to do about it.
struct Finding: Hashable, Comparable, CustomStringConvertible {
    let path: String
    let line: Int
    let message: String

    var description: String { "\(path):\(line): \(message)" }

    static func < (left: Finding, right: Finding) -> Bool {
        (left.path, left.line, left.message) < (right.path, right.line, right.message)
    }
}

/// A habit of the repository: a function from its files to the places that break it.
struct Rule: Sendable, CustomStringConvertible {
    /// As `Exemption` names it.
    let name: String
    let findings: @Sendable (Tree) -> [Finding]

    var description: String { name }

    /// A rule that looks at each file alone.
    static func perFile(
        _ name: String, _ findings: @escaping @Sendable (SourceFile) -> [Finding]
    ) -> Rule {
        Rule(name: name) { tree in tree.files.flatMap(findings) }
    }

    /// Every rule. To add one: a function over `SourceFile` or `Tree` in a file of its own, a
    /// line here, and tests that it catches a bad sample at its line and lets a good one pass.
    static let all: [Rule] = [
        .perFile("bans", Bans.findings),
        .perFile("unsafe", MemorySafety.findings),
        .perFile("text", TextShape.findings),
        .perFile("size", Size.findings),
        .perFile("shell", ShellScripts.findings),
        Rule(name: "imports", findings: Imports.findings),
        Rule(name: "manifest", findings: Manifest.findings),
        Rule(name: "links", findings: Links.findings),
        Rule(name: "documented-paths", findings: DocumentedPaths.findings),
        Rule(name: "layers", findings: Layers.findings),
    ]
}

/// A place that may break a rule, for a reason that stands here.
struct Exemption: Sendable {
    let path: String
    let rule: String
    /// A part of the message.
    let message: String
    let reason: String

    func covers(_ finding: Finding, of rule: Rule) -> Bool {
        path == finding.path && self.rule == rule.name && finding.message.contains(message)
    }

    /// One that covers nothing fails the tests.
    static let all: [Exemption] = []
}
