public import AgentAPI
internal import Console

/// Networks of sandboxes, and VPCs that a node is in, for people.
public enum NetworkText {
    /// `public, in blue green, 2 rules, ports 8080:80`
    public static func summary(_ network: NetworkSpec) -> String {
        var parts = [network.publicEgress ? "public" : "closed"]
        if !network.vpcs.isEmpty { parts.append("in \(network.vpcs.joined(separator: " "))") }
        let rules = network.rules.count + network.names.count
        if rules > 0 { parts.append(rules == 1 ? "1 rule" : "\(rules) rules") }
        if !network.ports.isEmpty {
            parts.append("ports \(network.ports.map(port).joined(separator: " "))")
        }
        return parts.joined(separator: ", ")
    }

    /// All of a sandbox's, with what its rules have counted.
    public static func network(_ response: GetNetworkResponse, width: Int? = nil) -> String {
        guard let network = response.network else { return "no network but its loopback\n" }
        var table = TextTable(alignments: [.left, .left])
        table.add(["world", network.publicEgress ? "open" : "closed"])
        table.add(["vpcs", network.vpcs.joined(separator: " ")])
        if !network.inbound.isEmpty {
            table.add([
                "inbound",
                network.inbound.map { "\($0.tunnelAddress) in \($0.vpcID)" }.joined(
                    separator: ", "),
            ])
        }
        table.add(["ports", network.ports.map(port).joined(separator: " ")])
        table.add(["limits", limits(network.limits ?? NetworkLimits())])
        table.add(["address", response.slotAddress])
        table.add(["resolved", response.resolvedAddresses.joined(separator: " ")])
        var text = table.render(width: width)
        if !network.rules.isEmpty || !network.names.isEmpty {
            text += "\n" + rules(network, response.counts).render(width: width)
        }
        return text
    }

    private static func rules(_ network: NetworkSpec, _ counts: [RuleCount]) -> TextTable {
        var table = TextTable(
            header: ["RULE", "WHAT", "PACKETS", "BYTES"],
            alignments: [.left, .left, .right, .right])
        for (index, rule) in network.rules.enumerated() {
            let count = index < counts.count ? counts[index] : nil
            table.add([
                rule.action.label, self.rule(rule), count.map { "\($0.packets)" } ?? "",
                count.map { AmountText.bytes($0.bytes) } ?? "",
            ])
        }
        for rule in network.names { table.add([rule.action.label, rule.name]) }
        return table
    }

    /// As the command line has it: `tcp:10.0.0.0/8:443`.
    static func rule(_ rule: EgressRule) -> String {
        let ports =
            rule.firstPort == 0
            ? ""
            : rule.lastPort == 0 || rule.lastPort == rule.firstPort
                ? ":\(rule.firstPort)" : ":\(rule.firstPort)-\(rule.lastPort)"
        let prefix = rule.prefix.isEmpty ? "0.0.0.0/0" : rule.prefix
        return (rule.protocol == .any ? "" : rule.protocol.label + ":") + prefix + ports
    }

    /// `udp:53:5353`
    static func port(_ port: PublishedPort) -> String {
        let end = port.port == 0 || port.port == port.nodePort ? "" : ":\(port.port)"
        return (port.protocol == .udp ? "udp:" : "") + "\(port.nodePort)" + end
    }

    private static func limits(_ limits: NetworkLimits) -> String {
        let all: [(String, TokenBucket?, Bool)] = [
            ("out", limits.sentBytes, true), ("in", limits.receivedBytes, true),
            ("out", limits.sentPackets, false), ("in", limits.receivedPackets, false),
        ]
        var parts = all.compactMap { name, bucket, areBytes in
            bucket.map {
                areBytes
                    ? "\(name) \(AmountText.bytes($0.perSecond))/s"
                    : "\(name) \($0.perSecond) packets/s"
            }
        }
        if let flows = limits.newFlows { parts.append("\(flows.perSecond) new flows/s") }
        return parts.joined(separator: ", ")
    }

    // MARK: - The node's

    public static func vpcs(
        _ vpcs: [NodeVPCStatus], now: Int64, width: Int? = nil
    ) -> String {
        var table = TextTable(
            header: ["ID", "VNI", "SANDBOXES", "ADDRESS", "PREFIXES", "PROXIES"],
            alignments: [.left, .right, .right, .left, .left, .left])
        for status in vpcs {
            let vpc = status.vpc ?? NodeVPC()
            table.add([
                vpc.id, "\(vpc.vni)", "\(status.sandboxes)", vpc.tunnelAddress,
                vpc.prefixes.joined(separator: " "),
                vpc.proxies.map { proxy($0, status.proxies, now: now) }.joined(separator: " "),
            ])
        }
        return table.render(width: width)
    }

    /// `192.0.2.10`, or `192.0.2.10 (dead for 5s)`
    private static func proxy(
        _ proxy: NodeVPCProxy, _ all: [ProxyHealth], now: Int64
    ) -> String {
        guard let health = all.first(where: { $0.tunnelAddress == proxy.tunnelAddress }),
            !health.alive
        else { return proxy.underlayAddress }
        return "\(proxy.underlayAddress) (dead for "
            + "\(TimeText.age(since: health.sinceAtNanoseconds, now: now)))"
    }

    public static func status(_ status: NetworkStatusResponse, width: Int? = nil) -> String {
        guard status.enabled else { return "this node offers no networks to sandboxes\n" }
        var table = TextTable(alignments: [.left, .right])
        table.add(["slots in use", "\(status.slotsInUse)"])
        table.add(["ready", "\(status.slotsReady)"])
        table.add(["to be ready", "\(status.slotsTarget)"])
        table.add(["none was ready", "\(status.slotsMissed)"])
        for drop in status.drops { table.add(["dropped: \(drop.reason)", "\(drop.packets)"]) }
        if let names = status.names {
            table.add(["names asked for", "\(names.questions)"])
            table.add(["answered", "\(names.answers)"])
            table.add(["denied", "\(names.denied)"])
            table.add(["unanswered", "\(names.unanswered)"])
        }
        return table.render(width: width)
            + (status.problem.isEmpty ? "" : "problem: \(PlainText.line(status.problem))\n")
    }
}

extension RuleAction {
    var label: String {
        switch self {
        case .allow: "allow"
        case .deny: "deny"
        case .unrecognized(let number): "action \(number)"
        }
    }
}

extension TransportProtocol {
    var label: String {
        switch self {
        case .any: "any"
        case .tcp: "tcp"
        case .udp: "udp"
        case .icmp: "icmp"
        case .unrecognized(let number): "protocol \(number)"
        }
    }
}
