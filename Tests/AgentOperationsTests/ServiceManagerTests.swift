import Foundation
import LinuxKernel
import TestSupport
import Testing

@testable import AgentOperations

/// A service manager's socket, and what came to it.
final class NotifySocket {
    let address: UnixAddress
    private let socket: DatagramSocket

    init(_ address: UnixAddress) throws {
        self.address = address
        socket = try DatagramSocket()
        try socket.bind(to: address)
    }

    /// Every message that is there now.
    func messages() -> [String] {
        var messages: [String] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while case .bytes(let count) = UnixSockets.receive(
            socket.descriptor.rawValue, into: &buffer)
        {
            messages.append(String(decoding: buffer[..<count], as: UTF8.self))
        }
        return messages
    }

    var environment: String { "NOTIFY_SOCKET=\(address)" }
}

@Suite struct ServiceManagerTests {
    private static func uniqueName() -> String { "alcove-test-\(UUID().uuidString)" }

    @Test("messages reach a socket at a path and one with an abstract name", arguments: [0, 1])
    func addresses(kind: Int) throws {
        let folder = try TemporaryFolder()
        let socket = try NotifySocket(
            kind == 0 ? .path(folder.path("notify")) : .abstract(Self.uniqueName()))
        let manager = try ServiceManager(environment: [socket.environment], process: 1)
        #expect(manager.isPresent && manager.watchdogInterval == nil)
        #expect(try manager.tell(.ready))
        try manager.tell(.status("two\nlines\u{1B}"), .mainProcess(42))
        try manager.tell(.stopping, .extendTimeout(.milliseconds(2500)))
        try manager.tell(.failure(.permissionDenied), .watchdogTrigger)
        #expect(
            socket.messages() == [
                "READY=1", "STATUS=two lines \nMAINPID=42",
                "STOPPING=1\nEXTEND_TIMEOUT_USEC=2500000", "ERRNO=13\nWATCHDOG=trigger",
            ])
        try manager.tell(.reloading)
        let reload = try #require(socket.messages().first)
        let parts = reload.split(separator: "\n")
        #expect(parts.count == 2 && parts[0] == "RELOADING=1")
        #expect(parts[1].hasPrefix("MONOTONIC_USEC=") && Int(parts[1].dropFirst(15)) != nil)
    }

    @Test("without a service manager nothing is told, and that is no error")
    func absent() throws {
        for environment in [[], ["NOTIFY_SOCKET="]] as [[String]] {
            let manager = try ServiceManager(environment: environment, process: 1)
            #expect(!manager.isPresent)
            #expect(try !manager.tell(.ready))
        }
    }

    @Test("an address that is none is refused", arguments: ["relative", "@", "vsock:2:3"])
    func badAddress(_ text: String) {
        #expect(throws: ServiceError.self) {
            _ = try ServiceManager(environment: ["NOTIFY_SOCKET=\(text)"], process: 1)
        }
    }

    @Test("a service manager that is gone or does not read is an error of the call")
    func deaf() throws {
        let folder = try TemporaryFolder()
        let gone = try ServiceManager(
            environment: ["NOTIFY_SOCKET=\(folder.path("none"))"], process: 1)
        let error = #expect(throws: SystemCallError.self) { try gone.tell(.ready) }
        #expect(error?.errorNumber == .noEntry)

        let socket = try NotifySocket(.path(folder.path("full")))
        let manager = try ServiceManager(environment: [socket.environment], process: 1)
        var sent = 0
        let full = #expect(throws: SystemCallError.self) {
            while sent < 1_000_000 {
                try manager.tell(.watchdog)
                sent += 1
            }
        }
        #expect(full?.errorNumber == .wouldBlock && sent > 0)
        #expect(socket.messages().count == sent)
    }

    @Test(
        "the watchdog is meant for the process that it names",
        arguments: [
            (["WATCHDOG_USEC=3000000"], Duration.seconds(3)),
            (["WATCHDOG_USEC=3000000", "WATCHDOG_PID=7"], .seconds(3)),
            (["WATCHDOG_USEC=3000000", "WATCHDOG_PID=8"], nil),
            (["WATCHDOG_USEC="], nil), ([], nil),
        ] as [([String], Duration?)])
    func watchdog(_ environment: [String], _ expected: Duration?) throws {
        let manager = try ServiceManager(environment: environment, process: 7)
        #expect(manager.watchdogInterval == expected)
    }

    @Test("a watchdog's time that is none is refused", arguments: ["0", "-1", "2s"])
    func badWatchdog(_ text: String) {
        #expect(throws: ServiceError.self) {
            _ = try ServiceManager(environment: ["WATCHDOG_USEC=\(text)"], process: 7)
        }
    }

    @Test("it sends what systemd's own tool sends", .needs(.systemdNotify))
    func sameAsSystemd() throws {
        let folder = try TemporaryFolder()
        let socket = try NotifySocket(.path(folder.path("notify")))
        // It waits for the manager to have read all, unless it is told not to.
        let result = try run(
            "systemd-notify", arguments: ["--no-block", "--ready", "--status=hello there"],
            environment: ["NOTIFY_SOCKET": "\(socket.address)"])
        #expect(result.succeeded, "\(result)")
        let manager = try ServiceManager(environment: [socket.environment], process: 1)
        try manager.tell(.ready, .status("hello there"))
        let messages = socket.messages()
        #expect(messages.count == 2 && messages[0] == messages[1], "\(messages)")
    }

    @Test("a program takes over what it was given, and no child would get it again")
    func adoption() throws {
        let folder = try TemporaryFolder()
        let socket = try NotifySocket(.path(folder.path("notify")))
        let result = try run(
            try Products.toolPath("OperatedProgram"), arguments: ["adopt"],
            environment: [
                "NOTIFY_SOCKET": "\(socket.address)", "WATCHDOG_USEC": "500000", "OTHER": "1",
                "LISTEN_FDS": "1", "LISTEN_PID": "1",
            ])
        // Its sockets are meant for another process, and stay closed to it.
        #expect(result.output == "manager true\nwatchdog 0.5 seconds\nleft []\n", "\(result)")
        let messages = socket.messages()
        try #require(messages.count == 4)
        #expect(messages[0].hasPrefix("READY=1\nSTATUS=adopted\nMAINPID="))
        #expect(messages[1] == "WATCHDOG=1" && messages[3] == "STOPPING=1")
    }
}
