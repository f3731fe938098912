import AgentAPI
import Netlink
import RPC
import Testing

@testable import ProxyNode

@Suite("What can be asked of a proxy")
struct TenantNetworkTests {
    @Test("defaults are filled in, and a specification with them means the same")
    func defaults() throws {
        let network = try Samples.network()
        #expect(network.port == 4789)
        #expect(network.mtu == 1450)
        #expect(network.spec.tunnelPort == 4789)
        let again = try TenantNetwork(id: "blue", network.spec, underlay: nil)
        #expect(again == network)
        let configured = IPv4Address(192, 0, 2, 77)
        let other = try TenantNetwork(
            id: "blue", Samples.spec.with { $0.underlayAddress = "" }, underlay: configured)
        #expect(other.underlay == configured)
    }

    /// A specification with one mistake, and the field that is to be named.
    struct Refused: Sendable, CustomTestStringConvertible {
        let field: String
        let change: @Sendable (inout VPCSpec) -> Void

        init(_ field: String, _ change: @escaping @Sendable (inout VPCSpec) -> Void) {
            self.field = field
            self.change = change
        }

        var testDescription: String { field }
    }

    private static let refused: [Refused] = [
        Refused("spec.vni") { $0.vni = 0 },
        Refused("spec.vni") { $0.vni = 1 << 24 },
        Refused("spec.prefixes") { $0.prefixes = [] },
        Refused("spec.prefixes") { $0.prefixes = ["10.1.0.1/16"] },
        Refused("spec.prefixes") { $0.prefixes = ["10.1.0.0/16", "10.1.2.0/24"] },
        Refused("spec.prefixes") { $0.prefixes = ["010.1.0.0/16"] },
        Refused("spec.prefixes") { $0.prefixes = ["fd00::/64"] },
        Refused("spec.uplink") { $0.uplink = nil },
        Refused("spec.uplink") { $0.uplink?.kind = nil },
        Refused("spec.uplink.address") { $0.uplink?.address = "10.1.0.5" },
        Refused("spec.uplink.address") { $0.uplink?.address = "10.1.0.255/24" },
        Refused("spec.uplink.gateway") { $0.uplink?.gateway = "" },
        Refused("spec.uplink.gateway") { $0.uplink?.gateway = "10.1.1.1" },
        Refused("spec.uplink.gateway") { $0.uplink?.gateway = "10.1.0.5" },
        Refused("spec.uplink.veth.peer") { $0.uplink?.kind = .veth(.init(peer: "a/b")) },
        Refused("spec.uplink.veth.peer") { $0.uplink?.kind = .veth(.init(peer: "a%d")) },
        Refused("spec.uplink.macvlan.parent") {
            $0.uplink?.kind = .macvlan(.init(parent: "a name that is too long"))
        },
        Refused("spec.uplink.link.name") { $0.uplink?.kind = .link(.init(name: "..")) },
        Refused("spec.egress_addresses") { $0.egressAddresses = [] },
        Refused("spec.egress_addresses") { $0.egressAddresses = ["10.1.0.6", "10.1.0.6"] },
        Refused("spec.egress_addresses") { $0.egressAddresses = ["169.254.1.1"] },
        Refused("spec.egress_addresses") { $0.egressAddresses = ["100.96.0.9"] },
        Refused("spec.tunnel_address") { $0.tunnelAddress = "10.1.3.1/24" },
        Refused("spec.tunnel_address") { $0.tunnelAddress = "100.96.0.0/16" },
        Refused("spec.underlay_address") { $0.underlayAddress = "" },
        Refused("spec.underlay_address") { $0.underlayAddress = "127.0.0.1" },
        Refused("spec.tunnel_port") { $0.tunnelPort = 65536 },
        Refused("spec.mtu") { $0.mtu = 575 },
        Refused("spec.rank") { $0.rank = 256 },
        Refused("spec.peers") { $0.peers = [peer(9), peer(9)] },
        Refused("spec.peers") { $0.peers = [peer(9, rank: 0)] },
        Refused("spec.peers") { $0.peers = (2...9).map { peer($0) } },
        Refused("spec.peers.rank") { $0.peers = [peer(9, rank: 256)] },
        Refused("spec.peers.tunnel_address") { $0.peers = [peer(1)] },
        Refused("spec.peers.tunnel_address") {
            $0.peers = [peer(9)]
            $0.peers[0].tunnelAddress = "100.97.0.9"
        },
        Refused("spec.peers.tunnel_hardware_address") {
            $0.peers = [peer(9)]
            $0.peers[0].tunnelHardwareAddress = "02:ac:64:60:00:01"
        },
        Refused("spec.egress_addresses") {
            $0.peers = [peer(9)]
            $0.egressAddresses = ["10.1.0.5"]
        },
    ]

    private static func peer(_ number: UInt32, rank: UInt32? = nil) -> ProxyPeer {
        ProxyPeer(
            tunnelAddress: "100.96.0.\(number)", underlayAddress: "192.0.2.\(number)",
            rank: rank ?? number)
    }

    @Test("another proxy is spoken with, and is no node")
    func peers() throws {
        let network = try Samples.network {
            $0.peers = [Self.peer(9)]
            $0.rank = 3
        }
        #expect(network.spec.peers.first?.tunnelHardwareAddress == "02:ac:64:60:00:09")
        #expect(network.isFirst)
        let steps = NetworkPlan.steps(from: nil, to: WantedNetwork(network, nodes: []))
            .map { "\($0)" }
        #expect(steps.contains("send for 02:ac:64:60:00:09 to 192.0.2.9"))
        #expect(steps.contains { $0.hasSuffix("with 0 nodes") })
        #expect(steps.contains("add 10.1.0.6/32 to `uplink`"))
        // Without the fixed addresses, it has its own.
        let without = WantedNetwork(network, nodes: [], holds: false, answers: false)
        let moved = NetworkPlan.steps(
            from: Samples.found(WantedNetwork(network, nodes: [])), to: without)
        #expect(
            moved.map { "\($0)" } == [
                "be silent at 100.96.0.1", "remove 10.1.0.6/32 from `uplink`",
            ])
        #expect(
            NetworkPlan.move(
                ManagedNetwork(network, createdAt: 0, state: .ready), holds: true, answers: true
            ).map { "\($0)" } == [
                "add 10.1.0.6/32 to `uplink`", "announce the uplink's addresses",
                "answer at 100.96.0.1",
            ])
    }

    @Test(
        "what makes no sense is refused, with the field that is wrong",
        arguments: refused)
    func refusals(refused: Refused) throws {
        let failure = #expect(throws: CallFailure.self) {
            try Samples.network("blue", refused.change)
        }
        #expect(failure?.code == .invalidArgument)
        #expect(
            failure?.message.hasPrefix("`\(refused.field)` ") == true, "\(failure?.message ?? "")")
    }

    @Test(
        "an id is a word of a host's name",
        arguments: ["", "-a", "a-", "A", "a_b", "a/b", "..", String(repeating: "a", count: 64)])
    func ids(id: String) throws {
        #expect(throws: CallFailure.self) { try Samples.network(id) }
    }

    @Test("a node is known by its tunnel's address unless it says otherwise")
    func nodes() throws {
        let network = try Samples.network()
        let node = try Samples.node(2, in: network)
        #expect("\(node.hardware)" == "02:ac:64:60:00:02")
        let message = node.message(attachedAt: 5)
        let again = try ComputeNode(message, in: network)
        #expect(again == node)
    }

    @Test(
        "nodes outside the tunnel are refused",
        arguments: [
            VPCNode(id: "n", underlayAddress: "192.0.2.2", tunnelAddress: "100.96.0.1"),
            VPCNode(id: "n", underlayAddress: "192.0.2.2", tunnelAddress: "100.97.0.2"),
            VPCNode(id: "n", underlayAddress: "192.0.2.2", tunnelAddress: "100.96.255.255"),
            VPCNode(id: "n", underlayAddress: "", tunnelAddress: "100.96.0.2"),
            VPCNode(id: "", underlayAddress: "192.0.2.2", tunnelAddress: "100.96.0.2"),
            VPCNode(
                id: "n", underlayAddress: "192.0.2.2", tunnelAddress: "100.96.0.2",
                tunnelHardwareAddress: "01:00:00:00:00:01"),
            VPCNode(
                id: "n", underlayAddress: "192.0.2.2", tunnelAddress: "100.96.0.2",
                tunnelHardwareAddress: "02:ac:64:60:00:+1"),
            VPCNode(
                id: "n", underlayAddress: "192.0.2.2", tunnelAddress: "100.96.0.2",
                tunnelHardwareAddress: "02:ac:64:60:00:01"),
        ])
    func wrongNodes(node: VPCNode) throws {
        let network = try Samples.network()
        let failure = #expect(throws: CallFailure.self) { try ComputeNode(node, in: network) }
        #expect(failure?.code == .invalidArgument)
    }
}

extension VPCSpec {
    func with(_ change: (inout VPCSpec) -> Void) -> VPCSpec {
        var spec = self
        change(&spec)
        return spec
    }
}
