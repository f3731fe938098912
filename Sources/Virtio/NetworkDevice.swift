public import LinuxKernel

/// What went through a device for a network.
public struct NetworkCounters: Hashable, Sendable {
    public var packetsFromGuest: UInt64 = 0
    public var bytesFromGuest: UInt64 = 0
    public var packetsToGuest: UInt64 = 0
    public var bytesToGuest: UInt64 = 0
    /// Frames of the guest's that are none.
    public var invalid: UInt64 = 0
    /// Frames of the guest's that the host did not take.
    public var refused: UInt64 = 0
    /// Frames for the guest for which it had too small a room.
    public var dropped: UInt64 = 0

    public init() {}
}

/// The address of a link: 6 bytes, of which the first is even.
public struct HardwareAddress: Hashable, Sendable {
    public let bytes: [UInt8]

    /// Nil for what is none, or the address of many.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == 6, bytes[0] & 1 == 0, bytes.contains(where: { $0 != 0 }) else {
            return nil
        }
        self.bytes = bytes
    }
}

/// Connects a guest to a TAP of the host's. Corresponds to virtio-net with one pair of queues.
///
/// Frames go by one copy, the kernel's, between guest and host; where the driver agrees they are
/// large ones with unfinished checksums. What the guest says of a frame is checked before the
/// host's kernel sees it.
public final class NetworkDevice: VirtioDevice, @unchecked Sendable {
    public struct Settings: Sendable {
        public var address: HardwareAddress
        /// The most bytes of a packet, which the driver is told.
        public var mtu: UInt16?
        public var fromGuest = TransferLimits.none
        public var toGuest = TransferLimits.none

        public init(_ address: HardwareAddress) {
            self.address = address
        }
    }

    enum Queue {
        static let toGuest = 0
        static let fromGuest = 1
    }

    /// Corresponds to `VIRTIO_NET_F_…`.
    enum Feature {
        static let checksum = 0
        static let guestChecksum = 1
        static let mtu = 3
        static let address = 5
        static let guestSegmentation4 = 7
        static let guestSegmentation6 = 8
        static let hostSegmentation4 = 11
        static let hostSegmentation6 = 12
        static let mergedBuffers = 15
        static let status = 16
    }

    static let ethernetBytes = 14
    /// A packet of 64 KiB after the addresses and a tag.
    static let mostFrameBytes = 65_535 + ethernetBytes + 4
    private static let linkUp: UInt16 = 1

    public let kind = VirtioKind.network
    public let features: UInt64
    public let queueSizes: [UInt16] = [256, 256]
    let settings: Settings
    /// Of frames, each after its header.
    let descriptor: Descriptor
    private let isTap: Bool

    // What follows is used with the device's lock held, and on the loop's thread but for the start
    // and the stop.
    var link: DeviceLink?
    private var loop: EventLoop?
    private(set) var watch: Watch?
    private var isUp = true
    /// Used with the device's lock held: see ``VirtioTransport/withDevice(_:)``.
    public internal(set) var counters = NetworkCounters()
    /// By their queues.
    var flows = [NetworkFlow(), NetworkFlow()]
    /// Whether the host has something to read, as far as is known, and waits for the guest.
    var isReadingParked = false
    /// Whether a frame of the guest's waits for the host.
    var isWritingBlocked = false
    /// Buffers of the guest's that were taken and not filled.
    var room = NetworkRoom()
    /// How many bytes of a frame are in them that was not given to the guest yet.
    var arrived: Int?

    // Used again and again.
    var chain = DescriptorChain()
    var parts: [MemoryPart] = []
    var headerBytes = [UInt8](repeating: 0, count: NetworkHeader.size)
    var filled: [(head: UInt16, written: Int)] = []
    /// The header that the host is given, then what of a frame has no room at the guest's.
    let scratch: MemoryMapping
    static let scratchStart = 4096
    static let scratchBytes = 128 << 10

    public convenience init(
        _ tap: consuming TapDevice, _ settings: Settings
    ) throws(SystemCallError) {
        try self.init(tap.relinquish(), settings, isTap: true)
    }

    /// - Parameter packets: a descriptor that keeps frames apart, each after its header: a socket
    ///   in place of a TAP.
    public convenience init(
        packets: consuming Descriptor, _ settings: Settings
    ) throws(SystemCallError) {
        try self.init(packets, settings, isTap: false)
    }

    private init(
        _ descriptor: consuming Descriptor, _ settings: Settings, isTap: Bool
    ) throws(SystemCallError) {
        self.descriptor = descriptor
        self.settings = settings
        self.isTap = isTap
        scratch = try .anonymous(count: Self.scratchBytes)
        var features: UInt64 = 0
        for feature in [
            Feature.checksum, Feature.guestChecksum, Feature.address, Feature.guestSegmentation4,
            Feature.guestSegmentation6, Feature.hostSegmentation4, Feature.hostSegmentation6,
            Feature.mergedBuffers, Feature.status,
        ] { features |= 1 << UInt64(feature) }
        if settings.mtu != nil { features |= 1 << UInt64(Feature.mtu) }
        self.features = features
        let now = MonotonicClock.nanoseconds
        flows[Queue.fromGuest].limiter = TransferLimiter(settings.fromGuest, at: now)
        flows[Queue.toGuest].limiter = TransferLimiter(settings.toGuest, at: now)
    }

    // MARK: - For the program

    /// Holds other limits from now on. Used as ``counters``.
    public func change(fromGuest: TransferLimits, toGuest: TransferLimits) {
        let now = MonotonicClock.nanoseconds
        flows[Queue.fromGuest].limiter.change(to: fromGuest, at: now)
        flows[Queue.toGuest].limiter.change(to: toGuest, at: now)
        for queue in flows.indices {
            flows[queue].isDelayed = false
            // What waits asks again, on the loop's thread.
            link?.notifyLater(queue)
        }
    }

    // MARK: - The device

    /// `struct virtio_net_config`: the address, the status, the number of pairs of queues, the MTU.
    public var configuration: [UInt8] {
        var bytes = settings.address.bytes + [UInt8](repeating: 0, count: 6)
        bytes.set(isUp ? Self.linkUp : 0, at: 6)
        bytes.set(1 as UInt16, at: 8)
        bytes.set(settings.mtu ?? 0, at: 10)
        return bytes
    }

    public func start(_ link: DeviceLink) {
        self.link = link
        loop = link.loop
        link.loop.enqueue { [weak self] in
            link.perform { () throws(DeviceFault) in try self?.begin(link) }
        }
    }

    private func begin(_ link: DeviceLink) throws(DeviceFault) {
        guard isUp else { return }
        do throws(SystemCallError) {
            if isTap { try TapDevice.set(offloads(link), of: descriptor) }
            watch = try link.loop.watch(descriptor.rawValue, for: .readable) {
                [weak self] events in
                link.perform { () throws(DeviceFault) in try self?.hostIsReady(events) }
            }
        } catch {
            throw .hostFailed("\(error)")
        }
        updateWatch()
    }

    /// Buffers that wait for a frame.
    public func untouched(_ queue: Int) -> Int { queue == Queue.toGuest ? room.buffers : 0 }

    public func save(into writer: inout StateWriter) {
        writer.put(settings.address.bytes)
        writer.put(settings.mtu ?? 0)
    }

    public func restore(
        from reader: inout StateReader, _ link: DeviceLink?
    ) throws(StateFault) {
        let address = try reader.piece(atMost: 6)
        let mtu: UInt16 = try reader.number()
        // Its driver has read both.
        guard address == settings.address.bytes, mtu == settings.mtu ?? 0 else {
            throw .different("its link has another hardware address or packet size")
        }
        try begin(link)
    }

    /// What the driver takes.
    private func offloads(_ link: DeviceLink) -> TapOffloads {
        guard link.has(Feature.guestChecksum) else { return [] }
        var offloads: TapOffloads = .checksum
        if link.has(Feature.guestSegmentation4) { offloads.insert(.segmentation4) }
        if link.has(Feature.guestSegmentation6) { offloads.insert(.segmentation6) }
        return offloads
    }

    public func notified(_ queue: Int) throws(DeviceFault) {
        guard let link else { return }
        // Descriptors and times are watched on the loop's thread alone.
        guard link.loop.isCurrent else { return link.notifyLater(queue) }
        if queue == Queue.toGuest {
            try receive(link)
        } else {
            try transmit(link)
        }
    }

    private func hostIsReady(_ events: PollEvents) throws(DeviceFault) {
        guard let link else { return }
        if events.contains(.writable) {
            isWritingBlocked = false
            try transmit(link)
        }
        if events.contains(.readable) { try receive(link) }
        // A link that went away tells of that again and again.
        if events.contains(.failed) || events.contains(.hungUp), !events.contains(.readable) {
            linkWentAway()
        }
    }

    public func stop() {
        link = nil
        let remains = NetworkRemains(watch, flows.map(\.alarm))
        watch = nil
        for queue in flows.indices { flows[queue].forget() }
        isReadingParked = false
        isWritingBlocked = false
        room.clear()
        arrived = nil
        guard let loop else { return }
        self.loop = nil
        if loop.isCurrent {
            remains.close(loop)
        } else {
            loop.enqueue { remains.close(loop) }
        }
    }

    // MARK: - Waiting

    /// What the loop is to tell of.
    func updateWatch() {
        var events: PollEvents = []
        if !isReadingParked { events.insert(.readable) }
        if isWritingBlocked { events.insert(.writable) }
        watch?.change(to: events)
    }

    /// Nothing comes or goes any more, which the driver is told.
    func linkWentAway() {
        watch?.cancel()
        watch = nil
        guard isUp else { return }
        isUp = false
        link?.configurationChanged()
    }

    /// Whether a frame may pass. Otherwise the direction goes on when it may.
    func passes(_ count: Int, _ queue: Int, _ link: DeviceLink) -> Bool {
        // Without limits the clock is not asked.
        if flows[queue].limiter.isUnlimited { return true }
        let now = MonotonicClock.nanoseconds
        let delay = flows[queue].limiter.take(bytes: UInt64(count), at: now)
        guard delay > 0 else { return true }
        flows[queue].isDelayed = true
        if let alarm = flows[queue].alarm { link.loop.cancel(alarm) }
        let (time, isNever) = now.addingReportingOverflow(delay)
        flows[queue].alarm = link.loop.schedule(at: isNever ? .max : time) { [weak self] in
            link.perform { () throws(DeviceFault) in
                guard let self else { return }
                self.flows[queue].forget()
                try self.notified(queue)
            }
        }
        return false
    }
}

/// One direction.
struct NetworkFlow {
    var limiter = TransferLimiter(.none, at: 0)
    /// Whether it waits for its limit.
    var isDelayed = false
    var alarm: ScheduledAction?

    mutating func forget() {
        isDelayed = false
        alarm = nil
    }
}

/// What a device that was stopped leaves on the loop, which ends it on its thread.
private final class NetworkRemains: @unchecked Sendable {
    private let watch: Watch?
    private let alarms: [ScheduledAction?]

    init(_ watch: Watch?, _ alarms: [ScheduledAction?]) {
        self.watch = watch
        self.alarms = alarms
    }

    func close(_ loop: EventLoop) {
        watch?.cancel()
        for case .some(let alarm) in alarms { loop.cancel(alarm) }
    }
}
