import Glibc
@testable import TestSupport
import Testing

@Suite struct RunTests {
    @Test("the exit code, the output and the error output come back")
    func streams() throws {
        let result = try run("/bin/sh", arguments: ["-c", "echo out; echo err >&2; exit 7"])
        #expect(result.ending == .exited(code: 7))
        #expect(result.output == "out\n")
        #expect(result.errorOutput == "err\n")
        #expect(!result.succeeded)
    }

    @Test("a signal is told from an exit code")
    func signal() throws {
        let result = try run("sh", arguments: ["-c", "kill -TERM $$"])
        #expect(result.ending == .signalled(signal: SIGTERM))
        #expect(result.code == 128 + SIGTERM)
    }

    @Test("input and output of megabytes pass without a deadlock")
    func large() throws {
        let text = String(repeating: "0123456789abcde\n", count: 200_000)
        let result = try run("sh", arguments: ["-c", "tee /dev/stderr"], input: text)
        #expect(result.ending == .exited(code: 0))
        #expect(result.output == text)
        #expect(result.errorOutput == text)
    }

    @Test("a program that does not read its input ends as usual")
    func unreadInput() throws {
        let text = String(repeating: "x", count: 1 << 20)
        #expect(try run("true", input: text).succeeded)
    }

    @Test("the whole environment and the directory are the caller's")
    func surroundings() throws {
        let result = try run(
            "/bin/sh", arguments: ["-c", "env; pwd"], environment: ["A": "1 2"],
            directory: "/proc")
        #expect(result.output.contains("A=1 2\n"))
        #expect(!result.output.contains("HOME="))
        #expect(result.output.hasSuffix("/proc\n"))
    }

    @Test("a program has no descriptor but the three")
    func descriptors() throws {
        let result = try run("/bin/sh", arguments: ["-c", "echo /proc/self/fd/*"])
        // The shell has the folder itself open while it expands the pattern.
        #expect(
            result.output == (0...3).map { "/proc/self/fd/\($0)" }.joined(separator: " ") + "\n")
    }

    @Test("a missing program is an error that names it")
    func missing() {
        #expect(throws: RunFailure(call: "posix_spawn", subject: "/no/such", errorNumber: ENOENT)) {
            try run("/no/such")
        }
        #expect(throws: RunFailure(call: "posix_spawn", subject: "no-such", errorNumber: ENOENT)) {
            try run("no-such")
        }
    }

    @Test("at the time limit the program is killed, and what it wrote is kept")
    func timeLimit() throws {
        let child = try ChildProcess(
            "sh", arguments: ["-c", "echo begun; cat /dev/zero > /dev/null"])
        try child.waitForOutput("begun\n")
        let result = try child.finish(timeout: .zero)
        #expect(result.ending == .timedOut)
        #expect(result.output == "begun\n")
    }

    @Test("a descendant that holds the output open is told")
    func heldOpen() throws {
        let child = try ChildProcess(
            "sh", arguments: ["-c", "(exec cat /dev/zero 3>&1 >/dev/null) & exit 0"])
        try child.waitForEnd()
        let result = try child.finish(timeout: .zero)
        #expect(result.ending == .exited(code: 0))
        #expect(result.outputHeldOpen)
    }
}

@Suite struct ChildProcessTests {
    @Test("a test talks with a program while it runs")
    func conversation() throws {
        let child = try ChildProcess("cat")
        child.write("one\n")
        try child.waitForOutput("one\n")
        child.write("two\n")
        try child.waitForOutput("two\n")
        #expect(try child.finish().ending == .exited(code: 0))
    }

    @Test("a signal reaches a program that waits")
    func signal() throws {
        let child = try ChildProcess(
            "sh", arguments: ["-c", "trap 'echo caught; exit 3' TERM; echo ready; read x"])
        try child.waitForOutput("ready")
        try child.send(signal: SIGTERM)
        let result = try child.finish()
        #expect(result.ending == .exited(code: 3))
        #expect(result.output.contains("caught"))
    }

    @Test("output that never comes is an error that tells what came")
    func outputMissing() throws {
        let child = try ChildProcess("sh", arguments: ["-c", "echo other"])
        #expect {
            try child.waitForOutput("this")
        } throws: { error in
            "\(error)" == "`this` was not written; output `other\n`, error output ``"
        }
    }

    @Test("a terminal has the size it was given, and the one it gets later")
    func terminal() throws {
        let child = try ChildProcess(
            "sh",
            arguments: [
                "-c", "test -t 0 && test -t 2 && stty size </dev/tty; read x; stty size",
            ],
            wiring: .terminal(rows: 33, columns: 111))
        try child.waitForOutput("33 111")
        try child.resize(rows: 44, columns: 122)
        child.write("\n")
        try child.waitForOutput("44 122")
        #expect(try child.finish().ending == .exited(code: 0))
    }
}
