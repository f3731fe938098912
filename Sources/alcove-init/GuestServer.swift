internal import CInit
internal import CInitProtocol

/// Serves the host's connections to a guest, and reaps what ends in it.
struct GuestServer {
    private var sessions: InlineArray<17, GuestSession>
    private let listener: Int32
    private let signals: Int32
    /// The session whose start is being put together, or -1.
    private var assembler = -1
    /// Children may have ended which no signal will announce again.
    private var mayReapMore = false

    /// So many ended children are taken before anything else is looked at.
    private static let mostReapedInARow = 32

    init(link: Int32, listener: Int32, signals: Int32) {
        sessions = InlineArray { GuestSession(index: $0, connection: $0 == 0 ? link : -1) }
        self.listener = listener
        self.signals = signals
    }

    private typealias Entries = InlineArray<70, cinit_poll>

    private enum Entry {
        static let signals = 0
        static let listener = 1
        static let sessions = 2
    }

    /// Comes back when the guest is to end.
    mutating func run() {
        var entries = Entries(
            repeating: cinit_poll(descriptor: -1, wanted: Int16(CINIT_POLLIN), happened: 0))
        entries[Entry.signals].descriptor = signals
        entries[Entry.listener].descriptor = listener
        while true {
            let count = fill(&entries)
            do throws(KernelError) {
                try poll(&entries, count: count, wait: !mayReapMore)
            } catch {
                guard error.number == KernelError.interrupted else { return }
                continue
            }
            guard handle(entries, count) else { return }
        }
    }

    /// Gives how many entries there are.
    private func fill(_ entries: inout Entries) -> Int {
        var count = Entry.sessions
        for index in sessions.indices where sessions[index].connection >= 0 {
            let first = Entry.sessions + index * GuestSession.entryCount
            sessions[index].fill(&entries, from: first, assembler: assembler)
            // Those between two sessions are passed over.
            while count < first {
                entries[count].descriptor = -1
                count += 1
            }
            count = first + GuestSession.entryCount
        }
        return count
    }

    /// False when the guest is to end.
    private mutating func handle(_ entries: Entries, _ count: Int) -> Bool {
        if entries[Entry.signals].happened != 0, let signal = takeSignal(from: signals),
            signal.number == Signal.childEnded
        {
            mayReapMore = true
        }
        for index in sessions.indices {
            let first = Entry.sessions + index * GuestSession.entryCount
            guard first < count else { break }
            let verdict = sessions[index].handle(entries, from: first, assembler: &assembler)
            guard follow(verdict, index) else { return false }
        }
        // Last, so that none of the above is a new one.
        if entries[Entry.listener].happened != 0 { accept() }
        return !mayReapMore || reap()
    }

    private mutating func follow(_ verdict: GuestSession.Verdict, _ index: Int) -> Bool {
        switch verdict {
        case .goesOn: return true
        case .powerOff: return false
        case .notUnderstood: sessions[index].refuse(ALCOVE_REFUSAL_NOT_UNDERSTOOD)
        case .ended: break
        }
        // The guest lives as long as its link.
        guard index > 0 else { return false }
        if assembler == index { assembler = -1 }
        sessions[index].close()
        return true
    }

    private mutating func accept() {
        let connection = cinit_accept_host(listener)
        guard connection >= 0 else { return }
        for index in 1..<sessions.count where sessions[index].connection < 0 {
            sessions[index] = GuestSession(index: index, connection: connection)
            return
        }
        let reason = alcove_guest_value(
            value: Int32(ALCOVE_REFUSAL_TOO_MANY.rawValue), detail: 0)
        sendLast(ALCOVE_FRAME_REFUSED, reason, to: connection)
        _ = cinit_close(connection)
    }

    /// Takes ended children. False when the guest is to end.
    private mutating func reap() -> Bool {
        for _ in 0..<Self.mostReapedInARow {
            guard let child = alcove_init.reap() else {
                mayReapMore = false
                return true
            }
            for index in sessions.indices {
                guard let verdict = sessions[index].ended(child) else { continue }
                guard follow(verdict, index) else { return false }
                break
            }
        }
        return true
    }
}
