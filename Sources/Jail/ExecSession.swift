internal import CInitProtocol
public import LinuxKernel
public import SandboxModel

/// A command that runs by ``LastingSandbox/execute(_:)``. Dropping it kills the command, if that
/// still runs.
///
/// A process that writes to commands ignores SIGPIPE.
public final class ExecSession {
    public enum Event: Equatable, Sendable {
        /// It runs; its pid as the host sees it.
        case started(pid: Int32)
        /// It never will. Nothing comes after this.
        case failed(SandboxError)
        /// Nothing comes after this. What it wrote may still have to be read.
        case ended(SandboxOutcome.Exit)
    }

    public enum Reading: Equatable, Sendable {
        case bytes([UInt8])
        case wouldBlock
        case end
    }

    private let program: String
    private var control: Descriptor?
    private var input: Descriptor?
    private var output: Descriptor?
    private var error: Descriptor?
    private var hostPid: Int32 = 0
    private var isStarted = false

    /// - Parameter streams: the host's sides of the command's; none with a terminal.
    init(program: String, control: consuming Descriptor, streams: consuming Streams?) {
        self.program = program
        self.control = consume control
        switch consume streams {
        case .some(let streams):
            input = consume streams.input
            output = consume streams.output
            error = consume streams.error
        case .none: break
        }
    }

    struct Streams: ~Copyable {
        let input: Descriptor
        let output: Descriptor
        let error: Descriptor
    }

    /// Why a command more than there may be does not run.
    public static let tooMany = SandboxError(
        .unavailable, "\(ALCOVE_CONTROL_COMMANDS) commands run in the sandbox already",
        hint: "wait until one of them has ended")
    /// Readable when there is an event to take. Nothing after the last one.
    public var controlDescriptor: Int32? { Self.number(control.number) }
    /// Writable when ``write(_:)`` takes something. Nothing after ``closeInput()``. With a
    /// terminal input and output are one descriptor, which is there once the command has started.
    public var inputDescriptor: Int32? { Self.number(input.number) ?? terminalDescriptor }
    /// Nothing after its end.
    public var outputDescriptor: Int32? { Self.number(output.number) }
    /// Nothing with a terminal, and after its end.
    public var errorDescriptor: Int32? { Self.number(error.number) }

    private var terminalDescriptor: Int32? { isTerminal ? outputDescriptor : nil }
    private var isTerminal = false

    private static func number(_ number: Int32) -> Int32? { number < 0 ? nil : number }

    /// The next event; nothing when there is none yet.
    public func takeEvent() -> Event? {
        // One before each event. Whoever took over alcove-init is not listened to for ever.
        for _ in 0..<Self.mostAnswers {
            switch receive() {
            case .nothing: return nil
            case .event(let event):
                if case .started = event { return event }
                control = nil
                return event
            case .noEvent: continue
            }
        }
        return nil
    }

    private static let mostAnswers = 16

    private enum Received {
        case nothing, noEvent
        case event(Event)
    }

    private func receive() -> Received {
        switch control {
        case .none: return .nothing
        case .some(let control):
            do throws(SystemCallError) {
                let size = MemoryLayout<alcove_answer>.size
                guard let message = try MessageSockets.receive(from: control, atMost: size) else {
                    return .nothing
                }
                return take(message)
            } catch {
                return .event(lost)
            }
        }
    }

    /// alcove-init is gone, and what ran in the sandbox with it.
    private var lost: Event {
        isStarted
            ? .ended(.signaled(number: Signal.kill.rawValue, name: Signal.kill.name))
            : .failed(SandboxError(.unavailable, "the sandbox ended before the command ran"))
    }

    private func take(_ message: consuming MessageSockets.Message) -> Received {
        let bytes = message.bytes[...]
        guard bytes.count == MemoryLayout<alcove_answer>.size else { return .event(lost) }
        let value = Int32(bitPattern: LittleEndian.number(bytes, at: 4))
        let detail: UInt64 = LittleEndian.number(bytes, at: 8)
        switch alcove_answer_kind(rawValue: LittleEndian.number(bytes, at: 0)) {
        case ALCOVE_ANSWER_PROCESS:
            hostPid = message.sender
            return .noEvent
        case ALCOVE_ANSWER_STARTED:
            takeTerminal(message)
            isStarted = true
            return .event(.started(pid: hostPid))
        case ALCOVE_ANSWER_FAILED:
            return .event(.failed(failure(ErrorNumber(rawValue: value), at: detail)))
        case ALCOVE_ANSWER_EXITED: return .event(.ended(.exited(code: value & 0xff)))
        case ALCOVE_ANSWER_SIGNALED:
            let signal = Signal(rawValue: value & 0x7f)
            return .event(.ended(.signaled(number: signal.rawValue, name: signal.name)))
        case ALCOVE_ANSWER_REFUSED where value == Int32(ALCOVE_REFUSAL_TOO_MANY.rawValue):
            return .event(.failed(Self.tooMany))
        default:
            return .event(
                .failed(SandboxError(.unavailable, "alcove-init does not know this request")))
        }
    }

    private func takeTerminal(_ message: consuming MessageSockets.Message) {
        guard let terminal = message.takeDescriptor() else { return }
        try? terminal.makeNonBlocking()
        output = consume terminal
        isTerminal = true
    }

    private func failure(_ error: ErrorNumber, at stage: UInt64) -> SandboxError {
        switch alcove_execute_stage(rawValue: UInt32(truncatingIfNeeded: stage)) {
        case ALCOVE_STAGE_PROGRAM:
            switch error {
            case .noEntry:
                return SandboxError(
                    .commandMissing, "command `\(program)` is not in the sandbox",
                    hint: "nor may its interpreter or loader be missing")
            default:
                return SandboxError(
                    .commandNotExecutable, "command `\(program)` cannot be executed: \(error)")
            }
        case ALCOVE_STAGE_DIRECTORY:
            return SandboxError(.directoryMissing, "enter the working directory: \(error)")
        case ALCOVE_STAGE_TERMINAL:
            return SandboxError(.setUpFailed, "open a terminal in the sandbox: \(error)")
        case ALCOVE_STAGE_LIMITS:
            return SandboxError(.setUpFailed, "limit the command's process: \(error)")
        default:
            return SandboxError(
                setUp: "make a process in the sandbox: \(error)", error,
                hint: error == .wouldBlock
                    ? "its limit of processes is reached, or the node's" : nil)
        }
    }

    // MARK: Streams

    /// Writes as much as is taken now, and gives how much. When nobody reads any more, everything
    /// is taken and dropped.
    public func write(_ bytes: ArraySlice<UInt8>) -> Int {
        do throws(SystemCallError) {
            switch input {
            case .some(let input): return try input.writeSome(Array(bytes))
            case .none: break
            }
            guard isTerminal else { return bytes.count }
            switch output {
            case .some(let terminal): return try terminal.writeSome(Array(bytes))
            case .none: return bytes.count
            }
        } catch {
            return bytes.count
        }
    }

    /// Ends its input. A terminal has no end of input: write the byte 4.
    public func closeInput() { input = nil }

    public func readOutput(atMost count: Int = 65536) -> Reading {
        let reading = Self.read(output, count)
        if reading == .end { output = nil }
        return reading
    }

    public func readError(atMost count: Int = 65536) -> Reading {
        let reading = Self.read(error, count)
        if reading == .end { error = nil }
        return reading
    }

    private static func read(_ stream: borrowing Descriptor?, _ count: Int) -> Reading {
        switch stream {
        case .some(let stream):
            do throws(SystemCallError) {
                let bytes = try stream.read(atMost: count)
                return bytes.isEmpty ? .end : .bytes(bytes)
            } catch {
                // The end of a terminal is an error.
                return error.errorNumber == .wouldBlock ? .wouldBlock : .end
            }
        case .none: return .end
        }
    }

    // MARK: Control

    /// To its process group. One that has ended gets nothing.
    public func send(_ signal: Signal) throws(SandboxError) {
        switch control {
        case .some(let control):
            do throws(SystemCallError) {
                try MessageSockets.send(
                    LittleEndian.bytes(ALCOVE_REQUEST_SIGNAL.rawValue)
                        + LittleEndian.bytes(signal.rawValue), to: control)
            } catch {
                guard !Self.isGone(error) else { return }
                throw LastingSandbox.unreachable(error)
            }
        case .none: return
        }
    }

    /// The other side was closed; what it had to say can still be received.
    static func isGone(_ error: SystemCallError) -> Bool {
        error.errorNumber == .brokenPipe || error.errorNumber == .connectionReset
    }

    /// Gives its terminal another size. Without one nothing happens.
    public func resize(_ size: Terminal.Size) {
        guard isTerminal else { return }
        switch output {
        case .some(let terminal): Terminal.setSize(size, of: terminal)
        case .none: break
        }
    }
}

extension LastingSandbox {
    /// Asks alcove-init to run a command. It gives back at once; what becomes of it comes from
    /// the session. A paused sandbox takes it up when it goes on.
    public func execute(_ request: ExecRequest) throws(SandboxError) -> ExecSession {
        let message = try request.message()
        do throws(SystemCallError) {
            let control = try connect(takesCredentials: true)
            let program = request.command.first ?? ""
            guard request.terminal == nil else {
                try Self.send(message, to: control)
                return ExecSession(program: program, control: control, streams: nil)
            }
            let input = try Self.makePipe(hostWrites: true)
            let output = try Self.makePipe(hostWrites: false)
            let error = try Self.makePipe(hostWrites: false)
            try Self.send(
                message,
                passing: [input.command.rawValue, output.command.rawValue, error.command.rawValue],
                to: control)
            return ExecSession(
                program: program, control: control,
                streams: ExecSession.Streams(
                    input: input.takeHost(), output: output.takeHost(), error: error.takeHost()))
        } catch {
            if error.errorNumber == .connectionRefused || error.errorNumber == .noEntry {
                throw SandboxError(.unavailable, "the sandbox has ended")
            }
            // So many wait to be heard already.
            guard error.errorNumber != .wouldBlock else { throw ExecSession.tooMany }
            throw Self.unreachable(error)
        }
    }

    /// One that was refused before it could say what it wants learns it from the session.
    private static func send(
        _ message: [UInt8], passing descriptors: [Int32] = [], to control: borrowing Descriptor
    ) throws(SystemCallError) {
        do throws(SystemCallError) {
            try MessageSockets.send(message, passing: descriptors, to: control)
        } catch {
            guard ExecSession.isGone(error) else { throw error }
        }
    }

    /// A pipe whose sides have their users; the host's does not wait.
    private struct SidedPipe: ~Copyable {
        let host: Descriptor
        let command: Descriptor

        consuming func takeHost() -> Descriptor { host }
    }

    private static func makePipe(hostWrites: Bool) throws(SystemCallError) -> SidedPipe {
        let pipe = try Pipe.make()
        let reader = Descriptor(owning: pipe.reader)
        let writer = Descriptor(owning: pipe.writer)
        if hostWrites {
            try writer.makeNonBlocking()
            return SidedPipe(host: writer, command: reader)
        }
        try reader.makeNonBlocking()
        return SidedPipe(host: reader, command: writer)
    }
}
