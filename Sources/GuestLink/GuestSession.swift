public import LinuxKernel

/// A connection to the guest's first process, by which one process in the guest runs: its streams
/// go on to descriptors of this process, and the other way round.
///
/// It lives on the loop's thread. What one side does not take is not read from the other: nothing
/// piles up here.
public final class GuestSession {
    /// Where the process's streams go. They stay the caller's.
    public struct Streams: Sendable {
        public var input: Int32?
        public var output: Int32
        public var error: Int32

        public init(input: Int32?, output: Int32, error: Int32) {
            self.input = input
            self.output = output
            self.error = error
        }
    }

    /// Why there is nothing more to come.
    public enum End: Hashable, Sendable {
        case process(GuestProcessEnd)
        /// The guest is gone, or closed the connection.
        case lost
        case fault(FrameFault)
    }

    /// What is read of the guest at once; of its output, what a pipe that is writable takes.
    private static let mostRead = 65536
    private static let mostWrite = 4096
    private static let mostInput = 16384

    /// Told of what is no output.
    public var onFrame: ((GuestFrame) -> Void)?
    /// Called once, when all output was passed on.
    public var onEnd: ((End) -> Void)?

    private let connection: Descriptor
    private let loop: EventLoop
    private let streams: Streams
    private var reader = FrameReader()
    private var buffer = [UInt8](repeating: 0, count: GuestSession.mostRead)
    /// For the guest, from the offset on.
    private var outgoing: [UInt8] = []
    private var sent = 0
    /// Of the guest's output, in order.
    private var pending: [(stream: GuestFrame.Stream, bytes: [UInt8], done: Int)] = []
    private var connectionWatch: Watch?
    private var inputWatch: Watch?
    private var outputWatch: Watch?
    private var end: End?
    private var takesInput = false

    public init(_ connection: consuming Descriptor, on loop: EventLoop, streams: Streams) {
        self.connection = connection
        self.loop = loop
        self.streams = streams
    }

    /// Begins to listen.
    public func begin() throws(SystemCallError) {
        connectionWatch = try loop.watch(connection.rawValue, for: .readable) { [weak self] in
            self?.isReady($0)
        }
    }

    // MARK: - Saving

    /// What is on its way in both directions: of a frame of the guest's that is not whole, and for
    /// the guest.
    public struct Remains: Hashable, Sendable {
        public var received: [UInt8]
        public var unsent: [UInt8]

        public init(received: [UInt8] = [], unsent: [UInt8] = []) {
            self.received = received
            self.unsent = unsent
        }
    }

    /// Reads all that there is, whether it can be passed on or not. What of it is output is this
    /// session's, and no other one's that goes on with the guest.
    public func drain() {
        while end == nil,
            case .bytes(let count) = UnixSockets.receive(connection.rawValue, into: &buffer)
        {
            guard count > 0 else {
                finish(.lost)
                break
            }
            reader.feed(buffer[..<count])
            takeFrames()
        }
        passOn()
    }

    /// What another session with the same guest begins with.
    public var remains: Remains {
        Remains(received: reader.rest, unsent: Array(outgoing[sent...]))
    }

    /// Goes on where another session was.
    public func goOn(with remains: Remains) {
        reader.feed(remains.received[...])
        outgoing += remains.unsent
        flush()
    }

    /// Passes input on from now on to a process that runs already.
    public func passInput() throws(SystemCallError) {
        guard let input = streams.input else { return }
        takesInput = true
        inputWatch = try loop.watch(input, for: []) { [weak self] _ in self?.takeInput() }
        settle()
    }

    /// Asks for the process. Its input is passed on from now on, if it has one.
    public func start(_ start: GuestStart) throws(SystemCallError) {
        send(.start(start))
        if start.hasInput { try passInput() }
    }

    public func send(_ frame: HostFrame) {
        guard end == nil else { return }
        outgoing += frame.bytes
        flush()
    }

    // MARK: - To the guest

    private func flush() {
        while sent < outgoing.count {
            switch UnixSockets.send(outgoing, from: sent, to: connection.rawValue) {
            case .bytes(let count): sent += count
            case .wouldBlock:
                settle()
                return
            case .failed:
                // What it said before comes first; then its end is read.
                sent = outgoing.count
            }
        }
        outgoing.removeAll(keepingCapacity: outgoing.count <= Self.mostRead)
        sent = 0
        settle()
    }

    private func takeInput() {
        guard takesInput, outgoing.isEmpty, let input = streams.input else { return }
        let bytes = StandardStream.read(atMost: Self.mostInput, from: input)
        guard let bytes else { return }
        if bytes.isEmpty { takesInput = false }
        send(bytes.isEmpty ? .inputEnd : .input(bytes))
    }

    // MARK: - From the guest

    private func isReady(_ events: PollEvents) {
        if events.contains(.writable) { flush() }
        if pending.isEmpty, end == nil, !events.isDisjoint(with: [.readable, .hungUp, .failed]) {
            receive()
        }
    }

    private func receive() {
        switch UnixSockets.receive(connection.rawValue, into: &buffer) {
        case .bytes(0), .failed: finish(.lost)
        case .bytes(let count):
            reader.feed(buffer[..<count])
            takeFrames()
        case .wouldBlock: break
        }
        passOn()
    }

    private func takeFrames() {
        do throws(FrameFault) {
            while end == nil, let frame = try reader.next() {
                switch frame {
                case .output(let stream, let bytes):
                    if !bytes.isEmpty { pending.append((stream, bytes, 0)) }
                case .ended(let how): finish(.process(how))
                case .ready, .statistics, .started: onFrame?(frame)
                }
            }
        } catch {
            finish(.fault(error))
        }
    }

    private func finish(_ how: End) {
        end = end ?? how
        takesInput = false
    }

    /// Passes output on as far as it is taken. In pieces that a pipe takes whole when it says that
    /// it is writable: these descriptors are others' too, so they are left as they are.
    private func passOn() {
        while let first = pending.first {
            let number = first.stream == .output ? streams.output : streams.error
            guard StandardStream.isWritable(number) else {
                waitForOutput(number)
                return
            }
            let piece = min(Self.mostWrite, first.bytes.count - first.done)
            let part = Array(first.bytes[first.done..<first.done + piece])
            let written = StandardStream.writeSome(part, to: number)
            // A reader that is gone takes all of it.
            pending[0].done += written ?? piece
            if pending[0].done == first.bytes.count { pending.removeFirst() }
        }
        outputWatch?.cancel()
        outputWatch = nil
        settle()
        guard let end, let onEnd else { return }
        self.onEnd = nil
        stopWatching()
        onEnd(end)
    }

    private func waitForOutput(_ number: Int32) {
        outputWatch?.cancel()
        outputWatch = try? loop.watch(number, for: .writable) { [weak self] _ in self?.passOn() }
        settle()
    }

    /// Waits for what can be used.
    private func settle() {
        guard end == nil || !pending.isEmpty else { return }
        var wanted: PollEvents = []
        if pending.isEmpty { wanted.insert(.readable) }
        if !outgoing.isEmpty { wanted.insert(.writable) }
        connectionWatch?.change(to: wanted)
        inputWatch?.change(to: takesInput && outgoing.isEmpty ? .readable : [])
        if !takesInput {
            inputWatch?.cancel()
            inputWatch = nil
        }
    }

    private func stopWatching() {
        for watch in [connectionWatch, inputWatch, outputWatch] { watch?.cancel() }
        connectionWatch = nil
        inputWatch = nil
        outputWatch = nil
    }
}
