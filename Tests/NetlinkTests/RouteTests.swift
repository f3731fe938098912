import LinuxKernel
import Netlink
import TestSupport
import Testing

@Suite(.needs(.root, .netAdmin, .sysAdmin, .ip)) struct RouteTests {
    private func wired() throws -> (TestNetwork, InterfaceIndex) {
        let network = try TestNetwork()
        let link = InterfaceIndex(rawValue: 20)
        try network.perform {
            $0.makeVeth(LinkPlan("a", index: link), peer: LinkPlan("b"))
            $0.changeLink(link, LinkChange(isUp: true))
            $0.addAddress(LinkAddressing(IPv4Address(10, 1, 0, 2), prefixLength: 24, on: link))
        }
        return (network, link)
    }

    @Test("an address is added, listed and taken away")
    func addresses() throws {
        let (network, link) = try wired()
        let point = LinkAddressing(
            IPv4Address(10, 2, 0, 1), prefixLength: 32, on: link, peer: IPv4Address(10, 3, 0, 1))
        try network.perform { $0.addAddress(point) }
        let listed = try network.socket.addresses().filter { $0.link == link }
        let first = LinkAddressing(IPv4Address(10, 1, 0, 2), prefixLength: 24, on: link)
        #expect(Set(listed) == [first, point])
        #expect(
            try network.tell("ip", ["address", "show", "dev", "a"])
                .contains("inet 10.2.0.1 peer 10.3.0.1/32"))
        try network.perform { $0.deleteAddress(first) }
        #expect(try network.socket.addresses().filter { $0.link == link } == [point])
    }

    @Test("routes say where, by which gateway, from which address and how large")
    func routes() throws {
        let (network, link) = try wired()
        let prefix = try #require(IPv4Prefix("10.128.0.0/9"))
        let gateway = IPv4Address(10, 1, 0, 1)
        let route = Route(
            to: prefix, via: gateway, through: link, table: 1007,
            source: IPv4Address(10, 1, 0, 2), mtu: 1400, priority: 9)
        let far = Route(
            to: IPv4Prefix(IPv4Address(100, 64, 0, 9)), via: IPv4Address(172, 31, 255, 2),
            onLink: true, through: link)
        let none = Route(to: try #require(IPv4Prefix("100.64.0.0/16")), kind: .unreachable)
        try network.perform {
            $0.addRoute(route)
            $0.addRoute(far)
            $0.addRoute(none)
        }
        #expect(try network.socket.routes(table: 1007) == [route])
        let main = try network.tell("ip", ["route", "show"])
        #expect(main.contains("unreachable 100.64.0.0/16"))
        #expect(main.contains("100.64.0.9 via 172.31.255.2 dev a proto static onlink"))
        let told = try network.tell("ip", ["route", "show", "table", "1007"])
        #expect(
            told.contains(
                "10.128.0.0/9 via 10.1.0.1 dev a proto static src 10.1.0.2 metric 9"))
        #expect(told.contains("mtu 1400"))
        // Replaced, not beside.
        var other = route
        other.mtu = nil
        try network.perform { $0.addRoute(other) }
        #expect(try network.socket.routes(table: 1007) == [other])
        try network.perform {
            $0.deleteRoute(other)
            $0.deleteRoute(none)
        }
        #expect(try network.socket.routes(table: 1007).isEmpty)
        #expect(try !network.tell("ip", ["route", "show"]).contains("unreachable"))
    }

    @Test("a route leads to several gateways, which change under it")
    func nextHops() throws {
        let (network, link) = try wired()
        let hops = [UInt8(1), 9].map {
            NextHop(UInt32($0), via: IPv4Address(10, 9, 0, $0), through: link, onLink: true)
        }
        let peer = try #require(try network.socket.links().first { $0.name == "b" }).index
        try network.perform {
            // No gateway is behind a link without a carrier.
            $0.changeLink(peer, LinkChange(isUp: true))
            $0.settleLink(link)
            for hop in hops { $0.addNextHop(hop) }
            $0.addNextHopGroup(NextHopGroup(256, of: [1, 9]))
            $0.addRoute(Route(to: .everything, nextHop: 256))
        }
        var told = try network.tell("ip", ["route", "show", "default"])
        #expect(told.contains("nexthop via 10.9.0.1 dev a weight 1"))
        #expect(told.contains("nexthop via 10.9.0.9 dev a weight 1"))
        let listed = try network.socket.nextHops()
        #expect(Set(listed.hops) == Set(hops))
        #expect(listed.groups == [NextHopGroup(256, of: [1, 9])])
        #expect(try network.socket.routes().contains { $0.nextHop == 256 })
        try network.perform { $0.addNextHopGroup(NextHopGroup(256, of: [9])) }
        told = try network.tell("ip", ["route", "show", "default"])
        #expect(told.contains("via 10.9.0.9") && !told.contains("via 10.9.0.1"))
        // The last gateway of a group takes it along, and the route.
        try network.perform {
            $0.deleteNextHop(1)
            $0.deleteNextHop(9)
        }
        #expect(try network.socket.nextHops().groups == [])
        #expect(try network.tell("ip", ["route", "show", "default"]) == "")
    }

    @Test("a rule leads packets with a mark to their table")
    func rules() throws {
        let network = try TestNetwork()
        let rule = RoutingRule(priority: 107, mark: 7, mask: 0xffff, table: 1007)
        try network.perform { $0.addRule(rule) }
        #expect(try network.socket.rules().contains(rule))
        #expect(
            try network.tell("ip", ["rule", "show"])
                .contains("107:\tfrom all fwmark 0x7/0xffff lookup 1007"))
        try network.perform { $0.deleteRule(rule) }
        #expect(try !network.socket.rules().contains(rule))
    }

    @Test("a neighbour stays, and is another's when that is said")
    func neighbours() throws {
        let (network, link) = try wired()
        let address = IPv4Address(10, 1, 0, 1)
        let first = Neighbour(address, at: LinkAddress(local: 1), on: link)
        let second = Neighbour(address, at: LinkAddress(local: 2), on: link)
        try network.perform {
            $0.addNeighbour(first)
            $0.addNeighbour(second)
        }
        #expect(try network.socket.neighbours().filter { $0.link == link } == [second])
        #expect(
            try network.tell("ip", ["neighbour", "show"])
                .contains("10.1.0.1 dev a lladdr 02:ac:00:00:00:02 PERMANENT"))
        try network.perform { $0.deleteNeighbour(second) }
        #expect(try network.socket.neighbours().filter { $0.link == link }.isEmpty)
    }
}
