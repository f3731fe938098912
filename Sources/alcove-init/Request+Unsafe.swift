internal import CInit
internal import CInitProtocol

/// What a message asks for.
enum Request {
    case hello
    case signal(Int32)
    case resize(rows: UInt16, columns: UInt16)
    case execute(ExecuteRequest)

    /// Nil if the message, which is in the buffer for it, is none of these to the last byte. Only
    /// the host writes it, yet it is read strictly.
    init?(_ message: cinit_message) {
        let size = Int(message.size)
        // SAFETY: the buffer has room for every message, and nothing else is written there until
        // the next one.
        let bytes = unsafe UnsafeRawBufferPointer(start: cinit_message_buffer(), count: size)
        guard size >= MemoryLayout<UInt32>.size else { return nil }
        // SAFETY: within the bytes, as checked above.
        let kind = unsafe bytes.loadUnaligned(as: UInt32.self)
        if kind == ALCOVE_REQUEST_EXECUTE.rawValue {
            guard let command = unsafe ExecuteRequest(message, bytes) else { return nil }
            self = .execute(command)
            return
        }
        guard size == MemoryLayout<alcove_request>.size, message.descriptor_count == 0 else {
            return nil
        }
        // SAFETY: within the bytes, as checked above.
        let value = unsafe bytes.loadUnaligned(as: alcove_request.self).value
        switch kind {
        case ALCOVE_REQUEST_HELLO.rawValue where value == 0: self = .hello
        case ALCOVE_REQUEST_SIGNAL.rawValue where (1...64).contains(value): self = .signal(value)
        case ALCOVE_REQUEST_RESIZE.rawValue:
            let bits = UInt32(bitPattern: value)
            self = .resize(
                rows: UInt16(truncatingIfNeeded: bits >> 16),
                columns: UInt16(truncatingIfNeeded: bits))
        default: return nil
        }
    }
}

/// A command to execute. Its texts are in the buffer for messages: it serves until the next one.
@safe
struct ExecuteRequest {
    /// What become its descriptors 0 to 2, without a terminal.
    let streams: (Int32, Int32, Int32)
    let terminal: (rows: UInt16, columns: UInt16)?
    private let texts: CommandTexts

    /// Nil if the message is no whole one.
    @unsafe
    init?(_ message: cinit_message, _ bytes: UnsafeRawBufferPointer) {
        let headSize = MemoryLayout<alcove_execute>.size
        guard bytes.count > headSize else { return nil }
        // SAFETY: within the bytes, as checked above.
        let head = unsafe bytes.loadUnaligned(as: alcove_execute.self)
        let hasTerminal = head.flags == UInt32(ALCOVE_EXECUTE_TERMINAL)
        guard hasTerminal || head.flags == 0 && head.rows == 0 && head.columns == 0,
            head.reserved == 0, message.descriptor_count == (hasTerminal ? 0 : 3)
        else { return nil }
        let counts = CommandTexts.Counts(
            programs: head.programs, arguments: head.arguments, variables: head.variables)
        // SAFETY: the bytes are in the buffer.
        guard let texts = unsafe CommandTexts(bytes, from: headSize, counts) else { return nil }
        self.texts = texts
        terminal = hasTerminal ? (head.rows, head.columns) : nil
        streams = hasTerminal ? (-1, -1, -1) : message.descriptors
    }

    /// Executes it in a session of its own. Gives its pid, or minus an error number and the stage.
    ///
    /// - Parameter connection: where the new process itself says that it is there.
    func spawn(
        streams: (Int32, Int32, Int32), tellingOn connection: Int32
    ) -> (process: Int32, stage: Int32) {
        var stage: Int32 = 0
        var answer = alcove_answer(kind: ALCOVE_ANSWER_PROCESS.rawValue, value: 0, detail: 0)
        // SAFETY: what it is made of stays during the call, and so does the answer.
        let process = unsafe withUnsafePointer(to: &answer) { answer in
            var command = unsafe texts.command
            // SAFETY: as above.
            unsafe command.streams = streams
            unsafe command.terminal = terminal != nil
            unsafe command.told = connection
            unsafe command.message = UnsafeRawPointer(answer)
            unsafe command.message_size = MemoryLayout<alcove_answer>.size
            return unsafe cinit_spawn(&command, &stage)
        }
        return (process, stage)
    }
}
