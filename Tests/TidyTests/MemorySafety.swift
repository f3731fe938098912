/// Memory-unsafe Swift stands in files of its own, each use under the invariant that makes it hold.
enum MemorySafety {
    static let suffix = "+Unsafe.swift"
    /// How far below its comment a use may stand, in lines.
    static let reach = 10

    static func findings(_ file: SourceFile) -> [Finding] {
        guard file.language == .swift, file.path != "Package.swift" else { return [] }
        let uses = words.matches(in: file.code)
        guard file.name.hasSuffix(suffix) else {
            return uses.map { use in
                file.finding(
                    use.line,
                    "`\(use.groups[0])` outside of a `*\(suffix)` file: move it to one, behind a "
                        + "safe interface")
            }
        }
        if uses.isEmpty {
            return [file.finding(1, "nothing unsafe in it: drop `+Unsafe` from its name")]
        }
        let reasons = reasonEnds(file)
        return Set(expressions.lines(in: file.code)).sorted().compactMap { line in
            if reasons.contains(where: { $0 <= line && line - $0 <= reach }) { return nil }
            return file.finding(
                line,
                "`unsafe` without a reason: write `// SAFETY:`, the invariant and who keeps it, "
                    + "at most \(reach) lines above")
        }
    }

    /// The last line of each comment that gives a reason.
    private static func reasonEnds(_ file: SourceFile) -> [Int] {
        file.lines.indices.filter { file.lines[$0].contains("// SAFETY: ") }.map { first in
            var last = first
            while last + 1 < file.lines.count, isComment(file.lines[last + 1]) { last += 1 }
            return last + 1
        }
    }

    private static func isComment(_ line: String) -> Bool {
        line.drop { $0 == " " }.hasPrefix("//")
    }

    private static let words = Pattern(
        #"\b(@?unsafe([A-Z]\w*)?|Unsafe\w*|withUnsafe\w*|\w+MemoryBound|withMemoryRebound"#
            + #"|OpaquePointer|Unmanaged|CVaListPointer)\b"#)
    private static let expressions = Pattern(#"(?<!@)\bunsafe\b"#)
}
