internal import CLinux

/// Waiting for descriptors to become ready.
public enum Readiness {
    /// What is waited for on one descriptor. A negative descriptor is left out.
    public struct Interest: Sendable {
        public let descriptor: Int32
        /// As `poll` has them.
        fileprivate let events: UInt64
        /// Set when there is something to read, or the other end is gone.
        public fileprivate(set) var isReady = false

        public init(_ descriptor: Int32, writing: Bool = false) {
            self.descriptor = descriptor
            events = writing ? 4 : 1
        }

        /// Of a file of the kernel's that tells of its own changes: ready when it has changed since
        /// it was last read.
        public init(changeOf descriptor: Int32) {
            self.descriptor = descriptor
            events = 0
        }
    }

    /// Waits until one of the descriptors is ready. Goes on over interruptions by signals.
    ///
    /// - Parameter waits: false only looks.
    public static func wait(
        for interests: inout [Interest], waits: Bool = true
    ) throws(SystemCallError) {
        // struct pollfd: a descriptor of 4 bytes, then events asked for and given of 2 each.
        var entries = interests.map { interest in
            UInt64(UInt32(bitPattern: interest.descriptor))
                | interest.events << 32
        }
        var none = (Int64(0), Int64(0))
        while true {
            // SAFETY: the entries live until the call is over, which writes only within them.
            let result = unsafe entries.withUnsafeMutableBytes { entries in
                withAddress(of: &none) {
                    systemCall(
                        __NR_ppoll, UInt64(UInt(bitPattern: entries.baseAddress)),
                        UInt64(entries.count / 8), waits ? 0 : $0)
                }
            }
            if result == -Int64(ErrorNumber.interrupted.rawValue) { continue }
            try checked(result, "ppoll")
            break
        }
        for index in interests.indices {
            interests[index].isReady = entries[index] >> 48 != 0
        }
    }
}

/// Signals of this process, as records to read.
public struct SignalReader: ~Copyable {
    public let descriptor: Descriptor

    /// Blocks the signals and collects them from now on.
    public init(_ signals: [Signal]) throws(SystemCallError) {
        var mask: UInt64 = 0
        for signal in signals { mask |= 1 << UInt64(signal.rawValue - 1) }
        descriptor = Descriptor(
            owning: Int32(try checked(alcove_signal_descriptor(mask), "signalfd")))
    }

    /// The signals that came since the last reading.
    public borrowing func pending() -> [Signal] {
        // struct signalfd_siginfo: 128 bytes, the number first.
        guard let records = try? descriptor.read(atMost: 128 * 16) else { return [] }
        return stride(from: 0, to: records.count, by: 128).map {
            Signal(rawValue: Int32(records[$0]))
        }
    }
}

/// The clock of the day.
public enum RealClock {
    /// Since 1970.
    public static var nanoseconds: Int64 {
        var time = (Int64(0), Int64(0))
        // CLOCK_REALTIME
        _ = withAddress(of: &time) { systemCall(__NR_clock_gettime, 0, $0) }
        return time.0 * 1_000_000_000 + time.1
    }
}

/// A point of time by the clock that only goes forward.
public enum MonotonicClock {
    public static var nanoseconds: UInt64 { alcove_monotonic_nanoseconds() }

    /// The point a span of time from now; the last one there is, for a span that is longer.
    public static func nanoseconds(after span: Duration) -> UInt64 {
        let (seconds, attoseconds) = span.components
        let (whole, overflow) = UInt64(clamping: seconds)
            .multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow else { return .max }
        let part = UInt64(clamping: attoseconds / 1_000_000_000)
        let (length, isLonger) = whole.addingReportingOverflow(part)
        let (point, isLater) = nanoseconds.addingReportingOverflow(length)
        return isLonger || isLater ? .max : point
    }
}

/// A descriptor that becomes readable when a span of time is over.
public struct Timer: ~Copyable {
    public let descriptor: Descriptor

    public init() throws(SystemCallError) {
        // CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK
        descriptor = Descriptor(
            owning: Int32(try checked(systemCall(__NR_timerfd_create, 1, 0o2_004_000), "timerfd")))
    }

    /// Starts the span anew. Zero stops the timer.
    public borrowing func start(_ span: Duration) throws(SystemCallError) {
        let (seconds, attoseconds) = span.components
        var value = (Int64(0), Int64(0), seconds, attoseconds / 1_000_000_000)
        let number = descriptor.rawValue
        try checked(
            withAddress(of: &value) {
                systemCall(__NR_timerfd_settime, UInt64(argument: number), 0, $0)
            }, "timerfd")
    }
}
