import CInitProtocol
import Foundation
import TestSupport
import Testing

@Suite("Signals", .needs(.root))
struct SignalTests {
    /// All but those which nobody can catch, that of ended children, and the C library's own two.
    static let forwarded = (1...64).filter {
        ![SIGKILL, SIGSTOP, SIGCHLD, 32, 33].contains(Int32($0))
    }

    @Test("Each signal reaches the workload", arguments: [false, true])
    func forwarding(pidNamespace: Bool) throws {
        var options = InitProcess.Options()
        options.pidNamespace = pidNamespace
        let numbers = Self.forwarded.map(String.init).joined(separator: " ")
        let process = try InitProcess(
            shell(
                """
                for number in \(numbers); do trap "echo got $number" $number; done
                sleep 1000 & echo ready; while :; do wait; done
                """), options)
        #expect(process.nextLine() == "ready")
        var last: Int?
        for number in Self.forwarded {
            var line = process.lineAfter(Int32(number))
            // An answer to the one before that had to be sent twice.
            while let last, line == "got \(last)" { line = process.nextLine() }
            #expect(line == "got \(number)")
            last = number
        }
    }

    @Test("The workload starts with default signals, whatever was blocked and ignored")
    func defaults() throws {
        var options = InitProcess.Options()
        options.ignoresSignals = true
        let process = try InitProcess(
            ["/bin/grep", "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"], options)
        let expected = ["SigBlk", "SigIgn"].map { $0 + ":\t0000000000000000" }
        #expect(process.allOutput() == expected.joined(separator: "\n"))
        #expect(process.wait() == 0)
    }

    @Test("The workload leads a session of its own")
    func session() throws {
        let process = try InitProcess(["/bin/cat", "cat", "/proc/self/stat"])
        // pid (name) state ppid pgrp session …
        let fields = process.allOutput().split(separator: " ")
        try #require(fields.count > 5)
        #expect(fields[0] == fields[4] && fields[0] == fields[5])
        #expect(process.wait() == 0)
    }

    @Test("With `t` the workload controls its terminal, and Ctrl-C reaches it")
    func terminal() throws {
        var options = InitProcess.Options()
        let terminal = try Terminal()
        options.terminal = terminal
        options.letters = "t"
        let process = try InitProcess(
            shell("trap 'echo interrupted; exit 7' INT; echo here > /dev/tty; read -r line"),
            options)
        #expect(terminal.nextLine() == "here")
        #expect(process.nextReport().map(Told.init) == Told(ALCOVE_REPORT_INIT_READY))
        #expect(process.nextReport().map(Told.init) == Told(ALCOVE_REPORT_STARTED, 2))
        let ended = process.reportAfter { terminal.write("\u{3}") }
        #expect(ended.map(Told.init) == Told(ALCOVE_REPORT_EXITED, 7))
        #expect(terminal.nextLine()?.hasSuffix("interrupted") == true)
        #expect(process.wait() == 7)
    }

    @Test("Without `t` there is no controlling terminal")
    func noTerminal() throws {
        var options = InitProcess.Options()
        let terminal = try Terminal()
        options.terminal = terminal
        // Not bash: it opens its standard input anew, which would make it the terminal's session.
        let process = try InitProcess(
            ["/bin/dash", "dash", "-c", "if (: < /dev/tty) 2> /dev/null; then exit 1; fi"], options)
        #expect(process.wait() == 0)
    }

    @Test("A workload that is refused its terminal does not start")
    func refusedTerminal() throws {
        var options = InitProcess.Options()
        options.letters = "t"
        let process = try InitProcess(["/bin/true", "true"], options)
        #expect(
            process.allReports().map(Told.init) == [
                Told(ALCOVE_REPORT_INIT_READY), Told(ALCOVE_REPORT_EXEC_FAILED, ENOTTY),
            ])
        #expect(process.wait() == 126)
    }
}
