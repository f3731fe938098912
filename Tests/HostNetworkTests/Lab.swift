import Foundation
import HostNetwork
import LinuxKernel
import Netlink
import TestSupport
import Testing

/// A namespace with a socket for its links.
struct Place {
    let namespace: NetworkNamespace
    let links: NetlinkSocket

    init() throws {
        namespace = try #require(try NetworkNamespace.make(count: 1).first)
        links = try NetlinkSocket(.route, in: namespace)
    }

    init(_ namespace: NetworkNamespace) throws {
        self.namespace = namespace
        links = try NetlinkSocket(.route, in: namespace)
    }

    func perform(_ body: (inout NetlinkBatch) -> Void) throws {
        var batch = NetlinkBatch()
        body(&batch)
        try links.perform(batch)
    }

    /// All that the kernel keeps here, without what moves by itself: counters, and the moment at
    /// which it takes note that a link came up.
    func inventory() throws -> [String] {
        try [
            tell("ip", ["-o", "link", "show"]), tell("ip", ["rule", "show"]),
            tell("ip", ["route", "show", "table", "all"]),
            tell("ip", ["neighbour", "show", "nud", "permanent"]), tell("bridge", ["fdb", "show"]),
            tell("nft", ["list", "ruleset"]),
        ].flatMap { $0.split(separator: "\n").map(String.init) }.map {
            $0.replacing(/packets \d+ bytes \d+/, with: "")
                .replacing(/\ state [A-Z]+|\ linkdown|,LOWER_UP|NO-CARRIER,|,M-DOWN/, with: "")
        }
    }

    /// What a program says that looks at the namespace.
    func tell(_ program: String, _ arguments: [String]) throws -> String {
        let path = "/proc/\(ProcessInfo.processInfo.processIdentifier)/fd/\(namespace.descriptor)"
        let result = try run("nsenter", arguments: ["--net=\(path)", program] + arguments)
        try #require(result.succeeded, "\(result)")
        return result.output
    }
}

/// A node of namespaces alone, with a world behind it.
final class Lab {
    static let nodeAddress = IPv4Address(198, 51, 100, 2)
    static let server = IPv4Address(198, 51, 100, 1)
    static let metadata = IPv4Address(169, 254, 169, 254)
    /// An address of the node's management network, which the world has here.
    static let management = IPv4Address(10, 200, 0, 1)

    let node: Place
    let world: Place
    let network: HostNetwork
    let path: String

    init(_ settings: NodeNetworkSettings = Lab.settings) throws {
        let node = try Place()
        let world = try Place()
        // Addresses that links give themselves come when they like.
        if Files.exists("/proc/sys/net/ipv6/conf") {
            try node.namespace.write([("ipv6/conf/default/disable_ipv6", "1")])
        }
        let (card, wire) = (InterfaceIndex(rawValue: 10), InterfaceIndex(rawValue: 11))
        try node.perform {
            $0.makeVeth(
                LinkPlan("card", index: card, isUp: true),
                peer: LinkPlan("wire", index: wire, in: world.namespace))
            $0.addAddress(LinkAddressing(Self.nodeAddress, prefixLength: 24, on: card))
        }
        try world.perform {
            $0.changeLink(wire, LinkChange(isUp: true))
            $0.addAddress(LinkAddressing(Self.server, prefixLength: 24, on: wire))
            for address in [Self.metadata, Self.management] {
                $0.addAddress(LinkAddressing(address, prefixLength: 32, on: .loopback))
            }
        }
        try node.perform {
            $0.addRoute(Route(to: .everything, via: Self.server, through: card))
            $0.settleLink(card)
        }
        self.node = node
        self.world = world
        path =
            FileManager.default.temporaryDirectory
            .appendingPathComponent("router-\(UUID().uuidString)").path
        network = try HostNetwork.open(
            settings, node: node.namespace, pinnedAt: path)
    }

    deinit { try? network.remove(pinnedAt: path) }

    static let settings = NodeNetworkSettings(
        managementPrefixes: [IPv4Prefix(containing: management, length: 16)])

    /// The network as the next agent takes it over.
    func reopened(_ known: HostNetwork.Known) throws -> HostNetwork {
        try HostNetwork.open(
            Self.settings, node: node.namespace, pinnedAt: path, known: known)
    }

    func slot(_ settings: SlotSettings = SlotSettings(isPublic: true)) throws -> Sandbox {
        let slot = try #require(try network.makeSlots(1).first)
        try network.apply(settings, to: slot.index)
        return try Sandbox(slot)
    }

    /// A server of datagrams in the world.
    func listener(_ address: IPv4Address = Lab.server, port: UInt16 = 5000) throws -> TestSocket {
        let socket = try TestSocket(.datagrams, in: world.namespace)
        try socket.bind(address, port)
        return socket
    }

    func drops(_ counter: RouterCounter) throws -> UInt64 {
        try network.drops()[counter] ?? 0
    }
}

/// What runs in a slot.
struct Sandbox {
    let slot: SandboxSlot
    let place: Place

    init(_ slot: SandboxSlot) throws {
        self.slot = slot
        place = try Place(try #require(slot.namespace))
    }

    func datagrams() throws -> TestSocket { try TestSocket(.datagrams, in: place.namespace) }
    func stream() throws -> TestSocket { try TestSocket(.stream, in: place.namespace) }
}

/// What one of two lists has and the other has not.
func difference(_ first: [String], _ second: [String]) -> [String] {
    first.filter { !second.contains($0) }.map { "+ " + $0 }
        + second.filter { !first.contains($0) }.map { "- " + $0 }
}
