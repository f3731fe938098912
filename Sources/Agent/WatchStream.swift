internal import AgentAPI
internal import LinuxKernel
internal import RPC

/// One call of `Watch`: its place in the numbers, from which it sends what there is room for.
final class WatchStream {
    private static let shortestHeartbeat: UInt64 = 100_000_000
    private static let batch = 128

    private let call: TypedCall<WatchRequest, Event>
    private let node: NodeAgent
    private let wanted: Set<String>
    private let heartbeat: Duration
    private var next: UInt64
    private var watcher: UInt64?
    private var timer: ScheduledAction?
    private var sentSinceTimer = false

    init(_ request: WatchRequest, _ call: TypedCall<WatchRequest, Event>, _ node: NodeAgent) {
        self.call = call
        self.node = node
        wanted = Set(request.sandboxIDs)
        next = request.fromNumber == 0 ? node.journal.history.last + 1 : request.fromNumber
        heartbeat = .nanoseconds(
            Int64(clamping: request.heartbeatNanoseconds ?? 10_000_000_000))
    }

    func begin() {
        guard heartbeat >= .nanoseconds(Int64(Self.shortestHeartbeat)) else {
            return call.finish(
                .invalid("heartbeat_nanoseconds", "is less than 100 ms"))
        }
        let last = node.journal.history.last
        guard next <= last + 1 else {
            return call.finish(
                CallFailure(
                    .outOfRange, reason: "event_not_there",
                    "event \(next) has not happened: the last one is \(last)",
                    hint: "list, and watch from the number behind that of the answer"))
        }
        watcher = node.journal.history.addWatcher { self.pump() }
        call.onWritable { self.pump() }
        call.onCancel { _ in self.end() }
        armHeartbeat()
        pump()
    }

    private func pump() {
        while call.isOpen, call.isWritable {
            guard let events = node.journal.history.events(from: next, limit: Self.batch) else {
                end()
                return call.finish(
                    CallFailure(
                        .outOfRange, reason: "events_forgotten",
                        "events before \(node.journal.history.oldest) are no longer kept",
                        hint: "list, and watch from the number behind that of the answer"))
            }
            guard !events.isEmpty else { return }
            for event in events where call.isWritable {
                next = event.number + 1
                guard wanted.isEmpty || wanted.contains(event.sandboxID) else { continue }
                call.base.send(event.bytes)
                sentSinceTimer = true
            }
        }
    }

    private func armHeartbeat() {
        timer = node.loop.schedule(after: heartbeat) { self.beat() }
    }

    private func beat() {
        guard call.isOpen else { return }
        if !sentSinceTimer, call.isWritable {
            call.send(
                Event(
                    number: next - 1, atNanoseconds: WallClock.nanoseconds,
                    kind: .heartbeat(.init())))
        }
        sentSinceTimer = false
        armHeartbeat()
    }

    private func end() {
        if let watcher { node.journal.history.removeWatcher(watcher) }
        if let timer { node.loop.cancel(timer) }
        watcher = nil
        timer = nil
    }
}
