import Foundation
import GuestMemory
import LinuxKernel
import TestSupport
import Testing
import Virtio

private typealias Operation = GuestPacket.Operation

/// A folder for sockets, gone at the end.
private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
        "alcove-sockets-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder.path)
}

@Suite struct SocketHostTests {
    private func guest(
        _ folder: String, change: (inout SocketDevice.Settings) -> Void = { _ in }
    ) throws -> GuestSockets {
        var settings = SocketDevice.Settings()
        settings.listener = try ListeningSocket(path: folder + "/v.sock")
        settings.path = folder + "/v.sock"
        change(&settings)
        return try GuestSockets(SocketDevice(cid: 3, settings))
    }

    private func program(_ folder: String) throws -> HostEnd {
        let socket = try UnixSockets.make()
        try UnixSockets.connect(socket, to: folder + "/v.sock")
        return HostEnd(socket)
    }

    /// What is read until it ends with a newline, or ends.
    private func line(_ program: HostEnd, _ guest: GuestSockets) throws -> String {
        let watch = try guest.driver.loop.watch(program.number, for: .readable) { _ in }
        defer { watch.cancel() }
        var bytes: [UInt8] = []
        try guest.run {
            bytes += program.read()
            return program.hasEnded || bytes.last == UInt8(ascii: "\n")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test("a program says to which port, is told its own, and what it had written is not lost")
    func connect() throws {
        try withFolder { folder in
            let guest = try guest(folder)
            let program = try program(folder)
            #expect(program.write(Array("CONNECT 52\nhello".utf8)) == 16)
            let stream = try guest.accept()
            #expect(stream.port == 52 && stream.hostPort >= 1 << 30)
            stream.reads = false
            #expect(try line(program, guest) == "OK \(stream.hostPort)\n")
            try guest.run { stream.unread.count == 5 }
            #expect(stream.unread == Array("hello".utf8))
            #expect(try stream.write([1]) == 1)
            #expect(program.read() == [1])
        }
    }

    @Test("the line may come in pieces")
    func pieces() throws {
        try withFolder { folder in
            let guest = try guest(folder)
            let program = try program(folder)
            for byte in Array("CONNECT 4294967295\n".utf8) {
                #expect(program.write([byte]) == 1)
                var turns = 0
                try guest.run {
                    turns += 1
                    return turns > 1
                }
            }
            let stream = try guest.accept()
            #expect(stream.port == 4_294_967_295)
            #expect(try line(program, guest) == "OK \(stream.hostPort)\n")
        }
    }

    @Test(
        "a line that says nothing known closes the connection",
        arguments: [
            "connect 5\n", "CONNECT \n", "CONNECT x\n", "CONNECT 5 \n", "CONNECT -5\n", "\n",
            "CONNECT 4294967296\n", "CONNECT 0000000000000000000000000000005\n", "CONNECT +5\n",
            "CONNECT 5\r\n", "CONNECT5\n",
        ])
    func badLines(text: String) throws {
        try withFolder { folder in
            let guest = try guest(folder)
            let program = try program(folder)
            #expect(program.write(Array(text.utf8)) == text.utf8.count)
            #expect(try line(program, guest) == "")
            #expect(guest.inbox.isEmpty && guest.connections == 0)
            #expect(guest.counters.refused == 1)
        }
    }

    @Test("a guest that refuses closes the program's connection without a line")
    func refused() throws {
        try withFolder { folder in
            let guest = try guest(folder)
            let program = try program(folder)
            #expect(program.write(Array("CONNECT 52\n".utf8)) == 11)
            let request = try guest.next()
            try guest.send(GuestPacket(52, request.sourcePort, Operation.reset))
            #expect(try line(program, guest) == "")
        }
    }

    @Test("a program that says nothing is not waited for, nor is one beyond the limit")
    func silent() throws {
        try withFolder { folder in
            let guest = try guest(folder) { $0.connectTimeout = .nanoseconds(1) }
            #expect(try line(try program(folder), guest) == "")
        }
        try withFolder { folder in
            let guest = try guest(folder) { $0.mostConnections = 0 }
            #expect(try line(try program(folder), guest) == "")
        }
    }

    @Test("programs that go away while they are greeted or asked for leave nothing")
    func vanish() throws {
        try withFolder { folder in
            let guest = try guest(folder)
            let first = try program(folder)
            let second = try program(folder)
            #expect(second.write(Array("CONNECT 52\n".utf8)) == 11)
            first.close()
            second.close()
            // The guest takes what nobody waits for any more, and is told of the end.
            let stream = try guest.accept()
            try guest.run { stream.hostEnds == 3 }
            try stream.send(Operation.reset)
            try guest.run { guest.connections == 0 && guest.counters.refused == 1 }
        }
    }

    @Test("the guest connects to a program that listens at the port's path")
    func outward() throws {
        try withFolder { folder in
            let guest = try guest(folder)
            let listener = try ListeningSocket(path: folder + "/v.sock_77")
            let stream = try guest.connect(from: 9, to: 77)
            #expect(stream.isOpen)
            guard let accepted = try UnixSockets.accept(listener.descriptor) else {
                Issue.record("the guest's connection waits")
                return
            }
            let program = HostEnd(accepted)
            #expect(try stream.write([5, 6]) == 2)
            #expect(program.read() == [5, 6])
            #expect(try guest.connect(from: 10, to: 78).isReset)
            // A socket that nobody listens on any more.
            _ = consume listener
            program.close()
            #expect(try guest.connect(from: 11, to: 77).isReset)
        }
    }

    @Test("a listener whose queue is full refuses the guest and does not hold it up")
    func fullListener() throws {
        try withFolder { folder in
            let guest = try guest(folder)
            let listener = try ListeningSocket(path: folder + "/v.sock_77", backlog: 1)
            var streams: [GuestStream] = []
            for port in 1...4 as ClosedRange<UInt32> {
                streams.append(try guest.connect(from: port, to: 77))
            }
            #expect(streams.map(\.isReset) == [false, false, true, true])
            withExtendedLifetime(listener) {}
        }
    }
}
