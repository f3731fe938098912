public import GuestMemory
internal import KVM
internal import LinuxKernel
public import Virtio

/// A machine whose guest runs, or is paused, or has ended. Its members may be called on any thread
/// but a processor's.
public final class RunningMachine: Sendable {
    public let memory: GuestMemory
    public let transports: [VirtioTransport]
    public let configuration: MachineConfiguration
    let processors: [VirtualProcessor]
    /// Kept open while the guest may run.
    let machine: VirtualMachine
    let bus: DeviceBus
    let facts: SavingFacts
    /// Of the whole snapshot that the guest went on with.
    let base: [UInt8]?
    private let hasEnded = Locked(false)

    init(
        _ machine: consuming VirtualMachine, _ processors: [VirtualProcessor],
        _ transports: [VirtioTransport], memory: GuestMemory, bus: DeviceBus,
        configuration: MachineConfiguration, facts: SavingFacts, base: [UInt8]?
    ) {
        self.base = base
        self.bus = bus
        self.configuration = configuration
        self.facts = facts
        self.machine = machine
        self.processors = processors
        self.transports = transports
        self.memory = memory
    }

    func start(
        isHeld: Bool, behind fences: MonitorFences?,
        onEnd: @escaping @Sendable (MachineEnd) -> Void
    ) throws(SystemCallError) {
        let first = fences?.first(on: .processor, threads: processors.count)
        if isHeld {
            for processor in processors { processor.want(.paused) }
        }
        do throws(SystemCallError) {
            // Those that wait for the first one, before it runs.
            for processor in processors.reversed() {
                try processor.start(on: bus, first: first) { [weak self] end in
                    self?.end(end, onEnd)
                }
            }
            try fences?.complete()
        } catch {
            stop()
            throw error
        }
        if fences != nil, !isHeld { resume() }
    }

    /// The first processor that ends the guest ends it for all.
    private func end(_ end: MachineEnd, _ onEnd: (MachineEnd) -> Void) {
        let isFirst = hasEnded.with { hasEnded in
            defer { hasEnded = true }
            return !hasEnded
        }
        guard isFirst else { return }
        for processor in processors { processor.want(.stopped) }
        onEnd(end)
    }

    /// Halts every processor where it is. The devices go on with what they were given.
    public func pause() {
        for processor in processors { processor.want(.paused) }
        for processor in processors { processor.waitUntilPaused() }
    }

    public func resume() {
        for processor in processors { processor.want(.running) }
    }

    /// Ends the processors, for good. They are gone when this gives back.
    public func stop() {
        for processor in processors { processor.want(.stopped) }
        for processor in processors { processor.waitUntilGone() }
    }

    /// When the first processor entered the guest, on the monotonic clock; nil before.
    public var entryTime: UInt64? { processors[0].entryTime }

    /// How often the guest left for this process.
    public var exits: ExitCounters {
        processors.reduce(ExitCounters()) { $0 + $1.counters }
    }

    /// The devices that ended their work for what their drivers did.
    public var failures: [(device: VirtioKind, fault: DeviceFault)] {
        transports.compactMap { transport in
            transport.failure.map { (transport.kind, $0) }
        }
    }
}
