internal import HostNetwork
internal import Jail
internal import LinuxKernel
internal import MicroVM
internal import Netlink
internal import SandboxModel

// Messages of the interface have some of the same names: these are the kernel's side.
typealias SlotRule = EgressRule
typealias SlotNameRule = NameRule
typealias SlotTransport = TransportProtocol
typealias SlotPort = PublishedPort
typealias SlotBucket = TokenBucket
typealias TunnelProxy = VPCProxy
typealias ForwardedNames = NameCounts
typealias TunnelHealth = ProxyHealth

/// The networks of the node's sandboxes: slots that are made ahead, and given back.
///
/// Slots are made and taken away by a thread of its own, and never when one is taken: what the
/// kernel does for it holds up the start on the other processor.
final class SandboxNetworks: Sendable {
    let network: HostNetwork
    let settings: NodeSettings.Networks
    /// What each sandbox has within.
    let inner: InnerNetwork
    private let pools: [SlotKind: SlotPool]
    private let keeper: Workers
    private let state = Locked(State())

    private struct State {
        /// Slots whose sandboxes are gone.
        var leaving: [SlotIndex] = []
        /// Of each kind.
        var demand: [SlotKind: SlotDemand] = [:]
        /// Why they could not be made or taken away the last time.
        var failure: String?
    }

    /// What the node's networks are at a moment.
    struct Figures {
        var inUse: Int
        var ready: Int
        var target: Int
        var missed: Int
        var failure: String?
    }

    /// Takes over what an earlier agent left: what is known goes on, everything else goes.
    init(
        _ settings: NodeSettings.Networks, known: HostNetwork.Known, nameFile: String
    ) throws(HostNetworkError) {
        self.settings = settings
        inner = InnerNetwork(nameFile: nameFile, mtu: settings.mtu)
        do throws(SystemCallError) {
            keeper = try Workers(threads: 1, queue: 1, named: "slots")
            if let slash = settings.router.utf8.lastIndex(of: UInt8(ascii: "/")) {
                try Files.makeDirectories(String(settings.router[..<slash]))
            }
            try Self.writeNames(nameFile)
        } catch {
            throw .system(error)
        }
        network = try HostNetwork.open(
            NodeNetworkSettings(settings), node: Self.node(), pinnedAt: settings.router,
            known: known)
        pools = [
            .namespace: SlotPool(network, .namespace, size: settings.leastReady),
            .tap: SlotPool(network, .tap, size: 0),
        ]
        tend()
    }

    private static func node() throws(HostNetworkError) -> NetworkNamespace {
        do throws(SystemCallError) {
            return try NetworkNamespace.current()
        } catch {
            throw .system(error)
        }
    }

    /// The same in each sandbox: all ask the gateway.
    private static func writeNames(_ path: String) throws(SystemCallError) {
        let file = try Files.open(path, [.writeOnly, .create, .truncate])
        try file.write("nameserver \(SandboxNetwork.gateway)\n", subject: path)
        // Whoever the workload's user is.
        try Files.changeMode(of: path, to: 0o644)
    }

    // MARK: - Slots

    /// A number for a sandbox that is about to start. Touches nothing of the kernel's.
    func reserve(_ kind: SlotKind) throws(HostNetworkError) -> ReservedSlot {
        guard let pool = pools[kind] else { preconditionFailure("there is a pool of each kind") }
        let slot = try pool.reserve()
        state.with { $0.demand[kind, default: SlotDemand()].take(at: MonotonicClock.nanoseconds) }
        if pool.count <= pool.size / 4 { tend() }
        return slot
    }

    /// Makes the slot, where none was ready, and gives it what its sandbox is to have.
    func settle(
        _ reserved: ReservedSlot, _ kind: SlotKind, _ settings: SlotSettings
    ) throws(SandboxError) -> SandboxSlot {
        guard let pool = pools[kind] else { preconditionFailure("there is a pool of each kind") }
        do throws(HostNetworkError) {
            return try pool.settle(reserved, settings)
        } catch {
            throw SandboxError(network: error)
        }
    }

    /// Nothing comes of a start before anything was made for it.
    func cancel(_ reserved: ReservedSlot, _ kind: SlotKind) {
        pools[kind]?.cancel(reserved)
    }

    /// Takes a slot away whose sandbox is gone. Its ports are others' at once, and it is in no VPC
    /// any more.
    func giveBack(_ slot: SlotIndex) {
        // What fails here is tried again there.
        try? network.retire(slot)
        state.with { $0.leaving.append(slot) }
        tend()
    }

    /// Sees to it that slots go and come, off the path of any start.
    func tend() {
        // One that is told off has a predecessor that will look again.
        keeper.run { [self] in
            while true {
                let leaving = state.with { state in
                    defer { state.leaving = [] }
                    return state.leaving
                }
                guard keep(leaving) else {
                    // What could not be done is done with what comes next, or after a while.
                    return state.with { $0.leaving.insert(contentsOf: leaving, at: 0) }
                }
                if state.with({ $0.leaving.isEmpty }) { return }
            }
        }
    }

    private func keep(_ leaving: [SlotIndex]) -> Bool {
        do throws(HostNetworkError) {
            if !leaving.isEmpty { try network.giveBack(leaving) }
            for (kind, pool) in pools {
                pool.size = target(of: kind)
                try pool.fill()
            }
            state.with { $0.failure = nil }
            return true
        } catch {
            // Whoever needs one meanwhile makes it, and says what is wrong.
            state.with { $0.failure = "\(error)" }
            return false
        }
    }

    private func target(of kind: SlotKind) -> Int {
        // Who has no microVMs has no use for their links.
        let least = kind == .namespace ? settings.leastReady : 0
        return state.with { state in
            state.demand[kind, default: SlotDemand()].target(
                at: MonotonicClock.nanoseconds, within: least...max(least, settings.mostReady))
        }
    }

    /// Whether there is something to be done after a while: the pools may be larger than they need
    /// be, or something failed.
    var needsTending: Bool {
        state.with { state in
            state.failure != nil || state.demand.values.contains { !$0.isQuiet }
        }
    }

    func figures() -> Figures {
        let ready = pools.values.map(\.count).reduce(0, +)
        let coming = pools.values.map(\.coming).reduce(0, +)
        return Figures(
            inUse: max(0, network.slots.count - ready - coming), ready: ready,
            target: pools.values.map(\.size).reduce(0, +),
            missed: pools.values.map(\.missed).reduce(0, +),
            failure: state.with { $0.failure })
    }

    /// Ends the thread. Slots that sandboxes have stay; those that nobody has go with this agent.
    func stop() {
        keeper.stop()
    }
}

extension NodeNetworkSettings {
    init(_ settings: NodeSettings.Networks) {
        self.init(
            slots: settings.slots, uplink: settings.uplink, uplinkName: settings.link,
            tableName: settings.link,
            managementPrefixes: settings.managementPrefixes, tunnelPort: settings.tunnelPort,
            mtu: settings.mtu)
    }
}

extension SandboxError {
    init(network error: HostNetworkError) {
        switch error {
        case .refused(let reason): self.init(.unavailable, reason)
        case .exhausted:
            self.init(
                .exhausted, "\(error)", hint: "`network.slots` says how many sandboxes have one")
        case .netlink, .system: self.init(.setUpFailed, "set up its network: \(error)")
        }
    }
}

/// What is the same in each sandbox with a network.
struct InnerNetwork: Equatable, Sendable {
    /// The file that says inside who is asked for names.
    let nameFile: String
    let mtu: UInt32

    /// For a guest, which has it from its monitor.
    var link: GuestJail.LinkSettings {
        GuestJail.LinkSettings(
            hardwareAddress: "\(SandboxNetwork.linkAddress)",
            address: "\(SandboxNetwork.address)/\(SandboxNetwork.prefixLength)",
            gateway: "\(SandboxNetwork.gateway)", nameServer: "\(SandboxNetwork.gateway)", mtu: mtu)
    }
}

/// What a start is told of its network.
struct NetworkOrder: Sendable {
    let networks: SandboxNetworks
    let slot: ReservedSlot
    let kind: SlotKind
    let settings: SlotSettings

    func settle() throws(SandboxError) -> SandboxSlot {
        try networks.settle(slot, kind, settings)
    }
}
