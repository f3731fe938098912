internal import AgentAPI
internal import LinuxKernel
internal import ProtocolBuffers
internal import RPC
internal import Store

/// The record of the proxy: VPCs, their nodes, and what happened.
final class ProxyJournal {
    /// A change of the record, with the events that tell of it.
    struct Draft {
        fileprivate var change = Change()
        fileprivate var events: [VPCEvent] = []

        mutating func put(_ managed: ManagedNetwork) {
            var message = managed.message(path: "", nodes: .none)
            // These are the kernel's to say.
            message.hasEgressAddresses = false
            message.peers = []
            message.inbound = []
            change.put(
                .network,
                StoredRecord(
                    id: managed.network.id, number: managed.createdAt,
                    bytes: message.encoded()))
        }

        mutating func put(_ node: ComputeNode, attachedAt: Int64, of id: String) {
            change.put(
                .node,
                StoredRecord(
                    id: "\(id)/\(node.id)", number: attachedAt,
                    bytes: node.message(attachedAt: attachedAt).encoded()))
        }

        mutating func remove(node: String, of id: String) {
            change.remove(.node, id: "\(id)/\(node)")
        }

        mutating func put(_ route: InboundRoute, of id: String) {
            change.put(
                .inbound,
                StoredRecord(
                    id: "\(id)/\(route.address)", number: route.addedAt,
                    bytes: route.message.encoded()))
        }

        mutating func remove(_ route: InboundRoute, of id: String) {
            change.remove(.inbound, id: "\(id)/\(route.address)")
        }

        mutating func remove(_ managed: ManagedNetwork) {
            let id = managed.network.id
            change.remove(.network, id: id)
            for node in managed.nodes.keys { change.remove(.node, id: "\(id)/\(node)") }
            for route in managed.inbound.values { remove(route, of: id) }
        }

        /// - Parameter id: none for an event of the proxy.
        mutating func add(_ kind: VPCEvent.Kind, of id: String = "") {
            events.append(
                VPCEvent(atNanoseconds: WallClock.nanoseconds, vpcID: id, kind: kind))
        }
    }

    /// Events are forgotten in steps of this many.
    private static let trimStep: UInt64 = 256

    private let store: Store
    private let eventsKept: UInt64
    /// The number of the newest event, 0 before the first.
    private(set) var last: UInt64
    private(set) var oldest: UInt64
    private var watchers: [UInt64: () -> Void] = [:]
    private var lastWatcher: UInt64 = 0

    init(_ store: Store, eventsKept: UInt64) throws(StoreError) {
        self.store = store
        self.eventsKept = eventsKept
        let kept = try store.eventNumbers()
        last = UInt64(kept?.upperBound ?? 0)
        oldest = UInt64(kept?.lowerBound ?? 1)
    }

    func write(_ fill: (inout Draft) -> Void) throws(StoreError) {
        var draft = Draft()
        fill(&draft)
        var change = draft.change
        for (place, event) in draft.events.enumerated() {
            var event = event
            event.number = last + UInt64(place) + 1
            change.append(
                StoredEvent(
                    number: Int64(event.number), subject: event.vpcID, bytes: event.encoded()))
        }
        try store.commit(change)
        last += UInt64(draft.events.count)
        trim()
        if !draft.events.isEmpty { for wake in watchers.values { wake() } }
    }

    /// The same for what somebody asked for.
    func commit(_ fill: (inout Draft) -> Void) throws(CallFailure) {
        do throws(StoreError) {
            try write(fill)
        } catch {
            throw CallFailure(
                .unavailable, reason: "record_not_writable",
                "the proxy cannot write its record: \(error.message)", hint: error.hint ?? "")
        }
    }

    private func trim() {
        guard last + 1 - oldest >= eventsKept + Self.trimStep else { return }
        let first = last + 1 - eventsKept
        // What cannot be forgotten now is forgotten later.
        guard let count = try? store.trimEvents(below: Int64(first)) else { return }
        oldest += UInt64(count)
    }

    /// Encoded events from a number on, at most so many; nil when that number is no longer kept.
    func events(from number: UInt64, limit: Int) -> [(number: UInt64, bytes: [UInt8])]? {
        guard number >= oldest else { return nil }
        guard number <= last else { return [] }
        let events = try? store.events(from: Int64(clamping: number), limit: limit)
        return events?.map { (UInt64($0.number), $0.bytes) } ?? []
    }

    /// Calls an action after each event, until ``removeWatcher(_:)``.
    func addWatcher(_ wake: @escaping () -> Void) -> UInt64 {
        lastWatcher += 1
        watchers[lastWatcher] = wake
        return lastWatcher
    }

    func removeWatcher(_ token: UInt64) {
        watchers[token] = nil
    }

    // MARK: - Reading

    /// All VPCs with their nodes, as they were written down.
    func networks() throws -> [ManagedNetwork] {
        var networks: [String: ManagedNetwork] = [:]
        for record in try store.records(of: .network) {
            let message = try VPC(decoding: record.bytes)
            let network = try TenantNetwork(
                id: message.id, message.spec ?? VPCSpec(), underlay: nil)
            let managed = ManagedNetwork(
                network, createdAt: message.createdAtNanoseconds, state: message.state)
            managed.problem = message.problem
            networks[network.id] = managed
        }
        for record in try store.records(of: .node) {
            let id = record.id.split(separator: "/").first.map(String.init) ?? ""
            guard let managed = networks[id] else { continue }
            let message = try VPCNode(decoding: record.bytes)
            let node = try ComputeNode(message, in: managed.network)
            managed.nodes[node.id] = (node, message.attachedAtNanoseconds)
        }
        for record in try store.records(of: .inbound) {
            let id = record.id.split(separator: "/").first.map(String.init) ?? ""
            guard let managed = networks[id] else { continue }
            let message = try InboundAddress(decoding: record.bytes)
            let route = try InboundRoute(
                message, in: managed.network, addedAt: message.addedAtNanoseconds)
            managed.inbound[route.address] = route
        }
        return networks.values.sorted { $0.network.id < $1.network.id }
    }
}

extension RecordKind {
    /// Those of a proxy are in a record of its own.
    fileprivate static let network = RecordKind(rawValue: 16)
    fileprivate static let node = RecordKind(rawValue: 17)
    fileprivate static let inbound = RecordKind(rawValue: 18)
}
