internal import CLinux

/// What a descriptor is ready for. Corresponds to `EPOLL…`.
public struct PollEvents: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    public static let readable = PollEvents(rawValue: 0x001)
    public static let writable = PollEvents(rawValue: 0x004)
    public static let failed = PollEvents(rawValue: 0x008)
    public static let hungUp = PollEvents(rawValue: 0x010)
    /// `EPOLLRDHUP`: the other end writes no more.
    public static let peerClosed = PollEvents(rawValue: 0x2000)
}

/// A set of descriptors to wait for, each under a number of the caller's choice.
public struct EventPoll: ~Copyable, Sendable {
    /// Where a wait puts what it found.
    public struct Batch: Sendable {
        /// struct epoll_event: packed, 4 bytes of events, then 8 of the caller's.
        fileprivate var words: [UInt32]
        public fileprivate(set) var count = 0

        public init(capacity: Int) {
            words = [UInt32](repeating: 0, count: capacity * 3)
        }

        public subscript(index: Int) -> (token: UInt64, events: PollEvents) {
            precondition(index < count, "an event of the last wait")
            let token = UInt64(words[index * 3 + 1]) | UInt64(words[index * 3 + 2]) << 32
            return (token, PollEvents(rawValue: words[index * 3]))
        }
    }

    private let descriptor: Descriptor

    public init() throws(SystemCallError) {
        // EPOLL_CLOEXEC
        descriptor = Descriptor(
            owning: Int32(
                try checked(systemCall(__NR_epoll_create1, 0o2_000_000), "epoll_create")))
    }

    public borrowing func add(
        _ number: Int32, _ events: PollEvents, token: UInt64
    ) throws(SystemCallError) {
        try control(1, number, events, token)
    }

    public borrowing func change(
        _ number: Int32, _ events: PollEvents, token: UInt64
    ) throws(SystemCallError) {
        try control(3, number, events, token)
    }

    public borrowing func remove(_ number: Int32) throws(SystemCallError) {
        try control(2, number, [], 0)
    }

    private borrowing func control(
        _ operation: UInt64, _ number: Int32, _ events: PollEvents, _ token: UInt64
    ) throws(SystemCallError) {
        var event = (
            events.rawValue, UInt32(truncatingIfNeeded: token),
            UInt32(truncatingIfNeeded: token >> 32)
        )
        let poll = descriptor.rawValue
        try checked(
            withAddress(of: &event) {
                systemCall(
                    __NR_epoll_ctl, UInt64(argument: poll), operation, UInt64(argument: number), $0)
            }, "epoll_ctl")
    }

    /// Waits for events; with `waits` false it only looks. A signal ends it without events.
    public borrowing func wait(
        into batch: inout Batch, waits: Bool = true
    ) throws(SystemCallError) {
        let poll = descriptor.rawValue
        batch.count = 0
        // SAFETY: the kernel writes at most as many events of 12 bytes as fit into the array,
        // which lives until the call is over.
        let result = unsafe batch.words.withUnsafeMutableBytes { buffer in
            systemCall(
                __NR_epoll_pwait, UInt64(argument: poll),
                UInt64(UInt(bitPattern: buffer.baseAddress)),
                UInt64(buffer.count / 12), UInt64(argument: waits ? -1 : 0), 0, 8)
        }
        if result == -Int64(ErrorNumber.interrupted.rawValue) { return }
        batch.count = Int(try checked(result, "epoll_wait"))
    }
}

/// A descriptor that another thread makes readable. Corresponds to an `eventfd`.
public struct EventCounter: ~Copyable, Sendable {
    public let descriptor: Descriptor

    public init() throws(SystemCallError) {
        // EFD_CLOEXEC | EFD_NONBLOCK
        descriptor = Descriptor(
            owning: Int32(try checked(systemCall(__NR_eventfd2, 0, 0o2_004_000), "eventfd")))
    }

    /// Makes it readable.
    public borrowing func signal() {
        var one: UInt64 = 1
        let number = descriptor.rawValue
        // It can only fail when it is readable already.
        _ = withAddress(of: &one) { systemCall(__NR_write, UInt64(argument: number), $0, 8) }
    }

    /// Makes it unreadable.
    public borrowing func clear() {
        var count: UInt64 = 0
        let number = descriptor.rawValue
        _ = withAddress(of: &count) { systemCall(__NR_read, UInt64(argument: number), $0, 8) }
    }
}

extension Timer {
    /// Makes it unreadable until it fires again.
    public borrowing func clear() {
        var count: UInt64 = 0
        let number = descriptor.rawValue
        _ = withAddress(of: &count) { systemCall(__NR_read, UInt64(argument: number), $0, 8) }
    }
}
