internal import GuestMemory
internal import LinuxKernel

// From the guest to the host.
extension NetworkDevice {
    private enum Passage {
        case over
        /// It waits for the host, or for its limit.
        case waiting
    }

    /// Passes frames on until there are none, one has to wait, or as many were as the queue holds:
    /// then it goes on in the loop's next turn.
    func transmit(_ link: DeviceLink) throws(DeviceFault) {
        guard !isWritingBlocked, !flows[Queue.fromGuest].isDelayed else { return }
        var budget = queueSizes[Queue.fromGuest]
        while budget > 0, try link.take(from: Queue.fromGuest, into: &chain) {
            budget -= 1
            guard try pass(link) == .over else {
                link.queues[Queue.fromGuest]?.putBack()
                break
            }
            try link.giveBack(chain.head, to: Queue.fromGuest, written: 0)
        }
        try link.interruptIfWanted(Queue.fromGuest)
        if budget == 0 { link.notifyLater(Queue.fromGuest) }
        updateWatch()
    }

    private func pass(_ link: DeviceLink) throws(DeviceFault) -> Passage {
        let frame = chain.readableCount - NetworkHeader.size
        guard frame >= Self.ethernetBytes, frame <= Self.mostFrameBytes else {
            counters.invalid &+= 1
            return .over
        }
        try chain.read(into: &headerBytes, from: link.memory)
        var header = NetworkHeader(headerBytes)
        guard header.check(frame: frame, features: link.features) else {
            counters.invalid &+= 1
            return .over
        }
        // The host is given what was checked, whatever the guest writes meanwhile.
        header.write(into: &headerBytes)
        scratch.store(headerBytes, at: 0)
        parts.removeAll(keepingCapacity: true)
        parts.append(MemoryPart(address: scratch.address, count: UInt64(NetworkHeader.size)))
        try chain.readable.append(
            to: &parts, skipping: NetworkHeader.size, count: frame, link.memory)
        guard passes(frame, Queue.fromGuest, link) else { return .waiting }
        switch descriptor.write(parts) {
        case .bytes:
            counters.packetsFromGuest &+= 1
            counters.bytesFromGuest &+= UInt64(frame)
        case .wouldBlock:
            isWritingBlocked = true
            return .waiting
        case .failed:
            // The link is down, or the frame is none to the host's kernel.
            counters.refused &+= 1
        }
        return .over
    }
}

// From the host to the guest.
extension NetworkDevice {
    /// Gives frames to the guest until there are none, the guest has no room, one has to wait, or
    /// as many were given as the queue holds: the loop tells of the rest.
    func receive(_ link: DeviceLink) throws(DeviceFault) {
        guard watch != nil else { return }
        // What does not go on now is told of when it can: until then the host need not.
        var isWaiting = flows[Queue.toGuest].isDelayed
        var budget = queueSizes[Queue.toGuest]
        while !isWaiting, budget > 0 {
            budget -= 1
            if arrived == nil {
                isWaiting = try !gather(link)
                guard !isWaiting, try read(link) else { break }
            }
            isWaiting = try !deliver(link)
        }
        try link.interruptIfWanted(Queue.toGuest)
        isReadingParked = isWaiting
        updateWatch()
    }

    /// Takes buffers for the next frame: enough for a large one where there are. False where there
    /// are none.
    private func gather(_ link: DeviceLink) throws(DeviceFault) -> Bool {
        let isMerged = link.has(Feature.mergedBuffers)
        let wanted = isMerged ? mostBytes(link) : 1
        var budget = queueSizes[Queue.toGuest]
        while room.bytes < wanted, budget > 0, try link.take(from: Queue.toGuest, into: &chain) {
            budget -= 1
            let isUseful =
                chain.writableCount >= NetworkHeader.size
                && room.parts + chain.writable.count < Descriptor.mostParts
            if isUseful {
                room.append(&chain)
            } else if room.isEmpty {
                try link.giveBack(chain.head, to: Queue.toGuest, written: 0)
            } else {
                link.queues[Queue.toGuest]?.putBack()
                break
            }
        }
        // What came faster than it was looked at.
        if budget == 0, room.isEmpty { link.notifyLater(Queue.toGuest) }
        return !room.isEmpty
    }

    private func mostBytes(_ link: DeviceLink) -> Int {
        if link.has(Feature.guestSegmentation4) || link.has(Feature.guestSegmentation6) {
            return NetworkHeader.size + Self.mostFrameBytes
        }
        return NetworkHeader.size + Self.ethernetBytes + 4 + Int(max(settings.mtu ?? 0, 1500))
    }

    /// Reads one frame into the buffers. False where there is none.
    private func read(_ link: DeviceLink) throws(DeviceFault) -> Bool {
        parts.removeAll(keepingCapacity: true)
        try room.append(to: &parts, link.memory)
        let overflow = UInt64(Self.scratchBytes - Self.scratchStart)
        parts.append(
            MemoryPart(address: scratch.address + UInt64(Self.scratchStart), count: overflow))
        switch descriptor.read(into: parts) {
        case .bytes(let count) where count >= NetworkHeader.size:
            if count <= room.bytes {
                arrived = count
            } else {
                try drop(link)
            }
            return true
        case .wouldBlock, .failed(.interrupted):
            return false
        case .bytes, .failed:
            linkWentAway()
            return false
        }
    }

    /// Drops a frame that is larger than the room for it. A buffer that is to hold frames by itself
    /// goes back, so that others have their turn.
    private func drop(_ link: DeviceLink) throws(DeviceFault) {
        counters.dropped &+= 1
        guard !link.has(Feature.mergedBuffers) else { return }
        filled.removeAll(keepingCapacity: true)
        room.fill(1, &filled)
        for buffer in filled {
            try link.giveBack(buffer.head, to: Queue.toGuest, written: 0)
        }
    }

    /// Gives the frame that arrived to the guest. False where it waits for its limit.
    private func deliver(_ link: DeviceLink) throws(DeviceFault) -> Bool {
        guard let arrived else { return true }
        let frame = arrived - NetworkHeader.size
        guard passes(frame, Queue.toGuest, link) else { return false }
        self.arrived = nil
        filled.removeAll(keepingCapacity: true)
        // The number of buffers is the last of the header.
        let first = room.fill(arrived, &filled)
        var number: [UInt8] = [0, 0]
        number.set(UInt16(filled.count), at: 0)
        try first?.write(number, skipping: NetworkHeader.size - number.count, to: link.memory)
        try link.queues[Queue.toGuest]?.giveBack(filled)
        counters.packetsToGuest &+= 1
        counters.bytesToGuest &+= UInt64(frame)
        return true
    }
}

/// Buffers of the guest's that were taken to be filled, in their order: as many as the queue has at
/// most.
struct NetworkRoom {
    /// Those that are not used are kept for their memory.
    private var chains: [DescriptorChain] = []
    private var first = 0
    private var count = 0
    private(set) var bytes = 0
    private(set) var parts = 0

    var isEmpty: Bool { count == 0 }
    /// How many there are.
    var buffers: Int { count }

    /// Adds one, and leaves another to be used again.
    mutating func append(_ chain: inout DescriptorChain) {
        if count == chains.count {
            // They begin at the beginning, or none of them is used.
            chains = (0..<count).map { chains[(first + $0) % count] }
            chains += (0..<max(16, count)).map { _ in DescriptorChain() }
            first = 0
        }
        bytes += chain.writableCount
        parts += chain.writable.count
        swap(&chains[(first + count) % chains.count], &chain)
        count += 1
    }

    func append(to result: inout [MemoryPart], _ memory: GuestMemory) throws(DeviceFault) {
        for index in 0..<count {
            try chains[(first + index) % chains.count].writable.append(
                to: &result, skipping: 0, count: .max, memory)
        }
    }

    /// Takes as many of them as so many bytes fill, and says which. Gives the first.
    @discardableResult
    mutating func fill(
        _ written: Int, _ filled: inout [(head: UInt16, written: Int)]
    ) -> DescriptorChain? {
        guard !isEmpty else { return nil }
        let start = first
        var left = written
        while left > 0, count > 0 {
            let room = chains[first].writableCount
            filled.append((chains[first].head, min(room, left)))
            left -= min(room, left)
            bytes -= room
            parts -= chains[first].writable.count
            first = (first + 1) % chains.count
            count -= 1
        }
        return chains[start]
    }

    mutating func clear() {
        first = 0
        count = 0
        bytes = 0
        parts = 0
    }
}
