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
            let sandbox = try driver.shell("sleep 1000 & echo ready; wait; exit 3")
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
            let sandbox = try driver.start(prepared, in: try driver.newFolder())
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

        @Test("a command that cannot be executed is told to the starter and to who adopts")
        func notExecutable() throws {
            let image = try TestImage()
            try image.folder.write("image/bin/broken", "#!/no/such/shell\n", permissions: 0o755)
            let driver = try LastingDriver(image: image.path)
            let sandbox = try driver.start(["broken"])
            try sandbox.untilStarted()
            guard case .failed(let error) = sandbox.progress else {
                Issue.record("\(sandbox.progress)")
                return
            }
            #expect(error.code == .commandNotExecutable)
            #expect(try sandbox.untilOver().ending == .failed(error))
            #expect(try driver.outcomeByAdoption(sandbox).ending == .failed(error))
        }

        @Test("what never was is not found, and what is left of it goes")
        func neverStarted() throws {
            let folder = try driver.newFolder()
            func adopt() throws -> LastingSandbox.Adoption {
                try LastingSandbox.adopt(
                    driver.spec(["true"]), limits: [], folder: folder, cgroup: "left",
                    on: driver.host)
            }
            func isNothing(_ adoption: LastingSandbox.Adoption) -> Bool {
                guard case .neverStarted = adoption else { return false }
                return true
            }
            #expect(isNothing(try adopt()))
            let path = try #require(driver.host.cgroupPath)
            try Files.makeDirectory(path + "/left", permissions: 0o755)
            #expect(isNothing(try adopt()))
            #expect(driver.cgroups == [])
        }

        @Test("one whose alcove-init was killed counts as killed; without a cgroup it is lost")
        func killed() throws {
            let sandbox = try driver.shell("sleep 1000 & echo ready; wait")
            try sandbox.untilLogged("ready")
            kill(sandbox.pid, SIGKILL)
            // As often as it is asked for, while the cgroup is there.
            try ProcessHandle(sandbox.pid).untilOver()
            for removes in [false, false, true] {
                #expect(driver.cgroups == [sandbox.cgroupName])
                guard
                    case .ended(let outcome) = try LastingSandbox.adopt(
                        sandbox.spec, limits: [], folder: sandbox.folder,
                        cgroup: sandbox.cgroupName, on: driver.host, removesCgroup: removes)
                else {
                    Issue.record("it still runs")
                    return
                }
                #expect(outcome.ending == .ended(.signaled(number: 9, name: "SIGKILL")))
            }
            #expect(driver.cgroups == [])
            guard case .failed(let error) = try driver.outcomeByAdoption(sandbox).ending else {
                Issue.record("it is not lost")
                return
            }
            #expect(error.message.contains("lost"))
        }

        @Test("a denied call is known after adoption, whether a command or the workload made it")
        func denied() throws {
            let other = try driver.shell("sleep 1000 & echo ready; wait")
            try other.untilLogged("ready")
            let run = ExecRun(try other.execute(.init(command: ["probe", "call", "mount"])))
            #expect(try run.untilOver() == .ended(.signaled(number: 9, name: "SIGKILL")))
            try other.send(.terminate)
            _ = try other.untilOver()
            let outcome = try driver.outcomeByAdoption(other)
            guard case .denied(let call, _, _) = outcome.ending else {
                Issue.record("\(outcome)")
                return
            }
            #expect(call == "mount")
        }

        @Test("it is frozen, adopted frozen, and goes on")
        func frozen() throws {
            let sandbox = try driver.shell(
                "trap 'echo signal; exit 0' TERM; sleep 1000 & echo ready; while :; do wait; done")
            try sandbox.untilLogged("ready")
            let events = try sandbox.openEvents()
            try sandbox.setFrozen(true)
            try untilFrozen(sandbox, events, true)
            let adopted = try driver.adoptRunning(sandbox)
            #expect(adopted.isFrozen)
            // Asked for now, taken up later.
            let run = ExecRun(try adopted.execute(.init(command: ["echo", "thawed"])))
            #expect(run.session.takeEvent() == nil)
            try adopted.setFrozen(false)
            #expect(try run.untilOver() == .ended(.exited(code: 0)))
            #expect(run.text == "thawed\n" && !adopted.isFrozen)
            try adopted.setFrozen(true)
            try adopted.kill()
            let ending = try adopted.untilOver().ending
            #expect(ending == .ended(.signaled(number: 9, name: "SIGKILL")))
        }

        private func untilFrozen(
            _ sandbox: LastingSandbox, _ events: borrowing Descriptor, _ frozen: Bool
        ) throws {
            let poll = try EventPoll()
            try poll.add(events.rawValue, [], token: 1)
            var batch = EventPoll.Batch(capacity: 1)
            while true {
                // Each reading asks for the next change.
                _ = try events.read(atMost: 256, at: 0)
                if sandbox.isFrozen == frozen { return }
                try poll.wait(into: &batch)
            }
        }

        @Test("signals of all kinds reach the workload, SIGKILL too")
        func signals() throws {
            let sandbox = try driver.shell(
                "trap 'echo user' USR1; sleep 1000 & echo ready; while :; do wait; done")
            try sandbox.untilLogged("ready")
            try sandbox.send(.user1)
            try sandbox.untilLogged("user")
            try sandbox.send(.kill)
            let ending = try sandbox.untilOver().ending
            #expect(ending == .ended(.signaled(number: 9, name: "SIGKILL")))
            // The report tells it, which only alcove-init can have written.
            #expect(try driver.outcomeByAdoption(sandbox).ending == ending)
            try sandbox.send(.terminate)
        }

        @Test(
            "every kind of sandbox lasts, runs commands and has terminals",
            arguments: Variant.allCases.filter { $0 != .userNamespace })
        func variants(variant: Variant) throws { try lives(variant) }

        @Test("a sandbox with a user namespace lasts, too", .needs(.userNamespaces))
        func userNamespace() throws { try lives(.userNamespace) }

        private func lives(_ variant: Variant) throws {
            var spec = variant.spec(
                image: driver.image, command: ["sh", "-c", "sleep 1000 & echo ready; wait"])
            let networks = variant == .pooled ? try NetworkNamespace.make(count: 1) : []
            spec.hostname = "lasting"
            let prepared = try PreparedSandbox(
                spec, image: .open(driver.image), on: driver.host, network: variant.network,
                lasting: Lasting(logBytes: 1 << 20))
            let sandbox = try driver.start(
                prepared, in: try driver.newFolder(), network: networks.first?.descriptor)
            try sandbox.untilLogged("ready")
            for terminal in [nil, LinuxKernel.Terminal.Size(rows: 5, columns: 6)] {
                let request = ExecRequest(
                    command: ["sh", "-c", "id -u; hostname; exit 4"], terminal: terminal)
                let run = ExecRun(try driver.adoptRunning(sandbox).execute(request))
                #expect(try run.untilOver() == .ended(.exited(code: 4)))
                let end = terminal == nil ? "\n" : "\r\n"
                #expect(run.text == "\(spec.user.user)\(end)lasting\(end)", "\(run.errorText)")
            }
            try sandbox.send(.terminate)
            let ending = try sandbox.untilOver().ending
            #expect(ending == .ended(.signaled(number: 15, name: "SIGTERM")))
        }

        @Test("what it uses is measured")
        func statistics() throws {
            let sandbox = try driver.shell(
                "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; sleep 1000 & echo ready; wait")
            try sandbox.untilLogged("ready")
            let before = RealClock.nanoseconds
            let statistics = sandbox.statistics()
            #expect(statistics.atNanoseconds >= before)
            let cpu = try #require(statistics.cpu)
            #expect(cpu.userMicroseconds + cpu.systemMicroseconds > 0)
            #expect(statistics.pids?.current == 3)
            #expect(statistics.network == SandboxStatistics.Network())
            let has = driver.host.hierarchy.controllers
            #expect((statistics.memory != nil) == has.contains("memory"))
            let outcome: SandboxOutcome = try {
                try sandbox.send(.kill)
                return try sandbox.untilOver()
            }()
            let total = outcome.usage.userMicroseconds + outcome.usage.systemMicroseconds
            #expect(total >= cpu.userMicroseconds + cpu.systemMicroseconds)
        }

        @Test("limits change where the node can, and are refused where it cannot")
        func limits() throws {
            let sandbox = try driver.shell("sleep 1000 & echo ready; wait")
            try sandbox.untilLogged("ready")
            var limits = Limits()
            limits.pids = 40
            guard driver.host.hierarchy.controllers.contains("pids") else {
                #expect(throws: SandboxError.self) { try sandbox.update(limits, policy: .strict) }
                #expect(sandbox.spec.limits.pids == nil)
                let statuses = try sandbox.update(limits, policy: .bestEffort)
                #expect(statuses.map(\.holds) == [false] && sandbox.spec.limits.pids == 40)
                return
            }
            #expect(try sandbox.update(limits, policy: .strict).map(\.holds) == [true])
            #expect(sandbox.statistics().pids?.limit == 40)
        }

        @Test("100 lives of all kinds leave no descriptor, cgroup, process or file")
        func nothingLeft() async {
            await #expect(processExitsWith: .success) {
                let driver = try LastingDriver()
                try Self.live(with: driver, 1)
                let before = Host.openDescriptors
                for round in 0..<100 { try Self.live(with: driver, round) }
                #expect(Host.openDescriptors == before)
                #expect(driver.cgroups == [])
                #expect(try DirectoryListing.names(in: driver.folder.path) == [])
                #expect(try Files.read("/proc/thread-self/children").isEmpty)
            }
        }

        private static func live(with driver: LastingDriver, _ round: Int) throws {
            let sandbox = try driver.shell(
                round % 3 == 0 ? "exit 1" : "sleep 1000 & echo ready; wait")
            if round % 3 != 0 {
                try sandbox.untilLogged("ready")
                let run = try sandbox.run("cat")
                try run.untilStarted()
                if round % 2 == 0 { run.endInput() }
                if round % 4 == 0 { _ = try run.untilOver() }
                try sandbox.kill()
            }
            _ = try sandbox.untilOver()
            try sandbox.folder.remove()
            driver.forgetEnded()
        }
    }
}
