internal import LinuxKernel
public import Netlink

// Tenants' networks that change while sandboxes are in them, and proxies that die and come back.
extension HostNetwork {
    /// Gives a tenant's network other prefixes or proxies. Flows to prefixes that stay go on,
    /// unless the proxy goes that they take.
    public func updateVPC(_ plan: VPCPlan) throws(HostNetworkError) {
        try plan.validate()
        try state.with { (state) throws(HostNetworkError) in
            guard let old = state.vpcs[plan.number], let before = state.ways[plan.number] else {
                throw .refused(reason: "\(plan.number) is not known on this node")
            }
            guard
                (old.identifier, old.node, old.address)
                    == (plan.identifier, plan.node, plan.address)
            else {
                throw .refused(
                    reason: "the tunnel of \(plan.number) and this node's addresses cannot change: "
                        + "leave it first")
            }
            guard old != plan else { return }
            try checkClashes(of: plan, state)
            let ways = ProxyWays(plan, places: before.places, silent: before.silent)
            var come = NetlinkBatch()
            ways.lead(plan, in: &come)
            try performLinks(come)
            do throws(HostNetworkError) {
                try exchangePrefixes(of: old, for: plan)
            } catch {
                // What failed is what is told of.
                var back = NetlinkBatch()
                before.lead(old, in: &back)
                ProxyWays.forget(ways.found(of: plan), but: old, before, in: &back)
                try? performLinks(back)
                throw error
            }
            state.vpcs[plan.number] = plan
            state.ways[plan.number] = ways
            var gone = NetlinkBatch()
            ProxyWays.forget(before.found(of: old), but: plan, ways, in: &gone)
            try performLinks(gone)
        }
    }

    private func exchangePrefixes(
        of old: VPCPlan, for plan: VPCPlan
    ) throws(HostNetworkError) {
        let (before, after) = (Set(old.prefixElements), Set(plan.prefixElements))
        guard before != after else { return }
        var transaction = NetfilterTransaction()
        transaction.deleteElements(Array(before.subtracting(after)), of: rules.prefixes)
        transaction.addElements(Array(after.subtracting(before)), to: rules.prefixes)
        try performFilter(transaction)
    }

    /// That nobody who is in it is in another one with the same prefix.
    private func checkClashes(of plan: VPCPlan, _ state: State) throws(HostNetworkError) {
        var others: [VPCNumber: SlotIndex] = [:]
        for (slot, its) in state.slots where its.settings.vpcs.contains(plan.number) {
            if its.settings.inbound[plan.number] != nil { try plan.checkAnswers(to: slot) }
            for other in its.tenants where other != plan.number { others[other] = slot }
        }
        for (number, slot) in others.sorted(by: { $0.key < $1.key }) {
            for theirs in state.vpcs[number]?.prefixes ?? [] {
                guard let first = plan.prefixes.first(where: theirs.overlaps) else { continue }
                throw .refused(
                    reason:
                        "`\(first)` of \(plan.number) and `\(theirs)` of \(number) overlap, and "
                        + "\(slot) is attached to both")
            }
        }
    }

    /// Says which proxies of a tenant's network do not answer: flows go to the others, those that
    /// run too. Where none answers, all are as if they did.
    public func setSilent(
        _ proxies: Set<IPv4Address>, of number: VPCNumber
    ) throws(HostNetworkError) {
        try state.with { (state) throws(HostNetworkError) in
            guard let plan = state.vpcs[number], let before = state.ways[number] else {
                throw .refused(reason: "\(number) is not known on this node")
            }
            var ways = before
            ways.silent = proxies.intersection(plan.proxies.map(\.address))
            if ways.used(of: plan) != before.used(of: plan) {
                var batch = NetlinkBatch()
                ways.choose(plan, in: &batch)
                try performLinks(batch)
            }
            state.ways[number] = ways
        }
    }

    /// Which proxies do not answer, as was last said, or as the last agent left it.
    public func silentProxies(of number: VPCNumber) -> Set<IPv4Address> {
        state.with { $0.ways[number]?.silent ?? [] }
    }

    /// Those that flows go to.
    public func usedProxies(of number: VPCNumber) -> [VPCProxy] {
        state.with { state in
            guard let plan = state.vpcs[number] else { return [] }
            return state.ways[number]?.used(of: plan) ?? []
        }
    }

    // MARK: - After an agent ended

    /// What the kernel has of tenants' networks.
    struct FoundWays {
        var found: [VPCNumber: ProxyWays.Found] = [:]
        var hops: [NextHop] = []
        var groups: [NextHopGroup] = []
    }

    func findWays(of plans: [VPCPlan]) throws(HostNetworkError) -> FoundWays {
        guard !plans.isEmpty else { return FoundWays() }
        return try withNetlink { () throws(NetlinkError) in
            var all = FoundWays()
            (all.hops, all.groups) = try links.nextHops()
            let (routes, neighbours) = (try links.routes(), try links.neighbours())
            for plan in plans {
                let number = plan.number
                let forwarding = try links.forwarding(of: number.link)
                all.found[number] = ProxyWays.Found(
                    prefixes: Set(
                        routes.filter { $0.table == number.table }.map(\.destination)),
                    places: Set(
                        all.hops.filter { $0.number >> 8 == number.mark }.map {
                            UInt8(truncatingIfNeeded: $0.number) & 0x7F
                        }),
                    neighbours: Set(
                        neighbours.filter { $0.link == number.link }.map(\.address)),
                    linkAddresses: Set(forwarding.map(\.linkAddress)))
            }
            return all
        }
    }

    /// Makes a tunnel of the last agent's as it is to be, under the flows that take it.
    func adopt(
        _ plan: VPCPlan, _ all: FoundWays, hasRule: Bool
    ) throws(HostNetworkError) -> ProxyWays {
        let ways = ProxyWays(plan, found: all.hops, all.groups)
        try makeTunnel(plan, ways, isThere: true, hasRule: hasRule)
        var gone = NetlinkBatch()
        ProxyWays.forget(all.found[plan.number] ?? .init(), but: plan, ways, in: &gone)
        try performLinks(gone)
        return ways
    }
}
