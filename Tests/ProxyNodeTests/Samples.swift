import AgentAPI
import Netlink
@testable import ProxyNode

/// What tests ask for.
enum Samples {
    static let spec = VPCSpec(
        vni: 7, prefixes: ["10.1.0.0/16"],
        uplink: Uplink(
            kind: .veth(.init(peer: "up7", bridge: "br7")), address: "10.1.0.5/24",
            gateway: "10.1.0.1"),
        egressAddresses: ["10.1.0.6"], tunnelAddress: "100.96.0.1/16",
        underlayAddress: "192.0.2.10")

    static func network(
        _ id: String = "blue", _ change: (inout VPCSpec) -> Void = { _ in }
    ) throws -> TenantNetwork {
        var spec = spec
        change(&spec)
        return try TenantNetwork(id: id, spec, underlay: nil)
    }

    static func node(_ number: UInt8, in network: TenantNetwork) throws -> ComputeNode {
        try ComputeNode(
            VPCNode(
                id: "node-\(number)", underlayAddress: "192.0.2.\(number)",
                tunnelAddress: "100.96.0.\(number)"), in: network)
    }

    /// What is there when all is as it should be.
    static func found(_ wanted: WantedNetwork) -> FoundNetwork {
        var found = FoundNetwork()
        for step in NetworkPlan.steps(from: nil, to: wanted) { found.take(step) }
        return found
    }
}

extension FoundNetwork {
    /// What a kernel that refuses nothing makes of a step.
    mutating func take(_ step: NetworkStep) {
        switch step {
        case .makeNamespace, .removeNamespace: self = FoundNetwork()
        case .set(let setting): settings.insert(setting)
        case .loadRules(let rules, let members):
            rulesMark = rules.mark
            self.members = Set(members)
            isAnswering = true
            inbound = [:]
        case .makeTunnel(let link): tunnel = FoundTunnel(link: link, isUp: false)
        case .makeUplink(.veth):
            uplink = FoundLink(kind: "veth", isUp: false, isPeerUp: false)
        case .makeUplink(.macvlan): uplink = FoundLink(kind: "macvlan", isUp: false)
        case .makeUplink(.link(let name)):
            uplink = FoundLink(kind: "", isUp: false, formerName: name)
        case .connectUplink(let bridge):
            uplink?.isPeerUp = true
            uplink?.bridge = bridge
        case .removeLink(WantedNetwork.tunnelName):
            tunnel = nil
            tunnelAddresses = []
            neighbours = [:]
            forwarding = [:]
        case .removeLink, .giveBack:
            uplink = nil
            uplinkAddresses = []
            routes = []
        case .add(let address, WantedNetwork.tunnelName): tunnelAddresses.insert(address)
        case .add(let address, _): uplinkAddresses.insert(address)
        case .remove(let address, WantedNetwork.tunnelName): tunnelAddresses.remove(address)
        case .remove(let address, _): uplinkAddresses.remove(address)
        case .raise(WantedNetwork.tunnelName):
            if let link = tunnel?.link { tunnel = FoundTunnel(link: link, isUp: true) }
        case .raise: uplink?.isUp = true
        case .addRoute(let route): routes.insert(route)
        case .removeRoute(let route): routes.remove(route)
        case .setNeighbour(let address, let hardware): neighbours[address] = hardware
        case .removeNeighbour(let address): neighbours[address] = nil
        case .setForwarding(let hardware, let underlay): forwarding[hardware] = underlay
        case .removeForwarding(let hardware, _): forwarding[hardware] = nil
        case .admit(let address, _): members.insert(address)
        case .refuse(let address): members.remove(address)
        case .announce: break
        case .lead(let address, let sandbox): inbound[address] = sandbox
        case .leadNowhere(let address, _): inbound[address] = nil
        case .answer: isAnswering = true
        case .silence: isAnswering = false
        }
    }
}
