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

/// Waits until something happens to one of the entries, or only looks.
func poll(
    _ entries: inout InlineArray<3, cinit_poll>, wait: Bool
) throws(KernelError) {
    var span = entries.mutableSpan
    // SAFETY: the buffer is the array's, valid during the call, with its own count.
    let result = unsafe span.withUnsafeMutableBufferPointer { buffer in
        unsafe cinit_poll(buffer.baseAddress, buffer.count, wait)
    }
    guard result >= 0 else { throw KernelError(number: -result) }
}
