import Jail
import LinuxKernel
import SandboxModel
import TestSupport
import Testing

extension SandboxTests {
    /// Each step of each plan fails once. The outcome names the step, and nothing is left.
    @Suite struct InjectedFailures {
        @Test("a step that fails is named with its error, and leaves nothing: writable")
        func writable() async {
            await #expect(processExitsWith: .success) { try Self.failEachStep(of: .writable) }
        }

        @Test("a step that fails is named with its error, and leaves nothing: read-only")
        func readOnly() async {
            await #expect(processExitsWith: .success) { try Self.failEachStep(of: .readOnly) }
        }

        @Test(
            "a step that fails is named with its error, and leaves nothing: user namespace",
            .needs(.userNamespaces))
        func userNamespace() async {
            await #expect(processExitsWith: .success) { try Self.failEachStep(of: .userNamespace) }
        }

        @Test("a step that fails is named with its error, and leaves nothing: terminal")
        func terminal() async {
            await #expect(processExitsWith: .success) { try Self.failEachStep(of: .terminal) }
        }

        @Test("a step that fails is named with its error, and leaves nothing: pooled network")
        func pooled() async {
            await #expect(processExitsWith: .success) { try Self.failEachStep(of: .pooled) }
        }

        private static func failEachStep(of variant: Variant) throws {
            let driver = try JailDriver()
            let plan = try driver.prepare(variant).plan
            #expect(try driver.run(driver.prepare(variant)).ending == .ended(.exited(code: 0)))
            let before = try driver.belongings()
            var failed = 0
            for (index, step) in plan.steps.enumerated() where step.performer == .child {
                // EPERM, EIO, ENOMEM, EINTR in turn: none may be taken for something else.
                let error = ErrorNumber(rawValue: [1, 5, 12, 4][index % 4])
                let outcome = try driver.run(
                    driver.prepare(variant, failing: .init(step: index, error: error)))
                #expect(
                    outcome.ending
                        == .failed(
                            SandboxError(
                                .setUpFailed, "\(step): \(error)",
                                hint: "step \(index + 1) of the plan, call `injected failure`")),
                    "\(variant.rawValue), step \(index + 1)")
                #expect(outcome.exitCode == 71)
                // The timeline ends before the step that failed.
                #expect(!outcome.timeline.contains { $0.what == "\(step)" })
                try driver.expectUnchanged(since: before, "\(variant.rawValue), \(step)")
                failed += 1
            }
            #expect(failed >= 25)
        }

        @Test("a failure reads like the step and the C library's words")
        func words() async {
            await #expect(processExitsWith: .success) {
                let driver = try JailDriver()
                let plan = try driver.prepare(.readOnly).plan
                let index = try #require(plan.steps.firstIndex(of: .mountProc))
                let outcome = try driver.run(
                    driver.prepare(
                        .readOnly, failing: .init(step: index, error: .notPermitted)))
                guard case .failed(let error) = outcome.ending else {
                    Issue.record("\(outcome.ending)")
                    return
                }
                #expect(error.message == "mount `/proc`: Operation not permitted")
            }
        }

        @Test("an identity that the kernel does not map fails at its step", .needs(.userNamespaces))
        func overlappingMaps() async {
            await #expect(processExitsWith: .success) {
                let driver = try JailDriver()
                let sandbox = try driver.prepare(.userNamespace) {
                    $0.identityMaps.append(.init(inside: 5, outside: 5, count: 1))
                }
                let before = try driver.belongings()
                do throws(SandboxError) {
                    _ = try driver.start(sandbox)
                    Issue.record("it started")
                } catch {
                    let begins = error.message.hasPrefix("write identity maps: write `/proc/")
                    let ends = error.message.hasSuffix("/uid_map`: Invalid argument")
                    #expect(error.code == .setUpFailed && begins && ends, "\(error)")
                }
                try driver.expectUnchanged(since: before, "after a map was refused")
            }
        }

        @Test(
            "too few descriptors fail the host's own steps in words, and nothing is left",
            arguments: Array(4..<26 as Range<Int>))
        func fewDescriptors(count: Int) throws {
            let cgroups = try PrivateCgroups()
            let words = try Sandboxed.words(["true"])
            let result = try cgroups.run(
                ["sh", "-c", "ulimit -n \(count) && exec \"$@\"", "sh"] + words)
            if result.ending == .exited(code: 0) {
                #expect(count > 11 && result.errorOutput.isEmpty, "\(result)")
            } else {
                let lines = result.errorOutput.split(separator: "\n")
                #expect(lines.count == 1 && lines[0].hasPrefix("alcove: "), "\(result)")
                #expect([66, 71, 80].contains(result.code), "\(result)")
            }
            #expect(cgroups.sandboxes == [])
        }

        /// As it says of a path with `..` when it cannot tell whether that leads out.
        @Test(
            "what the kernel cannot resolve while others mount is asked for again", .needs(.strace))
        func unresolved() throws {
            let words = ["-f", "-o", "/dev/null", "-e", "trace=openat2"]
            let result = try run(
                "strace",
                arguments: words + ["-e", "inject=openat2:error=EAGAIN:when=1..3"]
                    + Sandboxed.words(["pwd"], ["--workdir", "/tmp"]))
            #expect(result.output == "/tmp\n" && result.errorOutput.isEmpty, "\(result)")
        }
    }
}
