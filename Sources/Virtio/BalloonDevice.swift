internal import GuestMemory
internal import LinuxKernel

/// Takes memory from a guest that does not need it, and gives it back. Corresponds to
/// virtio-balloon.
///
/// The host sets a target; the guest's driver fills the balloon up to it with pages, which go back
/// to the host, and takes them out when it runs out of memory. Pages that are free go back without
/// being in the balloon.
///
/// Its members are used with the device's lock held: ``VirtioTransport/withDevice(_:)``.
public final class BalloonDevice: VirtioDevice, @unchecked Sendable {
    public static let pageBytes: UInt64 = 4096

    public struct Counters: Hashable, Sendable {
        /// Pages that the driver put into the balloon, and that it took out.
        public fileprivate(set) var inflatedPages: UInt64 = 0
        public fileprivate(set) var deflatedPages: UInt64 = 0
        /// Bytes that were told to be free.
        public fileprivate(set) var reportedBytes: UInt64 = 0
        /// How often the host could not take memory back: it stays the guest's.
        public fileprivate(set) var failures: UInt64 = 0
    }

    /// What the driver says of the guest's memory: each value only if it was told.
    public struct Statistics: Hashable, Sendable {
        /// Corresponds to `VIRTIO_BALLOON_S_…`. Sizes are in bytes.
        public enum Subject: UInt16, Hashable, Sendable, CaseIterable {
            case swappedIn = 0
            case swappedOut = 1
            case majorFaults = 2
            case minorFaults = 3
            case free = 4
            case total = 5
            case available = 6
            case caches = 7
            case hugePagesMade = 8
            case hugePagesRefused = 9
            case outOfMemoryKills = 10
            case allocationStalls = 11
            case scannedLate = 12
            case scannedAhead = 13
            case reclaimedLate = 14
            case reclaimedAhead = 15
        }

        public fileprivate(set) var values: [Subject: UInt64] = [:]
        /// When they came, by the monotonic clock.
        public fileprivate(set) var time: UInt64 = 0

        public subscript(subject: Subject) -> UInt64? { values[subject] }
    }

    /// A driver names no more pages at once, which is what the kernel's and others do.
    static let mostPages = 1024
    /// So many calls to give memory back are made in one turn of the loop, and a request more.
    private static let mostCallsInTurn = 1024
    /// `struct virtio_balloon_stat`: 2 bytes of subject, 8 of value.
    private static let statisticBytes = 10

    /// `VIRTIO_BALLOON_F_…`
    private enum Feature {
        static let statistics = 1
        static let deflateOnOutOfMemory = 2
        static let reporting = 5
    }

    private enum Queue: Int {
        case inflate = 0
        case deflate = 1
        case statistics = 2
        case reporting = 3
    }

    public let kind = VirtioKind.balloon
    public let features: UInt64 =
        1 << UInt64(Feature.statistics) | 1 << UInt64(Feature.deflateOnOutOfMemory)
        | 1 << UInt64(Feature.reporting)
    public let queueSizes: [UInt16] = [128, 128, 16, 32]
    /// `num_pages` and `actual` of `struct virtio_balloon_config`.
    public var configuration: [UInt8] {
        targetPages.littleEndianBytes + actualPages.littleEndianBytes
    }

    /// How many pages the host wants to have.
    public private(set) var targetPages: UInt32
    /// How many the driver says there are in the balloon.
    public private(set) var actualPages: UInt32 = 0
    public private(set) var counters = Counters()
    /// The last ones that came.
    public private(set) var statistics: Statistics?
    /// Called when statistics come, with the device's lock held.
    public var whenStatisticsCome: (@Sendable (Statistics) -> Void)?

    private var link: DeviceLink?
    private var chain = DescriptorChain()
    /// The driver's room for statistics. It fills it when it gets it back.
    private var heldStatistics: UInt16?

    public init(targetPages: UInt32 = 0) {
        self.targetPages = targetPages
    }

    public func setTarget(pages: UInt32) {
        guard pages != targetPages else { return }
        targetPages = pages
        link?.configurationChanged()
    }

    /// Asks the driver for new statistics. False where it tells none, or is at it already.
    public func requestStatistics() throws(DeviceFault) -> Bool {
        guard let link, let queue = number(of: .statistics, link), let head = heldStatistics else {
            return false
        }
        heldStatistics = nil
        try link.giveBack(head, to: queue, written: 0)
        try link.interruptIfWanted(queue)
        return true
    }

    // MARK: - Its life

    public func start(_ link: DeviceLink) {
        self.link = link
        actualPages = 0
    }

    public func stop() {
        link = nil
        heldStatistics = nil
    }

    public func save(into writer: inout StateWriter) {
        writer.put(targetPages)
        writer.put(actualPages)
        writer.put(heldStatistics != nil)
        writer.put(heldStatistics ?? 0)
    }

    public func restore(
        from reader: inout StateReader, _ link: DeviceLink?
    ) throws(StateFault) {
        targetPages = try reader.number()
        let actual: UInt32 = try reader.number()
        let holds = try reader.flag()
        let head: UInt16 = try reader.number()
        try begin(link)
        actualPages = actual
        heldStatistics = holds && link != nil ? head : nil
    }

    public func configure(_ bytes: [UInt8], at offset: Int) {
        var actual = actualPages.littleEndianBytes
        for (index, byte) in bytes.enumerated() where (4..<8).contains(offset + index) {
            actual[offset + index - 4] = byte
        }
        actualPages = UInt32(littleEndian: actual, at: 0)
    }

    /// The number of a queue. Those of features that the driver did not accept are left out.
    private func number(of queue: Queue, _ link: DeviceLink) -> Int? {
        switch queue {
        case .inflate, .deflate: queue.rawValue
        case .statistics: link.has(Feature.statistics) ? 2 : nil
        case .reporting:
            link.has(Feature.reporting) ? (link.has(Feature.statistics) ? 3 : 2) : nil
        }
    }

    public func notified(_ queue: Int) throws(DeviceFault) {
        guard let link else { return }
        switch queue {
        case number(of: .inflate, link): try inflate(queue, link)
        case number(of: .deflate, link):
            try link.drain(queue, into: &chain) { (chain) throws(DeviceFault) in
                counters.deflatedPages &+= UInt64(chain.readableCount / 4)
                return 0
            }
        case number(of: .statistics, link): try takeStatistics(queue, link)
        case number(of: .reporting, link): try report(queue, link)
        default: break
        }
    }

    // MARK: - Giving memory back

    /// - Parameter body: does what a request asks for, and gives how many calls it made.
    private func serve(
        _ queue: Int, _ link: DeviceLink,
        _ body: (DescriptorChain) throws(DeviceFault) -> Int
    ) throws(DeviceFault) {
        var budget = Self.mostCallsInTurn
        while try link.take(from: queue, into: &chain) {
            // One that asks for nothing is work too.
            budget -= max(1, try body(chain))
            try link.giveBack(chain.head, to: queue, written: 0)
            if budget <= 0 {
                link.notifyLater(queue)
                break
            }
        }
        try link.interruptIfWanted(queue)
    }

    private func inflate(_ queue: Int, _ link: DeviceLink) throws(DeviceFault) {
        try serve(queue, link) { (chain) throws(DeviceFault) in
            let count = chain.readableCount / 4
            guard count <= Self.mostPages else { throw .chainTooLong(head: chain.head) }
            let bytes = try chain.read(count * 4, from: link.memory)
            let pages = (0..<count).map { UInt32(littleEndian: bytes, at: $0 * 4) }.sorted()
            var calls = 0
            var first = 0
            while first < count {
                var last = first
                while last + 1 < count, pages[last + 1] - pages[last] <= 1 { last += 1 }
                let span = UInt64(pages[last] - pages[first]) + 1
                try discard(
                    GuestRange(
                        GuestAddress(rawValue: UInt64(pages[first]) * Self.pageBytes),
                        count: Int(span * Self.pageBytes)), link)
                calls += 1
                first = last + 1
            }
            counters.inflatedPages &+= UInt64(count)
            return calls
        }
    }

    /// Pages that are free; what is in them needs no keeping. The driver gives them to be written.
    private func report(_ queue: Int, _ link: DeviceLink) throws(DeviceFault) {
        try serve(queue, link) { (chain) throws(DeviceFault) in
            for range in chain.writable { try discard(range, link) }
            counters.reportedBytes &+= UInt64(chain.writableCount)
            return chain.writable.count
        }
    }

    private func discard(_ range: GuestRange, _ link: DeviceLink) throws(DeviceFault) {
        guard link.memory.contains(range) else { throw .outsideMemory(GuestMemoryError(range)) }
        do throws(SystemCallError) {
            try link.memory.discard(range)
        } catch {
            // A part of a huge page, for one, cannot be given back.
            counters.failures &+= 1
        }
    }

    // MARK: - Statistics

    private func takeStatistics(_ queue: Int, _ link: DeviceLink) throws(DeviceFault) {
        var budget = Int(link.queues[queue]?.layout.size ?? 0)
        while try link.take(from: queue, into: &chain) {
            // A driver has one; a second means that the first is not needed any more.
            if let held = heldStatistics { try link.giveBack(held, to: queue, written: 0) }
            heldStatistics = chain.head
            try readStatistics(link)
            budget -= 1
            if budget == 0 {
                link.notifyLater(queue)
                break
            }
        }
        try link.interruptIfWanted(queue)
    }

    private func readStatistics(_ link: DeviceLink) throws(DeviceFault) {
        // Subjects that are unknown may come between.
        let most = Statistics.Subject.allCases.count * 2 * Self.statisticBytes
        let bytes = try chain.read(most, from: link.memory)
        var statistics = Statistics()
        for start in stride(
            from: 0, through: bytes.count - Self.statisticBytes, by: Self.statisticBytes)
        {
            let number = UInt16(littleEndian: bytes, at: start)
            guard let subject = Statistics.Subject(rawValue: number) else { continue }
            statistics.values[subject] = UInt64(littleEndian: bytes, at: start + 2)
        }
        // The first room may be offered before there is anything to say.
        guard !statistics.values.isEmpty else { return }
        statistics.time = MonotonicClock.nanoseconds
        self.statistics = statistics
        whenStatisticsCome?(statistics)
    }
}
