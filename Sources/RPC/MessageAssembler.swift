/// Cuts a stream of bytes into messages: a byte that says whether one is compressed, four of
/// length, the message.
struct MessageAssembler {
    enum Outcome: Equatable {
        case message([UInt8])
        /// More bytes are needed.
        case partial
        case compressed
        case tooLong(length: Int)
        /// The first byte is neither 0 nor 1.
        case malformed
    }

    static let prefixLength = 5

    let limit: Int
    private var bytes: [UInt8] = []
    private var start = 0

    init(limit: Int) {
        self.limit = limit
    }

    /// How many bytes are held.
    var count: Int { bytes.count - start }
    /// The same with those that were taken and are not yet dropped.
    var footprint: Int { bytes.count }

    mutating func append(_ more: [UInt8]) {
        if bytes.isEmpty {
            bytes = more
        } else {
            // What was taken must not pile up before what never runs out.
            if start > 32768, start > bytes.count / 2 { compact() }
            bytes += more
        }
    }

    mutating func next() -> Outcome {
        guard count >= Self.prefixLength else { return .partial }
        guard bytes[start] <= 1 else { return .malformed }
        guard bytes[start] == 0 else { return .compressed }
        var length = 0
        for index in 1...4 { length = length << 8 | Int(bytes[start + index]) }
        guard length <= limit else { return .tooLong(length: length) }
        let end = start + Self.prefixLength + length
        guard end <= bytes.count else {
            compact()
            return .partial
        }
        let message = Array(bytes[(start + Self.prefixLength)..<end])
        start = end
        if start == bytes.count { clear() }
        return .message(message)
    }

    mutating func clear() {
        bytes = []
        start = 0
    }

    /// Drops what was taken, so that what waits for more does not hold it.
    private mutating func compact() {
        guard start > 0 else { return }
        bytes.removeSubrange(..<start)
        start = 0
    }

    /// The five bytes before a message of this length.
    static func prefix(_ length: Int) -> [UInt8] {
        precondition(length <= UInt32.max, "a message fits its length's four bytes")
        let length = UInt32(length)
        return [
            0, UInt8(length >> 24), UInt8(length >> 16 & 255), UInt8(length >> 8 & 255),
            UInt8(length & 255),
        ]
    }
}
