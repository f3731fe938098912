internal import AgentAPI
internal import AgentOperations
internal import LinuxKernel
internal import Netlink
internal import RPC
internal import Store

/// Policy of a proxy: what is asked for is written down, then done, then told.
///
/// It belongs to the loop's thread. What the kernel does is asked for on a thread of its own; what
/// is done for one VPC is done one after the other.
final class ProxyNode: @unchecked Sendable {
    /// What can wait for one VPC.
    static let mostWaiting = 1024

    private struct Lane {
        var isBusy = false
        var waiting: [(@escaping () -> Void) -> Void] = []
    }

    let loop: EventLoop
    let host: any ProxyHost
    let journal: ProxyJournal
    let log: Log
    let underlay: IPv4Address?
    private let worker: Workers
    private(set) var networks: [String: ManagedNetwork] = [:]
    private var lanes: [String: Lane] = [:]

    init(
        loop: EventLoop, host: any ProxyHost, journal: ProxyJournal, worker: Workers, log: Log,
        underlay: IPv4Address?
    ) {
        self.loop = loop
        self.host = host
        self.journal = journal
        self.worker = worker
        self.log = log
        self.underlay = underlay
    }

    func network(_ id: String) throws(CallFailure) -> ManagedNetwork {
        guard let managed = networks[id] else { throw .noNetwork(id) }
        return managed
    }

    func message(_ managed: ManagedNetwork, nodes: ManagedNetwork.Nodes = .all) -> VPC {
        managed.message(path: host.path(of: managed.network.id), nodes: nodes)
    }

    func insert(_ managed: ManagedNetwork) { networks[managed.network.id] = managed }

    func drop(_ managed: ManagedNetwork) {
        networks[managed.network.id] = nil
        managed.watch?.close()
        managed.watch = nil
        for action in Array(managed.onRemoved.values) { action() }
        managed.onRemoved = [:]
    }

    // MARK: - One after the other

    /// Does something for a VPC once all is done that was asked for before. It ends with a call of
    /// what it is given.
    func enqueue(
        _ id: String, _ operation: @escaping (_ done: @escaping () -> Void) -> Void
    ) throws(CallFailure) {
        var lane = lanes[id] ?? Lane()
        guard lane.waiting.count < Self.mostWaiting else { throw .tooMuchWaits }
        lane.waiting.append(operation)
        lanes[id] = lane
        advance(id)
    }

    private func advance(_ id: String) {
        guard var lane = lanes[id], !lane.isBusy else { return }
        guard !lane.waiting.isEmpty else {
            lanes[id] = nil
            return
        }
        let operation = lane.waiting.removeFirst()
        lane.isBusy = true
        lanes[id] = lane
        operation { [self] in
            lanes[id]?.isBusy = false
            advance(id)
        }
    }

    /// Asks the kernel on the thread for that, and goes on here.
    func offload<Value: Sendable>(
        _ work: @escaping @Sendable () throws(HostFailure) -> Value,
        then next: @escaping (Result<Value, HostFailure>) -> Void
    ) {
        let loop = loop
        // Made and called on the loop's thread; the other one only carries it.
        let next = Carried(next)
        // Lanes bound how much that can be.
        worker.run(isBounded: false) {
            let result: Result<Value, HostFailure>
            do throws(HostFailure) {
                result = .success(try work())
            } catch {
                result = .failure(error)
            }
            loop.enqueue { next.value(result) }
        }
    }

    // MARK: - The start

    /// Takes over what is in the record and in the kernel: mends what is not right, leaves alone
    /// what is, and removes what nobody has. On the calling thread, before the loop runs.
    func recover() throws {
        var changes = 0
        for managed in try journal.networks() {
            insert(managed)
            switch managed.state {
            case .deleting: try finishDeletion(of: managed)
            case .creating, .ready, .broken, .unspecified, .unrecognized:
                changes += try mend(managed)
            }
        }
        for id in try host.networks() where networks[id] == nil {
            do throws(HostFailure) {
                try host.remove(id, uplink: nil)
            } catch {
                log.error(
                    "what belongs to nobody could not be removed",
                    ["vpc.id": .text(id), "error": LogValue(error)])
                continue
            }
            changes += 1
            log.warning("removed what belonged to nobody", ["vpc.id": .text(id)])
            try journal.write { $0.add(.orphanRemoved(.init(name: id))) }
        }
        let count = UInt32(clamping: changes)
        try journal.write {
            $0.add(.proxyStarted(.init(version: ProxyVersion.current, changes: count)))
        }
        log.info(
            "took over what is there",
            ["vpc.count": LogValue(networks.count), "kernel.changes": LogValue(changes)])
    }

    private func finishDeletion(of managed: ManagedNetwork) throws {
        let id = managed.network.id
        do throws(HostFailure) {
            try host.remove(id, uplink: managed.network.uplink)
        } catch {
            managed.problem = "\(error)"
            log.error(
                "a VPC could not be removed", ["vpc.id": .text(id), "error": LogValue(error)])
            return
        }
        try journal.write { draft in
            draft.remove(managed)
            draft.add(.deleted(.init()), of: id)
        }
        drop(managed)
    }

    private func mend(_ managed: ManagedNetwork) throws -> Int {
        let id = managed.network.id
        let before = (managed.state, managed.problem)
        var changes = 0
        do throws(HostFailure) {
            // Who has the fixed addresses does not change by a start.
            if !managed.network.peers.isEmpty, let found = try host.find(id), found.uplink != nil {
                managed.holds = managed.network.moving.isSubset(of: found.uplinkAddresses)
            }
            changes = try host.settle(managed.wanted)
            managed.state = .ready
            managed.problem = ""
            watchPeers(of: managed)
        } catch {
            managed.state = .broken
            managed.problem = "\(error)"
            log.error(
                "a VPC could not be mended", ["vpc.id": .text(id), "error": LogValue(error)])
        }
        if changes > 0 {
            log.warning(
                "mended a VPC", ["vpc.id": .text(id), "kernel.changes": LogValue(changes)])
        }
        guard before != (managed.state, managed.problem) else { return changes }
        try journal.write { draft in
            draft.put(managed)
            draft.add(.changed(message(managed, nodes: .none)), of: id)
        }
        return changes
    }
}

/// What goes through other threads, and is looked at by its own alone.
struct Carried<Value>: @unchecked Sendable {
    let value: Value

    init(_ value: Value) { self.value = value }
}

enum ProxyVersion {
    static let current = "0.1.0"
}
