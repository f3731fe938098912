internal import CInit
internal import CInitProtocol

/// Hands one record to the kernel. Whether that succeeded does not matter to anyone: a reader that
/// is gone shows as an event of the descriptor.
func write(_ record: alcove_report, to descriptor: Int32) {
    var record = record
    // SAFETY: a local variable, valid during the call, of which its own size is read.
    _ = unsafe cinit_write(descriptor, &record, MemoryLayout<alcove_report>.size)
}

/// One signal from a signalfd, if there is one.
func takeSignal(from descriptor: Int32) -> cinit_signal? {
    var signal = cinit_signal()
    // SAFETY: a local variable, valid during the call, which the shim fills to its own size.
    return unsafe cinit_take_signal(descriptor, &signal) == 0 ? signal : nil
}

/// One process that ended, if there is one.
func reap() -> cinit_ended? {
    var ended = cinit_ended()
    // SAFETY: a local variable, valid during the call, which the shim fills to its own size.
    let failed = unsafe cinit_reap(&ended)
    return failed == 0 && ended.process > 0 ? ended : nil
}

/// One denied call, if its maker still waits; throws what the listener says otherwise.
func takeDeniedCall(from listener: Int32) throws(KernelError) -> cinit_denied {
    var denied = cinit_denied()
    // SAFETY: a local variable, valid during the call, which the shim fills to its own size.
    let result = unsafe cinit_take_denied(listener, &denied)
    guard result == 0 else { throw KernelError(number: -result) }
    return denied
}

/// Waits until something happens to one of the first entries, or only looks.
func poll<let size: Int>(
    _ entries: inout InlineArray<size, cinit_poll>, count: Int, wait: Bool
) throws(KernelError) {
    var span = entries.mutableSpan
    // SAFETY: the buffer is the array's, valid during the call, with no more than its own count.
    let result = unsafe span.withUnsafeMutableBufferPointer { buffer in
        unsafe cinit_poll(buffer.baseAddress, min(count, buffer.count), wait)
    }
    guard result >= 0 else { throw KernelError(number: -result) }
}

/// A pipe that does not make its reader wait.
func openPipe() throws(KernelError) -> (reader: Int32, writer: Int32) {
    var reader: Int32 = -1
    var writer: Int32 = -1
    // SAFETY: local variables, valid during the call.
    let failed = unsafe cinit_open_pipe(&reader, &writer)
    guard failed == 0 else { throw KernelError(number: -failed) }
    return (reader, writer)
}

/// Writes a record's head and the first bytes of the buffer of output: all of it, or false.
func append(_ head: alcove_log_record, outputBytes count: Int, to segment: Int32) -> Bool {
    var head = head
    let size = MemoryLayout<alcove_log_record>.size
    // SAFETY: a local variable, valid during the call, of which its own size is read.
    return unsafe cinit_append_output(segment, &head, size, count) == Int32(size + count)
}

/// False if the other side cannot take it.
func send(_ answer: alcove_answer, to connection: Int32, passing descriptor: Int32 = -1) -> Bool {
    var answer = answer
    let size = MemoryLayout<alcove_answer>.size
    // SAFETY: a local variable, valid during the call, of which its own size is read.
    return unsafe cinit_send(connection, &answer, size, descriptor) == 0
}

/// The next message, whose bytes are in the buffer for them. Nil if there is none.
func receive(from connection: Int32) -> cinit_message? {
    var message = cinit_message()
    // SAFETY: a local variable, valid during the call, which the shim fills.
    return unsafe cinit_receive(connection, &message) == 0 ? message : nil
}

/// A new terminal inside.
func openTerminal() throws(KernelError) -> (controller: Int32, workload: Int32) {
    var controller: Int32 = -1
    var workload: Int32 = -1
    // SAFETY: local variables, valid during the call.
    let failed = unsafe cinit_open_terminal(&controller, &workload)
    guard failed == 0 else { throw KernelError(number: -failed) }
    return (controller, workload)
}
