internal import CInit
internal import CInitProtocol

/// A connection of the host, and the process that runs by it.
///
///     waiting ── start ──► running ── the process ended ──► draining ── all is sent ──► told
///        └────── start failed ────────────────────────────────────────────────────────► told
///
/// The first session is the guest's link, which stays when its process has ended; of the others,
/// the connection ends then. Nothing here waits: what a process does not read stays on its
/// connection, what a connection does not take stays with the process.
struct GuestSession {
    /// What is to become of it.
    enum Verdict {
        case goesOn
        /// The connection has ended, or there is nothing more to tell on it.
        case ended
        /// The host said what it must not.
        case notUnderstood
        case powerOff
    }

    private enum Life {
        case waiting
        case running
        case draining(alcove_frame_kind, alcove_guest_value)
        case told
    }

    /// What comes next on the connection.
    private enum Incoming {
        case head
        case small(kind: UInt32, length: Int, received: Int)
        case start(length: Int, received: Int)
        case input(left: Int)
        /// Input that nobody takes.
        case discarded(left: Int)
        /// Statistics are asked for, which are told once nothing else is to be sent.
        case question
    }

    private let index: Int
    private(set) var connection: Int32
    private(set) var process = GuestProcess()
    private var life = Life.waiting
    private var head = FrameHead()
    private var incoming = Incoming.head
    private var small: SmallFrame
    private var outgoing: Outgoing
    private var hasInput = false
    private var isInputBlocked = false
    /// Threads that there were before the first process was started.
    private var threadsBefore = UInt64.max

    /// A session of no connection, at first.
    init(index: Int, connection: Int32 = -1) {
        self.index = index
        self.connection = connection
        small = SmallFrame(session: index)
        outgoing = Outgoing(session: index)
    }

    private var isLink: Bool { index == 0 }

    // MARK: Waiting

    static let entryCount = 4

    /// - Parameter assembler: the session whose start is being put together, or -1.
    func fill<let count: Int>(
        _ entries: inout InlineArray<count, cinit_poll>, from first: Int, assembler: Int
    ) {
        entries[first].descriptor = connection
        entries[first + 1].descriptor = -1
        entries[first + 2].descriptor = -1
        entries[first + 3].descriptor = -1
        guard connection >= 0 else { return }
        var wanted = CINIT_POLLRDHUP
        if wantsFrames(assembler) { wanted |= CINIT_POLLIN }
        if !outgoing.isEmpty { wanted |= CINIT_POLLOUT }
        entries[first].wanted = Int16(wanted)
        if outgoing.isEmpty, case .running = life {
            entries[first + 1].descriptor = process.output
            entries[first + 2].descriptor = process.error
        }
        if isInputBlocked {
            entries[first + 3].descriptor = process.input
            entries[first + 3].wanted = Int16(CINIT_POLLOUT)
        }
    }

    private func wantsFrames(_ assembler: Int) -> Bool {
        switch incoming {
        case .head, .small, .discarded: true
        case .start: assembler < 0 || assembler == index
        case .input: !isInputBlocked
        case .question: false
        }
    }

    private var canAnswer: Bool {
        if case .question = incoming { outgoing.isEmpty } else { false }
    }

    mutating func handle<let count: Int>(
        _ entries: InlineArray<count, cinit_poll>, from first: Int, assembler: inout Int
    ) -> Verdict {
        // By the descriptor: the entry is that of the last wait.
        guard connection >= 0, entries[first].descriptor == connection else { return .goesOn }
        let happened = Int32(entries[first].happened)
        let end = CINIT_POLLERR | CINIT_POLLHUP | CINIT_POLLNVAL | CINIT_POLLRDHUP
        if happened & Int32(end) != 0 { return .ended }
        if happened & Int32(CINIT_POLLOUT) != 0 {
            guard outgoing.flush(to: connection) else { return .ended }
        }
        if entries[first + 1].happened != 0, !passOutput(fromError: false) { return .ended }
        if entries[first + 2].happened != 0, !passOutput(fromError: true) { return .ended }
        let takesInput = isInputBlocked && entries[first + 3].happened != 0
        if takesInput { isInputBlocked = false }
        if happened & Int32(CINIT_POLLIN) != 0 || takesInput || canAnswer {
            let verdict = receive(&assembler)
            guard case .goesOn = verdict else { return verdict }
        }
        return proceed()
    }

    // MARK: To the host

    /// False when the connection has ended.
    private mutating func passOutput(fromError: Bool) -> Bool {
        let reader = fromError ? process.error : process.output
        guard reader >= 0, outgoing.isEmpty else { return true }
        let (reading, isConnected) = outgoing.pass(
            from: reader, most: fromError ? process.errorLeft : process.outputLeft,
            stream: Int32(fromError ? ALCOVE_LOG_ERROR : ALCOVE_LOG_OUTPUT), to: connection)
        process.took(reading, fromError: fromError)
        return isConnected
    }

    /// Goes on with what is left to do when the process has ended.
    private mutating func proceed() -> Verdict {
        if case .draining(let kind, let value) = life {
            while outgoing.isEmpty {
                if process.hasOutputLeft {
                    guard passOutput(fromError: false) else { return .ended }
                } else if process.hasErrorLeft {
                    guard passOutput(fromError: true) else { return .ended }
                } else {
                    break
                }
            }
            guard outgoing.isEmpty else { return .goesOn }
            process.close()
            guard tell(kind, value) else { return .ended }
        }
        if case .told = life, outgoing.isEmpty, !isLink { return .ended }
        return .goesOn
    }

    /// The last frame of the process. False when the connection has ended.
    private mutating func tell(_ kind: alcove_frame_kind, _ value: alcove_guest_value) -> Bool {
        life = .told
        return outgoing.send(kind, value, to: connection)
    }

    /// A child ended. Nil if it was none of this session.
    mutating func ended(_ child: cinit_ended) -> Verdict? {
        guard process.id == child.process else { return nil }
        let (kind, value) = process.ended(child)
        life = .draining(kind, value)
        isInputBlocked = false
        if case .input(let left) = incoming { incoming = .discarded(left: left) }
        return proceed()
    }

    /// The last frame, if there is room for one.
    func refuse(_ reason: alcove_refusal) {
        guard outgoing.isEmpty else { return }
        let value = alcove_guest_value(value: Int32(reason.rawValue), detail: 0)
        sendLast(ALCOVE_FRAME_REFUSED, value, to: connection)
    }

    /// A process that still runs by it is killed, with what else is in its process group.
    mutating func close() {
        process.send(Signal.kill)
        process.close()
        _ = cinit_close(connection)
        self = GuestSession(index: index)
    }

    // MARK: From the host

    /// So many pieces of what has come are taken before anything else is looked at.
    private static let mostPieces = 32

    private mutating func receive(_ assembler: inout Int) -> Verdict {
        var pieces = 0
        while true {
            if needsBytes {
                guard pieces < Self.mostPieces else { return .goesOn }
                pieces += 1
            }
            if let verdict = receivePiece(&assembler) { return verdict }
        }
    }

    /// What needs none must not be put off: no event would come for it.
    private var needsBytes: Bool {
        switch incoming {
        case .head: true
        case .small(_, let length, let received), .start(let length, let received):
            received < length
        case .input(let left), .discarded(let left): left > 0
        case .question: false
        }
    }

    /// Nil when there may be more.
    private mutating func receivePiece(_ assembler: inout Int) -> Verdict? {
        switch incoming {
        case .head: return receiveHead()
        case .small(let kind, let length, let received):
            return receiveSmall(kind, length, received)
        case .start(let length, let received):
            return receiveStart(length, received, &assembler)
        case .input(let left): return receiveInput(left)
        case .discarded(let left):
            guard left > 0 else { return next() }
            switch discard(from: connection, most: left) {
            case .done(let count): incoming = .discarded(left: left - count)
            case .none: return .goesOn
            case .ended: return .ended
            }
            return nil
        case .question:
            guard outgoing.isEmpty else { return .goesOn }
            let content = statistics(threadsBefore: threadsBefore)
            guard outgoing.send(ALCOVE_FRAME_STATISTICS, content, to: connection) else {
                return .ended
            }
            return next()
        }
    }

    private mutating func next() -> Verdict? {
        incoming = .head
        return nil
    }

    private mutating func receiveHead() -> Verdict? {
        switch head.receive(from: connection) {
        case .done: break
        case .none: return .goesOn
        case .ended: return .ended
        }
        guard head.isWhole else { return nil }
        let frame = head.frame
        head.clear()
        guard frame.stream == 0, frame.reserved == 0,
            let coming = coming(kind: UInt32(frame.kind), length: Int(frame.length))
        else { return .notUnderstood }
        incoming = coming
        return nil
    }

    /// What follows a head; nil where it must not stand.
    private func coming(kind: UInt32, length: Int) -> Incoming? {
        let isWaiting = if case .waiting = life { true } else { false }
        switch kind {
        case ALCOVE_FRAME_START.rawValue where isWaiting && length <= StartAssembly.largest:
            return .start(length: length, received: 0)
        case ALCOVE_FRAME_INPUT.rawValue where hasInput && length <= Int(ALCOVE_FRAME_LARGEST):
            return .input(left: length)
        case ALCOVE_FRAME_INPUT_END.rawValue where hasInput && length == 0,
            ALCOVE_FRAME_SIGNAL.rawValue where !isWaiting && length == 8,
            ALCOVE_FRAME_RESIZE.rawValue where !isWaiting && length == 8:
            return .small(kind: kind, length: length, received: 0)
        case ALCOVE_FRAME_ASK_STATISTICS.rawValue where isLink && length == 0: return .question
        case ALCOVE_FRAME_CLOCK.rawValue where isLink && length == 8,
            ALCOVE_FRAME_RESEED.rawValue where isLink && (16...512).contains(length),
            ALCOVE_FRAME_HOSTNAME.rawValue where isLink && (1...64).contains(length),
            ALCOVE_FRAME_NETWORK.rawValue where isLink && length == 16,
            ALCOVE_FRAME_PROCESSES.rawValue where isLink && length == 8,
            ALCOVE_FRAME_POWER_OFF.rawValue where isLink && length == 0:
            return .small(kind: kind, length: length, received: 0)
        default: return nil
        }
    }

    private mutating func receiveSmall(_ kind: UInt32, _ length: Int, _ received: Int) -> Verdict? {
        guard received < length else {
            incoming = .head
            return perform(kind, length)
        }
        switch small.receive(from: connection, at: received, count: length - received) {
        case .done(let count):
            incoming = .small(kind: kind, length: length, received: received + count)
        case .none: return .goesOn
        case .ended: return .ended
        }
        return nil
    }

    private mutating func perform(_ kind: UInt32, _ length: Int) -> Verdict? {
        let value = small.value
        switch kind {
        case ALCOVE_FRAME_INPUT_END.rawValue: process.endInput()
        case ALCOVE_FRAME_SIGNAL.rawValue:
            guard (1...64).contains(value.value), value.detail == 0 else { return .notUnderstood }
            process.send(value.value)
        case ALCOVE_FRAME_RESIZE.rawValue:
            guard value.detail == 0 else { return .notUnderstood }
            let bits = UInt32(bitPattern: value.value)
            process.resize(
                rows: UInt16(truncatingIfNeeded: bits >> 16),
                columns: UInt16(truncatingIfNeeded: bits))
        case ALCOVE_FRAME_CLOCK.rawValue: _ = cinit_set_clock(small.time)
        case ALCOVE_FRAME_RESEED.rawValue: small.reseed(count: length)
        case ALCOVE_FRAME_HOSTNAME.rawValue: small.setHostName(count: length)
        case ALCOVE_FRAME_NETWORK.rawValue:
            let network = small.network
            guard network.prefix <= 32, network.reserved == 0 else { return .notUnderstood }
            apply(network)
        case ALCOVE_FRAME_PROCESSES.rawValue:
            guard value.value >= 2, value.detail == 0 else { return .notUnderstood }
            // This process is one of them, and outside.
            let failed = cinit_limit_processes(UInt32(value.value - 1))
            guard failed == 0 else {
                GuestError(step: "limit the processes", number: -failed).tell()
                return .powerOff
            }
        case ALCOVE_FRAME_POWER_OFF.rawValue: return .powerOff
        default: return .notUnderstood
        }
        return nil
    }

    private mutating func receiveStart(
        _ length: Int, _ received: Int, _ assembler: inout Int
    ) -> Verdict? {
        guard assembler < 0 || assembler == index else { return .goesOn }
        assembler = index
        guard received == length else {
            let place = StartAssembly.receive(
                from: connection, at: received, count: length - received)
            switch place {
            case .done(let count): incoming = .start(length: length, received: received + count)
            case .none: return .goesOn
            case .ended: return .ended
            }
            return nil
        }
        assembler = -1
        incoming = .head
        defer { StartAssembly.clear(size: length) }
        return start(size: length)
    }

    private mutating func start(size: Int) -> Verdict? {
        guard let start = GuestStart(size: size) else { return .notUnderstood }
        hasInput = start.hasInput
        if isLink { threadsBefore = cinit_thread_count() }
        if let failure = process.start(start, isFirst: isLink) {
            return tell(ALCOVE_FRAME_FAILED, failure) ? nil : .ended
        }
        life = .running
        let started = alcove_guest_value(value: process.id, detail: 0)
        return outgoing.send(ALCOVE_FRAME_STARTED, started, to: connection) ? nil : .ended
    }

    private mutating func receiveInput(_ left: Int) -> Verdict? {
        guard left > 0 else { return next() }
        guard process.input >= 0 else {
            incoming = .discarded(left: left)
            return nil
        }
        guard !isInputBlocked else { return .goesOn }
        let (reading, writing) = passInput(from: connection, most: left, to: process.input)
        if case .ended = writing {
            process.closeInput()
            return nil
        }
        switch reading {
        case .ended: return .ended
        case .none: return .goesOn
        case .done:
            guard case .done(let count) = writing else {
                isInputBlocked = true
                return .goesOn
            }
            incoming = .input(left: left - count)
        }
        return nil
    }
}
