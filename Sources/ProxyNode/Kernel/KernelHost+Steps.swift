internal import LinuxKernel
internal import Netlink

extension KernelHost {
    func perform(_ steps: [NetworkStep], for id: String) throws(HostFailure) {
        for step in steps { try perform(step, for: id) }
    }

    private func perform(_ step: NetworkStep, for id: String) throws(HostFailure) {
        switch step {
        case .makeNamespace: return try make(id)
        case .removeNamespace: return try forget(id)
        default: break
        }
        guard let network = try open(id) else {
            throw HostFailure("\(step)", "there is no namespace `\(path(of: id))`")
        }
        switch step {
        case .set(let setting): try set(setting, in: network)
        case .makeUplink(let uplink):
            try Self.doing("\(step)", isOfUplink: true) { () throws(NetlinkError) in
                try make(uplink, in: network)
            }
        case .connectUplink(let bridge):
            try Self.doing("\(step)", isOfUplink: true) { () throws(NetlinkError) in
                try connectUplink(of: network, to: bridge)
            }
        default:
            try Self.doing("\(step)") { () throws(NetlinkError) in
                try perform(step, in: network)
            }
        }
    }

    private func set(
        _ setting: KernelSetting, in network: OpenedNetwork
    ) throws(HostFailure) {
        try Self.doing("set `\(setting.path)`") { () throws(SystemCallError) in
            try network.namespace.enter { () throws(SystemCallError) in
                // What this kernel does not have needs no setting.
                guard Files.exists(setting.path) else { return }
                try Files.write(setting.value, to: setting.path)
            }
        }
    }

    /// What is done in the namespace, but for the tunnel: its packets take the proxy's own.
    private func perform(
        _ step: NetworkStep, in network: OpenedNetwork
    ) throws(NetlinkError) {
        switch step {
        case .loadRules, .admit, .refuse, .answer, .silence, .lead, .leadNowhere:
            return try change(step, of: network)
        case .announce: return try announce(uplinkOf: network)
        case .makeTunnel(let link):
            var batch = NetlinkBatch()
            batch.makeVXLAN(
                LinkPlan(
                    WantedNetwork.tunnelName, address: link.hardware, mtu: link.mtu,
                    in: network.namespace),
                VXLANPlan(identifier: link.vni, local: link.local, port: link.port))
            return try ownLinks.perform(batch)
        case .giveBack(let name): return try move(out: network, as: name)
        default: break
        }
        var batch = NetlinkBatch()
        try add(step, of: network, to: &batch)
        try network.links.perform(batch)
        switch step {
        case .removeLink(let name): network.indices[name] = nil
        case .raise(WantedNetwork.uplinkName): try settleUplink(of: network)
        default: break
        }
    }

    private func add(
        _ step: NetworkStep, of network: OpenedNetwork, to batch: inout NetlinkBatch
    ) throws(NetlinkError) {
        switch step {
        case .removeLink(let name): batch.deleteLink(try network.index(of: name))
        case .add(let address, let link):
            batch.addAddress(
                LinkAddressing(
                    address.address, prefixLength: address.length,
                    on: try network.index(of: link)))
        case .remove(let address, let link):
            batch.deleteAddress(
                LinkAddressing(
                    address.address, prefixLength: address.length,
                    on: try network.index(of: link)))
        case .raise(let link):
            batch.changeLink(try network.index(of: link), LinkChange(isUp: true))
        case .addRoute(let route): batch.addRoute(try self.route(route, network))
        case .removeRoute(let route): batch.deleteRoute(try self.route(route, network))
        case .setNeighbour(let address, let hardware):
            batch.addNeighbour(
                Neighbour(address, at: hardware, on: try network.index(of: Self.tunnel)))
        case .removeNeighbour(let address):
            batch.deleteNeighbour(
                Neighbour(address, at: nil, on: try network.index(of: Self.tunnel)))
        case .setForwarding(let hardware, let underlay):
            batch.addForwarding(
                ForwardingEntry(hardware, at: underlay, on: try network.index(of: Self.tunnel)))
        case .removeForwarding(let hardware, let underlay):
            batch.deleteForwarding(
                ForwardingEntry(hardware, at: underlay, on: try network.index(of: Self.tunnel)))
        case .makeNamespace, .set, .loadRules, .makeTunnel, .makeUplink, .connectUplink,
            .giveBack, .admit, .refuse, .announce, .answer, .silence, .lead, .leadNowhere,
            .removeNamespace:
            break
        }
    }

    private static var tunnel: String { WantedNetwork.tunnelName }

    private func route(
        _ route: GatewayRoute, _ network: OpenedNetwork
    ) throws(NetlinkError) -> Route {
        Route(
            to: route.prefix, via: route.gateway,
            through: try network.index(of: WantedNetwork.uplinkName))
    }

    private func change(
        _ step: NetworkStep, of network: OpenedNetwork
    ) throws(NetlinkError) {
        var transaction = NetfilterTransaction()
        switch step {
        case .loadRules(let rules, let members): rules.load(members, into: &transaction)
        case .admit(let node, let source):
            RuleSet.admit([node: source], into: &transaction)
        case .refuse(let node): RuleSet.refuse([node], into: &transaction)
        case .answer(let address): RuleSet.answer(at: address, in: &transaction)
        case .silence(let address): RuleSet.silence(at: address, in: &transaction)
        case .lead(let address, let sandbox):
            RuleSet.lead(address, to: sandbox, in: &transaction)
        case .leadNowhere(let address, _): RuleSet.leadNowhere(address, in: &transaction)
        default: break
        }
        try network.rules.perform(transaction)
        // What it began would be kept track of for days.
        if case .refuse(let node) = step { try network.rules.forgetFlows(from: node) }
        if case .leadNowhere(_, let sandbox) = step {
            try network.rules.forgetFlows(answeredFrom: sandbox)
        }
    }

    // MARK: - Uplinks

    private func make(
        _ uplink: TenantNetwork.Uplink, in network: OpenedNetwork
    ) throws(NetlinkError) {
        network.indices[WantedNetwork.uplinkName] = nil
        let plan = LinkPlan(WantedNetwork.uplinkName, in: network.namespace)
        var batch = NetlinkBatch()
        switch uplink {
        case .veth(let peer, let bridge):
            // A bridge that is not there is found before there is something to be taken back.
            if let bridge { _ = try ownLink(bridge) }
            batch.makeVeth(plan, peer: LinkPlan(peer))
        case .macvlan(let parent): batch.makeMacvlan(plan, on: try ownLink(parent).index)
        case .link(let name):
            let link = try ownLink(name)
            // They would be lost, and the node perhaps with them.
            if let used = try ownLinks.addresses().first(where: { $0.link == link.index }) {
                throw NetlinkError(
                    action: "move link", subject: name, errorNumber: .busy,
                    kernelWords: "it has the address \(used.address), which it would lose")
            }
            // In one request, so that it never is there without its own name being noted.
            batch.move(
                link.index, to: network.namespace, as: WantedNetwork.uplinkName, noting: name)
        }
        try ownLinks.perform(batch)
    }

    private func ownLink(_ name: String) throws(NetlinkError) -> Link {
        guard let link = try ownLinks.links().first(where: { $0.name == name }) else {
            throw NetlinkError(action: "find link", subject: name, errorNumber: .noDevice)
        }
        return link
    }

    private func connectUplink(
        of network: OpenedNetwork, to bridge: String?
    ) throws(NetlinkError) {
        let links = try network.links.describedLinks()
        guard let peer = links.first(where: { $0.name == WantedNetwork.uplinkName })?.peer else {
            throw NetlinkError(
                action: "find link", subject: "the uplink's other end", errorNumber: .noDevice)
        }
        var batch = NetlinkBatch()
        if let bridge { batch.setMaster(try ownLink(bridge).index, of: peer) }
        batch.changeLink(peer, LinkChange(isUp: true))
        try ownLinks.perform(batch)
    }

    /// Has the kernel take note of both ends of a veth, so that the first packet is not lost.
    private func settleUplink(of network: OpenedNetwork) throws(NetlinkError) {
        let links = try network.links.describedLinks()
        guard let uplink = links.first(where: { $0.name == WantedNetwork.uplinkName }),
            uplink.kind == "veth", let peer = uplink.peer
        else { return }
        var (inner, outer) = (NetlinkBatch(), NetlinkBatch())
        inner.settleLink(uplink.index)
        // The other end of one that was moved in may be elsewhere.
        let isHere = try ownLinks.describedLinks().contains {
            $0.index == peer && $0.kind == "veth" && $0.peer == uplink.index
        }
        if isHere { outer.settleLink(peer) }
        try network.links.perform(inner)
        try ownLinks.perform(outer)
        // What the link told its segment when it came up may have been dropped on the way.
        try announce(uplink, of: network)
    }

    private func announce(uplinkOf network: OpenedNetwork) throws(NetlinkError) {
        let links = try network.links.describedLinks()
        if let uplink = links.first(where: { $0.name == WantedNetwork.uplinkName }) {
            try announce(uplink, of: network)
        }
    }

    /// Its own hardware address, set anew, has the kernel tell the segment of all addresses.
    private func announce(
        _ uplink: DescribedLink, of network: OpenedNetwork
    ) throws(NetlinkError) {
        guard let address = uplink.address else { return }
        var batch = NetlinkBatch()
        batch.changeLink(uplink.index, LinkChange(address: address))
        try network.links.perform(batch)
    }

    private func move(out network: OpenedNetwork, as name: String) throws(NetlinkError) {
        var batch = NetlinkBatch()
        batch.move(
            try network.index(of: WantedNetwork.uplinkName), to: own, as: name, noting: "")
        network.indices[WantedNetwork.uplinkName] = nil
        try network.links.perform(batch)
    }
}

extension NetlinkBatch {
    /// Moves a link to another namespace under another name, with a note on it.
    fileprivate mutating func move(
        _ link: InterfaceIndex, to namespace: NetworkNamespace, as name: String,
        noting note: String
    ) {
        add(DescribedLink.change, [], "move link", name) {
            // struct ifinfomsg: down, as the kernel makes what it moves.
            $0.put(UInt32(0))
            $0.put(link.rawValue)
            $0.put(UInt64(0))
            // IFLA_IFNAME, IFLA_IFALIAS, IFLA_NET_NS_FD
            $0.attribute(3, name)
            $0.attribute(20, Array(note.utf8))
            $0.attribute(28, UInt32(bitPattern: namespace.descriptor))
        }
    }
}
