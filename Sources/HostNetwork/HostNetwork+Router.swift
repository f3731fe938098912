internal import LinuxKernel
internal import Netlink

// The router and its way to the world.
extension HostNetwork {
    private static let uplinkName = "uplink"
    private static let uplinkIndex = InterfaceIndex(rawValue: 2)

    /// Everything here can be done again over what is there.
    func prepare(_ node: NetworkNamespace) throws(HostNetworkError) {
        try withSystem { () throws(SystemCallError) in
            try router.write([
                ("ipv4/ip_forward", "1"),
                // Sources are checked by the filter, more strictly.
                ("ipv4/conf/all/rp_filter", "0"), ("ipv4/conf/default/rp_filter", "0"),
                ("ipv4/conf/all/send_redirects", "0"),
                ("ipv4/conf/default/send_redirects", "0"),
                ("ipv4/conf/all/accept_redirects", "0"),
                ("ipv4/conf/default/accept_redirects", "0"),
                // Flows, not pairs of machines, are spread over proxies: by addresses, protocol and
                // ports, as packets have them. Otherwise the kernel takes the number that the
                // socket of a process sandbox gave the packet, and TCP draws a new one whenever it
                // has waited for an answer in vain.
                ("ipv4/fib_multipath_hash_fields", "55"),
                ("ipv4/fib_multipath_hash_policy", "3"),
                // Proxies are asked whether they are alive; nobody but the agent is here.
                ("ipv4/ping_group_range", "0 2147483647"),
            ])
            try router.turnOffVersion6()
            try node.write([("ipv4/ip_forward", "1")])
        }
        try makeUplink()
        try withSystem { () throws(SystemCallError) in
            try node.turnOffVersion6(of: settings.uplinkName)
        }
        var transaction = NetfilterTransaction()
        NodeRules(settings: settings).replace(in: &transaction)
        let whole = transaction
        try withNetlink { () throws(NetlinkError) in try nodeFilter.perform(whole) }
    }

    private func makeUplink() throws(HostNetworkError) {
        let (there, here) = try withNetlink { () throws(NetlinkError) in
            (try links.links(), try nodeLinks.links())
        }
        let hasUplink = there.contains { $0.name == Self.uplinkName }
        let nodeEnd = here.first { $0.name == settings.uplinkName }
        if !hasUplink || nodeEnd == nil { try makeCable(there, nodeEnd) }
        let node = try withNetlink { () throws(NetlinkError) in try nodeLinks.links() }
            .first { $0.name == settings.uplinkName }
        guard let node else { throw .refused(reason: "`\(settings.uplinkName)` is gone") }
        var outer = NetlinkBatch()
        outer.addAddress(
            LinkAddressing(settings.nodeAddress, prefixLength: 30, on: node.index))
        outer.addRoute(Route(to: settings.slots, via: settings.routerAddress, through: node.index))
        let uplink = Self.uplinkIndex
        var inner = NetlinkBatch()
        inner.changeLink(uplink, LinkChange(isUp: true))
        inner.addAddress(LinkAddressing(settings.routerAddress, prefixLength: 30, on: uplink))
        inner.addAddress(
            LinkAddressing(SandboxNetwork.gateway, prefixLength: 32, on: .loopback))
        inner.addRoute(Route(to: .everything, via: settings.nodeAddress, through: uplink))
        // A slot that is not there must not go back to the node, which sends it here again.
        inner.addRoute(Route(to: settings.slots, kind: .unreachable))
        outer.settleLink(node.index)
        let (outerWhole, innerWhole) = (outer, inner)
        try withNetlink { () throws(NetlinkError) in
            try links.perform(innerWhole)
            try nodeLinks.perform(outerWhole)
        }
    }

    /// One end without the other is left of a router that is gone.
    private func makeCable(_ there: [Link], _ nodeEnd: Link?) throws(HostNetworkError) {
        var inner = NetlinkBatch()
        for link in there where link.name == Self.uplinkName { inner.deleteLink(link.index) }
        var outer = NetlinkBatch()
        if let nodeEnd {
            guard nodeEnd.kind == "veth" else {
                throw .refused(reason: "`\(nodeEnd.name)` is a link of the node's own")
            }
            outer.deleteLink(nodeEnd.index)
        }
        outer.makeVeth(
            LinkPlan(settings.uplinkName, isUp: true),
            peer: LinkPlan(
                Self.uplinkName, index: Self.uplinkIndex, group: RouterRules.uplinkGroup,
                in: router))
        let (outerWhole, innerWhole) = (outer, inner)
        try withNetlink { () throws(NetlinkError) in
            try links.perform(innerWhole)
            try nodeLinks.perform(outerWhole)
        }
    }

    /// Makes the filter anew, with what is known, in one step; and takes away what is not known.
    func takeOver(_ known: Known) throws(HostNetworkError) {
        for vpc in known.vpcs { try vpc.validate() }
        for settings in known.slots.values { try settings.validate() }
        let (there, ways) = try withNetlink { () throws(NetlinkError) in
            (try links.links(), try links.rules())
        }
        // Slots that nobody has may be on their way out by themselves: their namespaces ended.
        try removeLinks(there.filter { isStranger($0, known) }.map(\.index))
        let tables = Set(known.vpcs.map(\.number.table))
        var changes = NetlinkBatch()
        for way in ways where way.table >= VPCNumber.firstTable && !tables.contains(way.table) {
            changes.deleteRule(way)
        }
        try performLinks(changes)
        let names = Set(there.filter { !isStranger($0, known) }.map(\.name))
        try state.with { (state) throws(HostNetworkError) in
            var transaction = NetfilterTransaction()
            rules.replace(in: &transaction)
            let all = try findWays(of: known.vpcs.filter { names.contains($0.linkName) })
            for vpc in known.vpcs {
                let hasRule = ways.contains(vpc.number.rule)
                if names.contains(vpc.linkName) {
                    state.ways[vpc.number] = try adopt(vpc, all, hasRule: hasRule)
                } else {
                    let new = ProxyWays(vpc)
                    try makeTunnel(vpc, new, hasRule: hasRule)
                    state.ways[vpc.number] = new
                }
                add(vpc, in: &transaction)
                state.vpcs[vpc.number] = vpc
            }
            for (index, settings) in known.slots {
                guard names.contains(index.linkName) else {
                    // Nothing of it was made, or all of it is gone. It is nobody else's before it
                    // is given back.
                    state.slots[index] = SlotState()
                    continue
                }
                add([index], in: &transaction)
                let before = SlotState()
                state.slots[index] = try change(
                    index, before, to: settings, &state, in: &transaction)
                try noteInbound(before.settings, settings, of: index, &state)
            }
            try performFilter(transaction)
            for (index, slot) in state.slots where !slot.settings.ports.isEmpty {
                // One that somebody else has taken meanwhile must not keep the rest from going on.
                try? publish(slot.settings.ports, of: index, &state)
            }
        }
    }

    private func isStranger(_ link: Link, _ known: Known) -> Bool {
        if let slot = SlotIndex(linkName: link.name) { return known.slots[slot] == nil }
        guard link.kind == "vxlan" else { return false }
        return !known.vpcs.contains { $0.linkName == link.name && $0.number.link == link.index }
    }
}

extension NetworkNamespace {
    /// A link has no addresses of version 6 from now on, and takes none. By default those that are
    /// made later.
    func turnOffVersion6(of link: String = "default") throws(SystemCallError) {
        // A kernel can be without it.
        guard Files.exists("/proc/sys/net/ipv6/conf") else { return }
        try write([("ipv6/conf/\(link)/disable_ipv6", "1")])
    }
}
