/// Bytes that wait to be sent, taken from the front.
struct OutgoingBytes {
    private(set) var bytes: [UInt8] = []
    private(set) var start = 0

    var count: Int { bytes.count - start }
    var isEmpty: Bool { start == bytes.count }

    mutating func appendMessage(_ message: [UInt8]) {
        dropTaken()
        bytes.append(contentsOf: MessageAssembler.prefix(message.count))
        bytes.append(contentsOf: message)
    }

    mutating func append(_ more: UnsafeBufferPointer<UInt8>) {
        dropTaken()
        // SAFETY: the caller's buffer lives during the call, and is copied here.
        unsafe bytes.append(contentsOf: more)
    }

    /// Copies from the front what fits, and drops it. Gives how much that was.
    mutating func take(into room: inout MutableSpan<UInt8>) -> Int {
        let taken = min(room.count, count)
        guard taken > 0 else { return 0 }
        // SAFETY: both ranges are within their buffers, as the count is bounded by both, and the
        // buffers do not overlap.
        unsafe bytes.withUnsafeBufferPointer { source in
            unsafe room.withUnsafeMutableBufferPointer { target in
                guard let from = source.baseAddress, let to = target.baseAddress else { return }
                unsafe to.update(from: from + start, count: taken)
            }
        }
        drop(taken)
        return taken
    }

    /// Drops from the front.
    mutating func drop(_ count: Int) {
        start += count
        precondition(start <= bytes.count, "no more is dropped than is there")
        if isEmpty { clear() }
    }

    /// Drops everything, and the memory too if that is much.
    mutating func clear() {
        bytes.removeAll(keepingCapacity: bytes.capacity <= 65536)
        start = 0
    }

    /// Keeps what was taken from piling up before what is never taken as a whole.
    private mutating func dropTaken() {
        guard start > 32768, start > bytes.count / 2 else { return }
        bytes.removeSubrange(..<start)
        start = 0
    }
}
