internal import AgentAPI
internal import HostNetwork
internal import LinuxKernel
internal import Netlink
internal import RPC
internal import SandboxModel

/// One call of `Forward`: a connection from the router to a port of a sandbox, which sees the
/// gateway as its peer.
///
/// Nothing is read from either side while the other one has no room for it.
final class ForwardStream: @unchecked Sendable {
    private static let chunk = 65536
    /// Of one message; there is one at a time.
    private static let longestMessage = 1 << 20
    private static let patience = Duration.seconds(10)

    private let call: TypedCall<ForwardRequest, ForwardResponse>
    private let node: NodeAgent
    private let find: (String) throws(CallFailure) -> ManagedSandbox
    private var hasStart = false
    private var socket: InternetSocket?
    private var watch: Watch?
    private var timeout: ScheduledAction?
    /// Whether the kernel has said anything of the connection.
    private var isTold = false
    private var isConnected = false
    /// What the sandbox has not taken yet.
    private var input: [UInt8] = []
    private var sent = 0
    private var inputEnds = false
    private var inputIsClosed = false
    private var outputIsOpen = true
    private var buffer = [UInt8](repeating: 0, count: chunk)
    private var port: UInt32 = 0

    init(
        _ call: TypedCall<ForwardRequest, ForwardResponse>, _ node: NodeAgent,
        find: @escaping (String) throws(CallFailure) -> ManagedSandbox
    ) {
        self.call = call
        self.node = node
        self.find = find
    }

    func begin() {
        call.onMessage { self.take($0) }
        call.onHalfClose { self.endInput() }
        call.onWritable { self.step() }
        call.onCancel { _ in self.drop() }
    }

    // MARK: - From the client

    private func take(_ request: ForwardRequest) {
        switch request.message {
        case .none: fail(.invalid("message", "is missing"))
        case .start(let start):
            guard !hasStart else { return fail(.invalid("start", "came a second time")) }
            hasStart = true
            connect(start)
        case .data(let bytes):
            guard hasStart else {
                return fail(.invalid("start", "is missing: it is the first message"))
            }
            guard bytes.count <= Self.longestMessage else {
                return fail(
                    .invalid(
                        "data", "has \(bytes.count) bytes, more than \(Self.longestMessage)",
                        hint: "send it in several messages"))
            }
            guard !inputEnds else { return }
            input += bytes
            // The rest waits with the client until somebody takes it.
            if !isConnected { call.pause() }
            step()
        case .end: endInput()
        }
    }

    private func endInput() {
        inputEnds = true
        step()
    }

    private func connect(_ start: ForwardRequest.Start) {
        port = start.port
        do {
            let managed = try find(start.sandboxID)
            let networks = try node.offeredNetworks()
            guard let port = UInt16(exactly: start.port), port > 0 else {
                throw CallFailure.invalid("start.port", "is \(start.port), which is no port")
            }
            guard managed.state == .running, let slot = managed.sandbox.networkSlot else {
                throw managed.sandbox.spec?.network == nil
                    ? CallFailure.noNetwork(managed)
                    : .wrongState(managed, "connections go to one that is running")
            }
            let address = networks.network.address(of: SlotIndex(rawValue: slot))
            let socket = try InternetSocket(.stream, in: networks.network.router)
            try socket.bind(to: InternetAddress(SandboxNetwork.gateway.rawValue, port: 0))
            try socket.connect(to: InternetAddress(address.rawValue, port: port))
            self.socket = socket
            watch = try node.loop.watch(socket.descriptor, for: .writable) { [weak self] _ in
                self?.isTold = true
                self?.step()
            }
            timeout = node.loop.schedule(after: Self.patience) { [weak self] in
                self?.fail(
                    CallFailure(
                        .unavailable, reason: "no_answer",
                        "nothing answers on port \(start.port) of sandbox `\(managed.id)`"))
            }
        } catch let error as CallFailure {
            fail(error)
        } catch {
            fail(CallFailure(.unavailable, reason: "not_connected", "\(error)"))
        }
    }

    // MARK: - Both ways

    private func step() {
        guard let socket, isTold else { return }
        guard isConnected || confirm(socket) else { return }
        write(to: socket)
        read(from: socket)
        if inputIsClosed, !outputIsOpen {
            call.finish()
            return drop()
        }
        arm()
    }

    /// Whether the connection is there, now that something is known of it.
    private func confirm(_ socket: InternetSocket) -> Bool {
        switch UnixSockets.peek(socket.descriptor, into: &buffer) {
        case .failed(let error):
            fail(
                CallFailure(
                    .unavailable, reason: "not_connected",
                    "connect to port \(port) inside: \(error)",
                    hint: "does anything listen there, on all addresses?"))
            return false
        case .bytes, .wouldBlock:
            isConnected = true
            timeout.map(node.loop.cancel)
            timeout = nil
            call.send(ForwardResponse(message: .connected(.init())))
            return true
        }
    }

    private func write(to socket: InternetSocket) {
        while sent < input.count {
            switch UnixSockets.send(input, from: sent, to: socket.descriptor) {
            case .bytes(let count): sent += count
            case .wouldBlock: return call.pause()
            case .failed:
                // It takes nothing any more; what it has to say is still read.
                input = []
                sent = 0
                inputEnds = true
            }
        }
        input = []
        sent = 0
        if inputEnds, !inputIsClosed {
            inputIsClosed = true
            UnixSockets.shutDown(.sending, of: socket.descriptor)
        }
        call.resume()
    }

    private func read(from socket: InternetSocket) {
        while outputIsOpen, call.isWritable {
            switch UnixSockets.receive(socket.descriptor, into: &buffer) {
            case .bytes(0), .failed:
                outputIsOpen = false
                call.send(ForwardResponse(message: .end(.init())))
            case .bytes(let count):
                call.send(ForwardResponse(message: .data(Array(buffer.prefix(count)))))
            case .wouldBlock: return
            }
        }
    }

    private func arm() {
        var wanted: PollEvents = []
        if outputIsOpen, call.isWritable { wanted.insert(.readable) }
        if sent < input.count { wanted.insert(.writable) }
        watch?.change(to: wanted)
    }

    private func fail(_ failure: CallFailure) {
        call.finish(failure)
        drop()
    }

    private func drop() {
        watch?.cancel()
        watch = nil
        timeout.map(node.loop.cancel)
        timeout = nil
        socket = nil
        input = []
        sent = 0
    }
}
