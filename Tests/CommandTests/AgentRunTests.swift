import Console
import Foundation
import TestSupport
import Testing

extension AgentCommandTests {
    /// `alcove run` by way of a daemon of its own.
    @Suite struct Run {
        /// Whether the daemon ever had a sandbox.
        private func wasAsked(_ daemon: AgentDaemon) throws -> Bool {
            try daemon.output("events").contains("  run-")
        }

        @Test("a sandbox is made, followed to its end, and removed")
        func whole() throws {
            let daemon = try AgentDaemon()
            let result = try daemon.shell(
                "\"$alcove\" run \"$image\" -- sh -c 'echo out; echo err >&2; exit 4' </dev/null")
            #expect(result.code == 4, "\(result)")
            #expect(result.output == "out\n" && result.errorOutput == "err\n", "\(result)")
            #expect(try wasAsked(daemon))
            #expect(try daemon.output("ps", "--all", "--quiet").isEmpty)
        }

        @Test(
            "with something on standard input, or with --local, the agent is not asked",
            arguments: [
                "echo 12345 | \"$alcove\" run \"$image\" -- wc -c",
                "\"$alcove\" run \"$image\" -- wc -c <five",
                "\"$alcove\" run --local \"$image\" -- sh -c 'echo 6' </dev/null",
            ])
        func direct(script: String) throws {
            let daemon = try AgentDaemon()
            try Data("12345\n".utf8).write(to: daemon.folder.appendingPathComponent("five"))
            let result = try daemon.shell(script)
            #expect(result.code == 0 && result.output == "6\n", "\(result)")
            #expect(try !wasAsked(daemon))
        }

        @Test("with --agent it is asked all the same, and standard input is left alone")
        func insisting() throws {
            let daemon = try AgentDaemon()
            _ = try daemon.output("image", "import", "base", try Products.baseImage())
            let result = try daemon.shell(
                "{ \"$alcove\" run --agent base -- wc -c; cat; } <<<12345")
            #expect(result.output == "0\n12345\n", "\(result)")
            #expect(try wasAsked(daemon))
        }

        @Test("an empty pipe without a writer is no standard input")
        func emptyPipe() throws {
            let daemon = try AgentDaemon()
            let result = try daemon.shell(
                """
                mkfifo pipe; exec 3<>pipe; exec 4<pipe; exec 3>&-
                "$alcove" run "$image" -- true <&4
                """)
            #expect(result.succeeded, "\(result)")
            #expect(try wasAsked(daemon))
        }

        @Test("the result has the same members as without the agent")
        func result() throws {
            let daemon = try AgentDaemon()
            let local = try daemon.shell(
                "\"$alcove\" run --local --json \"$image\" -- sh -c 'exit 3'")
            let asked = try daemon.shell(
                "\"$alcove\" run --agent --json --result file \"$image\" -- sh -c 'exit 3'")
            let (one, other) = (
                try JSONReader.read(local.output), try JSONReader.read(asked.output)
            )
            #expect(one.object?.keys == other.object?.keys, "\(asked)")
            #expect(other["ending"] == "exited" && other["exit_code"]?.int64 == 3)
            #expect(other["timeline"]?.array?.isEmpty == false)
            let file = daemon.folder.appendingPathComponent("file")
            #expect(try String(contentsOf: file, encoding: .utf8) == asked.output)
        }

        @Test("what the agent refuses has the code and the result of a refusal")
        func refusal() throws {
            let daemon = try AgentDaemon()
            let missing = try daemon.alcove("run", "--agent", "--json", "none", "--", "true")
            #expect(missing.code == 66, "\(missing)")
            #expect(try JSONReader.read(missing.output)["error"]?["code"] == "image_missing")
            let command = try daemon.shell("\"$alcove\" run --agent \"$image\" -- none")
            #expect(command.code == 127, "\(command)")
            #expect(try daemon.output("ps", "--all", "--quiet").isEmpty)
        }

        @Test("a signal asks it to stop, the second ends it", arguments: [2, 15])
        func stopping(signal: Int32) throws {
            let daemon = try AgentDaemon()
            let polite = try daemon.start(
                "run", "--agent", try Products.baseImage(), "--", "sh", "-c",
                "trap 'exit 5' INT TERM; echo ready; while :; do :; done")
            try polite.waitForOutput("ready\n")
            try polite.send(signal: signal)
            #expect(try polite.finish().code == 5)
            let deaf = try daemon.start(
                "run", "--agent", "--stop-grace", "1h", try Products.baseImage(), "--", "sh", "-c",
                "trap 'echo no' INT TERM; echo ready; while :; do :; done")
            try deaf.waitForOutput("ready\n")
            try deaf.send(signal: signal)
            try deaf.waitForOutput("no\n")
            try deaf.send(signal: signal)
            #expect(try deaf.finish().code == 137)
            #expect(try daemon.output("ps", "--all", "--quiet").isEmpty)
        }

        @Test("a sandbox is stopped when nobody reads its output any more")
        func readerGone() throws {
            let daemon = try AgentDaemon()
            let result = try daemon.shell(
                "\"$alcove\" run --agent \"$image\" -- yes | head -n 1; echo ${PIPESTATUS[0]}")
            #expect(result.output == "y\n141\n", "\(result)")
            #expect(try daemon.output("ps", "--all", "--quiet").isEmpty)
        }
    }
}
