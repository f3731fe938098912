internal import LinuxKernel

// Of connections, those to a closure of this program go on; the others belong to programs that know
// nothing of another guest, so the guest hears that they have ended.
extension SocketDevice {
    /// What waits in a socket between the device and this program, at most.
    private static let mostWaiting = 1 << 20
    private static let mostAllowance: UInt32 = 256 << 10

    /// Whether it goes on in a guest that is restored.
    private func goesOn(_ connection: SocketConnection) -> Bool {
        connection.stage == .open && handler(ofPort: connection.ports.host) != nil
            && connection.guestEnds.isEmpty && connection.hostEnds.isEmpty
            && connection.backlog.isEmpty
    }

    /// Hands what the guest sent to a port of this program's on, as far as that is taken.
    ///
    /// - Returns: whether nothing is left.
    public func passOn(port: UInt32) -> Bool {
        for connection in table.values
        where connection.ports.host == port && connection.stage == .open {
            if !connection.backlog.isEmpty,
                case .bytes(let count) = connection.backlog.send(to: connection.descriptor.number)
            {
                connection.forwarded(count)
                connection.updateWatch()
            }
            if !connection.backlog.isEmpty { return false }
        }
        return true
    }

    public func save(into writer: inout StateWriter) {
        writer.put(cid)
        writer.put(nextHostPort)
        let connections = table.values.sorted {
            ($0.ports.host, $0.ports.guest) < ($1.ports.host, $1.ports.guest)
        }
        writer.put(connections.filter(goesOn)) { writer, connection in
            writer.put(connection.ports.guest)
            writer.put(connection.ports.host)
            connection.saveCounts(into: &writer)
            writer.put(Self.waiting(in: connection))
        }
        // What the guest does not know of it need not hear the end of.
        let ended = connections.filter { !goesOn($0) && !$0.owed.contains(.request) }
        let resets =
            ended.map(\.ports)
            + replies.map { SocketPorts(guest: $0.targetPort, host: $0.sourcePort) }
        writer.put(resets) { writer, ports in
            writer.put(ports.guest)
            writer.put(ports.host)
        }
    }

    /// What this program wrote and the guest has not got. It stays there.
    private static func waiting(in connection: SocketConnection) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: mostWaiting)
        guard case .bytes(let count) = UnixSockets.peek(connection.descriptor.number, into: &buffer)
        else { return [] }
        return Array(buffer[..<count])
    }

    private struct SavedConnection {
        let ports: SocketPorts
        let counts: SocketConnection.SavedCounts
        let waiting: [UInt8]
    }

    public func restore(
        from reader: inout StateReader, _ link: DeviceLink?
    ) throws(StateFault) {
        guard try reader.number(UInt64.self) == cid else {
            throw .different("its address for sockets is another one")
        }
        let port: UInt32 = try reader.number()
        let most = settings.mostConnections
        let connections = try reader.list(atMost: most) { (reader) throws(StateFault) in
            SavedConnection(
                ports: SocketPorts(
                    guest: try reader.number(), host: try reader.number()),
                counts: try SocketConnection.SavedCounts(&reader),
                waiting: try reader.piece(atMost: Self.mostWaiting))
        }
        let resets = try reader.list(atMost: most + Self.mostReplies) {
            (reader) throws(StateFault) in
            SocketPorts(guest: try reader.number(), host: try reader.number())
        }
        guard port >= Self.firstHostPort, port < 2 * Self.firstHostPort,
            link != nil || connections.isEmpty && resets.isEmpty,
            connections.allSatisfy({ $0.counts.allowance <= Self.mostAllowance })
        else { throw .badValue("the connections of the socket device") }
        try begin(link)
        nextHostPort = port
        for saved in connections { try restore(saved) }
        replies = resets.map {
            SocketHeader(to: cid, $0, SocketHeader.Operation.reset)
        }
    }

    private func restore(_ saved: SavedConnection) throws(StateFault) {
        guard table[saved.ports] == nil, handler(ofPort: saved.ports.host) != nil else {
            throw .badValue("a connection to the monitor")
        }
        guard let descriptor = open(port: saved.ports.host, sending: saved.waiting),
            let connection = add(
                saved.ports, descriptor, stage: .open, owed: [], counts: saved.counts)
        else { throw .device(kind, .hostFailed("no socket for the guest's link")) }
        connection.canRead = true
        enqueue(connection)
    }
}
