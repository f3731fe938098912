public import AgentAPI
internal import Console

/// What a VPC proxy has, for people.
public enum ProxyText {
    public static func list(_ vpcs: [VPC], now: Int64, width: Int? = nil) -> String {
        var table = TextTable(
            header: ["ID", "STATE", "VNI", "NODES", "EGRESS", "PREFIXES", "AGE"],
            alignments: [.left, .left, .right, .right, .left, .left, .right])
        for vpc in vpcs {
            table.add([
                vpc.id, vpc.state.label, "\(vpc.spec?.vni ?? 0)", "\(vpc.nodes.count)",
                (vpc.spec?.egressAddresses ?? []).joined(separator: " "),
                (vpc.spec?.prefixes ?? []).joined(separator: " "),
                TimeText.age(since: vpc.createdAtNanoseconds, now: now),
            ])
        }
        return table.render(width: width)
    }

    /// All of one.
    public static func vpc(_ vpc: VPC, width: Int? = nil) -> String {
        let spec = vpc.spec ?? VPCSpec()
        var table = TextTable(alignments: [.left, .left])
        table.add(["id", vpc.id])
        table.add(["state", vpc.state.label + (vpc.problem.isEmpty ? "" : ": \(vpc.problem)")])
        table.add(["created", TimeText.utc(vpc.createdAtNanoseconds)])
        table.add([
            "tunnel",
            "\(spec.vni) at \(spec.underlayAddress):\(spec.tunnelPort), "
                + "\(spec.tunnelAddress) \(vpc.tunnelHardwareAddress), mtu \(spec.mtu)",
        ])
        table.add(["uplink", uplink(spec.uplink ?? Uplink())])
        let isElsewhere = vpc.state == .ready && !vpc.hasEgressAddresses
        table.add([
            "egress",
            spec.egressAddresses.joined(separator: " ")
                + (isElsewhere ? ", with another proxy" : ""),
        ])
        table.add(["prefixes", spec.prefixes.joined(separator: " ")])
        table.add(["namespace", vpc.namespacePath])
        for (place, peer) in spec.peers.enumerated() {
            table.add([place == 0 ? "proxies" : "", text(peer, vpc.peers)])
        }
        for (place, node) in vpc.nodes.enumerated() {
            table.add([
                place == 0 ? "nodes" : "",
                "\(node.id) at \(node.underlayAddress), "
                    + "\(node.tunnelAddress) \(node.tunnelHardwareAddress)",
            ])
        }
        for (place, inbound) in vpc.inbound.enumerated() {
            table.add([
                place == 0 ? "inbound" : "",
                "\(inbound.address) to \(inbound.tunnelAddress) on \(inbound.nodeID)",
            ])
        }
        return table.render(width: width)
    }

    private static func text(_ peer: ProxyPeer, _ health: [PeerHealth]) -> String {
        let its = health.first { $0.tunnelAddress == peer.tunnelAddress }
        let state = its.map { $0.isAlive ? ", alive" : ", silent" } ?? ""
        return "rank \(peer.rank) at \(peer.underlayAddress), "
            + "\(peer.tunnelAddress) \(peer.tunnelHardwareAddress)\(state)"
    }

    private static func uplink(_ uplink: Uplink) -> String {
        let kind =
            switch uplink.kind {
            case .veth(let veth):
                "veth to \(veth.peer)" + (veth.bridge.isEmpty ? "" : " in \(veth.bridge)")
            case .macvlan(let macvlan): "macvlan on \(macvlan.parent)"
            case .link(let link): "the link \(link.name)"
            case nil: "unknown"
            }
        return "\(uplink.address) by \(kind)"
            + (uplink.gateway.isEmpty ? "" : ", gateway \(uplink.gateway)")
    }

    public static func statistics(_ statistics: VPCStatsResponse, width: Int? = nil) -> String {
        var links = TextTable(
            header: ["LINK", "RECEIVED", "PACKETS", "DROPPED", "SENT", "PACKETS", "DROPPED"],
            alignments: [.left, .right, .right, .right, .right, .right, .right])
        for (name, link) in [("tunnel", statistics.tunnel), ("uplink", statistics.uplink)] {
            guard let link else { continue }
            links.add([
                name, AmountText.bytes(link.receivedBytes), "\(link.receivedPackets)",
                "\(link.receivedDropped)", AmountText.bytes(link.sentBytes),
                "\(link.sentPackets)", "\(link.sentDropped)",
            ])
        }
        var rules = TextTable(
            header: ["RULE", "PACKETS", "BYTES"], alignments: [.left, .right, .right])
        for rule in statistics.rules {
            rules.add([rule.name, "\(rule.packets)", AmountText.bytes(rule.bytes)])
        }
        return links.render(width: width) + "\n" + rules.render(width: width)
            + "\n\(statistics.connections) connections\n"
    }

    /// `12  2026-01-31T12:00:05.123Z  blue  node node-2 attached at 192.0.2.2`
    public static func line(_ event: VPCEvent) -> String {
        let subject = event.vpcID.isEmpty ? "proxy" : event.vpcID
        let time = TimeText.utc(event.atNanoseconds, decimals: 3)
        return PlainText.line("\(event.number)  \(time)  \(subject)  \(what(event.kind))") + "\n"
    }

    private static func what(_ kind: VPCEvent.Kind?) -> String {
        switch kind {
        case .changed(let vpc):
            vpc.state.label + (vpc.problem.isEmpty ? "" : ": \(vpc.problem)")
        case .deleted: "deleted"
        case .proxyStarted(let started):
            "proxy \(started.version) started, changes: \(started.changes)"
        case .orphanRemoved(let orphan): "\(orphan.name) belonged to nothing, and was removed"
        case .undone(let undone): "undone: \(undone.problem)"
        case .nodeAttached(let node): "node \(node.id) attached at \(node.underlayAddress)"
        case .nodeDetached(let node): "node \(node.nodeID) detached"
        case .inboundAdded(let inbound):
            "\(inbound.address) leads to \(inbound.tunnelAddress) on \(inbound.nodeID)"
        case .inboundRemoved(let inbound): "\(inbound.address) leads nowhere"
        case .egressMoved(let moved):
            "fixed addresses \(moved.isHere ? "taken" : "given up"): \(moved.reason)"
        case nil: "something that this version does not know"
        }
    }
}

extension VPCState {
    var label: String {
        switch self {
        case .unspecified: "unspecified"
        case .creating: "creating"
        case .ready: "ready"
        case .broken: "broken"
        case .deleting: "deleting"
        case .unrecognized(let number): "state \(number)"
        }
    }
}
