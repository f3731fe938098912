public import GuestMemory
public import LinuxKernel

/// A device's registers in the guest's address space, and the life of the device behind them.
/// Corresponds to the modern virtio-mmio transport.
///
///     reset ── acknowledge, driver ──► negotiating ── features ok ──► configuring
///       ▲                                                                │ driver ok
///       └───── status 0 ◄── failed ◄── what no driver may do ◄── running ◄┘
///
/// Registers are used by the threads of virtual CPUs, queues by the loop's; one lock keeps them
/// apart. The interrupt's cause has another, so that no CPU waits for a device at work.
public final class VirtioTransport: @unchecked Sendable {
    public enum Cause: UInt32, Sendable {
        case usedBuffers = 1
        case configuration = 2
    }

    /// How many bytes of addresses a device takes.
    public static let windowBytes: UInt64 = 0x1000
    /// Where in them a driver writes the number of a queue that it filled.
    public static let doorbellOffset: UInt64 = 0x50

    let loop: EventLoop
    public let kind: VirtioKind
    /// A doorbell for each queue, which the kernel rings without leaving the guest.
    public let doorbells: [SharedCounter]
    private let memory: GuestMemory
    private let line: any InterruptLine
    private let cause = Locked(InterruptCause())
    private let state: Locked<TransportState>

    public init(
        _ device: any VirtioDevice, memory: GuestMemory, loop: EventLoop, line: any InterruptLine
    ) throws(SystemCallError) {
        self.memory = memory
        self.loop = loop
        self.line = line
        kind = device.kind
        var doorbells: [SharedCounter] = []
        for _ in device.queueSizes { doorbells.append(try SharedCounter()) }
        self.doorbells = doorbells
        state = Locked(TransportState(device))
    }

    /// A device that works is stopped: it has hung things on the loop.
    deinit {
        state.with { if $0.link != nil { $0.device.stop() } }
    }

    /// Watches the doorbells from now on. Called on the loop's thread, or before it runs.
    public func listen() throws(SystemCallError) {
        for (queue, doorbell) in doorbells.enumerated() {
            try loop.watch(doorbell.descriptor, for: .readable) { [weak self] _ in
                doorbell.clear()
                self?.notified(queue)
            }
        }
    }

    /// Why the device ended its work, if it did: the first reason.
    public var failure: DeviceFault? { state.with { $0.failure } }
    public var isRunning: Bool { state.with { $0.link != nil } }

    // MARK: - Registers

    /// What the guest reads: 4 bytes of a register, or 1 to 8 of the configuration.
    public func read(at offset: UInt64, count: Int) -> UInt64 {
        switch Register(rawValue: offset) {
        case .interruptStatus: return UInt64(cause.with { $0.bits })
        case .configurationGeneration: return UInt64(cause.with { $0.generation })
        default: break
        }
        return state.with { $0.read(at: offset, count: count) }
    }

    public func write(_ value: UInt64, at offset: UInt64, count: Int) {
        switch Register(rawValue: offset) {
        case .interruptAcknowledge:
            cause.with { $0.bits &= ~UInt32(truncatingIfNeeded: value) }
        case .queueNotify where count == 4:
            // Where no doorbell of the kernel's takes it.
            if value < UInt64(doorbells.count) { notified(Int(value)) }
        case .status where count == 4:
            setStatus(UInt32(truncatingIfNeeded: value))
        default:
            guarded { (state) throws(DeviceFault) in
                try state.write(value, at: offset, count: count)
            }
        }
    }

    private func setStatus(_ value: UInt32) {
        guarded { (state) throws(DeviceFault) in
            if try state.setStatus(value, memory) {
                let link = DeviceLink(
                    self, memory, features: state.driverFeatures,
                    queues: try state.makeQueues(in: memory))
                state.link = link
                try state.device.start(link)
            }
        }
        if value == 0 { cause.with { $0.bits = 0 } }
    }

    // MARK: - For the device

    func perform(for link: DeviceLink, _ action: () throws(DeviceFault) -> Void) {
        guarded { (state) throws(DeviceFault) in
            if state.link === link { try action() }
        }
    }

    private func notified(_ queue: Int) {
        guarded { (state) throws(DeviceFault) in
            if state.link != nil { try state.device.notified(queue) }
        }
    }

    /// Does something with the lock held; what faults ends the device's work.
    private func guarded(_ action: (inout TransportState) throws(DeviceFault) -> Void) {
        let failed = state.with { state in
            do throws(DeviceFault) {
                try action(&state)
                return false
            } catch {
                state.fail(error)
                return true
            }
        }
        if failed { interrupt(.configuration) }
    }

    func interrupt(_ reason: Cause) {
        cause.with { cause in
            cause.bits |= reason.rawValue
            if reason == .configuration { cause.generation &+= 1 }
        }
        line.raise()
    }

    // MARK: - Saving

    /// Writes what the device and its driver have agreed on, while no processor runs. Called on the
    /// loop's thread, which waits until nothing is in flight.
    public func save(into writer: inout StateWriter) {
        guarded { (state) throws(DeviceFault) in
            if state.link != nil { try state.device.settle() }
        }
        let cause = cause.with { ($0.bits, $0.generation) }
        state.with { $0.save(into: &writer, cause: cause) }
    }

    /// Goes on with what was saved of another one, before the guest runs.
    public func restore(from reader: inout StateReader) throws(StateFault) {
        let result = state.with { state in
            Result { () throws(StateFault) in
                try state.restore(from: &reader, in: memory) { features, queues in
                    DeviceLink(self, memory, features: features, queues: queues)
                }
            }
        }
        let (bits, generation) = try result.get()
        cause.with {
            $0.bits = bits
            $0.generation = generation
        }
        // An interrupt that was on its way, and doorbells that nobody had heard.
        if bits != 0 { line.raise() }
        if isRunning { for doorbell in doorbells { doorbell.raise() } }
    }

    func notifyLater(_ queue: Int) {
        doorbells[queue].raise()
    }

    /// Reads something of the device, with its lock held.
    public func reading<Result>(_ body: () -> Result) -> Result {
        state.with { _ in body() }
    }

    /// Changes the device itself, on behalf of the host, with its lock held.
    public func withDevice(_ action: (any VirtioDevice) throws(DeviceFault) -> Void) {
        guarded { (state) throws(DeviceFault) in try action(state.device) }
    }
}

/// What the driver finds when it is interrupted.
private struct InterruptCause {
    var bits: UInt32 = 0
    /// Changes with the configuration, so that a driver sees that it read a part of each.
    var generation: UInt32 = 0
}
