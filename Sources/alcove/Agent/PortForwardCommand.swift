internal import AgentAPI
internal import AgentViews
internal import Console
internal import LinuxKernel
internal import RPC

/// `alcove port-forward`
enum PortForwardCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "port-forward", summary: "let a port of this machine lead to one of a sandbox",
            discussion: """
                Connections to the port, of 127.0.0.1 and of TCP, go on inside, where they come \
                from the gateway; the sandbox needs a network, and no rule of it has to allow \
                them. It lasts until SIGINT or SIGTERM. `--publish` of `alcove create` is for \
                what is to last.
                """,
            flags: [Agent.socketFlag],
            arguments: [
                Argument("ID", completes: .lines(of: "alcove ps --quiet"), help: "the sandbox"),
                Argument("[PORT:]PORT", help: "the port here, if it is another one, and inside"),
            ],
            tables: [AgentExitCode.table],
            examples: [
                Example("alcove port-forward web 8080:80", "curl http://127.0.0.1:8080")
            ]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let id = parsed.argument("ID") ?? ""
        let text = parsed.argument("[PORT:]PORT") ?? ""
        let numbers = text.split(separator: ":", omittingEmptySubsequences: false).map {
            UInt16($0) ?? 0
        }
        guard (1...2).contains(numbers.count), let inside = numbers.last, let here = numbers.first,
            numbers.allSatisfy({ $0 > 0 })
        else {
            throw FlagError(
                "\(PlainText.quoted(text)) is no port", hint: "as in 80, or 8080:80")
        }
        let agent = try Agent(parsed)
        // What cannot be is told now, and not with the first connection.
        let answer = try agent.request(
            NetworksMethods.get, GetNetworkRequest(sandboxID: id), to: "forward to `\(id)`")
        guard !answer.slotAddress.isEmpty else {
            throw AgentFailure(
                cannot: "forward to `\(id)`",
                CallFailure(
                    .failedPrecondition, reason: "wrong_state",
                    answer.network == nil ? "it has no network" : "it does not run"))
        }
        return try PortForward(agent, id, from: here, to: inside).run()
    }
}

/// Connections of this machine that go on in a sandbox.
final class PortForward {
    private static let mostConnections = 512

    private let agent: Agent
    private let id: String
    private let ports: (here: UInt16, inside: UInt16)
    private let listener: InternetSocket
    private let signals: SignalReader
    private var connections: [ObjectIdentifier: ForwardedConnection] = [:]
    private var isOver = false

    init(_ agent: Agent, _ id: String, from here: UInt16, to inside: UInt16) throws {
        self.agent = agent
        self.id = id
        ports = (here, inside)
        signals = try SignalReader([.interrupt, .terminate, .hangUp, .pipe])
        do throws(SystemCallError) {
            listener = try InternetSocket(.stream)
            try listener.overlookLingering()
            try listener.bind(to: InternetAddress(0x7f00_0001, port: here))
            try listener.listen(backlog: 128)
        } catch {
            throw FlagError(
                "listen on port \(here) of 127.0.0.1: \(error.errorNumber)",
                hint: "give another one, as in `\(here == 8080 ? 8081 : 8080):\(inside)`")
        }
    }

    /// Until it is interrupted, or the agent goes away.
    func run() throws -> Int32 {
        let interruptions = try agent.loop.watch(
            signals.descriptor.rawValue, for: .readable
        ) { _ in
            if self.signals.pending().contains(where: { $0 != .pipe }) { self.isOver = true }
        }
        defer { interruptions.cancel() }
        let watch = try agent.loop.watch(listener.descriptor, for: .readable) { _ in
            self.accept()
        }
        defer { watch.cancel() }
        StandardStream.output.write(
            PlainText.line("127.0.0.1:\(ports.here) leads to port \(ports.inside) of \(id)") + "\n")
        agent.connection.run { isOver }
        for connection in connections.values { connection.close() }
        return 0
    }

    private func accept() {
        while let accepted = try? listener.accept() {
            guard connections.count < Self.mostConnections else { continue }
            let call = agent.connection.open(NetworksMethods.forward)
            call.send(
                ForwardRequest(
                    message: .start(.init(sandboxID: id, port: UInt32(ports.inside)))))
            guard let connection = try? ForwardedConnection(accepted.0, call, on: agent.loop)
            else {
                call.cancel()
                continue
            }
            let key = ObjectIdentifier(connection)
            connections[key] = connection
            connection.onEnd = { [self] failure in
                connections[key] = nil
                if let failure { Messages.warn("\(failure)") }
            }
        }
    }
}

/// One connection, whose bytes go through a call of the agent's.
final class ForwardedConnection {
    private static let chunk = 32 * 1024
    /// From here on the agent is to wait.
    private static let highWater = 256 * 1024

    private let socket: InternetSocket
    private let call: TypedClientCall<ForwardRequest, ForwardResponse>
    private var watch: Watch?
    private var buffer = [UInt8](repeating: 0, count: chunk)
    /// What the client has not taken yet.
    private var output: [UInt8] = []
    private var sent = 0
    private var outputEnds = false
    private var inputIsOpen = true
    /// How the call ended, once it has: what came before is still to be written.
    private var ending: CallFailure??
    /// Called once and last.
    var onEnd: (CallFailure?) -> Void = { _ in }

    init(
        _ socket: InternetSocket, _ call: TypedClientCall<ForwardRequest, ForwardResponse>,
        on loop: EventLoop
    ) throws(SystemCallError) {
        self.socket = socket
        self.call = call
        watch = try loop.watch(socket.descriptor, for: .readable) { [weak self] events in
            self?.step(events)
        }
        call.onMessage { [weak self] in self?.take($0) }
        call.onWritable { [weak self] in self?.arm() }
        call.onEnd { [weak self] in
            self?.ending = .some($0)
            self?.write()
            self?.arm()
        }
    }

    func close() {
        call.cancel()
    }

    private func take(_ response: ForwardResponse) {
        switch response.message {
        case .data(let bytes): output += bytes
        case .end: outputEnds = true
        case .connected, nil: break
        }
        write()
        arm()
    }

    private func step(_ events: PollEvents) {
        if events.contains(.writable) { write() }
        if inputIsOpen, call.isWritable { read() }
        arm()
    }

    private func read() {
        switch UnixSockets.receive(socket.descriptor, into: &buffer) {
        case .wouldBlock: break
        case .bytes(0), .failed:
            inputIsOpen = false
            call.send(ForwardRequest(message: .end(.init())))
        case .bytes(let count):
            call.send(ForwardRequest(message: .data(Array(buffer.prefix(count)))))
        }
    }

    private func write() {
        while sent < output.count {
            switch UnixSockets.send(output, from: sent, to: socket.descriptor) {
            case .bytes(let count): sent += count
            case .wouldBlock:
                if output.count - sent >= Self.highWater { call.pause() }
                return
            case .failed:
                output = []
                sent = 0
                call.cancel()
            }
        }
        output = []
        sent = 0
        call.resume()
        if outputEnds { UnixSockets.shutDown(.sending, of: socket.descriptor) }
        if let ending { end(ending) }
    }

    private func arm() {
        var wanted: PollEvents = []
        if inputIsOpen, ending == nil, call.isWritable { wanted.insert(.readable) }
        if sent < output.count { wanted.insert(.writable) }
        watch?.change(to: wanted)
    }

    private func end(_ failure: CallFailure?) {
        watch?.cancel()
        watch = nil
        onEnd(failure)
    }
}
