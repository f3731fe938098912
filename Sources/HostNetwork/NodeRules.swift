internal import Netlink

/// The packet filter on the node itself: the way of the router to the world, and nothing else.
struct NodeRules {
    let settings: NodeNetworkSettings

    private var table: NetfilterTable { settings.table }

    /// Protocol and port of the node to address and port of a slot.
    var ports: NetfilterSet {
        NetfilterSet(
            "ports", of: table, key: .joined(.protocolNumber, .port),
            leadingTo: .values(.joined(.address, .port)))
    }

    private var name: [UInt8] {
        let bytes = Array(settings.uplinkName.utf8)
        return bytes + [UInt8](repeating: 0, count: 16 - bytes.count)
    }

    func replace(in transaction: inout NetfilterTransaction) {
        transaction.replaceTable(table)
        let fromRouter: [NetfilterExpression] = [.load(.inputName), .compare(.equal, name)]
        let toRouter: [NetfilterExpression] = [.load(.outputName), .compare(.equal, name)]
        // Whichever address of the node a sandbox may know, and whichever it gets later.
        transaction.addChain(
            "input", of: table, at: NetfilterHook(.filter, .input, priority: 0))
        transaction.addRule(
            fromRouter + .isEstablished + [.verdict(.accept)], to: "input", of: table)
        transaction.addRule(
            fromRouter + [.counter, .verdict(.drop)], to: "input", of: table,
            label: NodeCounter.node.label)
        transaction.addChain(
            "forward", of: table, at: NetfilterHook(.filter, .forward, priority: 0))
        transaction.addRule(
            fromRouter + toRouter + [.counter, .verdict(.drop)], to: "forward", of: table)
        transaction.addRule(
            toRouter + .isEstablished + [.verdict(.accept)], to: "forward", of: table)
        transaction.addRule(
            toRouter + .isRedirected + [.verdict(.accept)], to: "forward", of: table)
        transaction.addRule(
            toRouter + [.counter, .verdict(.drop)], to: "forward", of: table,
            label: NodeCounter.strangers.label)
        transaction.addChain(
            "translation", of: table, at: NetfilterHook(.nat, .postrouting, priority: 100))
        addPublishing(&transaction)
        for prefix in [settings.slots, settings.uplink] {
            transaction.addRule(
                .source(within: prefix) + [
                    .load(.outputName), .compare(.notEqual, name), .masquerade,
                ], to: "translation", of: table)
        }
    }
}

extension NodeRules {
    /// What comes for a port of the node's that leads to a slot: by its links, and from itself.
    /// Sandboxes are no part of the world there.
    private func addPublishing(_ transaction: inout NetfilterTransaction) {
        transaction.addSet(ports)
        let translate: [NetfilterExpression] = [
            .loadDestinationKind(), .compare(.equal, [2, 0, 0, 0]), .load(.protocolNumber),
            .loadBytes(.transport, offset: 2, count: 2, into: .second), .look(map: ports.name),
            .translateDestination(to: .first, port: .second),
        ]
        transaction.addChain(
            "arriving", of: table, at: NetfilterHook(.nat, .prerouting, priority: -100))
        transaction.addRule(
            [.load(.inputName), .compare(.notEqual, name)] + translate, to: "arriving", of: table)
        transaction.addChain(
            "own", of: table, at: NetfilterHook(.nat, .output, priority: -100))
        // A packet from a loopback address cannot leave the node.
        transaction.addRule(
            [
                .loadBytes(.network, offset: 12, count: 1), .compare(.notEqual, [127]),
            ] + translate, to: "own", of: table)
    }
}

/// Drops on the node that are counted.
public enum NodeCounter: UInt8, CaseIterable, Sendable {
    /// From a sandbox, for the node itself.
    case node = 1
    /// From elsewhere, for a sandbox, unasked.
    case strangers

    var label: [UInt8] { [rawValue] }

    var chain: String {
        switch self {
        case .node: "input"
        case .strangers: "forward"
        }
    }
}
