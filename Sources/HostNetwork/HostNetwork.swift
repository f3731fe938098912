public import LinuxKernel
public import Netlink

/// The networks of a node's sandboxes.
///
/// A router stands between them and the node: a network namespace of its own, which has a link for
/// each sandbox and each tenant's tunnel, and one towards the node. It is pinned to a file and
/// outlives the agent, as sandboxes do.
public final class HostNetwork: Sendable {
    public let settings: NodeNetworkSettings
    public let router: NetworkNamespace
    let node: NetworkNamespace
    let rules: RouterRules
    /// Sockets stay where they were made: nothing changes namespaces later.
    let nodeLinks: NetlinkSocket
    let nodeFilter: NetlinkSocket
    let links: NetlinkSocket
    let filter: NetlinkSocket
    let state = Locked(State())

    /// What is in the router.
    struct State {
        var slots: [SlotIndex: SlotState] = [:]
        var vpcs: [VPCNumber: VPCPlan] = [:]
        var ways: [VPCNumber: ProxyWays] = [:]
        /// The slot that is looked at first when one is made: those given back are used late.
        var next: UInt32 = 0
        /// Ports of the node's that lead to slots, by `PublishedPort.nodeKey`.
        var ports: [[UInt8]: SlotIndex] = [:]
        /// Addresses in tunnels that lead to slots, by the keys of `RouterRules.inbound`.
        var inbound: [[UInt8]: SlotIndex] = [:]
        /// Counts the names of buckets.
        var generation: UInt64 = 0
    }

    /// What a slot has been given.
    struct SlotState {
        var settings = SlotSettings()
        /// Others may have begun flows to it, though nothing leads to it any more.
        var hadStrangers = false
        /// Its networks, as they stand in the maps of tenants.
        var tenants: [VPCNumber] = []
        /// The names of its buckets, in the order of `SlotLimits.all`.
        var buckets = SlotLimits().all.map { _ in String?.none }
        /// Addresses that are open to it by their names.
        var resolved: [IPv4Address: ResolvedAddress] = [:]
        /// What keeps others on the node from its ports.
        var sockets: [PublishedPort: InternetSocket] = [:]
    }

    /// Sandboxes and networks that an agent knows of when it begins.
    public struct Known: Sendable {
        public var slots: [SlotIndex: SlotSettings]
        public var vpcs: [VPCPlan]

        public init(slots: [SlotIndex: SlotSettings] = [:], vpcs: [VPCPlan] = []) {
            self.slots = slots
            self.vpcs = vpcs
        }
    }

    /// Makes the router, or takes the one over that is pinned at `path`. What is in it and not
    /// known is taken away; what is known goes on without a packet lost.
    ///
    /// - Parameter node: where the router's way to the world is.
    public static func open(
        _ settings: NodeNetworkSettings, node: NetworkNamespace, pinnedAt path: String,
        known: Known = Known()
    ) throws(HostNetworkError) -> HostNetwork {
        try settings.validate()
        let router = try withSystem { () throws(SystemCallError) in
            if let router = try NetworkNamespace.pinned(at: path) { return router }
            let made = try NetworkNamespace.make(count: 1)[0]
            try made.pin(at: path)
            return made
        }
        let network = try HostNetwork(settings, node: node, router: router)
        try network.prepare(node)
        try network.takeOver(known)
        return network
    }

    private init(
        _ settings: NodeNetworkSettings, node: NetworkNamespace, router: NetworkNamespace
    ) throws(HostNetworkError) {
        self.settings = settings
        self.router = router
        self.node = node
        rules = RouterRules(settings: settings)
        do throws(NetlinkError) {
            nodeLinks = try NetlinkSocket(.route, in: node)
            nodeFilter = try NetlinkSocket(.netfilter, in: node)
            links = try NetlinkSocket(.route, in: router)
            filter = try NetlinkSocket(.netfilter, in: router)
        } catch {
            throw .netlink(error)
        }
    }

    /// Takes the router away, and what it left on the node. Sandboxes that still run are cut off.
    ///
    /// Its namespace lasts as long as this object.
    public func remove(pinnedAt path: String) throws(HostNetworkError) {
        var changes = NetlinkBatch()
        for group in [RouterRules.slotGroup, RouterRules.tunnelGroup, RouterRules.uplinkGroup] {
            changes.deleteLinks(ofGroup: group)
        }
        // A group without links is no error here.
        _ = try withNetlink { () throws(NetlinkError) in try links.failures(of: changes) }
        var onNode = NetfilterTransaction()
        onNode.removeTable(settings.table)
        var inRouter = onNode
        inRouter.removeTable(settings.resolutionTable)
        let (node, router) = (onNode, inRouter)
        try withNetlink { () throws(NetlinkError) in
            try filter.perform(router)
            try nodeFilter.perform(node)
        }
        try withSystem { () throws(SystemCallError) in try NetworkNamespace.unpin(path) }
    }

    /// How often something was dropped in the router, for each reason.
    public func drops() throws(HostNetworkError) -> [RouterCounter: UInt64] {
        var drops: [RouterCounter: UInt64] = [:]
        let neighbours = RouterCounter.falseNeighbour
        var all: [NetfilterRule] = []
        for chain in Set(RouterCounter.allCases.filter { $0 != neighbours }.map(\.chain)) {
            all += try rules(of: chain, filter)
        }
        all += try withNetlink { () throws(NetlinkError) in
            try filter.rules(of: neighbours.chain, in: settings.resolutionTable)
        }
        for rule in all {
            guard let counter = rule.label.first.flatMap(RouterCounter.init) else { continue }
            drops[counter, default: 0] += rule.packets ?? 0
        }
        return drops
    }

    /// How often something was dropped on the node, for each reason.
    public func nodeDrops() throws(HostNetworkError) -> [NodeCounter: UInt64] {
        var drops: [NodeCounter: UInt64] = [:]
        for chain in Set(NodeCounter.allCases.map(\.chain)) {
            for rule in try rules(of: chain, nodeFilter) {
                guard let counter = rule.label.first.flatMap(NodeCounter.init) else { continue }
                drops[counter] = rule.packets
            }
        }
        return drops
    }

    func rules(
        of chain: String, _ socket: NetlinkSocket
    ) throws(HostNetworkError) -> [NetfilterRule] {
        try withNetlink { () throws(NetlinkError) in
            try socket.rules(of: chain, in: settings.table)
        }
    }

    /// By which the router, its filter and the network beyond know a slot.
    public func address(of slot: SlotIndex) -> IPv4Address {
        // The first address of a prefix is not given to anybody.
        settings.slots.address.advanced(by: slot.rawValue + 1)
    }

    /// How many slots there can be.
    var capacity: UInt32 { 1 << (32 - UInt32(settings.slots.length)) - 2 }

    func performLinks(_ batch: NetlinkBatch) throws(HostNetworkError) {
        try withNetlink { () throws(NetlinkError) in try links.perform(batch) }
    }

    func performFilter(_ transaction: NetfilterTransaction) throws(HostNetworkError) {
        try withNetlink { () throws(NetlinkError) in try filter.perform(transaction) }
    }
}
