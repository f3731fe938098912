import Console
import Foundation
import SandboxModel
import TestSupport
import Testing

/// Help, plans and the policy as a person reads them.
@Suite struct ExplanationTests {
    private func output(_ words: String...) throws -> String {
        let result = try run(Products.path("alcove"), arguments: words)
        #expect(result.succeeded && result.errorOutput.isEmpty, "\(result)")
        return result.output
    }

    @Test("the help of run lists every exit code, and what reaches the command")
    func help() throws {
        let help = try output("run", "--help")
        let words = help.split { $0 == " " || $0 == "\n" }.joined(separator: " ")
        for code in SandboxError.Code.allCases {
            #expect(words.contains("\(code.rawValue) \(code.meaning)"), "\(code)")
        }
        for signal in ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2"] {
            #expect(words.contains(signal), "\(signal)")
        }
        #expect(help.split(separator: "\n").allSatisfy { $0.count <= 80 })
    }

    @Test("each flag of a size, a rate or a time shows how one is written")
    func units() throws {
        let help = try output("run", "--help")
        let flags = help.components(separatedBy: "\n      --").dropFirst()
        let measured = flags.filter { flag in
            ["SIZE", "RATE", "DURATION"].contains { flag.split(separator: " ")[1].hasPrefix($0) }
        }
        #expect(measured.count == 8)
        for flag in measured { #expect(flag.contains("as in") || flag.contains("as\n"), "\(flag)") }
    }

    @Test("the policy fits a terminal")
    func policy() throws {
        let text = try output("policy")
        #expect(text.split(separator: "\n").allSatisfy { $0.count <= 80 })
        for rule in CallPolicy.standard.rules {
            for name in rule.names { #expect(text.contains(name), "\(name)") }
        }
    }

    @Test("a call is explained with each case and its conditions")
    func explain() throws {
        let clone = try output("policy", "--explain", "clone")
        #expect(clone.hasPrefix("clone (56):\n  allowed when argument 0 has none of the bits 0x"))
        #expect(clone.contains("\n  else kills its process\n  because: "))
        #expect(
            try output("policy", "--explain", "mount").hasPrefix("mount (165): kills its process"))
        let result = try run(
            Products.path("alcove"), arguments: ["policy", "--explain", "mont"])
        #expect(result.code == 64 && result.errorOutput.contains("did you mean `mount`?"))
    }

    @Test("a plan's Markdown keeps one row for each step whatever the command is")
    func plan() throws {
        let image = try SampleImage()
        let text = try output("plan", "--markdown", image.path, "--", "/bin/app", "a\nb\u{1b}|c")
        let rows = text.split(separator: "\n")
        #expect(rows.allSatisfy { $0.hasPrefix("|") })
        #expect(rows.last?.contains("`/bin/app a\\nb\\u{1b}\\|c`") == true, "\(text)")
    }
}
