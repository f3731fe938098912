import TestSupport
import Testing

extension SandboxTests {
    @Suite struct Streams {
        @Test("megabytes pass through the streams unchanged")
        func large() throws {
            let text = String(repeating: "0123456789abcde\n", count: 650_000)
            let result = try Sandboxed.run(["tee", "/dev/stderr"], input: text)
            #expect(result.ending == .exited(code: 0))
            #expect(result.output == text)
            #expect(result.errorOutput == text)
        }

        @Test("the end of the input is seen while the output goes on")
        func halfClose() throws {
            let result = try Sandboxed.shell("cat; echo after; echo error >&2", input: "text\n")
            #expect(result.output == "text\nafter\n" && result.errorOutput == "error\n")
        }

        @Test("a reader that goes ends the writer by SIGPIPE")
        func brokenPipe() throws {
            let words = try Sandboxed.words(["cat", "/dev/zero"])
            let result = try run(
                "bash",
                arguments: ["-c", "\"$@\" | head -c 5 > /dev/null; echo ${PIPESTATUS[0]}"]
                    + ["bash"] + words)
            #expect(result.output == "141\n", "\(result)")
        }
    }

    @Suite struct Terminals {
        private func start(
            _ script: String, _ flags: [String] = []
        ) throws -> ChildProcess {
            try Sandboxed.start(
                ["sh", "-c", script], flags, wiring: .terminal(rows: 33, columns: 111))
        }

        @Test("the workload has a terminal of its own, which follows the size of the outer one")
        func terminal() throws {
            // The first size is set while the workload starts already.
            let child = try start(
                "until test \"$(stty size)\" = '33 111'; do :; done;"
                    + " trap 'stty size; echo resized' WINCH; tty; stty size; echo ready;"
                    + " while :; do read line; test \"$line\" = end && echo got it && exit 7; done")
            try child.waitForOutput("ready")
            #expect(child.output.contains("/dev/pts/0\r\n33 111\r\nready\r\n"), "\(child.output)")
            try child.resize(rows: 44, columns: 122)
            try child.waitForOutput("44 122\r\nresized")
            child.write("end\n")
            let result = try child.finish()
            #expect(result.ending == .exited(code: 7), "\(result)")
            #expect(result.output.hasSuffix("end\r\ngot it\r\n"), "\(result)")
        }

        @Test("it is the controlling terminal, and Ctrl-C reaches the workload")
        func interrupt() throws {
            let child = try start(
                "trap 'echo interrupted; exit 9' INT; echo ready > /dev/tty; read x; echo $?")
            try child.waitForOutput("ready")
            child.write("\u{3}")
            let result = try child.finish()
            #expect(result.output.contains("interrupted"), "\(result)")
            #expect(result.ending == .exited(code: 9), "\(result)")
        }

        @Test("Ctrl-C that the workload ignores does not end `alcove`")
        func ignoredInterrupt() throws {
            let child = try start("trap '' INT; echo ready; read x; echo \"read $x\"")
            try child.waitForOutput("ready")
            child.write("\u{3}\u{1c}")
            child.write("on\n")
            try child.waitForOutput("read ")
            #expect(try child.finish().ending == .exited(code: 0))
        }

        @Test("Ctrl-D ends the input")
        func endOfInput() throws {
            let child = try start("echo ready; cat; echo over")
            try child.waitForOutput("ready")
            child.write("\u{4}")
            try child.waitForOutput("over")
            #expect(try child.finish().ending == .exited(code: 0))
        }

        @Test(
            "the outer terminal's settings are put back, however it ends",
            arguments: [
                "exit 3", "kill -9 $$", "kill -31 $$", "stty raw -echo; exit 1",
            ])
        func restored(script: String) throws {
            let words = try Sandboxed.words(["sh", "-c", script])
            let child = try ChildProcess(
                "sh",
                arguments: [
                    "-c",
                    "before=$(stty -g); \"$@\"; test \"$(stty -g)\" = \"$before\" && echo same",
                    "sh",
                ] + words, wiring: .terminal(rows: 24, columns: 80))
            let result = try child.finish()
            #expect(result.output.hasSuffix("same\r\n"), "\(result)")
        }

        @Test("what the workload writes last is not lost")
        func lastOutput() throws {
            let child = try start("i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo line $i; done")
            let result = try child.finish()
            #expect(result.ending == .exited(code: 0))
            #expect(
                result.output == (1...5000).map { "line \($0)\r\n" }.joined(), "\(result.output)")
        }

        @Test("TERM is the outer one's, unless it was set")
        func term() throws {
            let plain = try Sandboxed.start(
                ["sh", "-c", "echo \"<$TERM>\""], wiring: .terminal(rows: 24, columns: 80),
                environment: ["TERM": "vt100", "ALCOVE_INIT": try InitProgram.path()])
            #expect(try plain.finish().output == "<vt100>\r\n")
            let set = try start("echo \"<$TERM>\"", ["--env", "TERM=dumb"])
            #expect(try set.finish().output == "<dumb>\r\n")
        }

        @Test("without a terminal on both ends the workload gets none")
        func none() throws {
            #expect(try Sandboxed.shell("tty; ls /dev/pts").output == "not a tty\nptmx\n")
        }

        @Test("a set-up that fails is told of, and the terminal is as before")
        func failed() throws {
            let child = try start("true", ["--workdir", "/tmp/none"])
            let result = try child.finish()
            #expect(result.output.contains("change directory to `/tmp/none`"), "\(result)")
            #expect(result.ending == .exited(code: 71), "\(result)")
        }

        @Test("a terminal in a user namespace works", .needs(.userNamespaces))
        func userNamespace() throws {
            let child = try start("tty; stty size", ["--map-user", "0:100000:65536"])
            let result = try child.finish()
            #expect(result.output.hasSuffix("/dev/pts/0\r\n33 111\r\n"), "\(result)")
        }

        @Test("a timeout ends a workload with a terminal")
        func timeout() throws {
            let child = try start("read x", ["--timeout", "50ms", "--stop-grace", "50ms"])
            #expect(try child.finish().ending == .exited(code: 124))
        }
    }
}
