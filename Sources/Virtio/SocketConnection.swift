internal import GuestMemory
internal import LinuxKernel

/// A connection between a port of the guest's and a socket of the host's.
///
///     guest asked ───────────► open ──── both sides have ended ────► resetting ──► gone
///     host asked ─► connecting ─┘│└───── the host's side has ended ─► closing ──────┘
///                                └────── the guest has gone, the host still reads ─► lingering
///
/// Belongs to the loop's thread, with the device's lock held.
final class SocketConnection {
    enum Stage: Hashable {
        /// The guest was asked, or is to be.
        case connecting
        case open
        /// The guest was told of the end, or is to be, and acknowledges it.
        case closing
        /// The guest is to be told that there is no connection any more.
        case resetting
        /// There is none for the guest any more; what it had sent is still passed on.
        case lingering
    }

    /// Packets for the guest that wait for room.
    struct Owed: OptionSet {
        let rawValue: UInt8
        static let request = Owed(rawValue: 1)
        static let response = Owed(rawValue: 2)
        static let creditUpdate = Owed(rawValue: 4)
        static let creditRequest = Owed(rawValue: 8)
        static let shutdown = Owed(rawValue: 16)
        static let reset = Owed(rawValue: 32)
    }

    let ports: SocketPorts
    var stage: Stage
    var owed: Owed
    /// The host's socket.
    var descriptor: Descriptor?
    var watch: Watch?
    /// Ends what the guest does not answer.
    var timer: ScheduledAction?
    /// Whether it waits for its turn to send to the guest.
    var isQueued = false
    /// Whether the host's program waits for a line that says that it is connected.
    let isGreeted: Bool

    // From the guest to the host.
    /// How much of the guest's is kept here at most.
    let allowance: UInt32
    var backlog = ByteBacklog()
    /// All that came, and all that was passed on.
    private(set) var arrived: UInt32 = 0
    private(set) var forwarded: UInt32 = 0
    /// What the guest knows of that.
    private var toldForwarded: UInt32 = 0

    // From the host to the guest.
    private var sent: UInt32 = 0
    private var peerAllowance: UInt32 = 0
    private var peerForwarded: UInt32 = 0
    /// Whether the host's socket has something to read, as far as is known.
    var canRead = false
    /// Whether the loop was asked not to tell of that any more.
    var isReadingParked = false
    /// How many of the guest's buffers are filled by one call: more where there is much.
    var batch = 1
    private(set) var wasCreditAsked = false

    // What has ended.
    var guestEnds: SocketEnds = []
    /// What the host's program does no more.
    var hostEnds: SocketEnds = []
    /// What the guest was told of that.
    var toldEnds: SocketEnds = []
    /// What the host's socket was told of the guest's.
    var passedEnds: SocketEnds = []
    /// An error ahead of the end, which is told once.
    var wasResetByHost = false

    init(
        _ ports: SocketPorts, _ descriptor: consuming Descriptor, stage: Stage, owed: Owed,
        allowance: UInt32, isGreeted: Bool = false
    ) {
        self.ports = ports
        self.descriptor = .some(descriptor)
        self.stage = stage
        self.owed = owed
        self.allowance = allowance
        self.isGreeted = isGreeted
    }

    // MARK: - Credit

    /// How much the guest may have sent at most.
    var room: Int { Int(allowance) - Int(arrived &- forwarded) }

    func arrived(_ count: Int) {
        arrived &+= UInt32(truncatingIfNeeded: count)
    }

    /// Counts what was passed on. The guest is told when it is a good part of what it may send.
    func forwarded(_ count: Int) {
        forwarded &+= UInt32(truncatingIfNeeded: count)
        if forwarded &- toldForwarded >= allowance / 4 { owed.insert(.creditUpdate) }
    }

    /// How much the guest takes. What it says may be nonsense, which comes to nothing.
    var credit: Int { max(0, Int(peerAllowance) - Int(sent &- peerForwarded)) }

    func sent(_ count: Int) {
        sent &+= UInt32(truncatingIfNeeded: count)
    }

    /// Takes what each of the guest's packets says.
    func takeCredit(_ header: SocketHeader) {
        peerAllowance = header.allowance
        peerForwarded = header.forwarded
        if credit > 0 { wasCreditAsked = false }
    }

    /// Asks once until there is some.
    func askCredit() {
        guard !wasCreditAsked else { return }
        wasCreditAsked = true
        owed.insert(.creditRequest)
    }

    /// A packet that tells the guest what was passed on, as each does.
    func header(to guestCID: UInt64, _ operation: UInt16) -> SocketHeader {
        var header = SocketHeader(to: guestCID, ports, operation)
        header.allowance = allowance
        header.forwarded = forwarded
        toldForwarded = forwarded
        owed.remove(.creditUpdate)
        return header
    }

    // MARK: - Saving

    /// What both sides have counted. Nothing of the guest's is kept here.
    func saveCounts(into writer: inout StateWriter) {
        writer.put(allowance)
        writer.put(forwarded)
        writer.put(toldForwarded)
        writer.put(sent)
        writer.put(peerAllowance)
        writer.put(peerForwarded)
    }

    /// Counts on from what was saved.
    func restoreCounts(_ counts: SavedCounts) {
        arrived = counts.forwarded
        forwarded = counts.forwarded
        toldForwarded = counts.toldForwarded
        sent = counts.sent
        peerAllowance = counts.peerAllowance
        peerForwarded = counts.peerForwarded
        if forwarded != toldForwarded { owed.insert(.creditUpdate) }
    }

    struct SavedCounts {
        let allowance: UInt32
        fileprivate let forwarded: UInt32
        fileprivate let toldForwarded: UInt32
        fileprivate let sent: UInt32
        fileprivate let peerAllowance: UInt32
        fileprivate let peerForwarded: UInt32

        init(_ reader: inout StateReader) throws(StateFault) {
            allowance = try reader.number()
            forwarded = try reader.number()
            toldForwarded = try reader.number()
            sent = try reader.number()
            peerAllowance = try reader.number()
            peerForwarded = try reader.number()
        }
    }

    // MARK: - Ends

    /// Nothing goes to the guest any more.
    var isInputOver: Bool { hostEnds.contains(.sends) || guestEnds.contains(.receives) }

    /// Nothing goes to the host any more.
    var isOutputOver: Bool {
        hostEnds.contains(.receives) || guestEnds.contains(.sends) && backlog.isEmpty
    }

    /// Whether there is something to read for the guest, which takes it.
    var hasData: Bool { stage == .open && canRead && !isInputOver && descriptor != nil }

    /// What the loop is to tell of. The end of the host's socket is told always.
    func updateWatch() {
        var events: PollEvents = []
        if stage == .open, !isInputOver, !isReadingParked { events.insert(.readable) }
        if !backlog.isEmpty { events.insert(.writable) }
        watch?.change(to: events)
    }

    /// Lets go of the host's socket.
    func closeHost() {
        watch?.cancel()
        watch = nil
        descriptor = nil
        if !backlog.isEmpty { backlog = ByteBacklog() }
        canRead = false
    }
}

/// Bytes of a guest's that wait for the host's program to read.
struct ByteBacklog {
    private var bytes: [UInt8] = []
    /// Those before it are gone.
    private var start = 0

    var isEmpty: Bool { start == bytes.count }
    var count: Int { bytes.count - start }

    /// Copies a part of what a driver gave to be read. Whoever calls bounds how much that is.
    mutating func append(
        _ ranges: [GuestRange], skipping skip: Int, count: Int, from memory: GuestMemory
    ) throws(GuestMemoryError) {
        if start > 0 {
            bytes.removeSubrange(..<start)
            start = 0
        }
        var end = bytes.count
        bytes.append(contentsOf: repeatElement(0, count: count))
        for part in DescriptorChain.part(of: ranges, skipping: skip, count: count) {
            try memory.read(part, into: &bytes, at: end)
            end += part.count
        }
    }

    /// Sends as much as the socket takes.
    mutating func send(to number: Int32) -> UnixSockets.Transfer {
        let result = UnixSockets.send(bytes, from: start, to: number)
        if case .bytes(let count) = result {
            start += count
            // Its memory is given back, too.
            if isEmpty { self = ByteBacklog() }
        }
        return result
    }
}
