internal import LinuxKernel
internal import Netlink

// Tenants' networks. The first sandbox of one pays for its tunnel, all others for an element.
extension HostNetwork {
    /// Takes part in a tenant's network.
    public func addVPC(_ plan: VPCPlan) throws(HostNetworkError) {
        try plan.validate()
        try state.with { (state) throws(HostNetworkError) in
            if let other = state.vpcs.values.first(where: {
                $0.number == plan.number || $0.identifier == plan.identifier
            }) {
                throw .refused(
                    reason: "\(other.number), tunnel \(other.identifier), is there already")
            }
            let ways = ProxyWays(plan)
            try makeTunnel(plan, ways)
            do throws(HostNetworkError) {
                var transaction = NetfilterTransaction()
                add(plan, in: &transaction)
                try performFilter(transaction)
            } catch {
                try? removeTunnel(plan)
                throw error
            }
            state.vpcs[plan.number] = plan
            state.ways[plan.number] = ways
        }
    }

    /// Leaves a tenant's network, in which no sandbox may be any more.
    public func removeVPC(_ number: VPCNumber) throws(HostNetworkError) {
        try state.with { (state) throws(HostNetworkError) in
            guard let plan = state.vpcs[number] else {
                throw .refused(reason: "\(number) is not known on this node")
            }
            if let slot = state.slots.first(where: { $0.value.settings.vpcs.contains(number) }) {
                throw .refused(reason: "\(slot.key) is attached to \(number)")
            }
            var transaction = NetfilterTransaction()
            let key = number.link.rawValue.nativeBytes
            transaction.deleteElements(plan.prefixElements, of: rules.prefixes)
            transaction.deleteElements([NetfilterElement(key)], of: rules.zones)
            transaction.deleteElements([NetfilterElement(key)], of: rules.sources)
            try performFilter(transaction)
            try removeTunnel(plan)
            state.vpcs[number] = nil
            state.ways[number] = nil
        }
    }

    /// Tenants' networks that this node takes part in.
    public var vpcs: [VPCPlan] { state.with { $0.vpcs.values.sorted { $0.number < $1.number } } }

    /// What was made before the last agent ended is made complete.
    func makeTunnel(
        _ plan: VPCPlan, _ ways: ProxyWays, isThere: Bool = false, hasRule: Bool = false
    ) throws(HostNetworkError) {
        let link = plan.number.link
        if !isThere {
            var outer = NetlinkBatch()
            outer.makeVXLAN(
                LinkPlan(
                    plan.linkName, index: link, address: plan.linkAddress, mtu: settings.mtu,
                    group: RouterRules.tunnelGroup, in: router),
                VXLANPlan(
                    identifier: plan.identifier, local: plan.node, port: settings.tunnelPort))
            let whole = outer
            try withNetlink { () throws(NetlinkError) in try nodeLinks.perform(whole) }
        }
        var inner = NetlinkBatch()
        inner.changeLink(link, LinkChange(isUp: true))
        inner.addAddress(LinkAddressing(plan.address, prefixLength: 32, on: link))
        ways.lead(plan, in: &inner)
        if !hasRule { inner.addRule(plan.number.rule) }
        do throws(HostNetworkError) {
            try performLinks(inner)
        } catch {
            if !isThere { try? removeTunnel(plan) }
            throw error
        }
    }

    /// Its routes, neighbours and forwarding go with the link.
    private func removeTunnel(_ plan: VPCPlan) throws(HostNetworkError) {
        var batch = NetlinkBatch()
        batch.deleteRule(plan.number.rule)
        batch.deleteLink(plan.number.link)
        try performLinks(batch)
    }

    func add(_ plan: VPCPlan, in transaction: inout NetfilterTransaction) {
        let key = plan.number.link.rawValue.nativeBytes
        transaction.addElements(plan.prefixElements, to: rules.prefixes)
        transaction.addElements(
            [NetfilterElement(key, to: .value(plan.number.mark.nativeBytes))], to: rules.zones)
        transaction.addElements(
            [NetfilterElement(key, to: .value(plan.address.bytes))], to: rules.sources)
    }
}
