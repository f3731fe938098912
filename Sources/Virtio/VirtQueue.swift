public import GuestMemory

/// The device's side of a queue. All that the driver writes is fetched once and checked.
public struct VirtQueue: Sendable {
    public let layout: QueueLayout
    let memory: GuestMemory
    /// Whether both sides say from which entry on they want to be told. Corresponds to
    /// `VIRTIO_F_EVENT_IDX`.
    private let usesEventIndex: Bool
    /// The next available entry to take.
    public private(set) var nextAvailable: UInt16
    /// The next used entry to fill.
    public private(set) var nextUsed: UInt16
    /// Up to where the driver was asked whether it wants to be told.
    private var toldUsed: UInt16
    /// Whether the driver was asked about all that was given back.
    var isTold: Bool { toldUsed == nextUsed }
    /// A request has no more parts than the queue has descriptors, nor more bytes than this: a
    /// balloon's driver reports 32 pieces of 4 MiB at once. Nothing of that size is ever copied.
    static let mostBytes = 256 << 20

    public init(
        _ layout: QueueLayout, in memory: GuestMemory, usesEventIndex: Bool,
        nextAvailable: UInt16 = 0, nextUsed: UInt16 = 0
    ) throws(DeviceFault) {
        try layout.check(in: memory)
        self.layout = layout
        self.memory = memory
        self.usesEventIndex = usesEventIndex
        self.nextAvailable = nextAvailable
        self.nextUsed = nextUsed
        toldUsed = nextUsed
    }

    // MARK: - Taking

    /// How many requests wait.
    private func waiting() throws(DeviceFault) -> UInt16 {
        let index = try access { () throws(GuestMemoryError) in
            try memory.load16Acquiring(layout.availableIndex)
        }
        let offered = index &- nextAvailable
        guard offered <= layout.size else {
            throw .tooManyAvailable(offered: offered, size: layout.size)
        }
        return offered
    }

    /// Takes the next request; false when none waits.
    public mutating func take(into chain: inout DescriptorChain) throws(DeviceFault) -> Bool {
        guard try waiting() > 0 else { return false }
        let head = try access { () throws(GuestMemoryError) in
            try memory.load16(layout.availableEntry(nextAvailable))
        }
        try follow(head, into: &chain)
        nextAvailable &+= 1
        return true
    }

    /// Puts the last taken request back, to be taken again.
    public mutating func putBack() {
        nextAvailable &-= 1
    }

    /// Asks to be told of the next request. False when there is one already.
    public mutating func awaitMore() throws(DeviceFault) -> Bool {
        if usesEventIndex {
            try access { () throws(GuestMemoryError) in
                try memory.store16(nextAvailable, layout.availableEvent)
            }
        }
        GuestMemory.fence()
        return try waiting() == 0
    }

    private func follow(
        _ head: UInt16, into chain: inout DescriptorChain
    ) throws(DeviceFault) {
        chain.clear(head)
        var walk = ChainWalk(table: layout.descriptors, count: layout.size, head: head)
        var index = head
        while true {
            let entry = try walk.step(index, in: memory)
            if entry.isIndirect {
                try walk.enter(entry)
                index = 0
                continue
            }
            try add(entry, &walk, to: &chain)
            guard let next = entry.next else { return }
            index = next
        }
    }

    private func add(
        _ entry: DescriptorEntry, _ walk: inout ChainWalk, to chain: inout DescriptorChain
    ) throws(DeviceFault) {
        guard entry.count > 0 else { throw .emptyDescriptor(head: chain.head) }
        let range = GuestRange(entry.address, count: Int(entry.count))
        guard memory.contains(range) else { throw .outsideMemory(GuestMemoryError(range)) }
        walk.bytes += range.count
        guard walk.bytes <= Self.mostBytes else { throw .chainTooLong(head: chain.head) }
        if entry.isWritable {
            chain.writable.append(range)
        } else {
            guard chain.writable.isEmpty else { throw .readableAfterWritable(head: chain.head) }
            chain.readable.append(range)
        }
    }

    // MARK: - Giving back

    /// Gives a request back, with the number of bytes that were written into it.
    public mutating func giveBack(_ head: UInt16, written: Int) throws(DeviceFault) {
        let entry = layout.usedEntry(nextUsed)
        let index = nextUsed &+ 1
        try access { () throws(GuestMemoryError) in
            try memory.store32(UInt32(head), entry)
            try memory.store32(UInt32(clamping: written), entry.advanced(by: 4))
            try memory.store16Releasing(index, layout.usedIndex)
        }
        nextUsed = index
    }

    /// Gives requests back that belong together: the driver sees all of them or none.
    public mutating func giveBack(
        _ requests: [(head: UInt16, written: Int)]
    ) throws(DeviceFault) {
        var index = nextUsed
        try access { () throws(GuestMemoryError) in
            for request in requests {
                let entry = layout.usedEntry(index)
                try memory.store32(UInt32(request.head), entry)
                try memory.store32(UInt32(clamping: request.written), entry.advanced(by: 4))
                index &+= 1
            }
            try memory.store16Releasing(index, layout.usedIndex)
        }
        nextUsed = index
    }

    /// Whether the driver wants to be told of what was given back since this was asked last.
    public mutating func wantsInterrupt() throws(DeviceFault) -> Bool {
        guard nextUsed != toldUsed else { return false }
        GuestMemory.fence()
        let before = toldUsed
        toldUsed = nextUsed
        if usesEventIndex {
            let event = try access { () throws(GuestMemoryError) in
                try memory.load16(layout.usedEvent)
            }
            return nextUsed &- event &- 1 < nextUsed &- before
        }
        let flags = try access { () throws(GuestMemoryError) in
            try memory.load16(layout.available)
        }
        // VRING_AVAIL_F_NO_INTERRUPT
        return flags & 1 == 0
    }

    private func access<Result>(
        _ body: () throws(GuestMemoryError) -> Result
    ) throws(DeviceFault) -> Result {
        do throws(GuestMemoryError) {
            return try body()
        } catch {
            throw .outsideMemory(error)
        }
    }
}

/// An entry of a table of descriptors, fetched once. Corresponds to `struct vring_desc`.
private struct DescriptorEntry {
    let address: GuestAddress
    let count: UInt32
    private let flags: UInt16
    private let following: UInt16

    init(at place: GuestAddress, in memory: GuestMemory) throws(GuestMemoryError) {
        address = GuestAddress(rawValue: try memory.load64(place))
        let rest = try memory.load64(place.advanced(by: 8))
        count = UInt32(truncatingIfNeeded: rest)
        flags = UInt16(truncatingIfNeeded: rest >> 32)
        following = UInt16(truncatingIfNeeded: rest >> 48)
    }

    /// `VRING_DESC_F_NEXT`
    var next: UInt16? { flags & 1 != 0 ? following : nil }
    /// `VRING_DESC_F_WRITE`
    var isWritable: Bool { flags & 2 != 0 }
    /// `VRING_DESC_F_INDIRECT`
    var isIndirect: Bool { flags & 4 != 0 }
}

/// How far a chain was followed: it ends after as many descriptors as the queue has.
private struct ChainWalk {
    private var table: GuestAddress
    private var count: UInt16
    private let head: UInt16
    private let limit: UInt16
    private var steps: UInt16 = 0
    private var isInside = false
    var bytes = 0

    init(table: GuestAddress, count: UInt16, head: UInt16) {
        self.table = table
        self.count = count
        self.head = head
        limit = count
    }

    mutating func step(
        _ index: UInt16, in memory: GuestMemory
    ) throws(DeviceFault) -> DescriptorEntry {
        guard index < count else { throw .descriptorOutsideTable(index) }
        guard steps < limit else { throw .endlessChain(head: head) }
        steps += 1
        do throws(GuestMemoryError) {
            return try DescriptorEntry(
                at: table.advanced(by: UInt64(index) * UInt64(QueueLayout.descriptorBytes)),
                in: memory)
        } catch {
            throw .outsideMemory(error)
        }
    }

    /// Goes on in the table that an entry names, which is the last of its own.
    mutating func enter(_ entry: DescriptorEntry) throws(DeviceFault) {
        let size = Int(entry.count)
        guard !isInside, entry.next == nil, size > 0, size % QueueLayout.descriptorBytes == 0,
            entry.address.rawValue % 8 == 0,
            size / QueueLayout.descriptorBytes <= Int(limit)
        else { throw .badIndirectTable(head: head) }
        isInside = true
        table = entry.address
        count = UInt16(size / QueueLayout.descriptorBytes)
        // The entry itself is no part of the request.
        steps -= 1
    }
}
