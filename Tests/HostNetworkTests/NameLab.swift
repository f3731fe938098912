import HostNetwork
import LinuxKernel
import Netlink
import Testing

/// Messages of the domain name system, as tests write them.
enum NameBytes {
    static func name(_ text: String) -> [UInt8] {
        text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    static func number(_ value: Int) -> [UInt8] {
        [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
    }

    static func question(_ text: String, identifier: Int = 77, type: Int = 1) -> [UInt8] {
        number(identifier) + [1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + name(text) + number(type) + [0, 1]
    }

    static func record(_ text: String, type: Int, seconds: Int, _ content: [UInt8]) -> [UInt8] {
        name(text) + number(type) + [0, 1] + number(seconds >> 16) + number(seconds & 0xFFFF)
            + number(content.count) + content
    }

    static func address(_ text: String, _ address: IPv4Address, seconds: Int = 60) -> [UInt8] {
        record(text, type: 1, seconds: seconds, address.bytes)
    }

    static func alias(_ text: String, of other: String) -> [UInt8] {
        record(text, type: 5, seconds: 60, name(other))
    }

    /// An answer to a question, which has nothing beside it.
    static func answer(_ question: [UInt8], _ records: [[UInt8]]) -> [UInt8] {
        Array(question[0..<2]) + [0x81, 0x80, 0, 1] + number(records.count) + [0, 0, 0, 0]
            + question[12...] + records.flatMap { $0 }
    }

    static func code(_ answer: [UInt8]) -> UInt8? { answer.count > 3 ? answer[3] & 15 : nil }
}

/// A forwarder with a resolver in the world, all on the test's own thread.
final class NameLab {
    let lab: Lab
    let loop: EventLoop
    let forwarder: NameForwarder
    /// A sandbox that reaches the world.
    let witness: Sandbox
    /// What the resolver says to a question.
    var answers: ([UInt8]) -> [[UInt8]] = { _ in [] }
    private(set) var asked = 0
    private let server: InternetSocket
    private let streams: InternetSocket
    private var connections: [InternetSocket] = []

    init(_ change: (inout NameForwarderSettings) -> Void = { _ in }) throws {
        lab = try Lab()
        witness = try lab.slot()
        loop = try EventLoop()
        let address = InternetAddress(Lab.server.rawValue, port: 53)
        var settings = NameForwarderSettings(upstreams: [address])
        change(&settings)
        forwarder = try NameForwarder(lab.network, settings, on: loop)
        server = try InternetSocket(.datagrams, in: lab.world.namespace)
        try server.bind(to: address)
        streams = try InternetSocket(.stream, in: lab.world.namespace)
        try streams.bind(to: address)
        try streams.listen(backlog: 8)
        try loop.watch(server.descriptor, for: .readable) { [weak self] _ in self?.serve() }
        try loop.watch(streams.descriptor, for: .readable) { [weak self] _ in self?.accept() }
    }

    deinit { forwarder.close() }

    private func serve() {
        guard let (question, client) = try? server.receive(limit: 4096) else { return }
        asked += 1
        for answer in answers(question) { _ = server.send(answer, to: client) }
    }

    private func accept() {
        guard let (socket, _) = try? streams.accept() else { return }
        connections.append(socket)
        _ = try? loop.watch(socket.descriptor, for: .readable) { [weak self] _ in
            self?.serve(socket)
        }
    }

    private func serve(_ socket: InternetSocket) {
        var buffer = [UInt8](repeating: 0, count: 4096)
        guard case .bytes(let count) = UnixSockets.receive(socket.descriptor, into: &buffer),
            count > 2
        else { return }
        asked += 1
        for answer in answers(Array(buffer[2..<count])) {
            _ = UnixSockets.send(
                NameBytes.number(answer.count) + answer, from: 0, to: socket.descriptor)
        }
    }

    /// Runs the loop until something holds.
    func run(until isDone: () -> Bool) throws {
        var isLate = false
        let alarm = loop.schedule(after: .seconds(30)) { isLate = true }
        loop.runOnThisThread { isDone() || isLate }
        loop.cancel(alarm)
        try #require(!isLate)
    }

    /// What a sandbox is told that asks.
    func ask(_ question: [UInt8], in sandbox: Sandbox) throws -> [UInt8] {
        let socket = try InternetSocket(.datagrams, in: sandbox.place.namespace)
        try socket.connect(to: InternetAddress(SandboxNetwork.gateway.rawValue, port: 53))
        _ = UnixSockets.send(question, from: 0, to: socket.descriptor)
        return try wait(socket)
    }

    func wait(_ socket: InternetSocket) throws -> [UInt8] {
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65535)
        let watch = try loop.watch(socket.descriptor, for: .readable) { _ in
            if case .bytes(let count) = UnixSockets.receive(socket.descriptor, into: &buffer) {
                answer += buffer.prefix(count)
            }
        }
        try run { !answer.isEmpty }
        watch.cancel()
        return answer
    }
}
