import Foundation
import Jail
import LinuxKernel
import SandboxModel
import TestSupport
import Testing

extension SandboxTests {
    @Suite("Lasting sandboxes") struct LastingTests {
        private let driver: LastingDriver

        init() throws { driver = try LastingDriver() }

        @Test("output and result are kept, and the cgroup goes")
        func result() throws {
            let sandbox = try driver.shell("echo one; echo two >&2; printf three; exit 7")
            try sandbox.untilStarted()
            guard case .started = sandbox.progress else {
                Issue.record("\(sandbox.progress)")
                return
            }
            #expect(sandbox.timeline.contains { $0.what == "workload started" })
            let outcome = try sandbox.untilOver()
            #expect(outcome.ending == .ended(.exited(code: 7)))
            let lines = try sandbox.logLines()
            #expect(lines.sorted() == [">two", "one", "three"])
            #expect(driver.cgroups == [])
        }

        @Test("an adopted sandbox goes on, and its result is found")
        func adopted() throws {
            let sandbox = try driver.shell("echo ready; sleep 1000 & wait; exit 3")
            try sandbox.untilLogged("ready")
            let adopted = try driver.adoptRunning(sandbox)
            #expect(adopted.pid == sandbox.pid)
            guard case .started = adopted.progress else {
                Issue.record("\(adopted.progress)")
                return
            }
            #expect(adopted.reportDescriptor == nil)
            try adopted.send(.terminate)
            let outcome = try adopted.untilOver()
            #expect(outcome.ending == .ended(.signaled(number: 15, name: "SIGTERM")))
            guard case .ended(let again) = try driver.adopt(sandbox) else {
                Issue.record("not found again")
                return
            }
            #expect(again.ending == outcome.ending)
        }

        @Test("a set-up that fails is told to the starter and to who adopts")
        func failure() throws {
            let prepared = try PreparedSandbox(
                driver.spec(["true"]), image: .open(driver.image), on: driver.host,
                lasting: Lasting(logBytes: 1 << 20), failing: .init(step: 8, error: .invalid))
            let folder = try driver.newFolder()
            let sandbox = try prepared.startLasting(in: folder, cgroup: "failing")
            try sandbox.untilStarted()
            guard case .failed(let error) = sandbox.progress else {
                Issue.record("\(sandbox.progress)")
                return
            }
            #expect(error.code == .setUpFailed)
            let outcome = try driver.outcomeByAdoption(sandbox)
            guard case .failed = outcome.ending else {
                Issue.record("\(outcome)")
                return
            }
            #expect(driver.cgroups == [])
        }
    }
}
