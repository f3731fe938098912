import Glibc
import LinuxKernel
import TestSupport
import Testing

extension SandboxTests {
    @Suite struct Signals {
        @Test(
            "a signal to `alcove` reaches the workload", .needs(.cc),
            arguments: [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGWINCH])
        func forwarded(number: Int32) throws {
            let child = try Sandboxed.start(
                ["probe", "await-signal"], image: TestImage.shared())
            try child.waitForOutput("ready\n")
            try child.send(signal: number)
            let result = try child.finish()
            #expect(result.output == "ready\nsignal \(number).\n", "\(result)")
            #expect(result.ending == .exited(code: 0))
        }

        @Test(
            "a workload that dies by a signal gives 128 and its number",
            arguments: [SIGHUP, SIGINT, SIGABRT, SIGKILL, SIGSEGV, SIGTERM])
        func died(number: Int32) throws {
            let (run, result) = try Sandboxed.result(["sh", "-c", "kill -\(number) $$"])
            #expect(run.ending == .exited(code: 128 + number), "\(run)")
            #expect(run.errorOutput.isEmpty)
            #expect(result.ending == "signaled")
            #expect(result.signal == Signal(rawValue: number).name)
        }

        @Test("the exit code is kept", arguments: [0, 1, 2, 64, 69, 71, 124, 126, 127, 128, 255])
        func exitCode(code: Int32) throws {
            let (run, result) = try Sandboxed.result(["sh", "-c", "exit \(code)"])
            #expect(run.ending == .exited(code: code) && run.errorOutput.isEmpty, "\(run)")
            #expect(result.ending == "exited" && result.exitCode == Int(code))
        }

        @Test("when the workload ends, so does what it left behind")
        func leftBehind() throws {
            let result = try Sandboxed.shell(
                "trap '' TERM HUP; (while :; do read x < /dev/zero; done) & setsid cat /dev/zero"
                    + " > /dev/null & exit 4")
            #expect(result.ending == .exited(code: 4) && !result.outputHeldOpen, "\(result)")
        }
    }

    @Suite struct Timeouts {
        @Test(
            "a workload that respects SIGTERM may finish in the grace period, and the code is 124")
        func respected() throws {
            let script =
                "trap 'echo tidied; exit 0' TERM; echo begun; cat /dev/zero > /dev/null & wait $!"
            let (run, result) = try Sandboxed.result(
                ["sh", "-c", script], ["--timeout", "500ms", "--stop-grace", "1h"])
            #expect(run.ending == .exited(code: 124) && run.output == "begun\ntidied\n", "\(run)")
            #expect(run.errorOutput == "alcove: the sandbox was stopped: its time is over\n")
            #expect(result.ending == "timed_out" && result.exitCode == 124)
        }

        @Test("one that ignores SIGTERM is killed after the grace period", .needs(.cc))
        func ignored() throws {
            let (run, result) = try Sandboxed.result(
                ["probe", "ignore-term"], ["--timeout", "50ms", "--stop-grace", "50ms"],
                image: TestImage.shared())
            #expect(run.ending == .exited(code: 124), "\(run)")
            #expect(run.errorOutput == "alcove: the sandbox was stopped: its time is over\n")
            #expect(result.ending == "timed_out" && result.exitCode == 124)
        }

        @Test("a workload that ends in time keeps its code")
        func inTime() throws {
            let result = try Sandboxed.run(["sh", "-c", "exit 3"], ["--timeout", "1h"])
            #expect(result.ending == .exited(code: 3) && result.errorOutput.isEmpty, "\(result)")
        }
    }

    @Suite struct Killed {
        @Test(
            "when `alcove` is killed all inside dies, and the next run removes its cgroup",
            .needs(.cc))
        func killed() throws {
            let cgroups = try PrivateCgroups()
            let marker = "marker-\(getpid())-\(MonotonicClock.nanoseconds)"
            let child = try cgroups.start(
                Sandboxed.words(
                    ["sh", "-c", "trap '' TERM HUP INT; cat & echo ready; cat; cat"],
                    ["--env", "MARKER=\(marker)"]))
            try child.waitForOutput("ready\n")
            #expect(HostView.processes(marked: marker).count >= 3)
            try child.send(signal: SIGKILL)
            // The end of the output: nobody inside holds it any more.
            let result = try child.finish()
            #expect(result.ending == .signalled(signal: SIGKILL) && !result.outputHeldOpen)
            let left = cgroups.sandboxes
            #expect(left == ["sandbox-\(child.pid)-1"])
            let cgroup = "\(cgroups.path)/alcove/\(left.first ?? "")"
            #expect(try Probe.hostAnswer("await-empty", cgroup) == "ok")
            #expect(HostView.processes(marked: marker) == [])
            let next = try cgroups.run(Sandboxed.words(["true"]))
            #expect(next.succeeded, "\(next)")
            #expect(cgroups.sandboxes == [])
        }

        @Test("a run removes no cgroup of another that lives")
        func notOthers() throws {
            let cgroups = try PrivateCgroups()
            let child = try cgroups.start(Sandboxed.words(["sh", "-c", "echo ready; cat"]))
            try child.waitForOutput("ready\n")
            let before = cgroups.sandboxes
            #expect(try cgroups.run(Sandboxed.words(["true"])).succeeded)
            #expect(cgroups.sandboxes == before && before.count == 1)
            child.write("still here\n")
            let result = try child.finish()
            #expect(result.output == "ready\nstill here\n" && result.ending == .exited(code: 0))
            #expect(cgroups.sandboxes == [])
        }
    }
}
