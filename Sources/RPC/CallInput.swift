/// The receiving half of a call, of either side: bytes in, messages out, and how much of the
/// stream's window to give back.
struct CallInput {
    enum Step {
        case message([UInt8])
        /// What came is nothing that the call can go on with.
        case failure(Status)
        /// All messages were taken, and no more come. Told once.
        case end
        /// Nothing for now.
        case none
    }

    private var messages: MessageAssembler
    /// Received, and not yet given back to the window.
    private var unacknowledged = 0
    private var hasEnded = false
    private var toldEnd = false
    /// Gives nothing out. What comes fills the stream's window, and then the peer waits.
    var isPaused = false

    init(limit: Int) {
        messages = MessageAssembler(limit: limit)
    }

    /// How many bytes are held.
    var count: Int { messages.count }

    mutating func append(_ bytes: [UInt8]) {
        unacknowledged += bytes.count
        messages.append(bytes)
    }

    /// The peer sends no more.
    mutating func end() {
        hasEnded = true
    }

    mutating func next() -> Step {
        guard !isPaused else { return .none }
        switch messages.next() {
        case .message(let message): return .message(message)
        case .partial:
            guard hasEnded, !toldEnd else { return .none }
            toldEnd = true
            guard count == 0 else {
                return .failure(Status(.internal, "the last message is cut short"))
            }
            return .end
        case .compressed:
            return .failure(
                Status(.unimplemented, "messages are taken uncompressed: send `identity`"))
        case .tooLong(let length):
            return .failure(
                Status(
                    .resourceExhausted,
                    "a message of \(length) bytes is longer than \(messages.limit) bytes"))
        case .malformed:
            return .failure(Status(.internal, "a message's first byte is neither 0 nor 1"))
        }
    }

    /// How much to give back to the window now: what was taken, and what is part of a message that
    /// is bounded anyway.
    mutating func takeAcknowledgement() -> Int {
        let kept = isPaused ? min(unacknowledged, count) : 0
        let taken = unacknowledged - kept
        unacknowledged = kept
        return taken
    }

    /// Drops everything. Gives how much that returns to the window.
    mutating func drop() -> Int {
        messages.clear()
        let taken = unacknowledged
        unacknowledged = 0
        return taken
    }
}
