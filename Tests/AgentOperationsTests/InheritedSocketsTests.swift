import Foundation
import LinuxKernel
import TestSupport
import Testing

@testable import AgentOperations

@Suite struct InheritedSocketsTests {
    private static func environment(_ count: Int, _ names: String?, pid: Int = 7) -> [String] {
        ["LISTEN_FDS=\(count)", "LISTEN_PID=\(pid)"]
            + (names.map { ["LISTEN_FDNAMES=\($0)"] } ?? [])
    }

    @Test("nothing is taken from an environment that is not meant for this process")
    func notMeant() throws {
        for environment in [[], ["LISTEN_FDS=1"], Self.environment(1, "agent", pid: 8)] {
            let sockets = try InheritedSockets(
                environment: environment, process: 7, first: 100_000)
            let number = sockets.agent.number
            #expect(number == -1)
        }
        let none = try InheritedSockets(environment: Self.environment(0, ""), process: 7)
        let number = none.agent.number
        #expect(number == -1)
    }

    @Test(
        "what does not fit together is refused",
        arguments: [
            (["LISTEN_FDS=x", "LISTEN_PID=7"], "LISTEN_FDS is no number of sockets: `x`"),
            (["LISTEN_FDS=-1", "LISTEN_PID=7"], "LISTEN_FDS is no number of sockets: `-1`"),
            (["LISTEN_FDS=17", "LISTEN_PID=7"], "LISTEN_FDS is no number of sockets: `17`"),
            (
                ["LISTEN_FDS=2", "LISTEN_PID=7", "LISTEN_FDNAMES=agent"],
                "LISTEN_FDNAMES has 1 names for 2 sockets"
            ),
            (
                ["LISTEN_FDS=1", "LISTEN_PID=7", "LISTEN_FDNAMES=agent"],
                "fcntl: Bad file descriptor"
            ),
        ])
    func refused(_ environment: [String], _ message: String) {
        // No process has so many descriptors.
        let error = #expect(throws: (any Error).self) {
            _ = try InheritedSockets(environment: environment, process: 7, first: 1 << 30)
        }
        #expect(error.map { "\($0)" } == message)
    }

    @Test(
        "sockets come by their names, close-on-exec, from systemd's own tool",
        .needs(.systemdSocketActivate, .python3))
    func activation() throws {
        let folder = try TemporaryFolder()
        let paths = ["a", "b", "c"].map(folder.path)
        let program = try Products.toolPath("OperatedProgram")
        let manager = try ChildProcess(
            "systemd-socket-activate",
            arguments: paths.flatMap { ["--listen", $0] }
                + ["--fdname", "metrics:agent:monitor", program, "adopt"])
        // It says so once it listens on all, and executes the program at the first connection.
        try manager.waitForErrorOutput("Listening on \(paths[2])")
        let socket = try UnixSockets.make()
        try UnixSockets.connect(socket, to: paths[1])
        let result = try manager.finish()
        #expect(
            result.output == """
                manager false
                watchdog none
                agent 4 listening true
                monitor 5 listening true
                metrics 3 listening true
                left []

                """, "\(result)")
    }

    @Test(
        "an unnamed socket is the agent's, a foreign name or a second one is refused",
        .needs(.systemdSocketActivate),
        arguments: [
            ([], 1, "agent 3 listening true"), (["--fdname", "alcoved.socket"], 1, "agent 3"),
            (["--fdname", "http"], 1, "the service manager passes a socket `http`"),
            (["--fdname", "agent:agent"], 2, "the service manager passes two sockets `agent`"),
        ] as [([String], Int, String)])
    func names(_ arguments: [String], _ count: Int, _ expected: String) throws {
        let folder = try TemporaryFolder()
        let paths = (0..<count).map { folder.path("s\($0)") }
        let manager = try ChildProcess(
            "systemd-socket-activate",
            arguments: paths.flatMap { ["--listen", $0] } + arguments
                + [try Products.toolPath("OperatedProgram"), "adopt"])
        try manager.waitForErrorOutput("Listening on \(paths[count - 1])")
        let socket = try UnixSockets.make()
        try UnixSockets.connect(socket, to: paths[0])
        let result = try manager.finish()
        #expect(result.output.contains(expected), "\(result)")
    }
}
