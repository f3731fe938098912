import Foundation
import TestSupport
import Testing

/// What `docs/cli.md` says of the commands is made by the program. With `ALCOVE_WRITE_DOCS=1` in
/// the environment the test writes it anew:
/// `ALCOVE_WRITE_DOCS=1 swift test --disable-xctest --filter CommandDocumentTests`.
@Suite struct CommandDocumentTests {
    /// What a user of the agent's commands would look for.
    private static let commands = [
        "run", "create", "start", "stop", "rm", "ps", "exec", "logs", "stats", "events", "wait",
        "pause", "resume", "update", "top", "capacity", "drain", "info", "image import",
        "image ls", "image inspect", "image rm", "image prune", "image pin", "image unpin",
        "image fsck", "proxy vpc create", "proxy vpc ls", "proxy vpc rm", "proxy node attach",
        "proxy node detach", "proxy inbound add", "proxy inbound rm", "proxy stats", "proxy watch",
        "network status", "network show", "network set", "network attach", "network detach",
        "network vpc join", "network vpc leave", "network vpc ls", "port-forward", "simulate",
        "simulate fleet", "completion",
    ]

    private func output(_ words: [String]) throws -> String {
        let result = try run(
            Products.path("alcove"), arguments: words,
            environment: ["PATH": "/usr/bin:/bin"])
        #expect(result.succeeded && result.errorOutput.isEmpty, "\(result)")
        return result.output
    }

    @Test("the commands in docs/cli.md are those of the program")
    func page() throws {
        let path = PackageRoot.path("docs/cli.md")
        let written = try String(contentsOfFile: path, encoding: .utf8)
        var page = written
        let begin = try #require(page.range(of: "<!-- table: commands -->\n"))
        let end = try #require(
            page.range(of: "<!-- end -->", range: begin.upperBound..<page.endIndex))
        page.replaceSubrange(
            begin.upperBound..<end.lowerBound, with: try output(["help", "--markdown"]))
        if ProcessInfo.processInfo.environment["ALCOVE_WRITE_DOCS"] == "1" {
            try page.write(toFile: path, atomically: true, encoding: .utf8)
            return
        }
        let changed = zip(page.split(separator: "\n"), written.split(separator: "\n"))
            .first { $0 != $1 }
        #expect(
            page == written,
            """
            docs/cli.md is not what the program says, run this test with ALCOVE_WRITE_DOCS=1; \
            first difference: \(changed.map { "\($0.0)" } ?? "the length")
            """)
    }

    @Test("every command has help that fits a terminal, with examples", arguments: commands)
    func help(command: String) throws {
        let words = command.split(separator: " ").map(String.init)
        let help = try output(words + ["--help"])
        #expect(help.hasPrefix("Usage: alcove \(command)"))
        #expect(help.contains("\nExamples:\n"))
        #expect(help.split(separator: "\n").allSatisfy { $0.count <= 80 }, "\(help)")
        #expect(try output(["help"] + words) == help)
        if help.contains("--socket") {
            #expect(help.contains("ALCOVE_SOCKET") && help.contains("\nExit codes"))
            #expect(help.contains(" no agent answers at the socket\n"))
        }
    }

    @Test(
        "commands that ask the agent take --json, but those that carry bytes", arguments: commands)
    func json(command: String) throws {
        let help = try output(command.split(separator: " ").map(String.init) + ["--help"])
        let hasNone = ["exec", "port-forward", "top", "image rm", "completion"].contains(command)
        #expect(help.contains("--json") != hasNone)
    }

    @Test("the completion of each shell knows every command", arguments: ["bash", "zsh", "fish"])
    func completion(shell: String) throws {
        let script = try output(["completion", shell])
        for command in Self.commands {
            #expect(script.contains(command.split(separator: " ").last ?? ""), "\(command)")
        }
    }

    @Test("the script of bash is clean", .needs(.shellcheck))
    func shellcheck() throws {
        let result = try run(
            "shellcheck", arguments: ["-"], input: try output(["completion", "bash"]))
        #expect(result.succeeded, "\(result)")
    }

    @Test("a shell that is not known is refused, with those that are")
    func unknownShell() throws {
        let result = try run(Products.path("alcove"), arguments: ["completion", "tcsh"])
        #expect(result.code == 64 && result.errorOutput.contains("one of bash, zsh, fish"))
    }

    /// Without an agent: the command line is judged first.
    @Test(
        "what makes no sense is refused before the agent is asked",
        arguments: [
            ["stop", "--signal", "NONE", "x"], ["stop"], ["exec", "x"], ["update", "x"],
            ["drain", "--end", "--wait"], ["ps", "--state", "gone"], ["logs", "--since", "x", "i"],
            ["logs", "--tail", "-1", "i"], ["events", "--from", "0"], ["create"],
            ["create", "--isolation", "vm", "base", "--", "x"], ["stats", "--interval", "1us"],
            ["image", "import", "/"], ["image", "import"], ["image", "import", "--pin", "x", "/"],
            ["image", "import", "a", "b", "c"], ["run", "--local", "--layer", "a", "x", "--", "y"],
            ["proxy", "vpc", "create", "x"], ["proxy", "node", "attach", "x"],
            ["proxy", "stats", "--interval", "1us", "x"], ["proxy", "watch", "--from", "0"],
            ["run", "--local", "/"], ["run", "--local", "--agent", "x", "--", "y"],
        ])
    func refused(words: [String]) throws {
        let result = try run(
            Products.path("alcove"), arguments: words,
            environment: ["ALCOVE_SOCKET": "/nonexistent/agent.sock"])
        #expect(result.code == 64, "\(words): \(result)")
        #expect(result.output.isEmpty && result.errorOutput.split(separator: "\n").count == 1)
    }

    @Test("without an agent, each command says so with a code of its own and a hint")
    func noAgent() throws {
        for words in [
            ["ps"], ["create", "/", "--", "x"], ["stop", "x"], ["exec", "x", "--", "y"], ["top"],
            ["run", "--agent", "/", "--", "x"], ["image", "ls"], ["drain"], ["events"],
        ] {
            let result = try run(
                Products.path("alcove"), arguments: words + [],
                environment: ["ALCOVE_SOCKET": "/nonexistent/agent.sock"])
            #expect(result.code == 68 && result.output.isEmpty, "\(words): \(result)")
            #expect(result.errorOutput.contains("no agent answers at `/nonexistent/agent.sock`"))
            #expect(result.errorOutput.contains("systemctl start alcoved"), "\(result)")
        }
    }
}
