internal import GuestMemory
internal import LinuxKernel

// What comes from the guest.
extension SocketDevice {
    /// Takes packets until there are none, or as many as the queue holds: then it goes on in the
    /// loop's next turn.
    func takePackets() throws(DeviceFault) {
        guard let link else { return }
        var budget = queueSizes[Queue.fromGuest]
        while budget > 0, replies.count < Self.mostReplies,
            try link.take(from: Queue.fromGuest, into: &chain)
        {
            budget -= 1
            try takePacket(link)
            try link.giveBack(chain.head, to: Queue.fromGuest, written: 0)
        }
        try link.interruptIfWanted(Queue.fromGuest)
        // Before the answers are sent, which lets the guest go on.
        isHeldUp = replies.count >= Self.mostReplies
        if budget == 0 { link.notifyLater(Queue.fromGuest) }
        try serveGuest()
    }

    private func takePacket(_ link: DeviceLink) throws(DeviceFault) {
        let readable = chain.readableCount
        guard readable >= SocketHeader.size else { return counters.dropped &+= 1 }
        try chain.read(into: &headerBytes, from: link.memory)
        let header = SocketHeader(headerBytes)
        guard header.sourceCID == cid, header.targetCID == SocketHeader.hostCID,
            Int(header.count) <= readable - SocketHeader.size
        else { return counters.dropped &+= 1 }
        let ports = SocketPorts(guest: header.sourcePort, host: header.targetPort)
        guard header.kind == SocketHeader.stream else { return refuse(header, ports) }
        guard let connection = table[ports] else {
            if header.operation == SocketHeader.Operation.request {
                return accept(header, ports)
            }
            return refuse(header, ports)
        }
        try take(header, connection, link)
        enqueue(connection)
    }

    /// Answers a packet that belongs to no connection. One that ends a connection has no answer.
    private func refuse(_ header: SocketHeader, _ ports: SocketPorts) {
        counters.dropped &+= 1
        guard header.operation != SocketHeader.Operation.reset else { return }
        replies.append(
            SocketHeader(to: cid, ports, SocketHeader.Operation.reset, kind: header.kind))
    }

    /// The guest asks for a connection.
    private func accept(_ header: SocketHeader, _ ports: SocketPorts) {
        guard hasRoom, let descriptor = open(port: ports.host),
            let connection = add(ports, descriptor, stage: .open, owed: .response)
        else {
            counters.refused &+= 1
            replies.append(SocketHeader(to: cid, ports, SocketHeader.Operation.reset))
            return
        }
        connection.takeCredit(header)
        counters.opened &+= 1
    }

    private func take(
        _ header: SocketHeader, _ connection: SocketConnection, _ link: DeviceLink
    ) throws(DeviceFault) {
        let isReset = header.operation == SocketHeader.Operation.reset
        switch connection.stage {
        case .connecting:
            connection.takeCredit(header)
            if isReset {
                counters.refused &+= 1
                remove(connection)
            } else if header.operation == SocketHeader.Operation.response,
                !connection.owed.contains(.request)
            {
                taken(connection)
            } else {
                breakOff(connection)
            }
        case .open:
            connection.takeCredit(header)
            try takeOpen(header, connection, link)
        case .closing:
            // What was sent before the guest knew of the end has nobody to go to.
            if isReset {
                remove(connection)
            } else if header.operation == SocketHeader.Operation.shutdown {
                connection.guestEnds.formUnion(SocketEnds(rawValue: header.flags & 3))
                if connection.guestEnds == .both { reset(connection) }
            }
        case .resetting:
            if isReset { remove(connection) }
        case .lingering:
            refuse(header, connection.ports)
        }
    }

    private func takeOpen(
        _ header: SocketHeader, _ connection: SocketConnection, _ link: DeviceLink
    ) throws(DeviceFault) {
        switch header.operation {
        case SocketHeader.Operation.data:
            try takeData(Int(header.count), connection, link)
        case SocketHeader.Operation.creditUpdate:
            break
        case SocketHeader.Operation.creditRequest:
            connection.owed.insert(.creditUpdate)
        case SocketHeader.Operation.shutdown:
            connection.guestEnds.formUnion(SocketEnds(rawValue: header.flags & 3))
            settle(connection)
        case SocketHeader.Operation.reset:
            // Where the guest had sent all it wanted, the host gets that.
            guard connection.guestEnds.contains(.sends), !connection.backlog.isEmpty else {
                return remove(connection)
            }
            connection.guestEnds = .both
            connection.owed = []
            connection.stage = .lingering
            settle(connection)
        default:
            breakOff(connection)
        }
    }

    /// Ends a connection whose guest does what it may not.
    private func breakOff(_ connection: SocketConnection) {
        counters.resets &+= 1
        reset(connection)
    }

    private func takeData(
        _ count: Int, _ connection: SocketConnection, _ link: DeviceLink
    ) throws(DeviceFault) {
        guard count <= connection.room, !connection.guestEnds.contains(.sends) else {
            return breakOff(connection)
        }
        guard count > 0 else { return }
        connection.arrived(count)
        counters.bytesFromGuest &+= UInt64(count)
        guard !connection.hostEnds.contains(.receives) else {
            // The guest hears that it is in vain, if it has not yet.
            return connection.forwarded(count)
        }
        var done = 0
        if connection.backlog.isEmpty {
            parts.removeAll(keepingCapacity: true)
            try chain.readable.append(
                to: &parts, skipping: SocketHeader.size, count: count, link.memory)
            switch UnixSockets.send(parts, to: connection.descriptor.number) {
            case .bytes(let sent): done = sent
            case .wouldBlock: break
            case .failed:
                connection.hostEnds.insert(.receives)
                connection.forwarded(count)
                return settle(connection)
            }
            connection.forwarded(done)
        }
        guard done < count else { return }
        do throws(GuestMemoryError) {
            try connection.backlog.append(
                chain.readable, skipping: SocketHeader.size + done, count: count - done,
                from: link.memory)
        } catch {
            throw .outsideMemory(error)
        }
        connection.updateWatch()
    }
}
