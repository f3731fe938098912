internal import GuestMemory
internal import LinuxKernel

// What goes to the guest.
extension SocketDevice {
    private enum Turn {
        /// It has more to send.
        case more
        case done
        /// The guest has no buffers. It tells of new ones.
        case noRoom
    }

    /// The most bytes of a packet.
    private static let mostBytes = 64 << 10

    /// Gives each connection that has something for the guest a turn, one after the other, until
    /// all have nothing or the guest has no room. After as many turns as the queue holds it goes on
    /// in the loop's next.
    func serveGuest() throws(DeviceFault) {
        guard let link else { return }
        var budget = queueSizes[Queue.toGuest]
        while budget > 0, !replies.isEmpty || !ready.isEmpty {
            budget -= 1
            if let reply = replies.first {
                guard try send(reply, link) else { break }
                replies.removeFirst()
            }
            guard let connection = ready.first else { continue }
            let turn = try serve(connection, link)
            if turn == .noRoom { break }
            // It may have gone, and others with it.
            guard connection.isQueued else { continue }
            ready.remove(at: ready.firstIndex { $0 === connection } ?? 0)
            connection.isQueued = false
            if turn == .more { enqueue(connection) }
        }
        try link.interruptIfWanted(Queue.toGuest)
        if budget == 0, !replies.isEmpty || !ready.isEmpty { link.notifyLater(Queue.toGuest) }
        if isHeldUp, replies.count <= Self.mostReplies / 2 {
            isHeldUp = false
            link.notifyLater(Queue.fromGuest)
        }
    }

    /// One packet, or the data of one call.
    private func serve(
        _ connection: SocketConnection, _ link: DeviceLink
    ) throws(DeviceFault) -> Turn {
        let owed = connection.owed
        let packet: (kind: SocketConnection.Owed, operation: UInt16)
        if owed.contains(.reset) {
            packet = (.reset, SocketHeader.Operation.reset)
        } else if owed.contains(.request) {
            packet = (.request, SocketHeader.Operation.request)
        } else if owed.contains(.response) {
            packet = (.response, SocketHeader.Operation.response)
        } else if owed.contains(.shutdown) {
            packet = (.shutdown, SocketHeader.Operation.shutdown)
        } else if owed.contains(.creditRequest) {
            packet = (.creditRequest, SocketHeader.Operation.creditRequest)
        } else if connection.hasData, connection.credit > 0 {
            return try sendData(connection, link)
        } else if owed.contains(.creditUpdate) {
            packet = (.creditUpdate, SocketHeader.Operation.creditUpdate)
        } else {
            guard connection.hasData else { return .done }
            connection.askCredit()
            return connection.owed.isEmpty ? .done : .more
        }
        guard try takeRoom(for: SocketHeader.size, link) else { return .noRoom }
        var header = connection.header(to: cid, packet.operation)
        if packet.kind == .shutdown { header.flags = connection.toldEnds.rawValue }
        try give(header, chains[0], link)
        connection.owed.remove(packet.kind)
        if packet.kind == .reset { remove(connection) }
        return connection.hasWork ? .more : .done
    }

    private func send(_ header: SocketHeader, _ link: DeviceLink) throws(DeviceFault) -> Bool {
        guard try takeRoom(for: SocketHeader.size, link) else { return false }
        try give(header, chains[0], link)
        return true
    }

    /// Takes a buffer of the guest's. Those that are too small go back as they are.
    private func takeRoom(for count: Int, _ link: DeviceLink) throws(DeviceFault) -> Bool {
        for _ in 0..<queueSizes[Queue.toGuest] {
            guard try link.take(from: Queue.toGuest, into: &chains[0]) else { return false }
            if chains[0].writableCount >= count { return true }
            try link.giveBack(chains[0].head, to: Queue.toGuest, written: 0)
        }
        // They came faster than they were looked at: others have their turn first.
        link.notifyLater(Queue.toGuest)
        return false
    }

    /// Writes a header, and gives its buffer back with what follows it.
    private func give(
        _ header: SocketHeader, _ chain: DescriptorChain, _ link: DeviceLink
    ) throws(DeviceFault) {
        header.write(into: &headerBytes)
        try chain.write(start: headerBytes, to: link.memory)
        try link.giveBack(
            chain.head, to: Queue.toGuest, written: SocketHeader.size + Int(header.count))
    }

    // MARK: - Data

    /// Reads from the host's socket straight into the guest's buffers.
    private func sendData(
        _ connection: SocketConnection, _ link: DeviceLink
    ) throws(DeviceFault) -> Turn {
        let (taken, room) = try takeBuffers(connection, link)
        guard taken > 0 else { return .noRoom }
        var used = 0
        defer {
            for _ in used..<taken { link.queues[Queue.toGuest]?.putBack() }
        }
        switch Self.read(connection, parts) {
        case .bytes(let count) where count > 0:
            try give(count, to: connection, &used, link)
            if count < room {
                drained(connection)
                connection.batch = max(1, used)
            } else {
                connection.batch = min(connection.batch * 2, Self.mostBatch)
            }
        case .wouldBlock where connection.watch != nil, .failed(.interrupted):
            drained(connection)
        case .failed(.connectionReset) where !connection.wasResetByHost:
            // The program was closed before it had read everything. That is told once, ahead of
            // what it had sent.
            connection.wasResetByHost = true
        case .bytes, .wouldBlock, .failed:
            connection.hostEnds.insert(.sends)
            settle(connection)
        }
        return connection.hasWork ? .more : .done
    }

    private static func read(
        _ connection: SocketConnection, _ parts: [MemoryPart]
    ) -> Descriptor.PartsTransfer {
        switch connection.descriptor {
        case .some(let descriptor): descriptor.read(into: parts)
        case .none: .bytes(0)
        }
    }

    /// As many buffers as the connection fills at once, as the guest has room for, and as there
    /// are; their places are in ``parts``.
    private func takeBuffers(
        _ connection: SocketConnection, _ link: DeviceLink
    ) throws(DeviceFault) -> (taken: Int, room: Int) {
        parts.removeAll(keepingCapacity: true)
        let credit = connection.credit
        var taken = 0
        var room = 0
        while taken < connection.batch, room < credit {
            if taken == 0 {
                guard try takeRoom(for: SocketHeader.size + 1, link) else { break }
            } else {
                guard try link.take(from: Queue.toGuest, into: &chains[taken]) else { break }
                // One that is too small is given back when it is the first.
                guard chains[taken].writableCount > SocketHeader.size,
                    parts.count + chains[taken].writable.count <= Descriptor.mostParts
                else {
                    link.queues[Queue.toGuest]?.putBack()
                    break
                }
            }
            let count = Self.room(in: chains[taken], credit - room)
            try chains[taken].writable.append(
                to: &parts, skipping: SocketHeader.size, count: count, link.memory)
            room += count
            taken += 1
        }
        return (taken, room)
    }

    private static func room(in chain: DescriptorChain, _ credit: Int) -> Int {
        min(chain.writableCount - SocketHeader.size, credit, mostBytes)
    }

    /// Gives the buffers back that were filled.
    private func give(
        _ count: Int, to connection: SocketConnection, _ used: inout Int, _ link: DeviceLink
    ) throws(DeviceFault) {
        var left = count
        var credit = connection.credit
        while left > 0 {
            let piece = min(left, Self.room(in: chains[used], credit))
            var header = connection.header(to: cid, SocketHeader.Operation.data)
            header.count = UInt32(piece)
            try give(header, chains[used], link)
            left -= piece
            credit -= piece
            used += 1
        }
        connection.sent(count)
        counters.bytesToGuest &+= UInt64(count)
    }

    /// There is nothing to read for now: the loop tells of more.
    private func drained(_ connection: SocketConnection) {
        // Without a watch nobody would, but then there is more or the end.
        guard connection.watch != nil else { return }
        connection.canRead = false
        connection.isReadingParked = false
        connection.updateWatch()
    }
}

extension SocketConnection {
    /// Whether it has something for the guest that can go now.
    fileprivate var hasWork: Bool { !owed.isEmpty || hasData && (credit > 0 || !wasCreditAsked) }
}
