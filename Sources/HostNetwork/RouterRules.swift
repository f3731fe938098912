internal import Netlink

/// The packet filter of the router. It is made once; what happens to sandboxes later adds and
/// takes away elements.
struct RouterRules {
    let settings: NodeNetworkSettings

    /// Groups of links, by which rules know them.
    static let slotGroup: UInt32 = 81
    static let uplinkGroup: UInt32 = 82
    static let tunnelGroup: UInt32 = 83
    /// Those that are about to be taken away, all at once.
    static let leavingGroup: UInt32 = 84

    private var table: NetfilterTable { settings.table }

    /// Link of a slot to its address.
    var addresses: NetfilterSet {
        NetfilterSet("addresses", of: table, key: .linkIndex, leadingTo: .values(.address))
    }

    /// Slots that reach the world.
    var open: NetfilterSet { NetfilterSet("open", of: table, key: .address) }

    /// What nobody reaches by way of the node.
    var refused: NetfilterSet {
        NetfilterSet("refused", of: table, key: .address, ranges: true)
    }

    /// Slot to a tenant's network: as many maps as a slot has networks at most.
    var tenants: [NetfilterSet] {
        (0..<SlotSettings.mostVPCs).map {
            NetfilterSet("tenants\($0)", of: table, key: .address, leadingTo: .values(.mark))
        }
    }

    /// What is in which tenant's network. It is looked at with a slot's network in hand, so that
    /// an attachment is one element however many prefixes there are.
    var prefixes: NetfilterSet {
        NetfilterSet("prefixes", of: table, key: .joined(.mark, .address), ranges: true)
    }

    /// Tunnel to the zone of its flows.
    var zones: NetfilterSet {
        NetfilterSet("zones", of: table, key: .linkIndex, leadingTo: .values(.mark))
    }

    /// Tunnel to the address that its packets come from.
    var sources: NetfilterSet {
        NetfilterSet("sources", of: table, key: .linkIndex, leadingTo: .values(.address))
    }

    /// Slot to the chain of its own rules.
    var policies: NetfilterSet {
        NetfilterSet("policies", of: table, key: .address, leadingTo: .verdicts)
    }

    /// Slots, and addresses that names which they may use were resolved to, for their time.
    var resolved: NetfilterSet {
        NetfilterSet("resolved", of: table, key: .joined(.address, .address), timeouts: true)
    }

    /// Slot to the mark of flows that began to such an address.
    var nameMarks: NetfilterSet {
        NetfilterSet("name-marks", of: table, key: .address, leadingTo: .values(.mark))
    }

    /// Slots with the mark that their flows must have to go on.
    var nameFlows: NetfilterSet {
        NetfilterSet("name-flows", of: table, key: .joined(.address, .mark))
    }

    /// Slots with ports of theirs that the node's ports lead to.
    var published: NetfilterSet {
        NetfilterSet("published", of: table, key: .joined(.address, .protocolNumber, .port))
    }

    /// Tunnel and an address in it to the slot that is reached by it.
    var inbound: NetfilterSet {
        NetfilterSet(
            "inbound", of: table, key: .joined(.linkIndex, .address),
            leadingTo: .values(.address))
    }

    /// Slot to its buckets, in the order of `SlotLimits.all`.
    var bucketMaps: [NetfilterSet] {
        ["outward-bytes", "outward-packets", "inward-bytes", "inward-packets", "new-flows"].map {
            NetfilterSet($0, of: table, key: .address, leadingTo: .buckets)
        }
    }

    /// The whole, in place of what was there.
    func replace(in transaction: inout NetfilterTransaction) {
        transaction.replaceTable(table)
        let names = [resolved, nameMarks, nameFlows, published, inbound]
        let sets = [addresses, open, refused, prefixes, zones, sources, policies]
        for set in sets + tenants + bucketMaps + names { transaction.addSet(set) }
        transaction.addElements(
            settings.refusedPrefixes.map {
                NetfilterElement($0.address.bytes, through: $0.last.bytes)
            }, to: refused)
        addArriving(&transaction)
        addForward(&transaction)
        addInput(&transaction)
        addLeaving(&transaction)
        addResolution(&transaction)
    }

    /// A sandbox speaks of its own link address alone, and asks for the gateway's. Others that it
    /// says it has would fill a table that the whole machine shares.
    private func addResolution(_ transaction: inout NetfilterTransaction) {
        let table = settings.resolutionTable
        transaction.replaceTable(table)
        transaction.addChain(
            "arriving", of: table, at: NetfilterHook(.filter, .resolution, priority: 0))
        // The sender's address stands 14 bytes in, the one that is asked for 24.
        for (offset, address) in [
            (UInt32(14), SandboxNetwork.address), (24, SandboxNetwork.gateway),
        ] {
            transaction.addRule(
                .input(is: Self.slotGroup) + [
                    .loadBytes(.network, offset: offset, count: 4),
                    .compare(.notEqual, address.bytes), .counter, .verdict(.drop),
                ], to: "arriving", of: table, label: RouterCounter.falseNeighbour.label)
        }
    }

    /// Before flows are looked up: slots get their addresses, and their packets their tenants'.
    private func addArriving(_ transaction: inout NetfilterTransaction) {
        transaction.addChain(
            "arriving", of: table, at: NetfilterHook(.filter, .prerouting, priority: -300))
        transaction.addChain("from-slot", of: table)
        transaction.addRule(
            .input(is: Self.slotGroup) + [.verdict(.go(chain: "from-slot"))], to: "arriving",
            of: table)
        transaction.addRule(
            [.load(.inputIndex), .look(map: zones.name), .storeFlow(.zone)], to: "arriving",
            of: table)
        // A source that is not the sandbox's own is false.
        transaction.addRule(
            .source(isNot: SandboxNetwork.address) + [.counter, .verdict(.drop)],
            to: "from-slot", of: table, label: RouterCounter.falseSource.label)
        transaction.addRule(
            [
                .load(.inputIndex), .look(map: addresses.name),
                .storeBytes(.network, offset: 12, count: 4, repairing: .addresses),
            ], to: "from-slot", of: table)
        // Nobody has the slot: its address was not set.
        transaction.addRule(
            .source(is: SandboxNetwork.address) + [.counter, .verdict(.drop)], to: "from-slot",
            of: table)
        addTenants(&transaction)
        // What the router itself asks proxies is of the same zone as their answers.
        transaction.addChain(
            "own", of: table, at: NetfilterHook(.filter, .output, priority: -300))
        transaction.addRule(
            [.load(.outputIndex), .look(map: zones.name), .storeFlow(.zone)], to: "own", of: table)
    }

    /// The number of a tenant's network is the mark of its packets and the zone of its flows.
    private func addTenants(_ transaction: inout NetfilterTransaction) {
        let noMark: [NetfilterExpression] = [.value([0, 0, 0, 0]), .store(.mark)]
        for tenants in tenants {
            let rules: [[NetfilterExpression]] = [
                noMark,
                [
                    .loadBytes(.network, offset: 12, count: 4), .look(map: tenants.name),
                    .store(.mark),
                ],
                // A slot's networks fill the maps from the first on.
                [.load(.mark), .compare(.equal, [0, 0, 0, 0]), .verdict(.accept)],
                // A zone has two bytes, the lower ones of a mark on each machine that is supported.
                [
                    .load(.mark), .loadBytes(.network, offset: 16, count: 4, into: .second),
                    .isIn(set: prefixes.name), .load(.mark), .storeFlow(.zone), .verdict(.accept),
                ],
            ]
            for rule in rules { transaction.addRule(rule, to: "from-slot", of: table) }
        }
        transaction.addRule(noMark, to: "from-slot", of: table)
    }

    /// What may pass. Everything that is not allowed here is dropped.
    private func addForward(_ transaction: inout NetfilterTransaction) {
        transaction.addChain(
            "forward", of: table,
            at: NetfilterHook(.filter, .forward, priority: 0, dropsByDefault: true))
        transaction.addChain("outward", of: table)
        let (outward, inward) = (UInt32(12), UInt32(16))
        let places: [(address: UInt32, which: [NetfilterExpression])] = [
            (outward, .input(is: Self.slotGroup)), (outward, .input(is: Self.slotGroup)),
            (inward, .output(is: Self.slotGroup)), (inward, .output(is: Self.slotGroup)),
            (outward, .input(is: Self.slotGroup) + .isNew),
        ]
        for (map, place) in zip(bucketMaps, places) {
            transaction.addRule(
                place.which + [
                    .loadBytes(.network, offset: place.address, count: 4), .apply(map: map.name),
                    .verdict(.drop),
                ], to: "forward", of: table)
        }
        transaction.addRule(
            .input(is: Self.slotGroup) + [.verdict(.go(chain: "outward"))], to: "forward",
            of: table)
        transaction.addRule(
            .isEstablished + [.verdict(.accept)], to: "forward", of: table)
        // From a tenant's network to a sandbox that is to be reached, by who is of that network.
        let redirected: [NetfilterExpression] =
            .input(is: Self.tunnelGroup) + .output(is: Self.slotGroup) + .isRedirected
        transaction.addRule(
            redirected + [.load(.inputIndex), .look(map: zones.name), .store(.mark)],
            to: "forward", of: table)
        transaction.addRule(
            redirected + [
                .load(.mark), .loadBytes(.network, offset: 12, count: 4, into: .second),
                .isIn(set: prefixes.name), .verdict(.accept),
            ], to: "forward", of: table)
        transaction.addRule(
            .input(is: Self.uplinkGroup) + .output(is: Self.slotGroup)
                + .isPublished(published, address: 16, port: 2) + [.verdict(.accept)],
            to: "forward", of: table)
        addOutward(&transaction)
    }

    private func addOutward(_ transaction: inout NetfilterTransaction) {
        let source = NetfilterExpression.loadBytes(.network, offset: 12, count: 4)
        let refuse: [NetfilterExpression] = [.counter, .verdict(.drop)]
        let rules: [(RouterCounter?, [NetfilterExpression])] = [
            // Whoever was let in by a port is answered, whatever else the sandbox may not reach.
            (
                nil,
                .output(is: Self.uplinkGroup) + .isAnswer + .isEstablished
                    + .isPublished(published, address: 12, port: 0) + [.verdict(.accept)]
            ),
            // So is who came through a tunnel.
            (
                nil,
                .output(is: Self.tunnelGroup) + .isAnswer + .isEstablished + [.verdict(.accept)]
            ),
            (.otherSandbox, .output(is: Self.slotGroup) + refuse),
            // A packet of a tunnel from the node's address would be in whichever tenant's network
            // it says.
            (
                .tunnel,
                .output(is: Self.uplinkGroup) + .transport(is: .udp)
                    + .destinationPort(within: settings.tunnelPort...settings.tunnelPort) + refuse
            ),
            (
                .refusedPrefix,
                .output(is: Self.uplinkGroup) + [
                    .loadBytes(.network, offset: 16, count: 4), .isIn(set: self.refused.name),
                ] + refuse
            ),
            (nil, [source, .obey(map: policies.name)]),
            (nil, .output(is: Self.tunnelGroup) + [.verdict(.accept)]),
            (
                nil,
                .output(is: Self.uplinkGroup) + [
                    source, .isIn(set: open.name), .verdict(.accept),
                ]
            ),
            // A flow goes on when the address it began with is no longer what the name stands for.
            (
                nil,
                .output(is: Self.uplinkGroup) + [
                    source, .loadBytes(.network, offset: 16, count: 4, into: .second),
                    .isIn(set: resolved.name), .look(map: nameMarks.name), .storeFlow(.mark),
                    .verdict(.accept),
                ]
            ),
            (
                nil,
                .output(is: Self.uplinkGroup) + .isEstablished + [
                    source, .loadFlow(.mark, into: .second), .isIn(set: nameFlows.name),
                    .verdict(.accept),
                ]
            ),
            // Answers to what came in.
            (nil, .isAnswer + .isEstablished + [.verdict(.accept)]),
            (.notAllowed, refuse),
        ]
        for (counter, rule) in rules {
            transaction.addRule(rule, to: "outward", of: table, label: counter?.label ?? [])
        }
    }

    /// What the router itself takes: questions of names.
    private func addInput(_ transaction: inout NetfilterTransaction) {
        transaction.addChain(
            "input", of: table,
            at: NetfilterHook(.filter, .input, priority: 0, dropsByDefault: true))
        transaction.addRule(
            [.load(.inputIndex), .compare(.equal, [1, 0, 0, 0]), .verdict(.accept)], to: "input",
            of: table)
        transaction.addRule(.isEstablished + [.verdict(.accept)], to: "input", of: table)
        for transport in [TransportProtocol.udp, .tcp] {
            transaction.addRule(
                .input(is: Self.slotGroup)
                    + .destination(within: IPv4Prefix(SandboxNetwork.gateway))
                    + .transport(is: transport) + .destinationPort(within: 53...53)
                    + [.verdict(.accept)], to: "input", of: table)
        }
        transaction.addRule(
            [.counter, .verdict(.drop)], to: "input", of: table, label: RouterCounter.router.label)
    }

    /// After all translation: slots' addresses become the sandboxes' own again.
    private func addLeaving(_ transaction: inout NetfilterTransaction) {
        transaction.addChain(
            "redirection", of: table, at: NetfilterHook(.nat, .prerouting, priority: -100))
        transaction.addRule(
            [
                .load(.inputIndex), .loadBytes(.network, offset: 16, count: 4, into: .second),
                .look(map: inbound.name), .translateDestination(),
            ], to: "redirection", of: table)
        transaction.addChain(
            "translation", of: table, at: NetfilterHook(.nat, .postrouting, priority: 100))
        transaction.addRule(
            [.load(.outputIndex), .look(map: sources.name), .translateSource()],
            to: "translation", of: table)
        transaction.addChain(
            "leaving", of: table, at: NetfilterHook(.filter, .postrouting, priority: 300))
        transaction.addRule(
            [
                .load(.outputGroup), .compare(.notEqual, Self.slotGroup.nativeBytes),
                .verdict(.accept),
            ], to: "leaving", of: table)
        let address = NetfilterExpression.value(SandboxNetwork.address.bytes)
        // An error of ICMP quotes the packet that it is about, with the address it had here. A
        // sandbox that cannot tell which of its flows is meant would not learn how large packets
        // may be.
        for types in [UInt8(3)...3, 11...12] {
            transaction.addRule(
                .transport(is: .icmp) + [
                    .loadBytes(.transport, offset: 0, count: 1),
                    .within([types.lowerBound], [types.upperBound]), address,
                    .storeBytes(.transport, offset: 20, count: 4, repairing: .at(2)),
                ], to: "leaving", of: table)
        }
        transaction.addRule(
            [address, .storeBytes(.network, offset: 16, count: 4, repairing: .addresses)],
            to: "leaving", of: table)
    }
}

/// Drops that are counted.
public enum RouterCounter: UInt8, CaseIterable, Sendable {
    /// The source was not the sandbox's address.
    case falseSource = 1
    /// For another sandbox.
    case otherSandbox
    /// A packet of a tunnel, from a sandbox.
    case tunnel
    /// For a prefix that nobody reaches: metadata, the node's networks.
    case refusedPrefix
    /// No rule allowed it.
    case notAllowed
    /// For the router itself.
    case router
    /// A question or answer after link addresses that is none of the sandbox's.
    case falseNeighbour

    var label: [UInt8] { [rawValue] }

    /// Its chain; that of neighbours is in the table for those.
    var chain: String {
        switch self {
        case .falseSource: "from-slot"
        case .falseNeighbour: "arriving"
        case .router: "input"
        case .otherSandbox, .tunnel, .refusedPrefix, .notAllowed: "outward"
        }
    }
}

extension [NetfilterExpression] {
    static func input(is group: UInt32) -> Self {
        [.load(.inputGroup), .compare(.equal, group.nativeBytes)]
    }

    static func output(is group: UInt32) -> Self {
        [.load(.outputGroup), .compare(.equal, group.nativeBytes)]
    }

    static func source(is address: IPv4Address) -> Self {
        [.loadBytes(.network, offset: 12, count: 4), .compare(.equal, address.bytes)]
    }

    static func source(isNot address: IPv4Address) -> Self {
        [.loadBytes(.network, offset: 12, count: 4), .compare(.notEqual, address.bytes)]
    }

    static func source(within prefix: IPv4Prefix) -> Self {
        [
            .loadBytes(.network, offset: 12, count: 4),
            .within(prefix.address.bytes, prefix.last.bytes),
        ]
    }

    static func destination(within prefix: IPv4Prefix) -> Self {
        [
            .loadBytes(.network, offset: 16, count: 4),
            .within(prefix.address.bytes, prefix.last.bytes),
        ]
    }

    static func transport(is transport: TransportProtocol) -> Self {
        [.load(.protocolNumber), .compare(.equal, [transport.rawValue])]
    }

    static func destinationPort(within ports: ClosedRange<UInt16>) -> Self {
        [
            .loadBytes(.transport, offset: 2, count: 2),
            .within(ports.lowerBound.networkBytes, ports.upperBound.networkBytes),
        ]
    }

    /// An address and a port, where they stand in a packet, are one of the set's.
    static func isPublished(_ set: NetfilterSet, address: UInt32, port: UInt32) -> Self {
        [
            .loadBytes(.network, offset: address, count: 4),
            .load(.protocolNumber, into: .second),
            .loadBytes(.transport, offset: port, count: 2, into: .third), .isIn(set: set.name),
        ]
    }

    static var isEstablished: Self { state(in: [.established, .related]) }

    static var isNew: Self { state(in: .new) }

    /// Its flow was for another address at first.
    static var isRedirected: Self {
        [
            .loadFlow(.status), .mask(FlowStatus.destinationTranslated.rawValue.nativeBytes),
            .compare(.notEqual, [0, 0, 0, 0]),
        ]
    }

    private static func state(in states: FlowState) -> Self {
        [
            .loadFlow(.state), .mask(states.rawValue.nativeBytes),
            .compare(.notEqual, [0, 0, 0, 0]),
        ]
    }

    /// The packet goes against the direction in which its flow began.
    static var isAnswer: Self { [.loadFlow(.direction), .compare(.equal, [1])] }
}

extension UInt32 {
    /// In the order of this machine.
    var nativeBytes: [UInt8] {
        [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: self >> UInt32($0)) }
    }
}

extension UInt16 {
    var networkBytes: [UInt8] {
        [UInt8(truncatingIfNeeded: self >> 8), UInt8(truncatingIfNeeded: self)]
    }
}
