public import GuestMemory

/// Where a driver has put a queue in its memory. Corresponds to a split virtqueue.
public struct QueueLayout: Hashable, Sendable {
    /// How many descriptors it has: a power of two.
    public var size: UInt16
    public var descriptors: GuestAddress
    public var available: GuestAddress
    public var used: GuestAddress

    public init(
        size: UInt16, descriptors: GuestAddress, available: GuestAddress, used: GuestAddress
    ) {
        self.size = size
        self.descriptors = descriptors
        self.available = available
        self.used = used
    }

    /// `struct vring_avail`: flags, index, ring, used_event.
    var availableIndex: GuestAddress { available.advanced(by: 2) }
    func availableEntry(_ index: UInt16) -> GuestAddress {
        available.advanced(by: 4 + UInt64(index & (size - 1)) * 2)
    }
    /// Where the driver says which used entry it wants to be told of.
    var usedEvent: GuestAddress { available.advanced(by: 4 + UInt64(size) * 2) }

    /// `struct vring_used`: flags, index, ring of pairs, avail_event.
    var usedIndex: GuestAddress { used.advanced(by: 2) }
    func usedEntry(_ index: UInt16) -> GuestAddress {
        used.advanced(by: 4 + UInt64(index & (size - 1)) * 8)
    }
    var availableEvent: GuestAddress { used.advanced(by: 4 + UInt64(size) * 8) }

    static let descriptorBytes = 16

    /// Whether all of it is in the memory, where the processor can reach it.
    public func check(in memory: GuestMemory) throws(DeviceFault) {
        guard size > 0, size & (size - 1) == 0 else { throw .badQueueSize(size) }
        let count = Int(size)
        let parts: [(GuestRange, alignment: UInt64)] = [
            (GuestRange(descriptors, count: count * Self.descriptorBytes), 16),
            (GuestRange(available, count: 6 + count * 2), 2),
            (GuestRange(used, count: 6 + count * 8), 4),
        ]
        for (range, alignment) in parts {
            guard range.start.rawValue % alignment == 0, memory.contains(range) else {
                throw .outsideMemory(GuestMemoryError(range))
            }
        }
    }
}
