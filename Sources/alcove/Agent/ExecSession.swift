internal import AgentAPI
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// Carries bytes, signals and sizes between this process and a command in a sandbox.
final class ExecSession {
    private static let forwarded: [Signal] = [
        .hangUp, .interrupt, .quit, .user1, .user2, .terminate, .windowChange,
    ]
    private static let chunk = 32 * 1024

    private let agent: Agent
    private let id: String
    private let call: TypedClientCall<ExecRequest, ExecResponse>
    private let signals: SignalReader
    private let output: OutputPump
    private let error: OutputPump
    private let hasTerminal: Bool
    private let withInput: Bool
    private var input: Watch?
    private var ending: Exit?
    private var endingWithoutReader = false
    private var failure: CallFailure?
    private var isOver = false
    private var interruptions = 0

    static var terminalSize: TerminalSize? {
        Terminal.size(of: StandardStream.input.rawValue).map {
            TerminalSize(columns: UInt32($0.columns), rows: UInt32($0.rows))
        }
    }

    init(_ agent: Agent, _ start: ExecRequest.Start, withInput: Bool) throws {
        self.agent = agent
        id = start.sandboxID
        hasTerminal = start.terminal != nil
        self.withInput = withInput
        // A reader that is gone is told by the write, and not by a signal that ends this process
        // with the terminal as it is.
        signals = try SignalReader(Self.forwarded + [.pipe])
        output = OutputPump(.output, on: agent.loop)
        error = OutputPump(.error, on: agent.loop)
        call = agent.connection.open(SandboxesMethods.exec)
        call.send(ExecRequest(message: .start(start)))
    }

    /// Runs the command to its end and gives its exit code.
    func run() throws -> Int32 {
        listen()
        let settings = hasTerminal && withInput ? Terminal.settings(of: 0) : nil
        if let settings { Terminal.makeRaw(0, from: settings) }
        defer { if let settings { Terminal.restore(0, settings) } }
        let watch = try agent.loop.watch(signals.descriptor.rawValue, for: .readable) { _ in
            for signal in self.signals.pending() { self.pass(signal) }
        }
        defer { watch.cancel() }
        if withInput {
            input = try agent.loop.watch(0, for: .readable) { _ in self.passInput() }
        } else {
            endInput()
        }
        agent.connection.run { isOver && output.isEmpty && error.isEmpty }
        input?.cancel()
        return try result()
    }

    private func result() throws -> Int32 {
        if endingWithoutReader { return 128 + Signal.pipe.rawValue }
        if let code = ending?.model?.code { return code }
        if interruptions > 2 { return 128 + Signal.interrupt.rawValue }
        throw AgentFailure(
            cannot: "run a command in `\(id)`",
            failure ?? CallFailure(RPC.Status(.internal, "the agent did not say how it ended")))
    }

    private func listen() {
        call.onMessage { [self] response in
            switch response.message {
            case .stdout(let bytes): write(bytes, to: output)
            case .stderr(let bytes): write(bytes, to: error)
            case .exit(let exit): ending = exit
            case .started, nil: break
            }
        }
        call.onEnd { [self] failure in
            self.failure = failure
            isOver = true
        }
        for pump in [output, error] {
            pump.onRoom = { [self] in call.resume() }
            pump.onBroken = { [self] in
                // What has ended already ended as it did.
                guard ending == nil else { return }
                endingWithoutReader = true
                call.cancel()
            }
        }
        call.onWritable { [self] in input?.change(to: .readable) }
    }

    private func write(_ bytes: [UInt8], to pump: OutputPump) {
        pump.write(bytes)
        if pump.isFull { call.pause() }
    }

    private func passInput() {
        guard let bytes = StandardStream.input.read(atMost: Self.chunk), !bytes.isEmpty else {
            return endInput()
        }
        call.send(ExecRequest(message: .stdin(bytes)))
        // Who types or pipes waits for the command.
        if !call.isWritable { input?.change(to: []) }
    }

    private func endInput() {
        input?.cancel()
        input = nil
        call.send(ExecRequest(message: .stdinEnd(.init())))
    }

    private func pass(_ signal: Signal) {
        switch signal {
        case .pipe: break
        case .windowChange:
            guard hasTerminal, let size = Self.terminalSize else { return }
            call.send(ExecRequest(message: .resize(size)))
        default:
            if signal == .interrupt || signal == .terminate { interruptions += 1 }
            if interruptions > 2 {
                call.cancel()
            } else {
                call.send(ExecRequest(message: .signal(signal.rawValue)))
            }
        }
    }
}
