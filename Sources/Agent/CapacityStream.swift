internal import AgentAPI
internal import LinuxKernel
internal import RPC

/// One call of `WatchCapacity`: the capacity now, after changes that are gathered for a while, and
/// when nothing was sent for long.
final class CapacityStream {
    private let call: TypedCall<WatchCapacityRequest, CapacityResponse>
    private let node: NodeAgent
    private let heartbeat: Duration
    private let coalescing: Duration
    private var sentVersion: UInt64 = 0
    /// The time came to send, and there was no room.
    private var isDue = false
    private var watcher: UInt64?
    private var gathering: ScheduledAction?
    private var beat: ScheduledAction?

    init(
        _ request: WatchCapacityRequest,
        _ call: TypedCall<WatchCapacityRequest, CapacityResponse>, _ node: NodeAgent
    ) {
        self.call = call
        self.node = node
        heartbeat = .nanoseconds(Int64(clamping: request.heartbeatNanoseconds ?? 10_000_000_000))
        coalescing = .nanoseconds(Int64(clamping: request.coalesceNanoseconds ?? 100_000_000))
    }

    func begin() {
        guard heartbeat >= .milliseconds(100) else {
            return call.finish(.invalid("heartbeat_nanoseconds", "is less than 100 ms"))
        }
        watcher = node.watchCapacity { [weak self] in self?.noteChange() }
        call.onCancel { _ in self.end() }
        call.onWritable { if self.isDue { self.send() } }
        send()
    }

    private func noteChange() {
        guard call.isOpen, gathering == nil, sentVersion != node.capacityVersion else { return }
        gathering = node.loop.schedule(after: coalescing) { [weak self] in
            guard let self else { return }
            gathering = nil
            send()
        }
    }

    /// Who does not read gets the newest once there is room, and not what came between.
    private func send() {
        guard call.isOpen else { return }
        isDue = !call.isWritable
        guard !isDue else { return }
        let capacity = node.capacity()
        sentVersion = capacity.version
        call.send(CapacityResponse(capacity: capacity))
        if let beat { node.loop.cancel(beat) }
        beat = node.loop.schedule(after: heartbeat) { [weak self] in self?.send() }
    }

    private func end() {
        if let watcher { node.unwatchCapacity(watcher) }
        for timer in [gathering, beat] {
            if let timer { node.loop.cancel(timer) }
        }
        watcher = nil
        gathering = nil
        beat = nil
    }
}
