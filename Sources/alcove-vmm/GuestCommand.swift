internal import CInitProtocol
internal import Console
internal import GuestLink
internal import LinuxKernel

/// The command line of `alcove-vmm exec`.
enum ExecFlags {
    static let command = Command(
        "exec", of: "alcove-vmm", summary: "run a further command in a guest",
        flags: [
            Flag(
                "sockets", value: "PATH", default: "/run/sockets",
                help: "where the monitor passes connections on")
        ] + RunFlags.process, trailing: .command)
}

/// Runs a command in the guest of another monitor.
final class GuestCommand {
    private let loop: EventLoop
    private var session: GuestSession?
    private var end: GuestSession.End?

    static func run(_ parsed: ParsedCommand) throws -> Int32 {
        let path = parsed.string("sockets") ?? ""
        let connection = try GuestPort.connect(to: UInt32(ALCOVE_GUEST_COMMAND_PORT), by: path)
        let terminal = parsed.isOn("terminal") ? RawTerminal() : nil
        let command = GuestCommand(try EventLoop(named: "exec"))
        let end = try command.perform(
            try RunFlags.start(parsed), over: connection, withTerminal: terminal != nil)
        terminal?.restore()
        return code(of: end)
    }

    private init(_ loop: EventLoop) {
        self.loop = loop
    }

    private func perform(
        _ request: GuestStart, over connection: consuming Descriptor, withTerminal: Bool
    ) throws -> GuestSession.End? {
        var start = request
        if withTerminal {
            start.terminal = GuestProcess.terminalSize
        }
        let session = GuestSession(
            connection, on: loop,
            streams: GuestSession.Streams(
                input: start.hasInput ? 0 : nil, output: 1, error: 2))
        session.onEnd = { [weak self] in self?.end = $0 }
        let signals = SignalRelay(loop) {
            GuestProcess.pass($0, to: session, hasTerminal: withTerminal)
        }
        try signals.begin()
        try session.begin()
        try session.start(start)
        loop.runOnThisThread { self.end != nil }
        return end
    }

    private static func code(of end: GuestSession.End?) -> Int32 {
        switch end {
        case .process(.exited(let code)): return code
        case .process(.signaled(let signal, _, _)): return GuestProcess.end(by: signal)
        case .process(.failed(let error, let stage)):
            return GuestProcess.complain(of: error, at: stage)
        case .process(.refused):
            Complaint.tell("too many commands run in the guest")
            return Complaint.failed
        case .lost, .none:
            Complaint.tell("the guest is gone")
            return Complaint.failed
        case .fault(let fault):
            Complaint.tell("the guest said \(fault)")
            return Complaint.failed
        }
    }
}

/// Reaches a port of a guest by the socket of its monitor.
enum GuestPort {
    static func connect(to port: UInt32, by path: String) throws -> Descriptor {
        let socket = try UnixSockets.make()
        try UnixSockets.connect(socket, to: path)
        try socket.writeAll(Array("CONNECT \(port)\n".utf8))
        var answer: [UInt8] = []
        while answer.last != 0x0a {
            var interests = [Readiness.Interest(socket.rawValue)]
            try Readiness.wait(for: &interests)
            // One by one: what follows the line is the guest's.
            var byte: [UInt8] = [0]
            switch UnixSockets.receive(socket.rawValue, into: &byte) {
            case .bytes(1) where answer.count < 64: answer += byte
            case .wouldBlock: continue
            default: throw GuestPortError(path: path, port: port)
            }
        }
        guard answer.starts(with: Array("OK ".utf8)) else {
            throw GuestPortError(path: path, port: port)
        }
        return socket
    }
}

struct GuestPortError: Error, CustomStringConvertible {
    let path: String
    let port: UInt32

    var description: String { "`\(path)`: nobody listens on port \(port) of the guest" }
}
