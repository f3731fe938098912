internal import Netlink

/// The rules of a VPC's namespace: what is let through and counted, and what it comes from then.
///
///     table ip alcove {
///         set nodes { type ipv4_addr }
///         map sources { type ipv4_addr : ipv4_addr }
///         set prefixes { type ipv4_addr; flags interval }
///         set answering { type ipv4_addr }
///         map inbound { type ipv4_addr : ipv4_addr }
///         chain outward {
///             ct direction reply ct state established,related oifname "uplink" counter accept
///             ip saddr != @nodes counter drop             # unknown_node
///             ct state invalid counter drop               # invalid
///             oifname != "uplink" counter drop            # not_in_vpc
///             ip daddr != @prefixes counter drop          # not_in_vpc
///             counter accept                              # to_vpc
///         }
///         chain inward {
///             ct state established,related oifname "tunnel" ip daddr @nodes counter accept
///                                                         # from_vpc
///             ct status dnat oifname "tunnel" ip saddr @prefixes counter accept
///         }                                               # inbound
///         chain forward {
///             type filter hook forward priority filter; policy drop
///             iifname "tunnel" jump outward
///             iifname "uplink" jump inward
///             counter                                     # uninvited
///         }
///         chain input {
///             type filter hook input priority filter; policy drop
///             iifname "lo" accept
///             iifname "tunnel" icmp type echo-request ip daddr != @answering drop
///             ct state established,related accept
///             icmp type echo-request accept
///             counter                                     # uninvited
///         }
///         chain redirect {
///             type nat hook prerouting priority dstnat; policy accept
///             iifname "uplink" dnat to ip daddr map @inbound
///         }
///         chain translate {
///             type nat hook postrouting priority srcnat; policy accept
///             oifname "uplink" snat to ip saddr map @sources
///         }
///         chain identity { counter }                      # which rules these are
///     }
///
/// They are made once for each VPC. Nodes come and go as elements.
struct RuleSet: Hashable, Sendable {
    /// Rules that count, by their names in `VPCStatsResponse`.
    enum Counter: String, CaseIterable, Sendable {
        case toVPC = "to_vpc"
        case fromVPC = "from_vpc"
        case unknownNode = "unknown_node"
        /// Of no flow that could be told of: it would leave under its own address.
        case invalid
        case notInVPC = "not_in_vpc"
        /// To a sandbox, by an address of its own.
        case inbound
        case uninvited

        var label: [UInt8] { Array(rawValue.utf8) }
    }

    static let table = NetfilterTable("alcove")
    static let nodes = NetfilterSet("nodes", of: table, key: .address)
    static let sources = NetfilterSet(
        "sources", of: table, key: .address, leadingTo: .values(.address))
    static let prefixSet = NetfilterSet("prefixes", of: table, key: .address, ranges: true)
    /// Addresses of the uplink to those of sandboxes in the tunnel.
    static let inbound = NetfilterSet(
        "inbound", of: table, key: .address, leadingTo: .values(.address))
    /// The proxy's address in the tunnel, while it says to those who ask that it is alive.
    static let answering = NetfilterSet("answering", of: table, key: .address)
    /// The chain whose only rule says which rules these are.
    static let markChain = "identity"
    static let countingChains = ["outward", "inward", "forward", "input"]

    /// Another one for each change of the rules below.
    private static let version = 3

    let prefixes: [IPv4Prefix]
    let egress: [IPv4Address]
    let tunnel: IPv4Address

    init(_ network: TenantNetwork) {
        prefixes = network.prefixes
        egress = network.egress
        tunnel = network.tunnel.address
    }

    /// Stands for the rules: FNV-1a with 64 bits of what they are made of, the same in every
    /// process.
    var mark: String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in "\(Self.version) \(prefixes) \(egress) \(tunnel)".utf8 {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
        }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The fixed address of a node, always the same of several.
    func source(of node: IPv4Address) -> IPv4Address {
        egress[Int(node.rawValue % UInt32(egress.count))]
    }

    // MARK: - Changes

    /// Replaces all that is there, in one go: who is under way between the two sees either.
    func load(_ members: [IPv4Address], into transaction: inout NetfilterTransaction) {
        let table = Self.table
        transaction.replaceTable(table)
        for set in [Self.nodes, Self.sources, Self.prefixSet, Self.answering, Self.inbound] {
            transaction.addSet(set)
        }
        Self.answer(at: tunnel, in: &transaction)
        transaction.addElements(
            prefixes.map { NetfilterElement($0.address.bytes, through: $0.last.bytes) },
            to: Self.prefixSet)
        Self.admit(
            Dictionary(members.map { ($0, source(of: $0)) }) { first, _ in first },
            into: &transaction)
        for chain in ["outward", "inward", Self.markChain] {
            transaction.addChain(chain, of: table)
        }
        transaction.addChain(
            "forward", of: table,
            at: NetfilterHook(.filter, .forward, priority: 0, dropsByDefault: true))
        transaction.addChain(
            "input", of: table,
            at: NetfilterHook(.filter, .input, priority: 0, dropsByDefault: true))
        transaction.addChain(
            "redirect", of: table, at: NetfilterHook(.nat, .prerouting, priority: -100))
        transaction.addChain(
            "translate", of: table, at: NetfilterHook(.nat, .postrouting, priority: 100))
        for (chain, rules) in Self.rules {
            for rule in rules {
                transaction.addRule(
                    rule.steps, to: chain, of: table, label: rule.counter?.label ?? [])
            }
        }
        transaction.addRule(
            [.counter], to: Self.markChain, of: table, label: Array(mark.utf8))
    }

    /// - Parameter nodes: with the fixed address of each.
    static func admit(
        _ nodes: [IPv4Address: IPv4Address], into transaction: inout NetfilterTransaction
    ) {
        transaction.addElements(
            nodes.map { NetfilterElement($0.key.bytes, to: .value($0.value.bytes)) },
            to: sources)
        transaction.addElements(
            nodes.map { NetfilterElement($0.key.bytes) }, to: Self.nodes)
    }

    static func refuse(_ nodes: [IPv4Address], into transaction: inout NetfilterTransaction) {
        transaction.deleteElements(nodes.map { NetfilterElement($0.bytes) }, of: Self.nodes)
        transaction.deleteElements(nodes.map { NetfilterElement($0.bytes) }, of: sources)
    }

    /// Leads an address of the uplink to a sandbox.
    static func lead(
        _ address: IPv4Address, to sandbox: IPv4Address, in transaction: inout NetfilterTransaction
    ) {
        transaction.addElements(
            [NetfilterElement(address.bytes, to: .value(sandbox.bytes))], to: inbound)
    }

    static func leadNowhere(
        _ address: IPv4Address, in transaction: inout NetfilterTransaction
    ) {
        transaction.deleteElements([NetfilterElement(address.bytes)], of: inbound)
    }

    static func answer(at address: IPv4Address, in transaction: inout NetfilterTransaction) {
        transaction.addElements([NetfilterElement(address.bytes)], to: answering)
    }

    static func silence(at address: IPv4Address, in transaction: inout NetfilterTransaction) {
        transaction.deleteElements([NetfilterElement(address.bytes)], of: answering)
    }

    // MARK: - The rules

    private struct Rule {
        let steps: [NetfilterExpression]
        var counter: Counter?

        init(_ counter: Counter, _ steps: [NetfilterExpression]) {
            self.steps = steps
            self.counter = counter
        }

        init(_ steps: [NetfilterExpression]) { self.steps = steps }
    }

    private static var rules: [(chain: String, rules: [Rule])] {
        let tunnel = WantedNetwork.tunnelName
        let uplink = WantedNetwork.uplinkName
        let source = NetfilterExpression.loadBytes(.network, offset: 12, count: 4)
        let destination = NetfilterExpression.loadBytes(.network, offset: 16, count: 4)
        return [
            (
                "outward",
                [
                    // What began outside was led here.
                    Rule(
                        .toVPC,
                        isAnswer + isKnown + leaves(uplink) + [.counter, .verdict(.accept)]),
                    Rule(
                        .unknownNode,
                        [source, .isIn(set: nodes.name, not: true), .counter, .verdict(.drop)]),
                    Rule(.invalid, isOfNoFlow + [.counter, .verdict(.drop)]),
                    Rule(
                        .notInVPC, leaves(uplink, .notEqual) + [.counter, .verdict(.drop)]),
                    Rule(
                        .notInVPC,
                        [
                            destination, .isIn(set: prefixSet.name, not: true), .counter,
                            .verdict(.drop),
                        ]),
                    Rule(.toVPC, [.counter, .verdict(.accept)]),
                ]
            ),
            (
                "inward",
                [
                    Rule(
                        .fromVPC,
                        isKnown + leaves(tunnel)
                            + [destination, .isIn(set: nodes.name), .counter, .verdict(.accept)]),
                    Rule(
                        .inbound,
                        isRedirected + leaves(tunnel) + [
                            source, .isIn(set: prefixSet.name), .counter, .verdict(.accept),
                        ]),
                ]
            ),
            (
                "forward",
                [
                    Rule(enters(tunnel) + [.verdict(.jump(chain: "outward"))]),
                    Rule(enters(uplink) + [.verdict(.jump(chain: "inward"))]),
                    Rule(.uninvited, [.counter]),
                ]
            ),
            (
                "input",
                [
                    Rule(enters("lo") + [.verdict(.accept)]),
                    // Those who ask again and again are a flow that is known.
                    Rule(
                        enters(tunnel) + isEchoRequest + [
                            destination, .isIn(set: answering.name, not: true), .verdict(.drop),
                        ]),
                    Rule(isKnown + [.verdict(.accept)]),
                    Rule(isEchoRequest + [.verdict(.accept)]),
                    Rule(.uninvited, [.counter]),
                ]
            ),
            (
                "redirect",
                [
                    Rule(
                        enters(uplink) + [
                            destination, .look(map: inbound.name), .translateDestination(),
                        ])
                ]
            ),
            (
                "translate",
                [
                    Rule(
                        leaves(uplink)
                            + [source, .look(map: sources.name, into: .first), .translateSource()])
                ]
            ),
        ]
    }

    /// It belongs to a flow that was let through before, or is about one.
    private static let isKnown = isIn([.established, .related])

    private static let isOfNoFlow = isIn(.invalid)

    private static func isIn(_ states: FlowState) -> [NetfilterExpression] {
        [
            .loadFlow(.state), .mask(native(states.rawValue)),
            .compare(.notEqual, [0, 0, 0, 0]),
        ]
    }

    /// The packet goes against the direction in which its flow began.
    private static let isAnswer: [NetfilterExpression] = [
        .loadFlow(.direction), .compare(.equal, [1]),
    ]

    private static let isRedirected: [NetfilterExpression] = [
        .loadFlow(.status), .mask(native(FlowStatus.destinationTranslated.rawValue)),
        .compare(.notEqual, [0, 0, 0, 0]),
    ]

    /// ICMP, and its type of an echo request.
    private static let isEchoRequest: [NetfilterExpression] = [
        .load(.protocolNumber), .compare(.equal, [1]),
        .loadBytes(.transport, offset: 0, count: 1), .compare(.equal, [8]),
    ]

    private static func native(_ number: UInt32) -> [UInt8] {
        [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: number >> $0) }
    }

    private static func enters(_ link: String) -> [NetfilterExpression] {
        [.load(.inputName), .compare(.equal, name(link))]
    }

    private static func leaves(
        _ link: String, _ comparison: NetfilterComparison = .equal
    ) -> [NetfilterExpression] {
        [.load(.outputName), .compare(comparison, name(link))]
    }

    /// As the kernel keeps it: 16 bytes.
    private static func name(_ link: String) -> [UInt8] {
        let bytes = Array(link.utf8)
        return bytes + [UInt8](repeating: 0, count: 16 - bytes.count)
    }
}
