import Foundation
import TestSupport
import Testing

@testable import Console

/// Scripts of completion, each run by its own shell.
@Suite struct CompletionTests {
    static let program = Program(
        "tool", summary: "A tool",
        commands: [
            Command(
                "run", summary: "runs it, isn't that \"nice\" [really]: `yes`",
                flags: [
                    Flag(
                        "limits", short: "l", value: "POLICY",
                        completes: .words(["strict", "best-effort"]), help: "how [they] hold: so"),
                    Flag("result", value: "FILE", completes: .files, help: "where to"),
                    Flag("read-only", short: "r", help: "it's not written to"),
                ],
                arguments: [
                    Argument(
                        "ID", completes: .lines(of: "printf '%s\\n' web:1 web:2 db"), help: "which")
                ], trailing: .command),
            Command(
                "image rm", summary: "removes",
                arguments: [
                    Argument(
                        "NAME", repeatable: true, completes: .words(["base", "busy"]),
                        help: "names")
                ]),
            Command("image ls", summary: "lists"),
            Command("reset", summary: "starts again"),
        ])

    static let cases: [(line: String, offers: Set<String>)] = [
        ("tool re", ["reset"]),
        ("tool image ", ["rm", "ls"]),
        ("tool image r", ["rm"]),
        ("tool run --l", ["--limits"]),
        ("tool run --limits ", ["strict", "best-effort"]),
        ("tool run -l s", ["strict"]),
        ("tool run d", ["db"]),
        ("tool run --read-only d", ["db"]),
        ("tool run --limits strict d", ["db"]),
        ("tool image rm base b", ["base", "busy"]),
        ("tool run db -- --l", []),
        ("tool reset x", []),
    ]

    private func script(_ shell: CompletionShell) throws -> String {
        let path = FileManager.default.temporaryDirectory
            .appendingPathComponent("completion-\(UUID().uuidString)").path
        try Self.program.completion(for: shell).write(
            toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    /// What bash would offer, with its own parting of words at `=` and `:`.
    private func bash(_ line: String) throws -> Set<String> {
        let file = try script(.bash)
        defer { try? FileManager.default.removeItem(atPath: file) }
        let result = try run(
            "bash",
            arguments: [
                "--norc", "-c",
                """
                source "$1"
                COMP_LINE="$2" COMP_POINT=${#2}
                COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
                _tool
                printf '%s\\n' "${COMPREPLY[@]}"
                """, "bash", file, line,
            ])
        #expect(result.succeeded && result.errorOutput.isEmpty, "\(result)")
        return Set(result.output.split(separator: "\n").map(String.init))
    }

    @Test("bash offers what can stand there", .needs(.bash), arguments: cases)
    func bash(line: String, offers: Set<String>) throws {
        #expect(try bash(line) == offers)
    }

    @Test("bash gets the rest of a word that it parts", .needs(.bash))
    func bashWords() throws {
        #expect(try bash("tool run --limits=b") == ["best-effort"])
        #expect(try bash("tool run web:") == ["1", "2"])
        #expect(try bash("tool help r") == ["run", "reset"])
    }

    @Test("bash offers files with what is odd in their names", .needs(.bash))
    func files() throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("completion \(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data().write(to: folder.appendingPathComponent("out put"))
        let file = try script(.bash)
        defer { try? FileManager.default.removeItem(atPath: file) }
        let result = try run(
            "bash",
            arguments: [
                "--norc", "-c",
                """
                source "$1"
                COMP_LINE="tool run --result o" COMP_POINT=19
                _tool
                printf '%s\\n' "${COMPREPLY[@]}"
                """, "bash", file,
            ], directory: folder.path)
        #expect(result.output == "out put\n", "\(result)")
    }

    @Test("fish offers what can stand there", .needs(.fish), arguments: cases)
    func fish(line: String, offers: Set<String>) throws {
        let file = try script(.fish)
        let home = FileManager.default.temporaryDirectory
            .appendingPathComponent("completion-home-\(UUID().uuidString)").path
        defer {
            try? FileManager.default.removeItem(atPath: file)
            try? FileManager.default.removeItem(atPath: home)
        }
        let result = try run(
            "fish",
            arguments: ["--no-config", "-c", "source $argv[1]; complete -C $argv[2]", file, line],
            environment: ["PATH": "/usr/bin:/bin", "HOME": home])
        #expect(result.errorOutput.isEmpty, "\(result)")
        let words = result.output.split(separator: "\n").compactMap {
            $0.split(separator: "\t").first.map(String.init)
        }
        #expect(Set(words) == offers, "\(result)")
    }

    @Test("zsh offers what can stand there", .needs(.zsh), arguments: cases)
    func zsh(line: String, offers: Set<String>) throws {
        let file = try script(.zsh)
        defer { try? FileManager.default.removeItem(atPath: file) }
        let result = try run(
            "zsh",
            arguments: ["-f", PackageRoot.path("Tests/ConsoleTests/zsh-offers"), file, line])
        #expect(result.errorOutput.isEmpty, "\(result)")
        #expect(Set(result.output.split(separator: "\n").map(String.init)) == offers, "\(result)")
    }
}
