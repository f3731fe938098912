import Glibc
import Jail
import LinuxKernel
import SandboxModel
import TestSupport
import Testing

extension SandboxTests {
    /// Counts what is there before and after many starts.
    @Suite struct NothingLeft {
        @Test("200 starts of all kinds, failures and kills among them, leave nothing")
        func library() async {
            await #expect(processExitsWith: .success) {
                for seed in [1, 2] as [UInt64] { try Self.start(times: 100, seed: seed) }
            }
        }

        private static func start(times: Int, seed: UInt64) throws {
            var random = SeededRandom(seed: seed)
            let driver = try JailDriver()
            // The first of each kind may open what stays open.
            for variant in Variant.allCases { _ = try driver.run(driver.prepare(variant)) }
            let before = try driver.belongings()
            for round in 0..<times {
                let variant = Variant.allCases.randomElement(using: &random) ?? .writable
                let comment: Comment = "seed \(seed), round \(round), \(variant.rawValue)"
                try startOnce(driver, variant, &random, comment)
                try driver.expectUnchanged(since: before, "seed \(seed), round \(round)")
            }
        }

        private static func startOnce(
            _ driver: JailDriver, _ variant: Variant, _ random: inout SeededRandom,
            _ comment: Comment
        ) throws {
            switch Int.random(in: 0..<6, using: &random) {
            case 0:
                do throws(SandboxError) {
                    _ = try driver.prepare(variant, command: ["no-such-command"])
                    Issue.record(comment)
                } catch {
                    #expect(error.code == .commandMissing, comment)
                }
            case 1:
                let sandbox = try driver.prepare(variant)
                let steps = sandbox.plan.steps.indices.filter {
                    sandbox.plan.steps[$0].performer == .child
                }
                let step = steps.randomElement(using: &random) ?? 0
                let outcome = try driver.run(
                    driver.prepare(variant, failing: .init(step: step, error: .invalid)))
                #expect(outcome.exitCode == 71, comment)
            case 2:
                // Killed at some point between its birth and its work.
                let running = try driver.start(
                    driver.prepare(variant, command: ["cat", "/dev/zero"]))
                try pause(&random)
                try running.kill()
                #expect(try driver.finish(running).exitCode == 137, comment)
            case 3:
                // Dropped while it runs.
                _ = try driver.start(driver.prepare(variant, command: ["cat", "/dev/zero"]))
            case 4:
                let outcome = try driver.run(
                    driver.prepare(variant, command: ["sh", "-c", "cat /dev/zero & exit 3"]))
                #expect(outcome.ending == .ended(.exited(code: 3)), comment)
            default:
                let outcome = try driver.run(driver.prepare(variant))
                #expect(outcome.ending == .ended(.exited(code: 0)), comment)
            }
        }

        /// Waits for up to 6 ms.
        private static func pause(_ random: inout SeededRandom) throws {
            let timer = try LinuxKernel.Timer()
            try timer.start(.microseconds(Int.random(in: 1...6000, using: &random)))
            var interests = [Readiness.Interest(timer.descriptor.rawValue)]
            try Readiness.wait(for: &interests)
        }

        @Test(
            "`alcove` killed at any point leaves no process, and what it leaves goes with the next",
            .needs(.cc), arguments: [1, 2, 3] as [UInt64])
        func killedCommand(seed: UInt64) throws {
            var random = SeededRandom(seed: seed)
            let cgroups = try PrivateCgroups()
            let marker = "marker-\(getpid())-\(MonotonicClock.nanoseconds)"
            let mounts = try HostView.sandboxMounts()
            for round in 0..<12 {
                let child = try cgroups.start(
                    Sandboxed.words(
                        ["sh", "-c", "cat & echo ready; cat"], ["--env", "MARKER=\(marker)"]))
                try Self.pause(&random)
                if round % 4 == 0 { try child.waitForOutput("ready") }
                try child.send(signal: SIGKILL)
                let result = try child.finish()
                #expect(!result.outputHeldOpen, "seed \(seed), round \(round)")
            }
            for name in cgroups.sandboxes {
                let answer = try Probe.hostAnswer(
                    "await-empty", "\(cgroups.path)/alcove/\(name)")
                #expect(answer == "ok", "seed \(seed)")
            }
            #expect(HostView.processes(marked: marker) == [], "seed \(seed)")
            #expect(try cgroups.run(Sandboxed.words(["true"])).succeeded)
            #expect(cgroups.sandboxes == [], "seed \(seed)")
            #expect(try HostView.sandboxMounts() == mounts, "seed \(seed)")
        }

        @Test("commands that run at the same time do not disturb each other")
        func atOnce() throws {
            let cgroups = try PrivateCgroups()
            let script = """
                i=0
                while [ $i -lt 60 ]; do
                    "$@" & "$@" & "$@" & "$@" & wait
                    i=$((i + 4))
                done
                """
            let result = try cgroups.run(
                ["sh", "-c", script, "sh"] + Sandboxed.words(["echo", "done"]))
            #expect(result.output == String(repeating: "done\n", count: 60), "\(result)")
            #expect(result.errorOutput.isEmpty, "\(result)")
            #expect(cgroups.sandboxes == [])
        }

        /// The lock is what tells a cgroup in use from one that was left: between the making and
        /// the locking another command may take it for left.
        @Test(
            "a command whose cgroup is swept away before it holds it makes another",
            .needs(.strace))
        func swept() throws {
            let cgroups = try PrivateCgroups()
            let delayed = try cgroups.start(
                ["strace", "-f", "-o", "/dev/null", "-e", "trace=flock", "-e"]
                    + ["inject=flock:delay_enter=200000:when=1"]
                    + Sandboxed.words(["echo", "started"]))
            let other = try Sandboxed.words(["true"])
            for _ in 0..<30 { #expect(try cgroups.run(other).succeeded) }
            let result = try delayed.finish()
            #expect(result.output == "started\n" && result.errorOutput.isEmpty, "\(result)")
            #expect(cgroups.sandboxes == [])
        }
    }
}
