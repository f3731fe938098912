public import LinuxKernel
internal import Netlink

/// How questions of names are passed on.
public struct NameForwarderSettings: Sendable {
    /// Who is asked, by way of the node: one after the other, until one answers.
    public var upstreams: [InternetAddress]
    /// How long one of them has for an answer.
    public var patience: Duration
    /// How often a question is sent on at most.
    public var attempts: Int
    /// The most questions on their way, in all and of one sandbox.
    public var mostQuestions: Int
    public var mostQuestionsOfSlot: Int
    /// The most connections, in all and of one sandbox.
    public var mostConnections: Int
    public var mostConnectionsOfSlot: Int
    /// How long an address is open that a name was resolved to, whatever the answer says: at least
    /// and at most. What the answer says is lowered to the most.
    public var seconds: ClosedRange<UInt32>

    public init(
        upstreams: [InternetAddress], patience: Duration = .seconds(2), attempts: Int = 3,
        mostQuestions: Int = 4096, mostQuestionsOfSlot: Int = 64, mostConnections: Int = 256,
        mostConnectionsOfSlot: Int = 4, seconds: ClosedRange<UInt32> = 30...3600
    ) {
        self.upstreams = upstreams
        self.patience = patience
        self.attempts = attempts
        self.mostQuestions = mostQuestions
        self.mostQuestionsOfSlot = mostQuestionsOfSlot
        self.mostConnections = mostConnections
        self.mostConnectionsOfSlot = mostConnectionsOfSlot
        self.seconds = seconds
    }
}

/// What a forwarder has done.
public struct NameCounts: Hashable, Sendable {
    /// Questions of sandboxes.
    public var questions: UInt64 = 0
    /// Answers of others that were given to them.
    public var answers: UInt64 = 0
    /// Questions for names that a rule denies, or that no rule allows.
    public var denied: UInt64 = 0
    /// What is no question, and what is from nobody.
    public var malformed: UInt64 = 0
    /// Questions beyond what may be on its way.
    public var excess: UInt64 = 0
    /// Questions that nobody answered.
    public var unanswered: UInt64 = 0
    /// Messages from where answers come from that answer nothing.
    public var strange: UInt64 = 0
    /// Addresses that were opened, or stay open for longer.
    public var opened: UInt64 = 0
}

/// Answers questions of sandboxes for names, at the gateway's address: by asking others on the
/// node's network, and only for names that the sandbox may use.
///
/// It belongs to its loop's thread.
public final class NameForwarder {
    /// The longest question.
    static let longestQuestion = 4096
    /// Sockets towards each of those who are asked: answers are told apart by their ports, too.
    private static let socketsEach = 8
    private static let port: UInt16 = 53

    let network: HostNetwork
    let loop: EventLoop
    let settings: NameForwarderSettings
    public internal(set) var counts = NameCounts()

    private let datagrams: InternetSocket
    private let streams: InternetSocket
    /// Nothing where the node has no way to who is asked: it is looked for again.
    private var outer: [InternetSocket?]
    private var outerWatches: [Watch?]
    private var watches: [Watch] = []
    private var questions: [Key: Question] = [:]
    private var inFlight: [SlotIndex: Int] = [:]
    private var connections: [ObjectIdentifier: NameConnection] = [:]
    private var random = SystemRandomNumberGenerator()
    private var buffer = [UInt8](repeating: 0, count: 65535)

    /// By what an answer is known: the socket that it comes to, and its number.
    private struct Key: Hashable {
        let socket: Int
        let identifier: UInt16
    }

    /// One that is on its way.
    private final class Question {
        let bytes: [UInt8]
        let message: NameMessage
        let client: InternetAddress
        let slot: SlotIndex
        var attempts = 0
        var timeout: ScheduledAction?

        init(
            _ bytes: [UInt8], _ message: NameMessage, _ client: InternetAddress, _ slot: SlotIndex
        ) {
            self.bytes = bytes
            self.message = message
            self.client = client
            self.slot = slot
        }
    }

    /// Begins to listen. It is called on the loop's thread, or before the loop runs.
    public init(
        _ network: HostNetwork, _ settings: NameForwarderSettings, on loop: EventLoop
    ) throws(HostNetworkError) {
        guard !settings.upstreams.isEmpty, settings.upstreams.count <= 16 else {
            throw .refused(reason: "questions of names must be passed on to 1 to 16 addresses")
        }
        self.network = network
        self.loop = loop
        self.settings = settings
        let count = settings.upstreams.count * Self.socketsEach
        outer = Array(repeating: nil, count: count)
        outerWatches = Array(repeating: nil, count: count)
        do throws(SystemCallError) {
            let gateway = InternetAddress(SandboxNetwork.gateway.rawValue, port: Self.port)
            datagrams = try InternetSocket(.datagrams, in: network.router)
            try datagrams.bind(to: gateway)
            streams = try InternetSocket(.stream, in: network.router)
            try streams.overlookLingering()
            try streams.bind(to: gateway)
            try streams.listen(backlog: 64)
            try watch()
        } catch {
            throw .system(error)
        }
        for index in 0..<count { renew(index) }
    }

    /// A socket has the address that the node had when it was made, and none where the node had
    /// no way.
    private func renew(_ index: Int) {
        outerWatches[index]?.cancel()
        (outer[index], outerWatches[index]) = (nil, nil)
        guard let socket = try? InternetSocket(.datagrams, in: network.node),
            (try? socket.connect(to: settings.upstreams[index / Self.socketsEach])) != nil
        else { return }
        outer[index] = socket
        outerWatches[index] = try? loop.watch(socket.descriptor, for: .readable) { [weak self] _ in
            self?.takeAnswers(index)
        }
    }

    private func watch() throws(SystemCallError) {
        watches.append(
            try loop.watch(datagrams.descriptor, for: .readable) { [weak self] _ in
                self?.takeDatagrams()
            })
        watches.append(
            try loop.watch(streams.descriptor, for: .readable) { [weak self] _ in
                self?.takeConnections()
            })
    }

    /// Ends all that it does.
    public func close() {
        for watch in watches + outerWatches.compactMap({ $0 }) { watch.cancel() }
        watches = []
        outerWatches = outerWatches.map { _ in nil }
        for question in questions.values { question.timeout.map(loop.cancel) }
        questions = [:]
        for connection in Array(connections.values) { connection.close() }
    }

    // MARK: - What sandboxes send

    /// So many at most, and then others' turn.
    private static let atOnce = 64

    private func takeDatagrams() {
        for _ in 0..<Self.atOnce {
            // An error that a socket is told of is over with it.
            guard let received = try? datagrams.receive(limit: Self.longestQuestion) else { return }
            let (bytes, client) = received
            guard let slot = slot(of: client) else { continue }
            switch judge(bytes, of: slot) {
            case .ignore: continue
            case .answer(let answer): _ = datagrams.send(answer, to: client)
            case .ask(let message): ask(Question(bytes, message, client, slot))
            }
        }
    }

    private func slot(of client: InternetAddress) -> SlotIndex? {
        let slot = network.slot(at: IPv4Address(rawValue: client.address))
        if slot == nil { counts.malformed += 1 }
        return slot
    }

    private func takeConnections() {
        for _ in 0..<Self.atOnce {
            guard let accepted = try? streams.accept() else { return }
            let (socket, client) = accepted
            guard let slot = slot(of: client) else { continue }
            let its = connections.values.count { $0.slot == slot }
            guard connections.count < settings.mostConnections,
                its < settings.mostConnectionsOfSlot,
                let connection = try? NameConnection(socket, of: slot, self)
            else {
                counts.excess += 1
                continue
            }
            connections[ObjectIdentifier(connection)] = connection
        }
    }

    func forget(_ connection: NameConnection) {
        connections[ObjectIdentifier(connection)] = nil
    }

    // MARK: - Questions that are passed on

    private func ask(_ question: Question) {
        let its = inFlight[question.slot] ?? 0
        guard questions.count < settings.mostQuestions, its < settings.mostQuestionsOfSlot else {
            counts.excess += 1
            return
        }
        inFlight[question.slot] = its + 1
        send(question)
    }

    private func send(_ question: Question) {
        let upstream = question.attempts % settings.upstreams.count
        let socket =
            upstream * Self.socketsEach + Int.random(in: 0..<Self.socketsEach, using: &random)
        var key = Key(socket: socket, identifier: 0)
        repeat {
            key = Key(socket: socket, identifier: .random(in: 0...(.max), using: &random))
        } while questions[key] != nil
        question.attempts += 1
        questions[key] = question
        question.timeout = loop.schedule(after: settings.patience) { [weak self] in
            self?.giveUp(key)
        }
        let bytes = key.identifier.networkBytes + question.bytes[2...]
        if outer[socket] == nil { renew(socket) }
        // What cannot be sent is not answered in time.
        if let outer = outer[socket] {
            _ = UnixSockets.send(bytes, from: 0, to: outer.descriptor)
        }
    }

    /// Nobody answers: the next one is asked.
    private func giveUp(_ key: Key) {
        guard let question = questions.removeValue(forKey: key) else { return }
        renew(key.socket)
        if question.attempts < settings.attempts { return send(question) }
        counts.unanswered += 1
        leave(question)
        let failure = NameMessage.refusal(
            of: question.bytes, question.message, code: ResponseCode.failed)
        _ = datagrams.send(failure, to: question.client)
    }

    private func leave(_ question: Question) {
        let rest = (inFlight[question.slot] ?? 1) - 1
        inFlight[question.slot] = rest > 0 ? rest : nil
    }

    private func takeAnswers(_ index: Int) {
        for _ in 0..<Self.atOnce {
            guard let socket = outer[index] else { return }
            switch UnixSockets.receive(socket.descriptor, into: &buffer) {
            case .wouldBlock: return
            // That nobody is there is told once for each question.
            case .failed: continue
            case .bytes(let count): takeAnswer(Array(buffer.prefix(count)), index)
            }
        }
    }

    private func takeAnswer(_ bytes: [UInt8], _ index: Int) {
        guard let message = NameMessage(bytes) else {
            counts.strange += 1
            return
        }
        let key = Key(socket: index, identifier: message.identifier)
        guard let question = questions[key],
            let answer = finish(bytes, message, to: question.message, question.bytes, question.slot)
        else {
            counts.strange += 1
            return
        }
        questions[key] = nil
        question.timeout.map(loop.cancel)
        leave(question)
        _ = datagrams.send(answer, to: question.client)
    }
}
