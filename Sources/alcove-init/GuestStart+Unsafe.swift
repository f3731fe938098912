internal import CInit
internal import CInitProtocol

/// Where a frame that asks for a process is put together: in the one buffer for that.
enum StartAssembly {
    static let largest = Int(ALCOVE_FRAME_START_LARGEST)

    static func receive(from connection: Int32, at place: Int, count: Int) -> Transfer {
        precondition(place + count <= Int(CINIT_MESSAGE_LIMIT), "a start is too large")
        // SAFETY: within the buffer, as checked above.
        return Transfer(
            unsafe cinit_receive_bytes(connection, cinit_message_buffer() + place, count))
    }

    /// Gives back the memory of a large one.
    static func clear(size: Int) {
        if size > 8192 { cinit_forget_message() }
    }
}

/// A process to start. What it is made of is in the buffer for that: it serves until the next one.
@safe
struct GuestStart {
    let head: alcove_guest_start
    private let limits: UnsafePointer<cinit_limit>
    private let texts: CommandTexts

    private static let flags = UInt32(ALCOVE_GUEST_TERMINAL | ALCOVE_GUEST_INPUT)

    var hasTerminal: Bool { head.flags & UInt32(ALCOVE_GUEST_TERMINAL) != 0 }
    var hasInput: Bool { head.flags != 0 }

    /// Nil if the first bytes of the buffer are no whole one, to the last byte.
    init?(size: Int) {
        let headSize = MemoryLayout<alcove_guest_start>.size
        precondition(size <= Int(CINIT_MESSAGE_LIMIT), "a start is too large")
        // SAFETY: the buffer has room for every start, and nothing else is written there until the
        // next one.
        let bytes = unsafe UnsafeRawBufferPointer(start: cinit_message_buffer(), count: size)
        guard size > headSize else { return nil }
        // SAFETY: within the bytes, as checked above.
        head = unsafe bytes.loadUnaligned(as: alcove_guest_start.self)
        let place = headSize + Int(head.limits) * MemoryLayout<alcove_guest_limit>.size
        guard head.flags & ~Self.flags == 0, head.user != .max, head.group != .max,
            head.flags & UInt32(ALCOVE_GUEST_TERMINAL) != 0 || head.rows == 0 && head.columns == 0,
            head.limits <= UInt16(ALCOVE_GUEST_MOST_LIMITS)
        else { return nil }
        let counts = CommandTexts.Counts(
            programs: head.programs, arguments: head.arguments, variables: head.variables)
        // SAFETY: the bytes are in the buffer.
        guard let texts = unsafe CommandTexts(bytes, from: place, counts) else { return nil }
        self.texts = texts
        // SAFETY: behind the head, which leaves the alignment as it is, are so many limits, for the
        // texts come after them.
        unsafe limits = bytes.baseAddress.unsafelyUnwrapped.advanced(by: headSize)
            .assumingMemoryBound(to: cinit_limit.self)
    }

    /// Executes it in a session of its own. Gives its pid, or minus an error number and the stage.
    func spawn(streams: (Int32, Int32, Int32)) -> (process: Int32, stage: Int32) {
        var stage: Int32 = 0
        // SAFETY: what it is made of stays during the call, and so do the limits.
        var command = unsafe texts.command
        unsafe command.streams = streams
        unsafe command.terminal = hasTerminal
        unsafe command.limits = limits
        unsafe command.limit_count = Int(head.limits)
        unsafe command.identity = true
        unsafe command.user = head.user
        unsafe command.group = head.group
        unsafe command.told = -1
        let process = unsafe cinit_spawn(&command, &stage)
        return (process, stage)
    }
}
