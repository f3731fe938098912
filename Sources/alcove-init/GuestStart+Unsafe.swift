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
    private let directory: UnsafeMutablePointer<CChar>
    /// Each ends in null.
    private let programs: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let environment: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

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
        let texts = headSize + Int(head.limits) * MemoryLayout<alcove_guest_limit>.size
        guard head.flags & ~Self.flags == 0, head.user != .max, head.group != .max,
            head.flags & UInt32(ALCOVE_GUEST_TERMINAL) != 0 || head.rows == 0 && head.columns == 0,
            head.programs > 0, head.arguments > 0,
            head.limits <= UInt16(ALCOVE_GUEST_MOST_LIMITS), texts < size,
            Int(head.programs) + Int(head.arguments) + Int(head.variables)
                <= Int(CINIT_MOST_TEXTS)
        else { return nil }
        // SAFETY: behind the head, which leaves the alignment as it is, are so many limits. A zero
        // byte at the end: no text goes beyond it.
        unsafe limits = bytes.baseAddress.unsafelyUnwrapped.advanced(by: headSize)
            .assumingMemoryBound(to: cinit_limit.self)
        guard unsafe bytes[size - 1] == 0, var place = unsafe cinit_text_vector() else {
            return nil
        }
        // SAFETY: the vector has room for the texts of a start and three nulls.
        var scanner = unsafe TextScanner(bytes, from: texts)
        guard let directory = unsafe scanner.next() else { return nil }
        unsafe self.directory = directory
        unsafe programs = place
        guard unsafe scanner.take(Int(head.programs), &place) else { return nil }
        // SAFETY: as above.
        unsafe arguments = place
        guard unsafe scanner.take(Int(head.arguments), &place) else { return nil }
        unsafe environment = place
        guard unsafe scanner.take(Int(head.variables), &place), scanner.isAtEnd else { return nil }
    }

    /// Executes it in a session of its own. Gives its pid, or minus an error number and the stage.
    func spawn(streams: (Int32, Int32, Int32)) -> (process: Int32, stage: Int32) {
        var stage: Int32 = 0
        // SAFETY: texts and vectors end as C wants it, and stay during the call.
        var command = unsafe cinit_command()
        unsafe command.programs = UnsafePointer(programs)
        unsafe command.arguments = UnsafePointer(arguments)
        unsafe command.environment = UnsafePointer(environment)
        unsafe command.directory = UnsafePointer(directory)
        unsafe command.streams = streams
        unsafe command.terminal = hasTerminal
        unsafe command.limits = limits
        // SAFETY: as above.
        unsafe command.limit_count = Int(head.limits)
        unsafe command.identity = true
        unsafe command.user = head.user
        unsafe command.group = head.group
        unsafe command.told = -1
        let process = unsafe cinit_spawn(&command, &stage)
        return (process, stage)
    }
}
