internal import CInit
internal import CInitProtocol

/// The process of a session, and the descriptors by which it is talked to; -1 for none.
struct GuestProcess {
    /// It leads a session and a process group. 0 when it has ended.
    private(set) var id: Int32 = 0
    /// The controlling side of its terminal.
    private var terminal: Int32 = -1
    /// Where its input is written; the terminal, if it has one.
    private(set) var input: Int32 = -1
    private(set) var output: Int32 = -1
    private(set) var error: Int32 = -1
    /// What is still to be read of each, once the process has ended: what others write from then
    /// on is not waited for.
    private(set) var outputLeft = Int.max
    private(set) var errorLeft = Int.max
    /// The host sent the signal.
    private var isKilled = false
    private var killsBefore: UInt64 = 0

    /// What stands in a terminal is not told in one number, yet bounded: 64 KiB in the kernel's
    /// buffer, and what its line discipline holds.
    private static let mostLeftInTerminal = 1 << 18

    /// Gives nil when it runs; otherwise what it failed at.
    ///
    /// - Parameter isFirst: nothing has run here before.
    mutating func start(_ start: GuestStart, isFirst: Bool) -> alcove_guest_value? {
        // Of the first one, what counts are those since the kernel began to count.
        if !isFirst { killsBefore = cinit_out_of_memory_kills() }
        var streams: (Int32, Int32, Int32) = (-1, -1, -1)
        do throws(KernelError) {
            if start.hasTerminal {
                streams = try openTerminal(start)
            } else {
                streams = try openPipes(start)
            }
        } catch {
            close()
            let stage = start.hasTerminal ? ALCOVE_STAGE_TERMINAL : ALCOVE_STAGE_PROCESS
            return alcove_guest_value(value: error.number, detail: stage.rawValue)
        }
        let (process, stage) = start.spawn(streams: streams)
        _ = cinit_close(streams.0)
        if !start.hasTerminal {
            _ = cinit_close(streams.1)
            _ = cinit_close(streams.2)
        }
        guard process > 0 else {
            close()
            return alcove_guest_value(value: -process, detail: UInt32(stage))
        }
        id = process
        return nil
    }

    private mutating func openTerminal(_ start: GuestStart) throws(KernelError)
        -> (Int32, Int32, Int32)
    {
        let opened = try alcove_init.openTerminal()
        terminal = opened.controller
        (input, output) = (terminal, terminal)
        _ = cinit_set_nonblocking(terminal)
        resize(rows: start.head.rows, columns: start.head.columns)
        own(opened.workload, start)
        return (opened.workload, opened.workload, opened.workload)
    }

    private mutating func openPipes(_ start: GuestStart) throws(KernelError)
        -> (Int32, Int32, Int32)
    {
        let (outputReader, outputWriter) = try openPipe()
        output = outputReader
        var errorWriter: Int32 = -1
        do throws(KernelError) {
            (error, errorWriter) = try openPipe()
            let reader = try openReader(start)
            own(outputWriter, start)
            own(errorWriter, start)
            return (reader, outputWriter, errorWriter)
        } catch {
            _ = cinit_close(outputWriter)
            if errorWriter >= 0 { _ = cinit_close(errorWriter) }
            throw error
        }
    }

    private mutating func openReader(_ start: GuestStart) throws(KernelError) -> Int32 {
        guard start.hasInput else {
            let nothing = cinit_open_nothing()
            guard nothing >= 0 else { throw KernelError(number: -nothing) }
            return nothing
        }
        let opened = try openInput()
        input = opened.writer
        own(opened.reader, start)
        return opened.reader
    }

    /// A program may open its streams anew, by /dev/stdout and the like.
    private func own(_ descriptor: Int32, _ start: GuestStart) {
        if start.head.user != 0 { _ = cinit_set_owner(descriptor, start.head.user, .max) }
    }

    func resize(rows: UInt16, columns: UInt16) {
        if terminal >= 0 { _ = cinit_resize(terminal, rows, columns) }
    }

    mutating func send(_ signal: Int32) {
        guard id > 0 else { return }
        if signal == Signal.kill { isKilled = true }
        _ = cinit_kill(-id, signal)
    }

    /// A terminal has no end of input.
    mutating func endInput() {
        if terminal < 0 { closeInput() }
    }

    mutating func closeInput() {
        if input >= 0 && input != terminal { _ = cinit_close(input) }
        input = -1
    }

    mutating func closeOutput() {
        if output >= 0 && output != terminal { _ = cinit_close(output) }
        output = -1
    }

    mutating func closeError() {
        if error >= 0 { _ = cinit_close(error) }
        error = -1
    }

    mutating func close() {
        closeInput()
        closeOutput()
        closeError()
        if terminal >= 0 { _ = cinit_close(terminal) }
        terminal = -1
    }

    /// It ended. Gives the frame that says so.
    mutating func ended(_ child: cinit_ended) -> (alcove_frame_kind, alcove_guest_value) {
        id = 0
        closeInput()
        outputLeft = terminal >= 0 ? Self.mostLeftInTerminal : Int(cinit_readable(output))
        errorLeft = Int(cinit_readable(error))
        guard child.signal != 0 else {
            return (ALCOVE_FRAME_EXITED, alcove_guest_value(value: child.code, detail: 0))
        }
        var detail: UInt32 = 0
        if child.core_dumped { detail |= UInt32(ALCOVE_GUEST_DETAIL_CORE) }
        let isOutOfMemory =
            child.signal == Signal.kill && !isKilled && cinit_out_of_memory_kills() > killsBefore
        if isOutOfMemory { detail |= UInt32(ALCOVE_GUEST_DETAIL_OUT_OF_MEMORY) }
        return (ALCOVE_FRAME_SIGNALED, alcove_guest_value(value: child.signal, detail: detail))
    }

    /// So much of it was read.
    mutating func took(_ reading: Transfer, fromError: Bool) {
        switch reading {
        case .done(let count) where fromError: errorLeft -= count
        case .done(let count): outputLeft -= count
        case .none where id == 0: if fromError { errorLeft = 0 } else { outputLeft = 0 }
        case .none: break
        case .ended: if fromError { closeError() } else { closeOutput() }
        }
    }

    var hasOutputLeft: Bool { output >= 0 && outputLeft > 0 }
    var hasErrorLeft: Bool { error >= 0 && errorLeft > 0 }
}
