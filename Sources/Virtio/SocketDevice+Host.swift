internal import LinuxKernel

// What programs of the host's do.
extension SocketDevice {
    // MARK: - New connections of the host's

    func watchListener() {
        guard let link, let listener = settings.listener, listenerWatch == nil else { return }
        // Where there is no watch there are no connections of other programs.
        listenerWatch = try? link.loop.watch(listener.descriptor.rawValue, for: .readable) {
            [weak self] _ in
            link.perform { () throws(DeviceFault) in self?.acceptPrograms() }
        }
    }

    private func acceptPrograms() {
        guard let link, let listener = settings.listener else { return }
        // So many in a turn; the rest keeps the socket ready.
        for _ in 0..<16 {
            do throws(SystemCallError) {
                guard let descriptor = try UnixSockets.accept(listener.descriptor) else { return }
                guard hasRoom else {
                    counters.refused &+= 1
                    continue
                }
                greet(descriptor)
            } catch {
                // There are no descriptors left, and it stays ready: it is looked at again when
                // some may have been closed.
                listenerWatch?.cancel()
                listenerWatch = nil
                _ = link.loop.schedule(after: .seconds(1)) { [weak self] in
                    link.perform { () throws(DeviceFault) in self?.watchListener() }
                }
                return
            }
        }
    }

    private func greet(_ descriptor: consuming Descriptor) {
        guard let link else { return }
        let number = descriptor.rawValue
        let greeting = SocketGreeting(descriptor)
        let watch = try? link.loop.watch(number, for: .readable) { [weak self, weak greeting] _ in
            link.perform { () throws(DeviceFault) in
                guard let self, let greeting else { return }
                try self.hear(greeting)
            }
        }
        guard let watch else { return counters.refused &+= 1 }
        greeting.watch = watch
        greeting.timer = link.loop.schedule(after: settings.connectTimeout) {
            [weak self, weak greeting] in
            link.perform { () throws(DeviceFault) in
                guard let self, let greeting else { return }
                self.counters.refused &+= 1
                self.forget(greeting)
            }
        }
        greetings[ObjectIdentifier(greeting)] = greeting
    }

    private func hear(_ greeting: SocketGreeting) throws(DeviceFault) {
        switch greeting.read() {
        case .more: return
        case .bad:
            counters.refused &+= 1
            forget(greeting)
        case .port(let port):
            let descriptor = greeting.takeDescriptor()
            forget(greeting)
            guard let descriptor else { return }
            try connect(descriptor, toGuestPort: port, isGreeted: true)
            try serveGuest()
        }
    }

    private func forget(_ greeting: SocketGreeting) {
        greetings[ObjectIdentifier(greeting)] = nil
        if let link { greeting.close(link.loop) }
    }

    /// Asks the guest.
    func connect(
        _ descriptor: consuming Descriptor, toGuestPort port: UInt32, isGreeted: Bool
    ) throws(DeviceFault) {
        guard hasRoom, let ports = takePorts(toGuestPort: port),
            let connection = add(
                ports, descriptor, stage: .connecting, owed: .request, isGreeted: isGreeted)
        else { return counters.refused &+= 1 }
        expect(connection, within: settings.connectTimeout, counting: \.refused)
    }

    /// A port of the host's that no connection to this port of the guest's has. There are many
    /// more of them than connections.
    private func takePorts(toGuestPort port: UInt32) -> SocketPorts? {
        for _ in 0...settings.mostConnections {
            let ports = SocketPorts(guest: port, host: nextHostPort)
            nextHostPort =
                nextHostPort < 2 * Self.firstHostPort - 1
                ? nextHostPort + 1 : Self.firstHostPort
            if table[ports] == nil { return ports }
        }
        return nil
    }

    // MARK: - New connections of the guest's

    /// A socket that a port of the host's stands for; nothing where nobody listens.
    ///
    /// - Parameter bytes: what a program of this process had written already.
    func open(port: UInt32, sending bytes: [UInt8] = []) -> Descriptor? {
        if let handler = handler(ofPort: port) {
            guard let (ours, theirs) = try? UnixSockets.makePair() else { return nil }
            let end = HandedDescriptor(theirs)
            if !bytes.isEmpty {
                // They fitted into such a socket before.
                guard case .bytes(bytes.count) = UnixSockets.send(bytes, from: 0, to: theirs) else {
                    return nil
                }
            }
            // Without the lock: it may want something of this device.
            link?.loop.enqueue {
                if let descriptor = end.take() { handler(descriptor) }
            }
            return Descriptor(owning: ours)
        }
        guard let path = settings.path else { return nil }
        do throws(SystemCallError) {
            let socket = try UnixSockets.make()
            try UnixSockets.connect(socket, to: "\(path)_\(port)")
            return socket
        } catch {
            // Nobody listens, or who does has enough connections that wait.
            return nil
        }
    }

    // MARK: - Sockets of the host's that are ready

    func hostIsReady(
        _ connection: SocketConnection, _ events: PollEvents
    ) throws(DeviceFault) {
        if events.contains(.hungUp) || events.contains(.failed) {
            // It would be told again and again. What is left to read is read without a watch.
            connection.watch?.cancel()
            connection.watch = nil
            connection.hostEnds.insert(.receives)
            connection.canRead = true
        } else if events.contains(.readable) {
            // What was not read yet waits for the guest, not for the host.
            if connection.canRead { connection.isReadingParked = true }
            connection.canRead = true
        }
        if events.contains(.writable) { flush(connection) }
        settle(connection)
        enqueue(connection)
        try serveGuest()
    }

    /// Passes on what the host's program did not take before.
    private func flush(_ connection: SocketConnection) {
        guard !connection.backlog.isEmpty else { return }
        switch connection.backlog.send(to: connection.descriptor.number) {
        case .bytes(let count): connection.forwarded(count)
        case .wouldBlock: break
        case .failed: connection.hostEnds.insert(.receives)
        }
    }

    /// Draws the conclusions from what has ended.
    func settle(_ connection: SocketConnection) {
        guard connection.stage == .open || connection.stage == .lingering else { return }
        if connection.hostEnds.contains(.receives), !connection.backlog.isEmpty {
            connection.forwarded(connection.backlog.count)
            connection.backlog = ByteBacklog()
        }
        if connection.isInputOver, connection.isOutputOver { return end(connection) }
        let number = connection.descriptor.number
        if connection.isOutputOver, connection.passedEnds.insert(.sends).inserted {
            UnixSockets.shutDown(.sending, of: number)
        }
        if connection.guestEnds.contains(.receives),
            connection.passedEnds.insert(.receives).inserted
        {
            UnixSockets.shutDown(.receiving, of: number)
        }
        if connection.stage == .open, connection.hostEnds != connection.toldEnds {
            connection.toldEnds = connection.hostEnds
            connection.owed.insert(.shutdown)
        }
        connection.updateWatch()
    }

    /// Ends a connection in which nothing moves any more.
    private func end(_ connection: SocketConnection) {
        if connection.stage == .lingering { return remove(connection) }
        // The acknowledgement of the guest's own end.
        if connection.guestEnds == .both { return reset(connection) }
        connection.closeHost()
        connection.stage = .closing
        connection.toldEnds = .both
        connection.owed.formIntersection(.response)
        connection.owed.insert(.shutdown)
        expect(connection, within: settings.closeTimeout, counting: \.resets)
    }

    /// The guest has taken a connection of the host's.
    func taken(_ connection: SocketConnection) {
        cancelTimer(connection)
        connection.stage = .open
        counters.opened &+= 1
        if connection.isGreeted {
            let line = Array("OK \(connection.ports.host)\n".utf8)
            // The socket is empty: what does not go as a whole goes nowhere.
            guard
                case .bytes(line.count) = UnixSockets.send(
                    line, from: 0, to: connection.descriptor.number)
            else {
                connection.hostEnds = .both
                return settle(connection)
            }
        }
        settle(connection)
        enqueue(connection)
    }
}

/// A program that has connected and is to say to which port of the guest's.
final class SocketGreeting {
    enum Heard {
        case more
        case bad
        case port(UInt32)
    }

    private var descriptor: Descriptor?
    private var line: [UInt8] = []
    var watch: Watch?
    var timer: ScheduledAction?
    private static let longestLine = 32

    init(_ descriptor: consuming Descriptor) {
        self.descriptor = .some(descriptor)
    }

    /// Reads up to the end of the line. What follows it is the guest's.
    func read() -> Heard {
        let number = descriptor.number
        var piece = [UInt8](repeating: 0, count: Self.longestLine - line.count)
        guard !piece.isEmpty else { return .bad }
        switch UnixSockets.peek(number, into: &piece) {
        case .bytes(let count) where count > 0: piece.removeSubrange(count...)
        case .wouldBlock: return .more
        case .bytes, .failed: return .bad
        }
        let end = piece.firstIndex(of: UInt8(ascii: "\n"))
        if let end { piece.removeSubrange((end + 1)...) }
        guard case .bytes(piece.count) = UnixSockets.receive(number, into: &piece) else {
            return .bad
        }
        line += piece
        guard end != nil else { return .more }
        guard let port = Self.port(in: line.dropLast()) else { return .bad }
        return .port(port)
    }

    static func port(in line: ArraySlice<UInt8>) -> UInt32? {
        let word = Array("CONNECT ".utf8)
        let digits = line.dropFirst(word.count)
        guard line.starts(with: word), !digits.isEmpty,
            digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
        else { return nil }
        return UInt32(String(decoding: digits, as: UTF8.self))
    }

    func takeDescriptor() -> Descriptor? {
        watch?.cancel()
        watch = nil
        return descriptor.take()
    }

    func close(_ loop: EventLoop) {
        if let timer { loop.cancel(timer) }
        timer = nil
        watch?.cancel()
        watch = nil
        descriptor = nil
    }
}
