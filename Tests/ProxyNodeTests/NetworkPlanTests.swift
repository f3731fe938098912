import AgentAPI
import Netlink
import TestSupport
import Testing

@testable import ProxyNode

@Suite("The plan of a VPC")
struct NetworkPlanTests {
    @Test("a new VPC is made in an order in which nothing flows before the rules are there")
    func whole() throws {
        let network = try Samples.network {
            $0.prefixes = ["10.1.0.0/24", "10.9.0.0/16"]
        }
        let wanted = WantedNetwork(network, nodes: [try Samples.node(2, in: network)])
        let steps = NetworkPlan.steps(from: nil, to: wanted).map { "\($0)" }
        #expect(
            steps == [
                "make the namespace",
                "set ipv4/ip_forward to 1",
                "set ipv6/conf/all/disable_ipv6 to 1",
                "set ipv6/conf/default/disable_ipv6 to 1",
                "set ipv4/conf/all/accept_redirects to 0",
                "set ipv4/conf/default/accept_redirects to 0",
                "set ipv4/conf/default/arp_notify to 1",
                "set netfilter/nf_conntrack_tcp_be_liberal to 1",
                "set ipv4/ping_group_range to 0\t2147483647",
                "load the rules \(wanted.rules.mark) with 1 nodes",
                "make the tunnel 7 at 192.0.2.10:4789",
                "make the uplink with the end `up7`",
                "connect the uplink to `br7`",
                "add 100.96.0.1/16 to `tunnel`",
                "add 10.1.0.5/24 to `uplink`",
                "add 10.1.0.6/32 to `uplink`",
                "raise `tunnel`",
                "raise `uplink`",
                "route 10.9.0.0/16 by 10.1.0.1",
                "know 100.96.0.2 as 02:ac:64:60:00:02",
                "send for 02:ac:64:60:00:02 to 192.0.2.2",
            ])
    }

    @Test("what is as it should be is not touched")
    func nothing() throws {
        let network = try Samples.network()
        let wanted = WantedNetwork(network, nodes: [try Samples.node(2, in: network)])
        #expect(NetworkPlan.steps(from: Samples.found(wanted), to: wanted) == [])
    }

    @Test("each thing that is missing, wrong or too much is mended by itself")
    func mending() throws {
        let network = try Samples.network { $0.prefixes = ["10.9.0.0/16"] }
        let node = try Samples.node(2, in: network)
        let wanted = WantedNetwork(network, nodes: [node])
        let whole = Samples.found(wanted)
        let stranger = IPv4Address(100, 96, 0, 9)
        let other = LinkAddress(local: 9)
        let cases: [((inout FoundNetwork) -> Void, [String])] = [
            ({ $0.settings.remove(.forwarding) }, ["set ipv4/ip_forward to 1"]),
            (
                { $0.rulesMark = "mark_0" },
                ["load the rules \(wanted.rules.mark) with 1 nodes"]
            ),
            ({ $0.members = [] }, ["let 100.96.0.2 through as 10.1.0.6"]),
            ({ $0.members.insert(stranger) }, ["let 100.96.0.9 through no longer"]),
            ({ $0.neighbours = [:] }, ["know 100.96.0.2 as 02:ac:64:60:00:02"]),
            ({ $0.neighbours[stranger] = other }, ["forget 100.96.0.9"]),
            (
                { $0.forwarding[node.hardware] = stranger },
                [
                    "send for 02:ac:64:60:00:02 no longer to 100.96.0.9",
                    "send for 02:ac:64:60:00:02 to 192.0.2.2",
                ]
            ),
            (
                { $0.uplink?.isUp = false },
                ["raise `uplink`", "route 10.9.0.0/16 by 10.1.0.1"]
            ),
            ({ $0.uplink?.bridge = nil }, ["connect the uplink to `br7`"]),
            ({ $0.uplink?.isPeerUp = false }, ["connect the uplink to `br7`"]),
            ({ $0.routes = [] }, ["route 10.9.0.0/16 by 10.1.0.1"]),
            (
                { $0.uplinkAddresses.insert(InterfaceAddress(stranger, length: 32)) },
                ["remove 100.96.0.9/32 from `uplink`"]
            ),
            (
                { $0.uplink = FoundLink(kind: "macvlan", isUp: true) },
                [
                    "remove the link `uplink`", "make the uplink with the end `up7`",
                    "connect the uplink to `br7`",
                    "add 10.1.0.5/24 to `uplink`", "add 10.1.0.6/32 to `uplink`",
                    "raise `uplink`", "route 10.9.0.0/16 by 10.1.0.1",
                ]
            ),
        ]
        for (change, expected) in cases {
            var found = whole
            change(&found)
            let steps = NetworkPlan.steps(from: found, to: wanted)
            #expect(steps.map { "\($0)" } == expected)
            for step in steps { found.take(step) }
            #expect(found == whole)
        }
    }

    @Test(
        "from anything that is there, the plan leads to what should be, and then to nothing more",
        arguments: 1...200)
    func anything(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let network = try Samples.network { $0.prefixes = ["10.9.0.0/16", "10.10.0.0/16"] }
        func wanted() throws -> WantedNetwork {
            let numbers = (2...9).filter { _ in Bool.random(using: &random) }
            return WantedNetwork(
                network, nodes: try numbers.map { try Samples.node(UInt8($0), in: network) })
        }
        var found = Samples.found(try wanted())
        // As many things go wrong as may.
        for _ in 0..<Int.random(in: 0...6, using: &random) {
            switch Int.random(in: 0..<9, using: &random) {
            case 0: found.take(.removeLink(WantedNetwork.tunnelName))
            case 1: found.take(.removeLink(WantedNetwork.uplinkName))
            case 2: found.rulesMark = nil
            case 3: found.members = []
            case 4: found.neighbours = [:]
            case 5: found.forwarding = [:]
            case 6 where found.uplink != nil:
                let other = IPv4Prefix(containing: IPv4Address(10, 77, 0, 0), length: 16)
                let gateway = IPv4Address(10, 1, 0, 9)
                found.routes.insert(GatewayRoute(prefix: other, gateway: gateway))
            case 7: found.uplinkAddresses = []
            default: found.tunnelAddresses = []
            }
        }
        let goal = try wanted()
        for step in NetworkPlan.steps(from: found, to: goal) { found.take(step) }
        #expect(NetworkPlan.steps(from: found, to: goal) == [], "seed \(seed)")
        #expect(found == Samples.found(goal), "seed \(seed)")
    }

    @Test("one node's coming and going is what the whole plan would do", arguments: 1...100)
    func exchange(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let network = try Samples.network()
        func peer() throws -> TunnelPeer? {
            guard Int.random(in: 0..<4, using: &random) > 0 else { return nil }
            let node = try Samples.node(UInt8.random(in: 2...4, using: &random), in: network)
            return TunnelPeer(
                address: node.tunnel,
                hardware: LinkAddress(local: UInt32.random(in: 2...4, using: &random)),
                underlay: IPv4Address(192, 0, 2, UInt8.random(in: 2...4, using: &random)))
        }
        let wanted = WantedNetwork(network, nodes: [])
        let (former, next) = (try peer(), try peer())
        var found = Samples.found(wanted)
        for step in NetworkPlan.exchange(nil, for: former, by: wanted.rules) { found.take(step) }
        for step in NetworkPlan.exchange(former, for: next, by: wanted.rules) { found.take(step) }
        var expected = Samples.found(wanted)
        for step in NetworkPlan.exchange(nil, for: next, by: wanted.rules) { expected.take(step) }
        #expect(found == expected, "seed \(seed)")
    }

    @Test("a removal takes links first, and gives back what was moved in")
    func removal() throws {
        let network = try Samples.network()
        let found = Samples.found(WantedNetwork(network, nodes: []))
        #expect(
            NetworkPlan.removal(of: found, uplink: network.uplink).map { "\($0)" } == [
                "remove the link `tunnel`", "remove the link `uplink`", "remove the namespace",
            ])
        #expect(
            NetworkPlan.removal(of: found, uplink: .link(name: "eth1")).map { "\($0)" } == [
                "remove the link `tunnel`", "move the uplink back as `eth1`",
                "remove the namespace",
            ])
        var orphan = found
        orphan.uplink = FoundLink(kind: "", isUp: true, formerName: "eth3")
        #expect(
            NetworkPlan.removal(of: orphan, uplink: nil).map { "\($0)" } == [
                "remove the link `tunnel`", "move the uplink back as `eth3`",
                "remove the namespace",
            ])
        #expect(NetworkPlan.removal(of: nil, uplink: network.uplink) == [])
    }
}

@Suite("The rules of a VPC")
struct RuleSetTests {
    @Test("rules are known by a mark that is theirs alone")
    func mark() throws {
        let rules = RuleSet(try Samples.network())
        let same = RuleSet(try Samples.network())
        let others = [
            RuleSet(try Samples.network { $0.prefixes = ["10.1.0.0/17"] }),
            RuleSet(try Samples.network { $0.egressAddresses = ["10.1.0.7"] }),
        ]
        #expect(rules.mark == same.mark)
        #expect(Set((others + [rules]).map(\.mark)).count == 3)
        #expect(rules.mark.utf8.count <= 31)
    }

    @Test("of several fixed addresses a node always has the same, and all are used")
    func several() throws {
        let network = try Samples.network { $0.egressAddresses = ["10.1.0.6", "10.1.0.7"] }
        let rules = RuleSet(network)
        let sources = (2...9).map { rules.source(of: IPv4Address(100, 96, 0, $0)) }
        #expect(Set(sources) == Set(network.egress))
        #expect(sources == (2...9).map { rules.source(of: IPv4Address(100, 96, 0, $0)) })
    }
}
