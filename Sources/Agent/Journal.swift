internal import AgentAPI
internal import HostNetwork
internal import LinuxKernel
internal import ProtocolBuffers
internal import RPC
internal import Store

/// The record of the node: what is written down before it is done, and what happened.
///
/// Two ways lead in. ``commit(_:)`` is for what somebody asked for: it is written down, or it is
/// refused and nothing has changed. ``record(_:)`` is for what has happened already: it waits in
/// memory while it cannot be written, and goes first with whatever is written next.
final class Journal {
    /// A change of the record, with the events that tell of it.
    struct Draft {
        fileprivate var change = Change()
        fileprivate var events: [Event] = []

        fileprivate var isEmpty: Bool { change.isEmpty && events.isEmpty }

        /// - Parameter removes: it is to be removed once it has ended.
        mutating func put(_ managed: ManagedSandbox, removes: Bool = false) {
            change.put(
                .sandbox,
                StoredRecord(
                    id: managed.id, number: managed.number, bytes: managed.sandbox.encoded()))
            if removes {
                change.put(
                    .removal, StoredRecord(id: managed.id, number: managed.number, bytes: []))
            }
        }

        mutating func put(_ sandbox: AgentAPI.Sandbox, number: Int64) {
            change.put(
                .sandbox, StoredRecord(id: sandbox.id, number: number, bytes: sandbox.encoded()))
        }

        mutating func remove(_ managed: ManagedSandbox) {
            for kind in [RecordKind.sandbox, .removal, .limitChange, .requested] {
                change.remove(kind, id: managed.id)
            }
        }

        mutating func put(_ limits: LimitChange, of managed: ManagedSandbox) {
            change.put(
                .limitChange,
                StoredRecord(id: managed.id, number: managed.number, bytes: limits.encoded()))
        }

        mutating func removeChange(of managed: ManagedSandbox) {
            change.remove(.limitChange, id: managed.id)
        }

        /// Once that is not what its record says any more.
        mutating func putRequested(_ managed: ManagedSandbox) {
            change.put(
                .requested,
                StoredRecord(
                    id: managed.id, number: managed.number, bytes: managed.requested.encoded()))
        }

        mutating func put(_ joined: JoinedVPC) {
            change.put(
                .vpc,
                StoredRecord(
                    id: joined.vpc.id, number: Int64(joined.number.rawValue),
                    bytes: joined.vpc.encoded()))
        }

        mutating func removeVPC(_ id: String) {
            change.remove(.vpc, id: id)
        }

        mutating func put(_ image: Image) {
            change.put(.image, StoredRecord(id: image.name, number: 0, bytes: image.encoded()))
        }

        mutating func removeImage(_ name: String) {
            change.remove(.image, id: name)
        }

        mutating func set(_ key: String, to bytes: [UInt8]?) {
            change.set(key, to: bytes)
        }

        /// - Parameter sandboxID: none for an event of the node.
        mutating func add(_ kind: Event.Kind, of sandboxID: String = "") {
            events.append(
                Event(atNanoseconds: WallClock.nanoseconds, sandboxID: sandboxID, kind: kind))
        }
    }

    /// Events are forgotten in steps of this part of those that are kept.
    private static let trimStep: UInt64 = 1024

    let store: Store
    let history: EventHistory
    /// Why the record could not be written, since when; nil while it can.
    private(set) var failure: (error: StoreError, since: Int64)?
    /// Told when ``failure`` comes and goes.
    var onFailureChange: () -> Void = {}
    /// Told after each writing: how many events it told of, and how long it took.
    var onWritten: (_ events: Int, _ nanoseconds: UInt64) -> Void = { _, _ in }
    private let loop: EventLoop
    /// That a watcher can go back to.
    var eventsKept: UInt64
    /// Happened, and not yet written.
    private var pending: [Draft] = []
    /// To be done once what is pending now is written.
    private var onCaughtUp: [() -> Void] = []
    /// Values that go along with the next change.
    private var later: [String: [UInt8]] = [:]
    /// Events behind this one are not forgotten; nil when nobody asked for that.
    private var keptAfter: UInt64?
    private var retry: ScheduledAction?

    init(_ store: Store, eventsKept: UInt64, loop: EventLoop) throws(StoreError) {
        self.store = store
        self.loop = loop
        self.eventsKept = eventsKept
        let kept = try store.eventNumbers()
        history = EventHistory(
            oldest: UInt64(kept?.lowerBound ?? 1), last: UInt64(kept?.upperBound ?? 0)
        ) { from, limit in
            let events = try? store.events(from: Int64(clamping: from), limit: limit)
            return (events ?? []).map {
                EventHistory.Kept(
                    number: UInt64($0.number), sandboxID: $0.subject, bytes: $0.bytes)
            }
        }
    }

    /// Writes down what is about to be done, after what happened before.
    func commit(_ fill: (inout Draft) -> Void) throws(CallFailure) {
        var draft = Draft()
        fill(&draft)
        do throws(StoreError) {
            try write(pending + [draft])
        } catch {
            noteFailure(error)
            throw Self.notWritable(error)
        }
    }

    /// Sees to it that all that has happened is written down.
    func catchUp() throws(CallFailure) {
        writePending()
        if let failure, !pending.isEmpty { throw Self.notWritable(failure.error) }
    }

    private static func notWritable(_ error: StoreError) -> CallFailure {
        CallFailure(
            .unavailable, reason: "record_not_writable",
            "the agent cannot write its record: \(error.message)", hint: error.hint ?? "")
    }

    /// Writes down what has happened, now or as soon as that can be.
    func record(_ fill: (inout Draft) -> Void) {
        var draft = Draft()
        fill(&draft)
        pending.append(draft)
        writePending()
    }

    /// Does something once all that has happened is written down: now, or as soon as it is.
    func onceWritten(_ action: @escaping () -> Void) {
        guard !pending.isEmpty else { return action() }
        onCaughtUp.append(action)
    }

    /// Keeps all events behind this one, until it is called again.
    func keepEvents(after number: UInt64) {
        keptAfter = number
    }

    /// Events behind the one up to which they need not be kept; none where nobody asked for that.
    var unacknowledged: UInt64 { keptAfter.map { history.last - min($0, history.last) } ?? 0 }

    /// Sets a value with whatever is written next.
    func setLater(_ key: String, to bytes: [UInt8]) {
        later[key] = bytes
    }

    func value(_ key: String) -> [UInt8]? {
        (try? store.value(key)) ?? nil
    }

    private func writePending() {
        guard !pending.isEmpty else { return }
        do throws(StoreError) {
            try write(pending)
        } catch {
            noteFailure(error)
        }
    }

    /// Writes what waits, or, when nothing does, anything: so that it shows when that can be done
    /// again, even if nobody asks for a change because the node says that it cannot.
    private func writeAgain() {
        do throws(StoreError) {
            try write(pending.isEmpty ? [Self.trial()] : pending)
        } catch {
            noteFailure(error)
        }
    }

    private static func trial() -> Draft {
        var draft = Draft()
        draft.set("written-at", to: Array("\(WallClock.nanoseconds)".utf8))
        return draft
    }

    private func write(_ drafts: [Draft]) throws(StoreError) {
        var change = Change()
        var kept: [EventHistory.Kept] = []
        for draft in drafts {
            change.append(contentsOf: draft.change)
            for event in draft.events {
                var event = event
                event.number = history.last + UInt64(kept.count) + 1
                let bytes = event.encoded()
                kept.append(
                    EventHistory.Kept(
                        number: event.number, sandboxID: event.sandboxID, bytes: bytes))
                change.append(
                    StoredEvent(
                        number: Int64(event.number), subject: event.sandboxID, bytes: bytes))
            }
        }
        for (key, bytes) in later { change.set(key, to: bytes) }
        let began = MonotonicClock.nanoseconds
        try store.commit(change)
        onWritten(kept.count, MonotonicClock.nanoseconds - began)
        pending = []
        later = [:]
        if failure != nil {
            failure = nil
            onFailureChange()
        }
        history.publish(kept)
        trim()
        let actions = onCaughtUp
        onCaughtUp = []
        for action in actions { action() }
    }

    private func trim() {
        let held = history.last + 1 - history.oldest
        guard held > eventsKept, held - eventsKept >= Self.trimStep else { return }
        let first = min(history.last - eventsKept, keptAfter ?? .max) + 1
        guard first > history.oldest else { return }
        // What cannot be forgotten now is forgotten later.
        let most = Int(Self.trimStep) * 2
        guard let count = try? store.trimEvents(below: Int64(first), atMost: most) else { return }
        history.trimmed(to: history.oldest + UInt64(count))
    }

    private func noteFailure(_ error: StoreError) {
        if failure == nil {
            failure = (error, WallClock.nanoseconds)
            onFailureChange()
        }
        guard retry == nil else { return }
        retry = loop.schedule(after: .seconds(1)) { [self] in
            retry = nil
            if failure != nil { writeAgain() }
        }
    }
}

extension RecordKind {
    /// Sandboxes that are to be removed once they have ended.
    static let removal = RecordKind(rawValue: 3)
    /// Changes of limits that are under way.
    static let limitChange = RecordKind(rawValue: 4)
    /// Specifications as they were asked for, of those sandboxes whose limits were changed.
    static let requested = RecordKind(rawValue: 5)
    /// VPCs that the node is in.
    static let vpc = RecordKind(rawValue: 6)
}
