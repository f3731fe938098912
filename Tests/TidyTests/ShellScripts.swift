/// Scripts fail at their first failure, and run from a clone as they are.
enum ShellScripts {
    static let interpreter = "#!/usr/bin/env bash"
    static let options = "set -euo pipefail"

    static func findings(_ file: SourceFile) -> [Finding] {
        guard isScript(file) else { return [] }
        var findings: [Finding] = []
        let first = file.lines.first ?? ""
        if file.language == .shell || !first.hasPrefix("#!"), first != interpreter {
            findings.append(file.finding(1, "a script begins with `\(interpreter)`"))
        }
        let statement = file.lines.firstIndex { line in
            let text = line.drop { $0 == " " }
            return !text.isEmpty && !text.hasPrefix("#")
        }
        if first == interpreter, statement.map({ file.lines[$0] }) != options {
            findings.append(
                file.finding((statement ?? 0) + 1, "the first statement is `\(options)`"))
        }
        if !file.isExecutable {
            findings.append(file.finding(1, "not executable: `chmod +x \(file.path)`"))
        }
        return findings
    }

    static func isScript(_ file: SourceFile) -> Bool {
        if file.language == .shell { return true }
        let isInScripts = file.path.hasPrefix("scripts/") || file.path.hasPrefix(".ci/")
        return isInScripts && !file.name.contains(".")
    }
}
