import Foundation
import TestSupport
import Testing

extension AgentCommandTests {
    /// `alcove exec` with a daemon of its own.
    @Suite struct Exec {
        @Test("streams are kept apart, the exit code is the command's")
        func streams() throws {
            let daemon = try AgentDaemon()
            try daemon.startSandbox()
            let result = try daemon.alcove(
                "exec", "-e", "A=b", "-w", "/tmp", "box", "--", "sh", "-c",
                "pwd; echo $A >&2; exit 7")
            #expect(result.code == 7, "\(result)")
            #expect(result.output == "/tmp\n" && result.errorOutput == "b\n")
            let killed = try daemon.alcove("exec", "box", "--", "sh", "-c", "kill -9 $$")
            #expect(killed.code == 137 && killed.errorOutput.isEmpty, "\(killed)")
            let missing = try daemon.alcove("exec", "box", "--", "none")
            #expect(missing.code == 127, "\(missing)")
            #expect(missing.errorOutput.hasPrefix("alcove: cannot run a command in `box`: "))
        }

        @Test("standard input is passed on to its end, and only when asked for")
        func input() throws {
            let daemon = try AgentDaemon()
            try daemon.startSandbox()
            let counted = try daemon.alcove("exec", "-i", "box", "--", "wc", "-c", input: "12345")
            #expect(counted.output == "5\n", "\(counted)")
            let none = try daemon.alcove("exec", "box", "--", "wc", "-c", input: "12345")
            #expect(none.output == "0\n", "\(none)")
        }

        @Test("more than all buffers hold goes both ways, each at the other's pace")
        func backPressure() throws {
            let daemon = try AgentDaemon()
            try daemon.startSandbox()
            let text = String(repeating: "0123456789abcde\n", count: 1 << 19)
            let result = try daemon.alcove("exec", "-i", "box", "--", "cat", input: text)
            #expect(result.code == 0 && result.outputBytes.count == 8 << 20)
            #expect(result.output == text)
        }

        @Test("a command ends when nobody reads its output any more")
        func readerGone() throws {
            let daemon = try AgentDaemon()
            try daemon.startSandbox()
            let result = try daemon.shell(
                "\"$alcove\" exec box -- yes | head -n 1; echo ${PIPESTATUS[0]}")
            #expect(result.output == "y\n141\n" && result.errorOutput.isEmpty, "\(result)")
        }

        @Test("signals are passed on")
        func signals() throws {
            let daemon = try AgentDaemon()
            try daemon.startSandbox()
            let command = try daemon.start(
                "exec", "-i", "box", "--", "sh", "-c",
                "trap 'echo one' USR1; trap 'echo bye; exit 4' TERM; echo ready;"
                    + " while :; do read x; done")
            try command.waitForOutput("ready\n")
            try command.send(signal: 10)
            try command.waitForOutput("one\n")
            try command.send(signal: 15)
            try command.waitForOutput("bye\n")
            #expect(try command.finish().code == 4)
        }

        @Test("a command has a terminal of the size of ours, which comes back as it was")
        func terminal() throws {
            let daemon = try AgentDaemon()
            try daemon.startSandbox()
            let alcove = try Products.path("alcove")
            let shell = try ChildProcess(
                "sh",
                arguments: [
                    "-c",
                    """
                    stty -g >before; "$0" exec -it box -- sh -c "$1"; echo "code $?"
                    stty -g >after; cmp before after && echo restored
                    """, alcove,
                    """
                    stty size; until stty size | grep '^41 121'; do :; done
                    trap 'echo interrupted; exit 6' INT; echo ready; while :; do :; done
                    """,
                ], environment: daemon.environment, directory: daemon.folder.path,
                wiring: .terminal(rows: 30, columns: 100))
            try shell.waitForOutput("30 100\r\n")
            try shell.resize(rows: 41, columns: 121)
            try shell.waitForOutput("41 121\r\n")
            try shell.waitForOutput("ready\r\n")
            // Ctrl-C is the command's.
            shell.write("\u{3}")
            try shell.waitForOutput("interrupted\r\n")
            try shell.waitForOutput("code 6\r\n")
            try shell.waitForOutput("restored\r\n")
            _ = try shell.finish()
        }

        @Test("the terminal comes back when the agent goes away, which is told")
        func agentGone() throws {
            let daemon = try AgentDaemon()
            try daemon.startSandbox()
            let alcove = try Products.path("alcove")
            let shell = try ChildProcess(
                "sh",
                arguments: [
                    "-c",
                    """
                    stty -g >before; "$0" exec -it box -- sh -c 'echo ready; exec cat'
                    echo "code $?"
                    stty -g >after; cmp before after && echo restored
                    """, alcove,
                ], environment: daemon.environment, directory: daemon.folder.path,
                wiring: .terminal(rows: 30, columns: 100))
            try shell.waitForOutput("ready\r\n")
            try daemon.kill()
            try shell.waitForOutput("alcove: cannot run a command in `box`: ")
            try shell.waitForOutput("code 76\r\n")
            try shell.waitForOutput("restored\r\n")
            _ = try shell.finish()
            try daemon.restart()
            #expect(try daemon.output("ps", "--quiet") == "box\n")
        }
    }
}
