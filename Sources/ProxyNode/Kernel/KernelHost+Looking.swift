internal import LinuxKernel
internal import Netlink

extension KernelHost {
    func find(_ id: String) throws(HostFailure) -> FoundNetwork? {
        guard let network = try open(id) else { return nil }
        return try Self.doing("look at `\(path(of: id))`") { () throws(NetlinkError) in
            var found = FoundNetwork()
            found.settings = settings(network)
            try findRules(network, &found)
            let links = try network.links.describedLinks()
            network.indices = [:]
            for link in links { network.indices[link.name] = link.index }
            let all = try network.links.addresses()
            func addresses(of link: DescribedLink) -> Set<InterfaceAddress> {
                Set(
                    all.filter { $0.link == link.index }
                        .map { InterfaceAddress($0.address, length: $0.prefixLength) })
            }
            if let tunnel = links.first(where: { $0.name == WantedNetwork.tunnelName }) {
                found.tunnel = tunnel.found ?? .unknown
                found.tunnelAddresses = addresses(of: tunnel)
                found.neighbours = try network.links.lastingNeighbours(of: tunnel.index)
                for entry in try network.links.forwarding(of: tunnel.index) {
                    if let remote = entry.remote { found.forwarding[entry.linkAddress] = remote }
                }
            }
            if let uplink = links.first(where: { $0.name == WantedNetwork.uplinkName }) {
                found.uplink = try describe(uplink)
                found.uplinkAddresses = addresses(of: uplink)
                for route in try network.links.routes(table: Route.mainTable)
                where route.link == uplink.index {
                    guard let gateway = route.gateway else { continue }
                    found.routes.insert(
                        GatewayRoute(prefix: route.destination, gateway: gateway))
                }
            }
            return found
        }
    }

    /// An uplink with what is at its other end.
    private func describe(_ link: DescribedLink) throws(NetlinkError) -> FoundLink {
        var found = FoundLink(kind: link.kind, isUp: link.isUp, formerName: link.alias)
        guard link.kind == "veth" else { return found }
        let links = try ownLinks.describedLinks()
        let peer = links.first { $0.index == link.peer && $0.kind == "veth" }
        found.isPeerUp = peer?.isUp == true
        found.bridge = peer?.master.flatMap { master in
            links.first { $0.index == master }?.name
        }
        return found
    }

    private func settings(_ network: OpenedNetwork) -> Set<KernelSetting> {
        let settings = try? network.namespace.enter { () throws(SystemCallError) in
            KernelSetting.allCases.filter { setting in
                // What this kernel does not have needs no setting.
                guard let text = try? Files.read(setting.path, limit: 16) else { return true }
                return text.prefix { $0 != "\n" } == setting.value
            }
        }
        return Set(settings ?? [])
    }

    private func findRules(
        _ network: OpenedNetwork, _ found: inout FoundNetwork
    ) throws(NetlinkError) {
        guard let rules = try? network.rules.rules(of: RuleSet.markChain, in: RuleSet.table),
            let mark = rules.first?.label
        else { return }
        found.rulesMark = String(decoding: mark, as: UTF8.self)
        found.members = Set(
            try network.rules.keys(of: RuleSet.nodes).compactMap(Self.address))
        let inbound = (try? network.rules.values(of: RuleSet.inbound)) ?? [:]
        for (key, value) in inbound {
            guard let address = Self.address(key), let sandbox = Self.address(value) else {
                continue
            }
            found.inbound[address] = sandbox
        }
        // Rules of an earlier version do not have it, and are replaced.
        found.isAnswering = (try? network.rules.keys(of: RuleSet.answering).isEmpty) == false
    }

    private static func address(_ bytes: [UInt8]) -> IPv4Address? {
        guard bytes.count == 4 else { return nil }
        return IPv4Address(rawValue: bytes.reduce(0) { $0 << 8 | UInt32($1) })
    }

    // MARK: - Other proxies

    func echoes(of id: String) throws(HostFailure) -> InternetSocket {
        let network = try opened(id, to: "ask other proxies")
        let tunnel = try Self.doing("ask other proxies") { () throws(NetlinkError) in
            try network.index(of: WantedNetwork.tunnelName)
        }
        return try Self.doing("ask other proxies") { () throws(SystemCallError) in
            let socket = try InternetSocket(.echoes, in: network.namespace)
            try socket.bind(toLink: tunnel.rawValue)
            return socket
        }
    }

    func look(at id: String) throws(HostFailure) -> NetworkLook {
        let network = try opened(id, to: "look at links")
        return try Self.doing("look at links") { () throws(NetlinkError) in
            let links = try network.links.describedLinks()
            return NetworkLook(
                received: links.first { $0.name == WantedNetwork.tunnelName }?.statistics
                    .receivedPackets ?? 0,
                isUplinkUp: links.first { $0.name == WantedNetwork.uplinkName }?.isRunning ?? false)
        }
    }

    private func opened(
        _ id: String, to what: String
    ) throws(HostFailure) -> OpenedNetwork {
        guard let network = try open(id) else {
            throw HostFailure(what, "there is no namespace `\(path(of: id))`")
        }
        return network
    }

    // MARK: - Statistics

    func statistics(of id: String) throws(HostFailure) -> NetworkStatistics {
        let network = try opened(id, to: "measure")
        var statistics = NetworkStatistics()
        try Self.doing("measure `\(id)`") { () throws(NetlinkError) in
            for link in try network.links.describedLinks() {
                switch link.name {
                case WantedNetwork.tunnelName: statistics.tunnel = link.statistics
                case WantedNetwork.uplinkName: statistics.uplink = link.statistics
                default: break
                }
            }
            for chain in RuleSet.countingChains {
                for rule in try network.rules.rules(of: chain, in: RuleSet.table) {
                    let name = String(decoding: rule.label, as: UTF8.self)
                    guard let counter = RuleSet.Counter(rawValue: name) else { continue }
                    statistics.counts[counter, default: .init()].packets += rule.packets ?? 0
                    statistics.counts[counter, default: .init()].bytes += rule.bytes ?? 0
                }
            }
        }
        let text = try? network.namespace.enter { () throws(SystemCallError) in
            try Files.read("/proc/sys/net/netfilter/nf_conntrack_count", limit: 32)
        }
        statistics.connections = UInt64((text ?? "").prefix { $0 != "\n" }) ?? 0
        return statistics
    }
}

extension FoundTunnel {
    /// A link of that name that is no such tunnel.
    static let unknown = FoundTunnel(
        link: TunnelLink(
            vni: 0, port: 0, local: IPv4Address(rawValue: 0), mtu: 0, hardware: .zero),
        isUp: false)
}
