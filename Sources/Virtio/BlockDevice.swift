internal import GuestMemory
public import LinuxKernel

/// A disk in a file. Corresponds to virtio-blk.
///
/// What the kernel has in memory is read at once on the loop's thread; what would wait, and all
/// that changes the file, is done by other threads, from and into the guest's memory without a
/// copy. A flush waits for the changes that were asked for before it.
///
/// Its members are used with the device's lock held: ``VirtioTransport/withDevice(_:)``.
public final class BlockDevice: VirtioDevice, @unchecked Sendable {
    /// What was done since the device was made.
    public struct Counters: Hashable, Sendable {
        public fileprivate(set) var reads: UInt64 = 0
        public fileprivate(set) var readBytes: UInt64 = 0
        public fileprivate(set) var writes: UInt64 = 0
        public fileprivate(set) var writtenBytes: UInt64 = 0
        public fileprivate(set) var flushes: UInt64 = 0
        public fileprivate(set) var discards: UInt64 = 0
        /// Requests that were answered with another status than a good one.
        public fileprivate(set) var errors: UInt64 = 0
        /// How often requests had to wait for the limits.
        public fileprivate(set) var throttled: UInt64 = 0
    }

    /// The most descriptors of the queue, and requests at once.
    static let queueSize: UInt16 = 256
    /// More is not read on the loop's thread, for one request and for one turn.
    private static let mostAtOnce: UInt64 = 256 << 10
    private static let mostInTurn: UInt64 = 1 << 20

    public let kind = VirtioKind.block
    public let features: UInt64
    public let queueSizes = [queueSize]
    public let configuration: [UInt8]
    public private(set) var counters = Counters()

    private let file: BlockFile
    private let workers: Workers
    private let serial: [UInt8]
    private let alarm = LoopAlarm()
    private var shape: BlockShape
    private var limiter: TransferLimiter
    private let budget: DiskBudget?
    private var canGlance = true

    // What follows is of one life.
    private var link: DeviceLink?
    private var work: BlockWork?
    private var chain = DescriptorChain()
    private var isThrottled = false
    private var inFlight = 0
    private var changesInFlight = 0
    private var lastChange: UInt64 = 0
    private var waitingFlushes: [(after: UInt64, missing: Int, completion: BlockCompletion)] = []

    /// - Parameters:
    ///   - file: whole sectors of 512 bytes of it are the disk; a rest is left alone.
    ///   - serial: what the guest finds as the disk's name; 20 bytes of it.
    ///   - budget: what it shares with other disks. Who changes it tells each of them.
    ///   - workers: for what blocks. They may be shared.
    public init(
        _ file: consuming Descriptor, isReadOnly: Bool, serial: String = "",
        limits: TransferLimits = .none, budget: DiskBudget? = nil, workers: Workers
    ) throws(SystemCallError) {
        self.file = BlockFile(file)
        self.workers = workers
        self.serial = Array(serial.utf8.prefix(BlockShape.serialBytes))
        limiter = TransferLimiter(limits, at: MonotonicClock.nanoseconds)
        self.budget = budget
        shape = BlockShape(
            sectors: try self.file.size() / BlockShape.sectorBytes, isReadOnly: isReadOnly)
        features = Feature.all(isReadOnly: isReadOnly)
        configuration = Self.configuration(shape)
    }

    /// `VIRTIO_BLK_F_…`
    private enum Feature {
        static let segmentsMost = 2
        static let readOnly = 5
        static let blockSize = 6
        static let flush = 9
        static let topology = 10
        static let discard = 13
        static let writeZeroes = 14

        static func all(isReadOnly: Bool) -> UInt64 {
            let bits =
                [segmentsMost, blockSize, topology]
                + (isReadOnly ? [readOnly] : [flush, discard, writeZeroes])
            return bits.reduce(0) { $0 | 1 << UInt64($1) }
        }
    }

    /// `struct virtio_blk_config`
    private static func configuration(_ shape: BlockShape) -> [UInt8] {
        let segments = UInt32(queueSize) - 2
        let most = UInt32(BlockShape.mostSegments)
        var bytes = shape.sectors.littleEndianBytes
        for word in [0, segments, 0, UInt32(BlockShape.sectorBytes)] {
            bytes += word.littleEndianBytes
        }
        // Blocks of 4096 bytes, which are best written whole; then what is not offered.
        bytes += [3, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        for word in [
            BlockShape.mostDiscardSectors, most, 8, BlockShape.mostZeroSectors, most, 1,
        ] {
            bytes += word.littleEndianBytes
        }
        return bytes
    }

    // MARK: - Its life

    public func start(_ link: DeviceLink) {
        self.link = link
        work = BlockWork(workers)
        shape.canFlush = link.has(Feature.flush)
        shape.canDiscard = link.has(Feature.discard)
        shape.canZero = link.has(Feature.writeZeroes)
    }

    public func stop() {
        work?.end()
        work = nil
        link = nil
        isThrottled = false
        inFlight = 0
        changesInFlight = 0
        waitingFlushes = []
    }

    public func save(into writer: inout StateWriter) {
        writer.put(shape.sectors)
    }

    public func restore(
        from reader: inout StateReader, _ link: DeviceLink?
    ) throws(StateFault) {
        let sectors: UInt64 = try reader.number()
        guard sectors == shape.sectors else {
            throw .different("it has a disk of \(sectors) sectors, which has \(shape.sectors) here")
        }
        try begin(link)
    }

    public func notified(_ queue: Int) throws(DeviceFault) {
        try serve()
    }

    public var limits: TransferLimits { limiter.limits }

    /// Holds other limits from now on.
    public func setLimits(_ limits: TransferLimits) {
        limiter.change(to: limits, at: MonotonicClock.nanoseconds)
        limitsChanged()
    }

    /// Requests that wait need not, perhaps.
    public func limitsChanged() {
        guard isThrottled else { return }
        isThrottled = false
        link?.notifyLater(0)
    }

    // MARK: - Requests

    /// Takes requests until there are none, or enough for a turn, or for all that is in flight.
    private func serve() throws(DeviceFault) {
        guard let link, !isThrottled else { return }
        let most = Int(link.queues[0]?.layout.size ?? 0)
        var budget = most
        var readAtOnce: UInt64 = 0
        while inFlight < most, try link.take(from: 0, into: &chain) {
            let request = try BlockRequest(chain, of: shape, in: link.memory)
            if isLimited(request, link) { break }
            try submit(request, link, &readAtOnce)
            budget -= 1
            if budget == 0 || readAtOnce >= Self.mostInTurn {
                link.notifyLater(0)
                break
            }
        }
        try link.interruptIfWanted(0)
    }

    /// Whether the limits let a request wait. It is put back then, and read anew when its time has
    /// come.
    private func isLimited(_ request: BlockRequest, _ link: DeviceLink) -> Bool {
        guard budget != nil || !limiter.isUnlimited else { return false }
        let now = MonotonicClock.nanoseconds
        let delay =
            budget?.take(request, with: &limiter, at: now)
            ?? limiter.take(bytes: request.bytes, at: now)
        guard delay > 0 else { return false }
        link.queues[0]?.putBack()
        isThrottled = true
        counters.throttled &+= 1
        let (time, isNever) = now.addingReportingOverflow(delay)
        alarm.set(at: isNever ? .max : time, on: link.loop) { [weak self, weak link] in
            link?.perform { () throws(DeviceFault) in
                self?.isThrottled = false
                try self?.serve()
            }
        }
        return true
    }

    private func submit(
        _ request: BlockRequest, _ link: DeviceLink, _ readAtOnce: inout UInt64
    ) throws(DeviceFault) {
        let file = file
        let isDurable = !shape.canFlush
        switch request.action {
        case .refuse(let status):
            try finish(completion(of: request, status: status), link)
        case .identify(let room):
            try identify(room, request, link)
        case .read(let offset, let parts):
            counters.reads &+= 1
            counters.readBytes &+= request.bytes
            var (offset, parts) = (offset, parts)
            if canGlance, request.bytes <= Self.mostAtOnce {
                switch file.glance(at: offset, into: parts) {
                case .all: parts = []
                case .some(let rest, let place): (offset, parts) = (place, rest)
                case .notPossible: canGlance = false
                }
                readAtOnce += request.bytes
            }
            let done = completion(of: request, written: Int(request.bytes))
            if parts.isEmpty { return try finish(done, link) }
            let (place, rest) = (offset, parts)
            try handOut(done, link) { file.read(at: place, into: rest) }
        case .write(let offset, let parts):
            counters.writes &+= 1
            counters.writtenBytes &+= request.bytes
            try handOutChange(request, link) {
                file.write(at: offset, from: parts, isDurable: isDurable)
            }
        case .discard(let extents):
            counters.discards &+= 1
            try handOutChange(request, link, touchesMemory: false) {
                file.discard(extents) && (!isDurable || file.flush())
            }
        case .zero(let extents):
            counters.writes &+= 1
            counters.writtenBytes &+= request.bytes
            try handOutChange(request, link, touchesMemory: false) {
                file.zero(extents) && (!isDurable || file.flush())
            }
        case .flush:
            counters.flushes &+= 1
            try flush(completion(of: request), link)
        }
    }

    private func completion(
        of request: BlockRequest, written: Int = 0, status: BlockStatus = .good,
        change: UInt64? = nil
    ) -> BlockCompletion {
        BlockCompletion(
            head: request.head, statusPlace: request.statusPlace, change: change, written: written,
            status: status)
    }

    private func identify(
        _ room: [GuestRange], _ request: BlockRequest, _ link: DeviceLink
    ) throws(DeviceFault) {
        let bytes =
            serial + [UInt8](repeating: 0, count: BlockShape.serialBytes - serial.count)
        var done = 0
        for range in room {
            do throws(GuestMemoryError) {
                try link.memory.write(bytes, done..<done + range.count, to: range.start)
            } catch {
                throw .outsideMemory(error)
            }
            done += range.count
        }
        try finish(completion(of: request, written: done), link)
    }

    // MARK: - Threads

    private func handOutChange(
        _ request: BlockRequest, _ link: DeviceLink, touchesMemory: Bool = true,
        _ job: @escaping @Sendable () -> Bool
    ) throws(DeviceFault) {
        lastChange += 1
        changesInFlight += 1
        try handOut(
            completion(of: request, change: lastChange), link, touchesMemory: touchesMemory, job)
    }

    private func handOut(
        _ completion: BlockCompletion, _ link: DeviceLink, touchesMemory: Bool = true,
        _ job: @escaping @Sendable () -> Bool
    ) throws(DeviceFault) {
        guard let work else { return }
        inFlight += 1
        // What waits on a loop does not keep the loop.
        let loop = link.loop
        let isAccepted = work.run(completion, touchesMemory: touchesMemory, job) {
            [weak self, weak link] in
            loop.enqueue { [weak self, weak link] in
                link?.perform { () throws(DeviceFault) in try self?.collect() }
            }
        }
        if !isAccepted { throw .hostFailed("the threads of the disk have ended") }
    }

    /// A flush waits for the changes that were asked for before it, not for those after.
    private func flush(
        _ completion: BlockCompletion, _ link: DeviceLink
    ) throws(DeviceFault) {
        if changesInFlight > 0 {
            inFlight += 1
            waitingFlushes.append((lastChange, changesInFlight, completion))
        } else {
            try beginFlush(completion, link)
        }
    }

    private func beginFlush(
        _ completion: BlockCompletion, _ link: DeviceLink
    ) throws(DeviceFault) {
        let file = file
        try handOut(completion, link, touchesMemory: false) { file.flush() }
    }

    /// Gives back what the threads have done, and goes on with what waited for that.
    private func collect() throws(DeviceFault) {
        try collectDone()
        try serve()
    }

    private func collectDone() throws(DeviceFault) {
        guard let link, let work else { return }
        for done in work.takeDone() {
            inFlight -= 1
            try finish(done, link)
            if let change = done.change { try changeEnded(change, link) }
        }
    }

    public func settle() throws(DeviceFault) {
        // Flushes that waited begin when the last of what they waited for is done.
        while let work, inFlight > 0 {
            work.waitForAll()
            try collectDone()
        }
        try link?.interruptIfWanted(0)
    }

    private func changeEnded(_ change: UInt64, _ link: DeviceLink) throws(DeviceFault) {
        changesInFlight -= 1
        var ready: [BlockCompletion] = []
        for index in waitingFlushes.indices where change <= waitingFlushes[index].after {
            waitingFlushes[index].missing -= 1
            if waitingFlushes[index].missing == 0 {
                ready.append(waitingFlushes[index].completion)
            }
        }
        guard !ready.isEmpty else { return }
        waitingFlushes.removeAll { $0.missing == 0 }
        for completion in ready {
            inFlight -= 1
            try beginFlush(completion, link)
        }
    }

    private func finish(_ done: BlockCompletion, _ link: DeviceLink) throws(DeviceFault) {
        let isGood = done.status == .good
        if !isGood { counters.errors &+= 1 }
        do throws(GuestMemoryError) {
            try link.memory.store8(done.status.rawValue, done.statusPlace)
        } catch {
            throw .outsideMemory(error)
        }
        try link.giveBack(done.head, to: 0, written: (isGood ? done.written : 0) + 1)
    }
}
