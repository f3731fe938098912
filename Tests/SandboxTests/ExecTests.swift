import Foundation
import Jail
import LinuxKernel
import SandboxModel
import TestSupport
import Testing

extension SandboxTests {
    @Suite("Commands in a running sandbox") struct ExecTests {
        private let driver: LastingDriver
        private let sandbox: LastingSandbox

        init() throws {
            driver = try LastingDriver()
            sandbox = try driver.shell("sleep 1000 & echo ready; wait")
            // With all its processes, so that those of commands can be told from them.
            try sandbox.untilLogged("ready")
        }

        @Test("output, error output and exit code come apart")
        func streams() throws {
            let run = try sandbox.run("echo out; echo err >&2; exit 5")
            #expect(try run.untilOver() == .ended(.exited(code: 5)))
            #expect(run.text == "out\n")
            #expect(run.errorText == "err\n")
        }

        @Test("the pid is the host's, and the process is in the sandbox")
        func process() throws {
            let run = try sandbox.run("echo $$; read x")
            let pid = try run.untilStarted()
            try run.until(output: "\n")
            let status = try Files.read("/proc/\(pid)/status")
            let numbers = status.split(separator: "\n").first { $0.hasPrefix("NSpid:") }
            #expect(numbers?.split(separator: "\t").last == run.text.dropLast())
            let cgroup = try Files.read("/proc/\(pid)/cgroup")
            #expect(cgroup.contains("/\(sandbox.cgroupName)\n"))
            for field in ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"] {
                #expect(status.contains("\(field):\t0000000000000000"), "\(field)")
            }
            #expect(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"))
            run.endInput()
            #expect(try run.untilOver() == .ended(.exited(code: 1)))
        }

        @Test("input goes through, and its end is seen while output still comes")
        func halfClose() throws {
            let run = try sandbox.run("while read x; do echo \"<$x>\"; done; echo end; exit 3")
            run.write("one\ntwo\n")
            try run.until(output: "<two>")
            run.endInput()
            #expect(try run.untilOver() == .ended(.exited(code: 3)))
            #expect(run.text == "<one>\n<two>\nend\n")
        }

        @Test("a megabyte goes through both ways at once")
        func large() throws {
            let run = ExecRun(try sandbox.execute(ExecRequest(command: ["cat"])))
            let text = String(repeating: "0123456789abcdef", count: 65536)
            run.write(text)
            run.endInput()
            #expect(try run.untilOver() == .ended(.exited(code: 0)))
            #expect(run.text == text)
        }

        @Test("environment, working directory and arguments are those asked for")
        func request() throws {
            let request = ExecRequest(
                command: ["sh", "-c", "env; pwd; echo \"$0|$1|$2\"", "zero", "", "two words"],
                environment: ["PATH=/bin", "A=b c"], workingDirectory: "/tmp")
            let run = ExecRun(try sandbox.execute(request))
            #expect(try run.untilOver() == .ended(.exited(code: 0)))
            let lines = Set(run.text.split(separator: "\n").map(String.init))
            #expect(lines.isSuperset(of: ["A=b c", "PATH=/bin", "/tmp", "zero||two words"]))
            #expect(!run.text.contains("HOME"))
        }

        @Test("a signal goes to the whole process group")
        func signal() throws {
            // A shell between its fork and its exec would take the signal for its parent's trap.
            let run = try sandbox.run(
                """
                trap 'exit 9' TERM
                sleep 1000 &
                until grep -q '(sleep)' /proc/$!/stat; do :; done
                echo ready
                wait
                """)
            try run.until(output: "ready")
            try run.session.send(.terminate)
            #expect(try run.untilOver() == .ended(.exited(code: 9)))
            let killed = try sandbox.run("echo ready; sleep 1000")
            try killed.until(output: "ready")
            try killed.session.send(.kill)
            #expect(try killed.untilOver() == .ended(.signaled(number: 9, name: "SIGKILL")))
        }

        @Test("without its session the command and its group are killed")
        func dropped() throws {
            let before = try driver.processes(of: sandbox)
            var run: ExecRun? = try sandbox.run("sleep 1000 & echo ready; sleep 1001; true")
            try run?.until(output: "ready")
            let started = try driver.processes(of: sandbox).subtracting(before)
            #expect(started.count >= 2)
            let handles = try started.map { try ProcessHandle($0) }
            run = nil
            for handle in handles { try handle.untilOver() }
            #expect(try sandbox.run("true").untilOver() == .ended(.exited(code: 0)))
        }

        @Test("a terminal: echo, size, changes of size, its end")
        func terminal() throws {
            let script = "tty; stty size; while read x; do echo \"<$x>\"; stty size; done; exit 6"
            let request = ExecRequest(
                command: ["sh", "-c", script], terminal: .init(rows: 24, columns: 80))
            let run = ExecRun(try sandbox.execute(request))
            try run.until(output: "24 80\r\n")
            #expect(run.text.hasPrefix("/dev/pts/"))
            run.session.resize(.init(rows: 50, columns: 132))
            run.write("typed\n")
            try run.until(output: "typed\r\n<typed>\r\n50 132\r\n")
            #expect(run.session.errorDescriptor == nil)
            run.write("\u{4}")
            #expect(try run.untilOver() == .ended(.exited(code: 6)))
        }

        @Test("what cannot be run says why")
        func failures() throws {
            func event(_ request: ExecRequest) throws -> ExecSession.Event? {
                try ExecRun(try sandbox.execute(request)).untilOver()
            }
            func code(_ event: ExecSession.Event?) -> SandboxError.Code? {
                guard case .failed(let error) = event else { return nil }
                return error.code
            }
            #expect(code(try event(.init(command: ["no-such"]))) == .commandMissing)
            #expect(code(try event(.init(command: ["/no/such"]))) == .commandMissing)
            #expect(code(try event(.init(command: ["/etc/passwd"]))) == .commandNotExecutable)
            for path in ["/no", "/etc/passwd"] {
                let request = ExecRequest(command: ["true"], workingDirectory: path)
                #expect(code(try event(request)) == .directoryMissing)
            }
            #expect(throws: SandboxError.self) { try sandbox.execute(.init(command: [])) }
            #expect(throws: SandboxError.self) {
                try sandbox.execute(
                    .init(command: ["echo", String(repeating: "x", count: 140_000)]))
            }
        }

        @Test("arguments of 120 KiB, which leave no memory behind")
        func longArguments() throws {
            let before = try residentKilobytes()
            let words = (0..<1200).map { "\($0)" + String(repeating: "x", count: 95) }
            let run = ExecRun(try sandbox.execute(.init(command: ["echo"] + words)))
            #expect(try run.untilOver() == .ended(.exited(code: 0)))
            #expect(run.text == words.joined(separator: " ") + "\n")
            #expect(try residentKilobytes() <= before + 32)
        }

        private func residentKilobytes() throws -> Int {
            let text = try Files.read("/proc/\(sandbox.pid)/smaps_rollup")
            let line = text.split(separator: "\n").first { $0.hasPrefix("Rss:") }
            return try #require(line?.split(separator: " ").compactMap { Int($0) }.first)
        }

        @Test(
            "16 run at once, one more is refused, there is room again, and a signal comes through")
        func many() throws {
            var runs = try (0..<16).map { _ in try sandbox.run("echo ready; read x") }
            for run in runs { try run.until(output: "ready") }
            guard case .failed(let error) = try sandbox.run("true").untilOver() else {
                Issue.record("a 17th ran")
                return
            }
            #expect(error.code == .unavailable && error.message.hasPrefix("16 commands"))
            runs[3].endInput()
            #expect(try runs[3].untilOver() == .ended(.exited(code: 1)))
            runs[3] = try sandbox.run("echo ready; read x")
            try runs[3].until(output: "ready")
            // A signal still comes through.
            try sandbox.send(.terminate)
            let ending = try sandbox.untilOver().ending
            #expect(ending == .ended(.signaled(number: 15, name: "SIGTERM")))
        }

        @Test("a command's end comes when the sandbox ends, too")
        func sandboxEnds() throws {
            // No shell that could tell of its own that somebody killed what it waits for.
            let run = try sandbox.run("exec sleep 1000")
            try run.untilStarted()
            try sandbox.kill()
            #expect(try run.untilOver() == .ended(.signaled(number: 9, name: "SIGKILL")))
            _ = try sandbox.untilOver()
            #expect(throws: SandboxError.self) { try sandbox.run("true") }
        }

        @Test("limits of processes hold for the workload and for commands, not for alcove-init")
        func processLimits() throws {
            let limited = try driver.shell("ulimit -n; ulimit -f; echo; sleep 1000") {
                $0.processLimits = [
                    ProcessLimitSetting(.openFiles, soft: 5, hard: 6),
                    ProcessLimitSetting(.fileSize, soft: 512, hard: 512),
                ]
            }
            try limited.untilLogged("1")
            #expect(try limited.logLines().prefix(2) == ["5", "1"])
            let run = try limited.run("ulimit -n; ulimit -Hn; ulimit -f")
            #expect(try run.untilOver() == .ended(.exited(code: 0)))
            #expect(run.text == "5\n6\n1\n")
            let noise = try limited.run("seq 1 1000")
            #expect(try noise.untilOver() == .ended(.exited(code: 0)))
            let limits = try Files.read("/proc/\(limited.pid)/limits")
            #expect(
                !limits.split(separator: "\n").contains {
                    $0.hasPrefix("Max file size") && $0.contains("512")
                })
        }
    }
}
