import Foundation
import Jail
import LinuxKernel
import SandboxModel
import TestSupport
import Testing

extension SandboxTests {
    @Suite("The starter of a lasting sandbox is killed") struct StarterKilledTests {
        private let driver: LastingDriver

        init() throws { driver = try LastingDriver() }

        /// What another process needs to start a sandbox in the place of this one's driver.
        fileprivate struct Place: Codable, Sendable {
            let cgroupParent: String
            let folder: String
            let image: String
            let marker: String

            func start(_ script: String) throws -> LastingSandbox {
                let host = try SandboxHost(
                    initProgram: InitProgram.path(), limits: [], cgroupParent: cgroupParent)
                let prepared = try PreparedSandbox(
                    spec(script), image: .open(image), on: host,
                    lasting: Lasting(logBytes: 1 << 20))
                return try prepared.startLasting(in: SandboxFolder(folder), cgroup: "orphan")
            }

            func spec(_ script: String) -> SandboxSpec {
                var spec = SandboxSpec(image: image, command: ["sh", "-c", script])
                spec.environment.append("MARKER=\(marker)")
                return spec
            }
        }

        private func newPlace() throws -> Place {
            Place(
                cgroupParent: try #require(driver.host.cgroupPath?.split(separator: "/").last)
                    .description, folder: try driver.newFolder().path, image: driver.image,
                marker: "marker-\(UUID().uuidString)")
        }

        private func adopt(_ place: Place, _ script: String) throws -> LastingSandbox.Adoption {
            try LastingSandbox.adopt(
                place.spec(script), limits: [], folder: SandboxFolder(place.folder),
                cgroup: "orphan", on: driver.host)
        }

        fileprivate static let long =
            "echo before; read x < /tmp/go; echo after; echo error >&2; exit 42"

        @Test("output before and after, commands and the result are there")
        func goesOn() async throws {
            let place = try newPlace()
            await #expect(processExitsWith: .signal(SIGKILL)) { [place = place as Place] in
                let sandbox = try place.start("mkfifo /tmp/go; " + Self.long)
                try sandbox.untilLogged("before")
                kill(getpid(), SIGKILL)
            }
            guard case .running(let sandbox) = try adopt(place, Self.long) else {
                Issue.record("it does not run")
                return
            }
            let run = try sandbox.run("echo told; echo > /tmp/go")
            try run.until(output: "told\n")
            #expect(try sandbox.untilOver().ending == .ended(.exited(code: 42)))
            #expect(try sandbox.logLines().sorted() == [">error", "after", "before"])
            try expectNothingLeft(place)
        }

        @Test("its result is there when it ended while nobody looked")
        func endsAlone() async throws {
            let place = try newPlace()
            await #expect(processExitsWith: .signal(SIGKILL)) { [place = place as Place] in
                _ = try place.start("echo done; exit 9")
                kill(getpid(), SIGKILL)
            }
            switch try adopt(place, "") {
            case .running(let sandbox):
                #expect(try sandbox.untilOver().ending == .ended(.exited(code: 9)))
            case .ended(let outcome): #expect(outcome.ending == .ended(.exited(code: 9)))
            case .neverStarted: Issue.record("it was started")
            }
            let reader = try LogReader(SandboxFolder(place.folder))
            #expect(reader.next()?.data == Array("done\n".utf8))
            try expectNothingLeft(place)
        }

        @Test(
            "killed at any point of a start, the sandbox is found or is not there",
            arguments: 0..<24 as Range<UInt64>)
        func atAnyPoint(seed: UInt64) async throws {
            var random = SeededRandom(seed: seed)
            let place = try newPlace()
            let delay = Int.random(in: 1...3000, using: &random)
            await #expect(processExitsWith: .signal(SIGALRM)) {
                [place = place as Place, delay = delay as Int] in
                let host = try SandboxHost(
                    initProgram: InitProgram.path(), limits: [], cgroupParent: place.cgroupParent)
                let prepared = try PreparedSandbox(
                    place.spec("sleep 1000"), image: .open(place.image), on: host,
                    lasting: Lasting(logBytes: 1 << 20))
                // Nothing handles it: the process dies as by SIGKILL.
                ualarm(UInt32(delay), 0)
                let sandbox = try prepared.startLasting(
                    in: SandboxFolder(place.folder), cgroup: "orphan")
                _ = sandbox
                while true { pause() }
            }
            let comment: Comment = "seed \(seed), after \(delay) µs"
            switch try adopt(place, "sleep 1000") {
            case .running(let sandbox):
                try sandbox.untilStarted()
                guard case .started = sandbox.progress else {
                    Issue.record("\(sandbox.progress), \(comment)")
                    return
                }
                try sandbox.send(.terminate)
                let ending = try sandbox.untilOver().ending
                #expect(ending == .ended(.signaled(number: 15, name: "SIGTERM")), comment)
            case .ended(let outcome): Issue.record("\(outcome), \(comment)")
            case .neverStarted: break
            }
            try expectNothingLeft(place)
        }

        private func expectNothingLeft(_ place: Place) throws {
            #expect(driver.cgroups == [])
            #expect(HostView.processes(marked: place.marker) == [])
            try SandboxFolder(place.folder).remove()
            #expect(!FileManager.default.fileExists(atPath: place.folder))
        }
    }
}
