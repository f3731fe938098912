internal import CInit
internal import CInitProtocol

/// How a read or a write went.
enum Transfer {
    case done(Int)
    /// Not now.
    case none
    /// The end, or an error, after which there is nothing more to expect.
    case ended

    init(_ result: Int) {
        switch result {
        case 1...: self = .done(result)
        case -Int(KernelError.wouldBlock), -Int(KernelError.interrupted): self = .none
        default: self = .ended
        }
    }
}

/// The head of a frame, as far as it has come.
struct FrameHead {
    private var bytes = InlineArray<8, UInt8>(repeating: 0)
    private var count = 0

    var isWhole: Bool { count == Int(CINIT_FRAME_HEAD) }

    var frame: alcove_frame {
        var frame = alcove_frame()
        let span = bytes.span
        // SAFETY: both have the size of a head, as C asserts.
        unsafe span.withUnsafeBytes { bytes in
            unsafe withUnsafeMutableBytes(of: &frame) { unsafe $0.copyMemory(from: bytes) }
        }
        return frame
    }

    mutating func receive(from connection: Int32) -> Transfer {
        let missing = Int(CINIT_FRAME_HEAD) - count
        let present = count
        var span = bytes.mutableSpan
        // SAFETY: no more than is missing is written behind what is present.
        let transfer = unsafe span.withUnsafeMutableBytes { bytes in
            let place = unsafe bytes.baseAddress.unsafelyUnwrapped + present
            // SAFETY: as above.
            return Transfer(unsafe cinit_receive_bytes(connection, place, missing))
        }
        if case .done(let taken) = transfer { count += taken }
        return transfer
    }

    mutating func clear() { count = 0 }
}

/// The bytes of a small frame to one session.
struct SmallFrame {
    private let session: Int32

    static let largest = Int(CINIT_SMALL)

    init(session: Int) {
        self.session = Int32(session)
    }

    func receive(from connection: Int32, at place: Int, count: Int) -> Transfer {
        precondition(place + count <= Self.largest, "a small frame is too large")
        // SAFETY: within the buffer of the session, as checked above.
        return Transfer(
            unsafe cinit_receive_bytes(connection, cinit_small(session) + place, count))
    }

    var value: alcove_guest_value {
        // SAFETY: the buffer has room for every small frame, and the type is plain.
        unsafe UnsafeRawPointer(cinit_small(session)).loadUnaligned(as: alcove_guest_value.self)
    }

    var time: UInt64 {
        // SAFETY: as above.
        unsafe UnsafeRawPointer(cinit_small(session)).loadUnaligned(as: UInt64.self)
    }

    func reseed(count: Int) {
        // SAFETY: the caller has received so many bytes.
        _ = unsafe cinit_reseed(cinit_small(session), count)
    }

    func setHostName(count: Int) {
        // SAFETY: as above.
        _ = unsafe cinit_set_host_name(cinit_small(session), count)
    }

    var network: alcove_guest_network {
        // SAFETY: the buffer has room for every small frame, and the type is plain.
        unsafe UnsafeRawPointer(cinit_small(session)).loadUnaligned(
            as: alcove_guest_network.self)
    }
}

func apply(_ network: alcove_guest_network) {
    var request = cinit_network(
        address: network.address, gateway: network.gateway, name_server: network.name_server,
        prefix: network.prefix, mtu: network.mtu)
    // SAFETY: a local variable, valid during the call.
    _ = unsafe cinit_set_network(&request)
    let server = network.name_server
    guard server.0 != 0 else { return }
    var text = TextBuilder(.line, "nameserver ")
    text.append(UInt64(server.0))
    text.append(UInt8(ascii: "."))
    text.append(UInt64(server.1))
    text.append(UInt8(ascii: "."))
    text.append(UInt64(server.2))
    text.append(UInt8(ascii: "."))
    text.append(UInt64(server.3))
    text.append(UInt8(ascii: "\n"))
    text.resolve()
}

/// The one buffer for a frame that is on its way.
private enum FrameBuffer {
    /// Gives the size of the frame.
    static func fill<Content: BitwiseCopyable>(
        _ kind: alcove_frame_kind, _ content: Content
    ) -> Int {
        // SAFETY: the buffer has room for the largest frame, behind its head.
        unsafe UnsafeMutableRawPointer(cinit_frame() + Int(CINIT_FRAME_HEAD)).storeBytes(
            of: content, as: Content.self)
        return fillHead(kind, stream: 0, count: MemoryLayout<Content>.size)
    }

    /// As above, of a frame whose other bytes are there.
    static func fillHead(_ kind: alcove_frame_kind, stream: UInt8, count: Int) -> Int {
        let head = alcove_frame(
            kind: UInt8(kind.rawValue), stream: stream, reserved: 0, length: UInt32(count))
        // SAFETY: the buffer begins with room for a head.
        unsafe UnsafeMutableRawPointer(cinit_frame()).storeBytes(of: head, as: alcove_frame.self)
        return Int(CINIT_FRAME_HEAD) + count
    }
}

/// Sends a frame that nothing follows, or as much of it as the connection takes at once.
func sendLast(_ kind: alcove_frame_kind, _ value: alcove_guest_value, to connection: Int32) {
    let size = FrameBuffer.fill(kind, value)
    // SAFETY: within the buffer.
    _ = unsafe cinit_send_bytes(connection, cinit_frame(), size)
}

/// What goes to a connection, and what it has not taken yet.
struct Outgoing {
    private let session: Int32
    private var start = 0
    private var end = 0

    init(session: Int) {
        self.session = Int32(session)
    }

    var isEmpty: Bool { start == end }

    /// Sends what was kept. False when the connection has ended.
    mutating func flush(to connection: Int32) -> Bool {
        guard !isEmpty else { return true }
        // SAFETY: within what `keep` has put there.
        let sent = unsafe cinit_send_bytes(connection, cinit_pending(session) + start, end - start)
        switch Transfer(sent) {
        case .done(let count):
            start += count
            if isEmpty { (start, end) = (0, 0) }
            return true
        case .none: return true
        case .ended: return false
        }
    }

    /// Sends a small frame. False when the connection has ended.
    mutating func send<Content: BitwiseCopyable>(
        _ kind: alcove_frame_kind, _ content: Content, to connection: Int32
    ) -> Bool {
        send(size: FrameBuffer.fill(kind, content), to: connection)
    }

    /// Takes a piece of a process's output and sends it as a frame.
    ///
    /// - Parameter most: so many bytes at most.
    mutating func pass(
        from reader: Int32, most: Int, stream: Int32, to connection: Int32
    ) -> (reading: Transfer, isConnected: Bool) {
        // SAFETY: there is room for so much behind the head.
        let taken = unsafe cinit_read(
            reader, cinit_frame() + Int(CINIT_FRAME_HEAD), min(most, Int(CINIT_FRAME_LARGEST)))
        let reading = Transfer(taken)
        guard case .done(let count) = reading else { return (reading, true) }
        let size = FrameBuffer.fillHead(ALCOVE_FRAME_OUTPUT, stream: UInt8(stream), count: count)
        return (reading, send(size: size, to: connection))
    }

    /// Sends the frame in the buffer. False when the connection has ended.
    private mutating func send(size: Int, to connection: Int32) -> Bool {
        var sent = 0
        if isEmpty {
            // SAFETY: within the buffer.
            switch Transfer(unsafe cinit_send_bytes(connection, cinit_frame(), size)) {
            case .done(let count): sent = count
            case .none: break
            case .ended: return false
            }
        }
        keep(from: sent, to: size)
        return true
    }

    /// Keeps bytes of the buffer for frames behind what is there.
    private mutating func keep(from first: Int, to last: Int) {
        guard first < last else { return }
        precondition(end + last - first <= Int(CINIT_PENDING), "too much is kept for a session")
        // SAFETY: the one is within the buffer for frames, the other as checked above.
        unsafe UnsafeMutableRawPointer(cinit_pending(session) + end).copyMemory(
            from: cinit_frame() + first, byteCount: last - first)
        end += last - first
    }
}

/// Passes a piece of what has come on a connection to a process. What it does not take stays where
/// it is.
///
/// - Parameter most: so many bytes at most.
/// - Returns: how reading went, and writing; that is `.none` if it was not come to.
func passInput(
    from connection: Int32, most: Int, to writer: Int32
) -> (reading: Transfer, writing: Transfer) {
    // SAFETY: the buffer has room for so much.
    let seen = Transfer(
        unsafe cinit_look_at_bytes(connection, cinit_frame(), min(most, Int(CINIT_FRAME_LARGEST))))
    guard case .done(let present) = seen else { return (seen, .none) }
    // SAFETY: so much was put there.
    let written = Transfer(Int(unsafe cinit_write(writer, cinit_frame(), present)))
    guard case .done(let count) = written else { return (seen, written) }
    // SAFETY: as above. It is there, and nobody else takes it.
    return (Transfer(unsafe cinit_receive_bytes(connection, cinit_frame(), count)), written)
}

/// Takes a piece of what nobody wants.
func discard(from connection: Int32, most: Int) -> Transfer {
    // SAFETY: the buffer has room for so much.
    Transfer(
        unsafe cinit_receive_bytes(connection, cinit_frame(), min(most, Int(CINIT_FRAME_LARGEST))))
}
