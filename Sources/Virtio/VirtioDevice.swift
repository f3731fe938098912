public import GuestMemory
public import LinuxKernel

/// What a device is, as its driver asks. Corresponds to `VIRTIO_ID_…`.
public enum VirtioKind: UInt32, Hashable, Sendable, CaseIterable {
    case network = 1
    case block = 2
    case console = 3
    case entropy = 4
    case balloon = 5
    case socket = 19
}

/// The part of a device that its transport does not know: what its requests mean.
///
/// Every member is called with the device's lock held, by the transport on the thread of a virtual
/// CPU, or by ``DeviceLink/perform(_:)`` on the loop's. None of them blocks.
public protocol VirtioDevice: AnyObject {
    var kind: VirtioKind { get }
    /// What it offers beside what every device does. Corresponds to bits of `VIRTIO_…_F_…`.
    var features: UInt64 { get }
    /// The most descriptors that each of its queues may have.
    var queueSizes: [UInt16] { get }
    /// What the driver reads of its configuration. Bytes beyond it read as zero.
    var configuration: [UInt8] { get }

    /// The driver is ready: its queues are there, and it may be called.
    func start(_ link: DeviceLink) throws(DeviceFault)
    /// The driver put requests into a queue, perhaps.
    func notified(_ queue: Int) throws(DeviceFault)
    /// The driver changed the configuration. Bytes beyond it are not told.
    func configure(_ bytes: [UInt8], at offset: Int) throws(DeviceFault)
    /// The driver begins anew, or the device failed: no memory of the guest is touched any more
    /// when this gives back. ``start(_:)`` may follow.
    func stop()

    /// Ends what it began on other threads, and begins nothing. It works, and no processor runs.
    /// Called on the loop's thread, which may wait.
    func settle() throws(DeviceFault)
    /// How many of the last requests that it took of a queue it has not used, and takes again.
    func untouched(_ queue: Int) -> Int
    /// Writes what its driver does not know. ``settle()`` was called before.
    func save(into writer: inout StateWriter)
    /// Goes on with what was saved of another one, in place of ``start(_:)``. Without a link the
    /// driver was not ready.
    func restore(from reader: inout StateReader, _ link: DeviceLink?) throws(StateFault)
}

extension VirtioDevice {
    public func configure(_ bytes: [UInt8], at offset: Int) throws(DeviceFault) {}
    public func settle() throws(DeviceFault) {}
    public func untouched(_ queue: Int) -> Int { 0 }
    public func save(into writer: inout StateWriter) {}

    public func restore(
        from reader: inout StateReader, _ link: DeviceLink?
    ) throws(StateFault) {
        try begin(link)
    }

    /// Starts, if its driver was ready.
    func begin(_ link: DeviceLink?) throws(StateFault) {
        guard let link else { return }
        do throws(DeviceFault) {
            try start(link)
        } catch {
            throw .device(kind, error)
        }
    }
}

/// What a device that was started works with. Each start has one of its own.
///
/// It is used with the device's lock held, but for ``perform(_:)`` and what does not change, which
/// any thread may use.
public final class DeviceLink: @unchecked Sendable {
    public let memory: GuestMemory
    /// The loop on which the device's own descriptors and times are watched.
    public let loop: EventLoop
    /// What the driver accepted of what was offered.
    public let features: UInt64
    /// By their numbers. Nil for those that the driver does not use.
    public var queues: [VirtQueue?]
    /// What a device hung on a loop or gave to a thread may come back when nobody has the
    /// transport any more.
    private weak let transport: VirtioTransport?

    init(
        _ transport: VirtioTransport, _ memory: GuestMemory, features: UInt64,
        queues: [VirtQueue?]
    ) {
        self.transport = transport
        loop = transport.loop
        self.memory = memory
        self.features = features
        self.queues = queues
    }

    public func has(_ feature: Int) -> Bool { features & (1 << UInt64(feature)) != 0 }

    /// Calls an action with the device's lock held, on behalf of something that was hung on the
    /// loop. It is left out when the device was stopped, or started anew, since.
    public func perform(_ action: () throws(DeviceFault) -> Void) {
        transport?.perform(for: self, action)
    }

    /// Takes the next request of a queue; false where there is none. The driver is asked to tell of
    /// further ones then.
    public func take(
        from queue: Int, into chain: inout DescriptorChain
    ) throws(DeviceFault) -> Bool {
        guard queues.indices.contains(queue), queues[queue] != nil else { return false }
        // A driver that offers and withdraws all the time keeps nobody here.
        for _ in 0..<2 {
            if try queues[queue]?.take(into: &chain) == true { return true }
            if try queues[queue]?.awaitMore() == true { return false }
        }
        if try queues[queue]?.take(into: &chain) == true { return true }
        notifyLater(queue)
        return false
    }

    /// Takes requests until there are none, or until so many were taken as the queue holds: then it
    /// goes on in the loop's next turn, after what else is ready.
    public func drain(
        _ queue: Int, into chain: inout DescriptorChain,
        _ body: (DescriptorChain) throws(DeviceFault) -> Int
    ) throws(DeviceFault) {
        var budget = queues[queue]?.layout.size ?? 0
        while try take(from: queue, into: &chain) {
            try giveBack(chain.head, to: queue, written: try body(chain))
            budget -= 1
            if budget == 0 {
                transport?.notifyLater(queue)
                break
            }
        }
        try interruptIfWanted(queue)
    }

    public func giveBack(_ head: UInt16, to queue: Int, written: Int) throws(DeviceFault) {
        try queues[queue]?.giveBack(head, written: written)
    }

    /// After requests were given back.
    public func interruptIfWanted(_ queue: Int) throws(DeviceFault) {
        if try queues[queue]?.wantsInterrupt() == true { transport?.interrupt(.usedBuffers) }
    }

    /// Tells the driver that the configuration changed.
    public func configurationChanged() {
        transport?.interrupt(.configuration)
    }

    /// Tells of a queue as if the driver had, in the loop's next turn.
    public func notifyLater(_ queue: Int) {
        transport?.notifyLater(queue)
    }
}
