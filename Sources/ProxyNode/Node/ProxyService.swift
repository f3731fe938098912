internal import AgentAPI
internal import LinuxKernel
internal import RPC

/// The calls of `alcove.v1.Proxy`.
struct ProxyService {
    let node: ProxyNode

    var endpoints: [Endpoint] {
        [
            .unary(ProxyMethods.createVPC) { perform($0, $1, node.create) },
            .unary(ProxyMethods.deleteVPC) { perform($0, $1, node.delete) },
            .unary(ProxyMethods.attachNode) { perform($0, $1, node.attach) },
            .unary(ProxyMethods.detachNode) { perform($0, $1, node.detach) },
            .unary(ProxyMethods.addInbound) { perform($0, $1, node.addInbound) },
            .unary(ProxyMethods.removeInbound) { perform($0, $1, node.removeInbound) },
            .answer(ProxyMethods.list, isReadOnly: true, handler: list),
            .serverStream(ProxyMethods.stats, isReadOnly: true) { request, call in
                perform(request, call) { (request, call) throws(CallFailure) in
                    try VPCStatsStream(request, call, node).begin()
                }
            },
            .serverStream(ProxyMethods.watch, isReadOnly: true) { request, call in
                VPCWatchStream(request, call, node).begin()
            },
        ]
    }

    private func perform<Request, Response>(
        _ request: Request, _ call: TypedCall<Request, Response>,
        _ body: (Request, TypedCall<Request, Response>) throws(CallFailure) -> Void
    ) {
        do throws(CallFailure) {
            try body(request, call)
        } catch {
            call.finish(error)
        }
    }

    private func list(_ request: ListVPCsRequest) throws(CallFailure) -> ListVPCsResponse {
        let networks =
            request.id.isEmpty
            ? node.networks.values.sorted { $0.network.id < $1.network.id }
            : [try node.network(request.id)]
        return ListVPCsResponse(
            vpcs: networks.map { node.message($0) }, eventNumber: node.journal.last)
    }
}

/// One call of `Watch`: its place in the numbers, from which it sends what there is room for.
final class VPCWatchStream {
    private static let batch = 128

    private let call: TypedCall<WatchVPCsRequest, VPCEvent>
    private let node: ProxyNode
    private var next: UInt64
    private var watcher: UInt64?

    init(
        _ request: WatchVPCsRequest, _ call: TypedCall<WatchVPCsRequest, VPCEvent>,
        _ node: ProxyNode
    ) {
        self.call = call
        self.node = node
        next = request.fromNumber == 0 ? node.journal.last + 1 : request.fromNumber
    }

    func begin() {
        let last = node.journal.last
        guard next <= last + 1 else {
            return call.finish(
                CallFailure(
                    .outOfRange, reason: "event_not_there",
                    "event \(next) has not happened: the last one is \(last)",
                    hint: "list, and watch from the number behind that of the answer"))
        }
        watcher = node.journal.addWatcher { self.pump() }
        call.onWritable { self.pump() }
        call.onCancel { _ in self.end() }
        pump()
    }

    private func pump() {
        while call.isOpen, call.isWritable {
            guard let events = node.journal.events(from: next, limit: Self.batch) else {
                end()
                return call.finish(
                    CallFailure(
                        .outOfRange, reason: "events_forgotten",
                        "events before \(node.journal.oldest) are no longer kept",
                        hint: "list, and watch from the number behind that of the answer"))
            }
            guard !events.isEmpty else { return }
            for event in events where call.isWritable {
                next = event.number + 1
                call.base.send(event.bytes)
            }
        }
    }

    private func end() {
        if let watcher { node.journal.removeWatcher(watcher) }
        watcher = nil
    }
}

/// One call of `Stats`: measures at each interval, unless the client still has one to take.
final class VPCStatsStream: @unchecked Sendable {
    private let call: TypedCall<VPCStatsRequest, VPCStatsResponse>
    private let node: ProxyNode
    private let managed: ManagedNetwork
    private let interval: Duration?
    private var timer: ScheduledAction?
    private let token: UInt64

    init(
        _ request: VPCStatsRequest, _ call: TypedCall<VPCStatsRequest, VPCStatsResponse>,
        _ node: ProxyNode
    ) throws(CallFailure) {
        self.call = call
        self.node = node
        managed = try node.network(request.id)
        interval = request.intervalNanoseconds.map { .nanoseconds(Int64(clamping: $0)) }
        if let interval, interval < .milliseconds(10) {
            throw .invalid("interval_nanoseconds", "is less than 10 ms")
        }
        managed.lastStream += 1
        token = managed.lastStream
    }

    func begin() {
        call.onCancel { _ in self.end() }
        managed.onRemoved[token] = { [self] in
            end()
            call.finish()
        }
        measure()
    }

    private func measure() {
        let host = node.host
        let id = managed.network.id
        node.offload { () throws(HostFailure) in
            try host.statistics(of: id)
        } then: { [self] result in
            guard call.isOpen else { return }
            switch result {
            case .success(let statistics): call.send(VPCStatsResponse(statistics))
            case .failure(let failure):
                end()
                return call.finish(CallFailure(failure))
            }
            guard let interval else {
                end()
                return call.finish()
            }
            timer = node.loop.schedule(after: interval) { self.tick() }
        }
    }

    private func tick() {
        timer = nil
        guard call.isOpen else { return }
        guard call.isWritable else {
            return call.onWritable { [self] in
                call.onWritable {}
                measure()
            }
        }
        measure()
    }

    private func end() {
        if let timer { node.loop.cancel(timer) }
        timer = nil
        managed.onRemoved[token] = nil
    }
}

extension VPCStatsResponse {
    init(_ statistics: NetworkStatistics) {
        self.init(
            atNanoseconds: WallClock.nanoseconds, tunnel: Link(statistics.tunnel),
            uplink: Link(statistics.uplink), connections: statistics.connections,
            rules: RuleSet.Counter.allCases.map { counter in
                let count = statistics.counts[counter] ?? NetworkStatistics.Count()
                return Rule(
                    name: counter.rawValue, packets: count.packets, bytes: count.bytes)
            })
    }
}

extension VPCStatsResponse.Link {
    init(_ link: NetworkStatistics.Link) {
        self.init(
            receivedBytes: link.receivedBytes, receivedPackets: link.receivedPackets,
            receivedDropped: link.receivedDropped, sentBytes: link.sentBytes,
            sentPackets: link.sentPackets, sentDropped: link.sentDropped)
    }
}
