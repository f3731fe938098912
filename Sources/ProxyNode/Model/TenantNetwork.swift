internal import AgentAPI
internal import Netlink

/// A VPC as the proxy makes it: what was asked for, checked, with the defaults filled in.
struct TenantNetwork: Hashable, Sendable {
    enum Uplink: Hashable, Sendable {
        case veth(peer: String, bridge: String?)
        case macvlan(parent: String)
        /// A link of the proxy node itself.
        case link(name: String)
    }

    let id: String
    let vni: UInt32
    let prefixes: [IPv4Prefix]
    let uplink: Uplink
    /// Of the uplink.
    let address: InterfaceAddress
    let gateway: IPv4Address?
    let egress: [IPv4Address]
    let tunnel: InterfaceAddress
    let underlay: IPv4Address
    let port: UInt16
    let mtu: UInt32
    /// Others with the same fixed addresses.
    let peers: [OtherProxy]
    /// The proxy's own among them.
    let rank: UInt8

    /// The fixed addresses beside the uplink's own.
    var moving: Set<InterfaceAddress> {
        Set(egress.filter { $0 != address.address }.map { InterfaceAddress($0, length: 32) })
    }

    /// Whether the fixed addresses are its own as long as it hears nothing of others.
    var isFirst: Bool { peers.allSatisfy { $0.rank > rank } }

    var hardwareAddress: LinkAddress { LinkAddress(ofTunnel: tunnel.address) }

    /// Names of links of the proxy node that it takes for itself.
    var takenLinks: [String] {
        switch uplink {
        case .veth(let peer, _): [peer]
        case .macvlan: []
        case .link(let name): [name]
        }
    }
}

/// A compute node that may use the tunnel.
struct ComputeNode: Hashable, Sendable {
    let id: String
    let underlay: IPv4Address
    let tunnel: IPv4Address
    let hardware: LinkAddress
}

/// What a client can ask for, and what is refused: the same answer on every proxy node.
enum NetworkRules {
    static let defaultPort: UInt32 = 4789
    /// What is left of Ethernet's 1500 bytes behind the tunnel's headers.
    static let defaultMTU: UInt32 = 1450
    static let mostPrefixes = 64
    static let mostEgressAddresses = 16

    static func checkID(_ id: String, _ field: String) throws(CallFailure) {
        let isWord = id.utf8.allSatisfy {
            (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D
        }
        guard isWord, (1...63).contains(id.utf8.count), !id.hasPrefix("-"), !id.hasSuffix("-")
        else {
            throw .invalid(
                field, "is not 1 to 63 of `a-z 0-9 -` between letters or digits",
                hint: "as in `tenant-7`")
        }
    }

    /// - Parameter length: how long names of links can be is the kernel's.
    static func checkLink(_ name: String, _ field: String) throws(CallFailure) {
        let isName = name.utf8.allSatisfy {
            (0x21...0x7E).contains($0) && ![0x25, 0x2F, 0x3A].contains($0)
        }
        guard isName, (1...15).contains(name.utf8.count), ![".", ".."].contains(name) else {
            throw .invalid(field, "is no name of a link", hint: "at most 15 bytes, as in `eth1`")
        }
    }

    static func address(_ text: String, _ field: String) throws(CallFailure) -> IPv4Address {
        guard let address = IPv4Address(text), address.isOfHost else {
            throw .invalid(
                field, "is no IPv4 address of a host: `\(text.prefix(40))`",
                hint: "as in `10.1.0.5`")
        }
        return address
    }

    static func interface(
        _ text: String, _ field: String
    ) throws(CallFailure) -> InterfaceAddress {
        guard let interface = InterfaceAddress(text), interface.isOfHost, interface.length >= 8
        else {
            throw .invalid(
                field,
                "is no IPv4 address with a prefix's length of 8 or more: "
                    + "`\(text.prefix(40))`", hint: "as in `10.1.0.5/24`")
        }
        return interface
    }
}

extension TenantNetwork {
    /// - Parameter underlay: the proxy's own address, where the specification names none.
    init(
        id: String, _ spec: VPCSpec, underlay configured: IPv4Address?
    ) throws(CallFailure) {
        try NetworkRules.checkID(id, "id")
        guard (1...16_777_215).contains(spec.vni) else {
            throw .invalid("spec.vni", "is not between 1 and 16777215")
        }
        guard let uplink = spec.uplink else { throw .invalid("spec.uplink", "is missing") }
        let prefixes = try Self.prefixes(spec.prefixes)
        let address = try NetworkRules.interface(uplink.address, "spec.uplink.address")
        let tunnel = try NetworkRules.interface(spec.tunnelAddress, "spec.tunnel_address")
        for prefix in prefixes + [address.prefix] where prefix.overlaps(tunnel.prefix) {
            throw .invalid(
                "spec.tunnel_address", "is of a prefix that overlaps with \(prefix)",
                hint: "take one for tunnels that no tenant uses, as `100.96.0.1/16`")
        }
        let gateway = try Self.gateway(uplink.gateway, address, prefixes)
        let port = spec.tunnelPort == 0 ? NetworkRules.defaultPort : spec.tunnelPort
        guard let port = UInt16(exactly: port) else {
            throw .invalid("spec.tunnel_port", "is not between 1 and 65535")
        }
        let rank = try OtherProxy.rank(spec.rank, "spec.rank")
        let peers = try OtherProxy.all(spec.peers, tunnel: tunnel, rank: rank)
        let egress = try Self.egress(spec.egressAddresses, tunnel)
        guard peers.isEmpty || !egress.contains(address.address) else {
            throw .invalid(
                "spec.egress_addresses",
                "have the uplink's own address \(address.address), which no other proxy can have")
        }
        let mtu = spec.mtu == 0 ? NetworkRules.defaultMTU : spec.mtu
        guard (576...8950).contains(mtu) else {
            throw .invalid("spec.mtu", "is not between 576 and 8950")
        }
        self.init(
            id: id, vni: spec.vni, prefixes: prefixes, uplink: try Self.uplink(uplink.kind),
            address: address, gateway: gateway,
            egress: egress, tunnel: tunnel,
            underlay: try Self.underlay(spec.underlayAddress, configured), port: port, mtu: mtu,
            peers: peers, rank: rank)
    }

    private static func underlay(
        _ text: String, _ configured: IPv4Address?
    ) throws(CallFailure) -> IPv4Address {
        if text.isEmpty, let configured { return configured }
        guard !text.isEmpty else {
            throw .invalid(
                "spec.underlay_address", "is missing, and the proxy has no default",
                hint: "set it, or start the proxy with `--underlay`")
        }
        return try NetworkRules.address(text, "spec.underlay_address")
    }

    private static func prefixes(_ texts: [String]) throws(CallFailure) -> [IPv4Prefix] {
        guard (1...NetworkRules.mostPrefixes).contains(texts.count) else {
            throw .invalid(
                "spec.prefixes", "are \(texts.count), not 1 to \(NetworkRules.mostPrefixes)")
        }
        var prefixes: [IPv4Prefix] = []
        for text in texts {
            guard let prefix = IPv4Prefix(text) else {
                throw .invalid(
                    "spec.prefixes", "has no IPv4 prefix in `\(text.prefix(40))`",
                    hint: "as in `10.1.0.0/16`, without bits behind the prefix")
            }
            if let other = prefixes.first(where: prefix.overlaps) {
                throw .invalid("spec.prefixes", "overlap: \(other) and \(prefix)")
            }
            prefixes.append(prefix)
        }
        return prefixes.sorted(by: IPv4Prefix.isBefore)
    }

    private static func gateway(
        _ text: String, _ address: InterfaceAddress, _ prefixes: [IPv4Prefix]
    ) throws(CallFailure) -> IPv4Address? {
        guard !text.isEmpty else {
            guard let beyond = prefixes.first(where: { !address.prefix.contains($0) }) else {
                return nil
            }
            throw .invalid(
                "spec.uplink.gateway",
                "is missing: \(beyond) reaches beyond the segment \(address.prefix)")
        }
        let gateway = try NetworkRules.address(text, "spec.uplink.gateway")
        guard address.prefix.contains(gateway), gateway != address.address else {
            throw .invalid(
                "spec.uplink.gateway", "is no other address of the segment \(address.prefix)")
        }
        return gateway
    }

    private static func egress(
        _ texts: [String], _ tunnel: InterfaceAddress
    ) throws(CallFailure) -> [IPv4Address] {
        guard (1...NetworkRules.mostEgressAddresses).contains(texts.count) else {
            throw .invalid(
                "spec.egress_addresses",
                "are \(texts.count), not 1 to \(NetworkRules.mostEgressAddresses)")
        }
        var addresses: [IPv4Address] = []
        for text in texts {
            let address = try NetworkRules.address(text, "spec.egress_addresses")
            guard !addresses.contains(address), !tunnel.prefix.contains(address) else {
                throw .invalid(
                    "spec.egress_addresses", "has \(address) twice, or it is of the tunnel's prefix"
                )
            }
            addresses.append(address)
        }
        return addresses
    }

    private static func uplink(_ kind: AgentAPI.Uplink.Kind?) throws(CallFailure) -> Uplink {
        switch kind {
        case .veth(let veth):
            try NetworkRules.checkLink(veth.peer, "spec.uplink.veth.peer")
            if veth.bridge.isEmpty { return .veth(peer: veth.peer, bridge: nil) }
            try NetworkRules.checkLink(veth.bridge, "spec.uplink.veth.bridge")
            return .veth(peer: veth.peer, bridge: veth.bridge)
        case .macvlan(let macvlan):
            try NetworkRules.checkLink(macvlan.parent, "spec.uplink.macvlan.parent")
            return .macvlan(parent: macvlan.parent)
        case .link(let link):
            try NetworkRules.checkLink(link.name, "spec.uplink.link.name")
            return .link(name: link.name)
        case nil:
            throw .invalid("spec.uplink", "is of no kind", hint: "set `veth`, `macvlan` or `link`")
        }
    }

    /// The specification with the defaults filled in.
    var spec: VPCSpec {
        let kind: AgentAPI.Uplink.Kind =
            switch uplink {
            case .veth(let peer, let bridge): .veth(.init(peer: peer, bridge: bridge ?? ""))
            case .macvlan(let parent): .macvlan(.init(parent: parent))
            case .link(let name): .link(.init(name: name))
            }
        return VPCSpec(
            vni: vni, prefixes: prefixes.map { "\($0)" },
            uplink: AgentAPI.Uplink(
                kind: kind, address: "\(address)", gateway: gateway.map { "\($0)" } ?? ""),
            egressAddresses: egress.map { "\($0)" }, tunnelAddress: "\(tunnel)",
            underlayAddress: "\(underlay)", tunnelPort: UInt32(port), mtu: mtu,
            peers: peers.map(\.message), rank: UInt32(rank))
    }
}

extension ComputeNode {
    init(_ node: VPCNode, in network: TenantNetwork) throws(CallFailure) {
        try NetworkRules.checkID(node.id, "node.id")
        let underlay = try NetworkRules.address(node.underlayAddress, "node.underlay_address")
        let tunnel = try NetworkRules.address(node.tunnelAddress, "node.tunnel_address")
        guard InterfaceAddress(tunnel, length: network.tunnel.length).isOfHost,
            network.tunnel.prefix.contains(tunnel), tunnel != network.tunnel.address
        else {
            throw .invalid(
                "node.tunnel_address", "is no other address of the tunnel \(network.tunnel.prefix)")
        }
        let text = node.tunnelHardwareAddress
        let hardware = text.isEmpty ? LinkAddress(ofTunnel: tunnel) : LinkAddress(text)
        guard let hardware, hardware.isOfOne, hardware != network.hardwareAddress else {
            throw .invalid(
                "node.tunnel_hardware_address", "is no hardware address of a node",
                hint: "as in `02:ac:64:60:00:02`")
        }
        self.init(id: node.id, underlay: underlay, tunnel: tunnel, hardware: hardware)
    }

    func message(attachedAt: Int64) -> VPCNode {
        VPCNode(
            id: id, underlayAddress: "\(underlay)", tunnelAddress: "\(tunnel)",
            tunnelHardwareAddress: "\(hardware)", attachedAtNanoseconds: attachedAt)
    }
}
