internal import Netlink

/// One change of the kernel's state. Each can be done again after the proxy died in the middle of
/// it: what is there already is looked at first.
enum NetworkStep: Hashable, Sendable {
    case makeNamespace
    case set(KernelSetting)
    /// All rules at once, with the nodes that they let through.
    case loadRules(RuleSet, members: [IPv4Address])
    case makeTunnel(TunnelLink)
    case makeUplink(TenantNetwork.Uplink)
    /// Raises the other end of a veth, in its bridge if it is for one.
    case connectUplink(bridge: String?)
    case removeLink(String)
    /// Moves the uplink back to the proxy node under its own name.
    case giveBack(String)
    case add(InterfaceAddress, link: String)
    case remove(InterfaceAddress, link: String)
    case raise(link: String)
    case addRoute(GatewayRoute)
    case removeRoute(GatewayRoute)
    case setNeighbour(IPv4Address, LinkAddress)
    case removeNeighbour(IPv4Address)
    case setForwarding(LinkAddress, IPv4Address)
    case removeForwarding(LinkAddress, IPv4Address)
    /// With the fixed address that it is given.
    case admit(IPv4Address, source: IPv4Address)
    case refuse(IPv4Address)
    /// Tells the uplink's segment whose its addresses are.
    case announce
    /// Whether those are answered who ask at an address whether the proxy is alive.
    case answer(IPv4Address)
    case silence(IPv4Address)
    /// Leads an address of the uplink to one in the tunnel.
    case lead(IPv4Address, to: IPv4Address)
    case leadNowhere(IPv4Address, from: IPv4Address)
    case removeNamespace
}

extension NetworkStep: CustomStringConvertible {
    var description: String {
        switch self {
        case .makeNamespace: "make the namespace"
        case .set(let setting): "set \(setting.rawValue) to \(setting.value)"
        case .loadRules(let rules, let members):
            "load the rules \(rules.mark) with \(members.count) nodes"
        case .makeTunnel(let link):
            "make the tunnel \(link.vni) at \(link.local):\(link.port)"
        case .makeUplink(.veth(let peer, _)):
            "make the uplink with the end `\(peer)`"
        case .makeUplink(.macvlan(let parent)): "make the uplink on `\(parent)`"
        case .makeUplink(.link(let name)): "move `\(name)` in as the uplink"
        case .connectUplink(let bridge?): "connect the uplink to `\(bridge)`"
        case .connectUplink(nil): "connect the uplink"
        case .removeLink(let name): "remove the link `\(name)`"
        case .giveBack(let name): "move the uplink back as `\(name)`"
        case .add(let address, let link): "add \(address) to `\(link)`"
        case .remove(let address, let link): "remove \(address) from `\(link)`"
        case .raise(let link): "raise `\(link)`"
        case .addRoute(let route): "route \(route.prefix) by \(route.gateway)"
        case .removeRoute(let route): "route \(route.prefix) no longer by \(route.gateway)"
        case .setNeighbour(let address, let hardware): "know \(address) as \(hardware)"
        case .removeNeighbour(let address): "forget \(address)"
        case .setForwarding(let hardware, let underlay): "send for \(hardware) to \(underlay)"
        case .removeForwarding(let hardware, let underlay):
            "send for \(hardware) no longer to \(underlay)"
        case .admit(let address, let source): "let \(address) through as \(source)"
        case .refuse(let address): "let \(address) through no longer"
        case .announce: "announce the uplink's addresses"
        case .answer(let address): "answer at \(address)"
        case .silence(let address): "be silent at \(address)"
        case .lead(let address, let sandbox): "lead \(address) to \(sandbox)"
        case .leadNowhere(let address, let sandbox): "lead \(address) to \(sandbox) no longer"
        case .removeNamespace: "remove the namespace"
        }
    }
}

/// The changes that lead from what is there to what should be, in their order: nothing flows before
/// the rules are there, and what is right already is not touched.
enum NetworkPlan {
    /// - Parameter found: nothing where there is no namespace.
    static func steps(from found: FoundNetwork?, to wanted: WantedNetwork) -> [NetworkStep] {
        var steps: [NetworkStep] = found == nil ? [.makeNamespace] : []
        var found = found ?? FoundNetwork()
        steps += KernelSetting.allCases.filter { !found.settings.contains($0) }.map { .set($0) }
        steps += rules(found, wanted)
        if let tunnel = found.tunnel, tunnel.link != wanted.tunnel {
            steps.append(.removeLink(WantedNetwork.tunnelName))
            found.tunnel = nil
            found.tunnelAddresses = []
            found.neighbours = [:]
            found.forwarding = [:]
        }
        if found.tunnel == nil { steps.append(.makeTunnel(wanted.tunnel)) }
        if let uplink = found.uplink, !wanted.uplink.isMade(of: uplink.kind) {
            steps.append(.removeLink(WantedNetwork.uplinkName))
            found.uplink = nil
            found.uplinkAddresses = []
            found.routes = []
        }
        if found.uplink == nil { steps.append(.makeUplink(wanted.uplink)) }
        if case .veth(_, let bridge) = wanted.uplink, found.uplink?.isConnected(to: bridge) != true
        {
            steps.append(.connectUplink(bridge: bridge))
        }
        steps += addresses(found, wanted)
        if found.tunnel?.isUp != true { steps.append(.raise(link: WantedNetwork.tunnelName)) }
        if found.uplink?.isUp != true {
            steps.append(.raise(link: WantedNetwork.uplinkName))
            // The kernel forgets routes of a link that is down.
            found.routes = []
        }
        steps += found.routes.subtracting(wanted.routes).sorted().map { .removeRoute($0) }
        steps += wanted.routes.subtracting(found.routes).sorted().map { .addRoute($0) }
        return steps + peers(found, wanted) + inbound(found, wanted)
    }

    private static func inbound(
        _ found: FoundNetwork, _ wanted: WantedNetwork
    ) -> [NetworkStep] {
        // New rules lead nowhere.
        let found = found.rulesMark == wanted.rules.mark ? found.inbound : [:]
        let gone = found.filter { wanted.inbound[$0.key] != $0.value }
        let come = wanted.inbound.filter { found[$0.key] != $0.value }
        return gone.sorted { $0.key < $1.key }.map { .leadNowhere($0.key, from: $0.value) }
            + come.sorted { $0.key < $1.key }.map { .lead($0.key, to: $0.value) }
    }

    private static func rules(
        _ found: FoundNetwork, _ wanted: WantedNetwork
    ) -> [NetworkStep] {
        let members = Set(wanted.peers.map(\.address))
        let tunnel = wanted.tunnelAddress.address
        guard found.rulesMark == wanted.rules.mark else {
            return [.loadRules(wanted.rules, members: members.sorted())]
                + (wanted.answers ? [] : [.silence(tunnel)])
        }
        let steps: [NetworkStep] =
            found.isAnswering == wanted.answers
            ? [] : [wanted.answers ? .answer(tunnel) : .silence(tunnel)]
        return steps + found.members.subtracting(members).sorted().map { .refuse($0) }
    }

    private static func addresses(
        _ found: FoundNetwork, _ wanted: WantedNetwork
    ) -> [NetworkStep] {
        var steps: [NetworkStep] = []
        for (link, there, right) in [
            (WantedNetwork.tunnelName, found.tunnelAddresses, Set([wanted.tunnelAddress])),
            (WantedNetwork.uplinkName, found.uplinkAddresses, wanted.uplinkAddresses),
        ] {
            // The first of a segment is what the proxy itself speaks from.
            let missing = right.subtracting(there).sorted { left, right in
                (left.length, left) < (right.length, right)
            }
            steps += missing.map { .add($0, link: link) }
            steps += there.subtracting(right).sorted().map { .remove($0, link: link) }
        }
        return steps
    }

    private static func peers(_ found: FoundNetwork, _ wanted: WantedNetwork) -> [NetworkStep] {
        var steps: [NetworkStep] = []
        let all = wanted.peers.union(wanted.proxies)
        let neighbours = Dictionary(uniqueKeysWithValues: all.map { ($0.address, $0.hardware) })
            .merging(wanted.sandboxes) { node, _ in node }
        let forwarding = Dictionary(uniqueKeysWithValues: all.map { ($0.hardware, $0.underlay) })
        for address in found.neighbours.keys.sorted() where neighbours[address] == nil {
            steps.append(.removeNeighbour(address))
        }
        for (hardware, underlay) in found.forwarding.sorted(by: {
            LinkAddress.isBefore($0.key, $1.key)
        })
        where forwarding[hardware] != underlay {
            steps.append(.removeForwarding(hardware, underlay))
        }
        for (address, hardware) in wanted.sandboxes.sorted(by: { $0.key < $1.key })
        where found.neighbours[address] != hardware {
            steps.append(.setNeighbour(address, hardware))
        }
        let isLoaded = found.rulesMark == wanted.rules.mark
        for peer in all.sorted(by: { $0.address < $1.address }) {
            if found.neighbours[peer.address] != peer.hardware {
                steps.append(.setNeighbour(peer.address, peer.hardware))
            }
            if found.forwarding[peer.hardware] != peer.underlay {
                steps.append(.setForwarding(peer.hardware, peer.underlay))
            }
            if isLoaded, wanted.peers.contains(peer), !found.members.contains(peer.address) {
                steps.append(
                    .admit(peer.address, source: wanted.rules.source(of: peer.address)))
            }
        }
        return steps
    }

    /// The changes that leave nothing of a VPC.
    ///
    /// - Parameters:
    ///   - found: nothing where there is no namespace.
    ///   - uplink: how it was made; nothing of one that nobody knows.
    static func removal(of found: FoundNetwork?, uplink: TenantNetwork.Uplink?) -> [NetworkStep] {
        guard let found else { return [] }
        var steps: [NetworkStep] = []
        // Links go by themselves when the namespace does, but later: their names and numbers would
        // still be taken.
        if found.tunnel != nil { steps.append(.removeLink(WantedNetwork.tunnelName)) }
        if found.uplink != nil {
            steps.append(uplinkRemoval(found, uplink))
        }
        return steps + [.removeNamespace]
    }

    private static func uplinkRemoval(
        _ found: FoundNetwork, _ uplink: TenantNetwork.Uplink?
    ) -> NetworkStep {
        if case .link(let name) = uplink { return .giveBack(name) }
        if uplink == nil, let name = found.uplink?.formerName { return .giveBack(name) }
        return .removeLink(WantedNetwork.uplinkName)
    }
}

extension FoundLink {
    /// Whether the other end of a veth is as it should be.
    func isConnected(to bridge: String?) -> Bool {
        isPeerUp && (bridge == nil || bridge == self.bridge)
    }
}

extension TenantNetwork.Uplink {
    /// Whether a link of that kind can be what was made for it.
    func isMade(of kind: String) -> Bool {
        switch self {
        case .veth: kind == "veth"
        case .macvlan: kind == "macvlan"
        case .link: true
        }
    }
}

extension GatewayRoute: Comparable {
    static func < (left: GatewayRoute, right: GatewayRoute) -> Bool {
        left.prefix == right.prefix
            ? left.gateway < right.gateway : IPv4Prefix.isBefore(left.prefix, right.prefix)
    }
}
