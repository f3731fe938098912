public import LinuxKernel

/// What went through a device for sockets.
public struct SocketCounters: Hashable, Sendable {
    /// Connections that were made.
    public var opened: UInt64 = 0
    /// Connections that one side asked for and did not get.
    public var refused: UInt64 = 0
    /// Connections that this device ended without being asked.
    public var resets: UInt64 = 0
    /// Packets of the guest's that belong to nothing.
    public var dropped: UInt64 = 0
    public var bytesFromGuest: UInt64 = 0
    public var bytesToGuest: UInt64 = 0

    public init() {}
}

/// Connects ports of the guest's to sockets of the host's. Corresponds to virtio-vsock, with
/// streams alone.
///
/// A connection that the guest asks for goes to a closure of this program where there is one for
/// the port, otherwise to the Unix socket `<path>_<port>`. One that the host asks for comes from
/// ``connect(toGuestPort:)``, or from a program that connects to the listening socket, writes
/// `CONNECT <port>` and a newline, and reads `OK <host's port>` and a newline when the guest took
/// it. One that was refused is closed.
///
/// What a slow reader leaves stays with the other side: the device reads from the host no more than
/// the guest has room for, and keeps of the guest's no more than it had allowed.
public final class SocketDevice: VirtioDevice, @unchecked Sendable {
    /// Gets the program's end of a connection, on the loop's thread.
    public typealias Handler = @Sendable (consuming Descriptor) -> Void

    public struct Settings: Sendable {
        /// Where programs of the host's connect. Whoever made it removes its path.
        public var listener: ListeningSocket?
        /// The beginning of the paths of sockets that the guest can connect to.
        public var path: String?
        /// How many connections there are at once; further ones are refused.
        public var mostConnections = 1024
        /// How long one side has to take a connection.
        public var connectTimeout: Duration = .seconds(5)
        /// How long the guest has to acknowledge the end of a connection.
        public var closeTimeout: Duration = .seconds(8)

        public init() {}
    }

    private struct Front {
        var link: DeviceLink?
        var handlers: [UInt32: Handler] = [:]
    }

    enum Queue {
        static let toGuest = 0
        static let fromGuest = 1
        static let events = 2
    }

    public let kind = VirtioKind.socket
    /// `VIRTIO_VSOCK_F_STREAM`
    public let features: UInt64 = 1
    public let queueSizes: [UInt16] = [256, 256, 64]
    public let configuration: [UInt8]
    let cid: UInt64
    let settings: Settings
    /// What any thread may use.
    private let front = Locked(Front())

    // What follows is used with the device's lock held, and on the loop's thread but for the start
    // and the stop.
    var link: DeviceLink?
    private var loop: EventLoop?
    var table: [SocketPorts: SocketConnection] = [:]
    /// Connections that have something for the guest, in the order of their turns. Each is in it
    /// once at most.
    var ready: [SocketConnection] = []
    /// Answers to packets that belong to no connection.
    var replies: [SocketHeader] = []
    /// No more packets are taken than can be answered.
    static let mostReplies = 256
    /// Whether packets were left because of that.
    var isHeldUp = false
    /// Programs that have connected, and not yet said to which port.
    var greetings: [ObjectIdentifier: SocketGreeting] = [:]
    var listenerWatch: Watch?
    var nextHostPort: UInt32 = SocketDevice.firstHostPort
    /// The sum of what the guest may send without its being passed on.
    var promised = 0
    private var owesResetEvent = false

    // Used again and again.
    var chain = DescriptorChain()
    var chains = [DescriptorChain](repeating: DescriptorChain(), count: SocketDevice.mostBatch)
    var parts: [MemoryPart] = []
    var headerBytes = [UInt8](repeating: 0, count: SocketHeader.size)

    /// Ports of the host's own choice begin here, above those that programs choose.
    static let firstHostPort: UInt32 = 1 << 30
    /// So many of the guest's buffers are filled by one call at most.
    static let mostBatch = 16

    /// - Parameter cid: the guest's address: above 2, and not the highest.
    public init(cid: UInt32, _ settings: Settings = Settings()) {
        precondition(cid > 2 && cid < .max, "an address that a guest can have")
        self.cid = UInt64(cid)
        self.settings = settings
        var configuration = [UInt8](repeating: 0, count: 8)
        configuration.set(UInt64(cid), at: 0)
        self.configuration = configuration
    }

    // MARK: - For the program

    /// Gives the guest's connections to a port to a closure from now on, or to none.
    public func listen(onPort port: UInt32, _ handler: Handler?) {
        front.with { $0.handlers[port] = handler }
    }

    func handler(ofPort port: UInt32) -> Handler? {
        front.with { $0.handlers[port] }
    }

    /// Begins a connection to a port of the guest's. What is written is sent when the guest has
    /// taken it; where it does not, the end is read. Any thread may ask.
    public func connect(toGuestPort port: UInt32) throws(SystemCallError) -> Descriptor {
        guard let link = front.with({ $0.link }) else {
            throw SystemCallError(
                call: "connect", subject: "port \(port) of the guest",
                errorNumber: .connectionRefused)
        }
        let (ours, theirs) = try UnixSockets.makePair()
        let end = HandedDescriptor(ours)
        // The end is closed where the loop or the driver has ended since.
        link.loop.enqueue { [weak self] in
            link.perform { () throws(DeviceFault) in
                guard let self, let descriptor = end.take() else { return }
                try self.connect(descriptor, toGuestPort: port, isGreeted: false)
                try self.serveGuest()
            }
        }
        return Descriptor(owning: theirs)
    }

    /// Ends all connections and tells the driver that they are gone, and that the guest's address
    /// may be another. For a guest that goes on elsewhere. Corresponds to
    /// `VIRTIO_VSOCK_EVENT_TRANSPORT_RESET`.
    public func resetTransport() {
        guard let link = front.with({ $0.link }) else { return }
        link.loop.enqueue { [weak self] in
            link.perform { () throws(DeviceFault) in
                guard let self else { return }
                for connection in Array(self.table.values) { self.remove(connection) }
                self.replies = []
                self.owesResetEvent = true
                try self.tellReset(link)
            }
        }
    }

    /// Used with the device's lock held: see ``VirtioTransport/withDevice(_:)``.
    public internal(set) var counters = SocketCounters()
    /// How many connections there are. Used as ``counters``.
    public var connections: Int { table.count }

    // MARK: - The device

    public func start(_ link: DeviceLink) {
        self.link = link
        loop = link.loop
        front.with { $0.link = link }
        guard settings.listener != nil else { return }
        link.loop.enqueue { [weak self] in
            link.perform { () throws(DeviceFault) in self?.watchListener() }
        }
    }

    public func notified(_ queue: Int) throws(DeviceFault) {
        guard let link else { return }
        // Descriptors and times are watched on the loop's thread alone.
        guard link.loop.isCurrent else { return link.notifyLater(queue) }
        switch queue {
        case Queue.toGuest: try serveGuest()
        case Queue.fromGuest: try takePackets()
        default: try tellReset(link)
        }
    }

    public func stop() {
        link = nil
        front.with { $0.link = nil }
        let remains = Remains(Array(table.values), Array(greetings.values), listenerWatch)
        table = [:]
        greetings = [:]
        ready = []
        replies = []
        listenerWatch = nil
        isHeldUp = false
        promised = 0
        owesResetEvent = false
        guard let loop else { return }
        self.loop = nil
        if loop.isCurrent {
            remains.close(loop)
        } else {
            loop.enqueue { remains.close(loop) }
        }
    }

    private func tellReset(_ link: DeviceLink) throws(DeviceFault) {
        while owesResetEvent, try link.take(from: Queue.events, into: &chain) {
            // struct virtio_vsock_event, of which the reset is number zero.
            let event = [UInt8](repeating: 0, count: 4)
            let written = try chain.write(event, to: link.memory)
            try link.giveBack(chain.head, to: Queue.events, written: written)
            if written == event.count { owesResetEvent = false }
        }
        try link.interruptIfWanted(Queue.events)
    }

    // MARK: - Connections

    /// What a new connection's guest may send without its being passed on. All together are
    /// bounded: those beyond what is much get little.
    private func takeAllowance(_ given: UInt32?) -> UInt32 {
        let allowance: UInt32 = given ?? (promised < 16 << 20 ? 256 << 10 : 16 << 10)
        promised += Int(allowance)
        return allowance
    }

    /// Whether there can be one more.
    var hasRoom: Bool { table.count + greetings.count < settings.mostConnections }

    /// Adds a connection and watches its socket. False where the host cannot.
    func add(
        _ ports: SocketPorts, _ descriptor: consuming Descriptor,
        stage: SocketConnection.Stage, owed: SocketConnection.Owed, isGreeted: Bool = false,
        counts: SocketConnection.SavedCounts? = nil
    ) -> SocketConnection? {
        guard let link else { return nil }
        let number = descriptor.rawValue
        let connection = SocketConnection(
            ports, descriptor, stage: stage, owed: owed,
            allowance: takeAllowance(counts?.allowance), isGreeted: isGreeted)
        if let counts { connection.restoreCounts(counts) }
        do throws(SystemCallError) {
            connection.watch = try link.loop.watch(number, for: []) {
                [weak self, weak connection] events in
                link.perform { () throws(DeviceFault) in
                    guard let self, let connection else { return }
                    try self.hostIsReady(connection, events)
                }
            }
        } catch {
            promised -= Int(connection.allowance)
            return nil
        }
        table[ports] = connection
        connection.updateWatch()
        enqueue(connection)
        return connection
    }

    /// Gives a connection a turn.
    func enqueue(_ connection: SocketConnection) {
        guard !connection.isQueued, connection.stage != .lingering,
            !connection.owed.isEmpty || connection.hasData
        else { return }
        connection.isQueued = true
        ready.append(connection)
    }

    /// Ends what the guest has not answered after a time.
    func expect(
        _ connection: SocketConnection, within span: Duration,
        counting counter: WritableKeyPath<SocketCounters, UInt64>
    ) {
        guard let link else { return }
        cancelTimer(connection)
        connection.timer = link.loop.schedule(after: span) { [weak self, weak connection] in
            link.perform { () throws(DeviceFault) in
                guard let self, let connection else { return }
                connection.timer = nil
                self.counters[keyPath: counter] &+= 1
                self.reset(connection)
                try self.serveGuest()
            }
        }
    }

    func cancelTimer(_ connection: SocketConnection) {
        guard let timer = connection.timer else { return }
        link?.loop.cancel(timer)
        connection.timer = nil
    }

    /// Ends a connection at once, and tells the guest where it knows of it.
    func reset(_ connection: SocketConnection) {
        cancelTimer(connection)
        guard !connection.owed.contains(.request) else { return remove(connection) }
        connection.closeHost()
        connection.stage = .resetting
        connection.owed = .reset
        enqueue(connection)
    }

    /// Ends a connection that the guest does not know of any more.
    func remove(_ connection: SocketConnection) {
        cancelTimer(connection)
        connection.closeHost()
        connection.owed = []
        guard table.removeValue(forKey: connection.ports) != nil else { return }
        promised -= Int(connection.allowance)
        if connection.isQueued {
            connection.isQueued = false
            ready.removeAll { $0 === connection }
        }
    }
}

/// A descriptor on its way to another function of the loop's. It is closed if it does not arrive.
final class HandedDescriptor: @unchecked Sendable {
    private var descriptor: Descriptor?

    init(_ number: Int32) {
        descriptor = Descriptor(owning: number)
    }

    func take() -> Descriptor? { descriptor.take() }
}

/// What a device that was stopped leaves on the loop, which ends it on its thread.
private final class Remains: @unchecked Sendable {
    private let connections: [SocketConnection]
    private let greetings: [SocketGreeting]
    private let watch: Watch?

    init(_ connections: [SocketConnection], _ greetings: [SocketGreeting], _ watch: Watch?) {
        self.connections = connections
        self.greetings = greetings
        self.watch = watch
    }

    func close(_ loop: EventLoop) {
        watch?.cancel()
        for connection in connections {
            if let timer = connection.timer { loop.cancel(timer) }
            connection.closeHost()
        }
        for greeting in greetings { greeting.close(loop) }
    }
}
