internal import AgentAPI
internal import Netlink

/// A VPC that is in the record, and what is being done for it.
final class ManagedNetwork {
    let network: TenantNetwork
    let createdAt: Int64
    var state: VPCState
    /// Why it is broken, or could not be removed.
    var problem = ""
    var nodes: [String: (node: ComputeNode, attachedAt: Int64)] = [:]
    var inbound: [IPv4Address: InboundRoute] = [:]
    /// Whether the fixed addresses are here, which other proxies can have.
    var holds: Bool
    /// Whether it says that it is alive to those who ask.
    var answers = true
    /// Of the other proxies, where there are some.
    var watch: PeerWatch?
    /// Streams of statistics, to be told of the end.
    var onRemoved: [UInt64: () -> Void] = [:]
    var lastStream: UInt64 = 0

    init(_ network: TenantNetwork, createdAt: Int64, state: VPCState) {
        self.network = network
        self.createdAt = createdAt
        self.state = state
        holds = network.isFirst
    }

    var wanted: WantedNetwork {
        WantedNetwork(
            network, nodes: nodes.values.map(\.node), inbound: inbound.values, holds: holds,
            answers: answers)
    }

    /// All that goes to the proxy that has the fixed addresses.
    var moving: Set<InterfaceAddress> { network.moving.union(inbound.values.map(\.interface)) }

    /// Which nodes are told of.
    enum Nodes {
        case all, none
        case one(String)
    }

    /// - Parameter path: where the namespace is.
    func message(path: String, nodes which: Nodes = .all) -> VPC {
        var inbound: [InboundRoute] = []
        if case .all = which { inbound = self.inbound.values.sorted { $0.address < $1.address } }
        let nodes =
            switch which {
            case .all: nodes.sorted { $0.key < $1.key }
            case .one(let id): nodes.filter { $0.key == id }.map { $0 }
            case .none: [(key: String, value: (node: ComputeNode, attachedAt: Int64))]()
            }
        return VPC(
            id: network.id, spec: network.spec, state: state, problem: problem,
            createdAtNanoseconds: createdAt,
            nodes: nodes.map { $0.value.node.message(attachedAt: $0.value.attachedAt) },
            tunnelHardwareAddress: "\(network.hardwareAddress)", namespacePath: path,
            hasEgressAddresses: holds && state == .ready, peers: watch?.health ?? [],
            inbound: inbound.map(\.message))
    }
}
