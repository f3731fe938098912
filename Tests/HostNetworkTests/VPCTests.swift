import HostNetwork
import LinuxKernel
import Netlink
import TestSupport
import Testing

/// A tenant's proxy, with a server in the tenant's network, in a namespace of its own.
struct Tenant {
    static let server = IPv4Address(10, 0, 0, 5)
    static let nodeInside = IPv4Address(10, 255, 0, 2)
    static let proxyInside = IPv4Address(10, 255, 0, 1)

    let place: Place
    let plan: VPCPlan

    init(_ lab: Lab, _ number: UInt16, prefix: String = "10.0.0.0/16") throws {
        let place = try Place()
        self.place = place
        let byte = UInt8(number)
        let (nodeUnder, proxyUnder) = (
            IPv4Address(192, 0, byte, 1), IPv4Address(192, 0, byte, 2)
        )
        let (outer, inner) = (
            InterfaceIndex(rawValue: 100 + UInt32(number)), InterfaceIndex(rawValue: 5)
        )
        try lab.node.perform {
            $0.makeVeth(
                LinkPlan("under\(number)", index: outer, isUp: true),
                peer: LinkPlan("under", index: inner, in: place.namespace))
            $0.addAddress(LinkAddressing(nodeUnder, prefixLength: 24, on: outer))
        }
        let proxy = VPCProxy(
            node: proxyUnder, address: Self.proxyInside,
            linkAddress: LinkAddress(local: Self.proxyInside.rawValue))
        let plan = VPCPlan(
            number: try #require(VPCNumber(rawValue: number)), identifier: 70000 + UInt32(number),
            prefixes: [try #require(IPv4Prefix(prefix))], node: nodeUnder,
            address: Self.nodeInside, proxies: [proxy])
        let tunnel = InterfaceIndex(rawValue: 6)
        self.plan = plan
        try place.perform {
            $0.changeLink(inner, LinkChange(isUp: true))
            $0.addAddress(LinkAddressing(proxyUnder, prefixLength: 24, on: inner))
            $0.addAddress(LinkAddressing(Self.server, prefixLength: 32, on: .loopback))
            $0.makeVXLAN(
                LinkPlan(
                    "tunnel", index: tunnel, address: proxy.linkAddress, mtu: 1450, isUp: true),
                VXLANPlan(identifier: plan.identifier, local: proxyUnder))
            $0.addAddress(LinkAddressing(Self.proxyInside, prefixLength: 24, on: tunnel))
            $0.addNeighbour(Neighbour(Self.nodeInside, at: plan.linkAddress, on: tunnel))
            $0.addForwarding(ForwardingEntry(plan.linkAddress, at: nodeUnder, on: tunnel))
        }
        try lab.node.perform { $0.settleLink(outer) }
    }

    func listener(_ address: IPv4Address = Tenant.server, port: UInt16 = 7000) throws -> TestSocket
    {
        let socket = try TestSocket(.datagrams, in: place.namespace)
        try socket.bind(address, port)
        return socket
    }
}

@Suite(.needs(.root, .netAdmin, .sysAdmin, .ip, .nft)) struct VPCTests {
    private let lab: Lab

    init() throws { lab = try Lab() }

    private func attached(_ tenants: Tenant..., isPublic: Bool = false) throws -> Sandbox {
        try lab.slot(
            SlotSettings(isPublic: isPublic, vpcs: Set(tenants.map(\.plan.number))))
    }

    @Test("a sandbox reaches its tenant's network as the node's address there, and the world too")
    func both() throws {
        let tenant = try Tenant(lab, 1)
        try lab.network.addVPC(tenant.plan)
        let sandbox = try attached(tenant, isPublic: true)
        let (inside, outside) = (try tenant.listener(), try lab.listener())
        let client = try sandbox.datagrams()
        try client.send("question", to: Tenant.server, 7000)
        let question = try #require(try inside.receive())
        #expect(question.text == "question" && question.address == Tenant.nodeInside)
        try inside.send("answer", to: question.address, question.port)
        #expect(try client.receive()?.text == "answer")
        try client.send("world", to: Lab.server, 5000)
        #expect(try outside.receive()?.address == Lab.nodeAddress)
    }

    @Test("two tenants with the same prefix, addresses and ports never see each other")
    func overlapping() throws {
        let tenants = try [Tenant(lab, 1), Tenant(lab, 2)]
        for tenant in tenants { try lab.network.addVPC(tenant.plan) }
        let servers = try tenants.map { try $0.listener() }
        let clients = try tenants.map { tenant in
            let client = try attached(tenant).datagrams()
            try client.bind(IPv4Address(0, 0, 0, 0), 40000)
            return client
        }
        for round in 0..<3 {
            for (index, client) in clients.enumerated() {
                try client.send("to \(index) in \(round)", to: Tenant.server, 7000)
            }
            for (index, server) in servers.enumerated() {
                let question = try #require(try server.receive())
                #expect(question.text == "to \(index) in \(round)")
                // The same address and port in both.
                #expect(question.address == Tenant.nodeInside && question.port == 40000)
                try server.send("from \(index)", to: question.address, question.port)
            }
            for (index, client) in clients.enumerated() {
                #expect(try client.receive()?.text == "from \(index)")
            }
        }
        for end in servers + clients { #expect(try end.receive(waiting: false) == nil) }
    }

    @Test("two sandboxes of a tenant with the same ports get each their own answers")
    func sameTenant() throws {
        let tenant = try Tenant(lab, 1)
        try lab.network.addVPC(tenant.plan)
        let server = try tenant.listener()
        let clients = try (0..<2).map { _ in
            let client = try attached(tenant).datagrams()
            try client.bind(IPv4Address(0, 0, 0, 0), 40000)
            return client
        }
        for (index, client) in clients.enumerated() {
            try client.send("\(index)", to: Tenant.server, 7000)
            let question = try #require(try server.receive())
            try server.send("for \(index)", to: question.address, question.port)
        }
        for (index, client) in clients.enumerated() {
            #expect(try client.receive()?.text == "for \(index)")
        }
    }

    @Test("who is not attached, and who no longer is, does not reach the tenant's network")
    func detached() throws {
        let tenant = try Tenant(lab, 1)
        try lab.network.addVPC(tenant.plan)
        let (member, stranger) = (try attached(tenant), try lab.slot())
        let witness = try attached(tenant)
        let server = try tenant.listener()
        let (first, second) = (try member.datagrams(), try stranger.datagrams())
        try second.send("no", to: Tenant.server, 7000)
        try first.send("yes", to: Tenant.server, 7000)
        #expect(try server.receive()?.text == "yes")
        try lab.network.detach(tenant.plan.number, from: member.slot.index)
        try first.send("no", to: Tenant.server, 7000)
        try witness.datagrams().send("end", to: Tenant.server, 7000)
        #expect(try server.receive()?.text == "end")
        try lab.network.attach(tenant.plan.number, to: member.slot.index)
        try first.send("again", to: Tenant.server, 7000)
        #expect(try server.receive()?.text == "again")
        #expect(try server.receive(waiting: false) == nil)
    }

    @Test("a sandbox is in two tenants' networks when their prefixes do not clash, else refused")
    func clashes() throws {
        let first = try Tenant(lab, 1)
        let clashing = try Tenant(lab, 2, prefix: "10.0.0.0/8")
        let other = try Tenant(lab, 3, prefix: "10.255.0.0/24")
        for tenant in [first, clashing, other] { try lab.network.addVPC(tenant.plan) }
        let sandbox = try attached(first, other)
        let servers = try [first.listener(), other.listener(Tenant.proxyInside)]
        let client = try sandbox.datagrams()
        try client.send("first", to: Tenant.server, 7000)
        try client.send("other", to: Tenant.proxyInside, 7000)
        #expect(try servers[0].receive()?.text == "first")
        #expect(try servers[1].receive()?.text == "other")
        let before = lab.network.settings(of: sandbox.slot.index)
        let error = try #require(throws: HostNetworkError.self) {
            try lab.network.attach(clashing.plan.number, to: sandbox.slot.index)
        }
        #expect(
            error.description == "`10.0.0.0/16` of VPC 1 and `10.0.0.0/8` of VPC 2 overlap: a "
                + "sandbox can be attached to one of them")
        #expect(lab.network.settings(of: sandbox.slot.index) == before)
        #expect(throws: HostNetworkError.self) {
            try lab.network.attach(#require(VPCNumber(rawValue: 9)), to: sandbox.slot.index)
        }
    }

    @Test("nobody in a tenant's network reaches a sandbox unasked, nor the router or the node")
    func inward() throws {
        let tenant = try Tenant(lab, 1)
        try lab.network.addVPC(tenant.plan)
        let sandbox = try attached(tenant)
        let inside = try sandbox.datagrams()
        try inside.bind(IPv4Address(0, 0, 0, 0), 7000)
        let stranger = try TestSocket(.datagrams, in: tenant.place.namespace)
        let tunnel = InterfaceIndex(rawValue: 6)
        for address in [sandbox.slot.address, Lab.nodeAddress, Lab.server] {
            try tenant.place.perform {
                $0.addRoute(
                    Route(
                        to: IPv4Prefix(address), via: Tenant.nodeInside, onLink: true,
                        through: tunnel))
            }
            try stranger.send("no", to: address, 7000)
        }
        try stranger.send("no", to: Tenant.nodeInside, 7000)
        let server = try tenant.listener()
        try inside.send("yes", to: Tenant.server, 7000)
        let question = try #require(try server.receive())
        try server.send("answer", to: question.address, question.port)
        #expect(try inside.receive()?.text == "answer")
        #expect(try lab.drops(.router) == 1)
    }

    @Test("a stream of some megabytes comes whole through the tunnel, both ways")
    func stream() throws {
        let tenant = try Tenant(lab, 1)
        try lab.network.addVPC(tenant.plan)
        let sandbox = try attached(tenant)
        let server = try TestSocket(.stream, in: tenant.place.namespace)
        try server.bind(Tenant.server, 80)
        try server.listen()
        let client = try sandbox.stream()
        try client.connect(Tenant.server, 80)
        let connection = try server.accept()
        let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        for (from, to) in [(client, connection), (connection, client)] {
            let sender = Sender(from)
            let thread = try KernelThread(named: "sender") { sender.send(bytes) }
            let received = try to.receiveAll()
            thread.join()
            #expect(received == bytes)
        }
    }

    @Test("a tenant's network that is left leaves nothing, and is not left while somebody is in it")
    func removal() throws {
        let router = try Place(lab.network.router)
        let tenant = try Tenant(lab, 1)
        let sandbox = try lab.slot(SlotSettings())
        let before = try router.inventory()
        try lab.network.addVPC(tenant.plan)
        #expect(throws: HostNetworkError.self) { try lab.network.addVPC(tenant.plan) }
        try lab.network.attach(tenant.plan.number, to: sandbox.slot.index)
        let error = try #require(throws: HostNetworkError.self) {
            try lab.network.removeVPC(tenant.plan.number)
        }
        #expect(error.description == "\(sandbox.slot.index) is attached to VPC 1")
        try lab.network.detach(tenant.plan.number, from: sandbox.slot.index)
        try lab.network.removeVPC(tenant.plan.number)
        let changes = try difference(router.inventory(), before)
        #expect(changes == [])
        #expect(lab.network.vpcs.isEmpty)
    }

    @Test("the next agent takes tunnels over, and flows through them go on")
    func adoption() throws {
        let (kept, lost) = (try Tenant(lab, 1), try Tenant(lab, 2))
        for tenant in [kept, lost] { try lab.network.addVPC(tenant.plan) }
        let sandbox = try attached(kept)
        let server = try TestSocket(.stream, in: kept.place.namespace)
        try server.bind(Tenant.server, 80)
        try server.listen()
        let client = try sandbox.stream()
        try client.connect(Tenant.server, 80)
        let connection = try server.accept()
        let settings = try #require(lab.network.settings(of: sandbox.slot.index))
        let next = try lab.reopened(
            .init(slots: [sandbox.slot.index: settings], vpcs: [kept.plan]))
        try client.send(Array("after".utf8))
        #expect(try connection.receive()?.text == "after")
        try connection.send(Array("answer".utf8))
        #expect(try client.receive()?.text == "answer")
        let router = try Place(next.router)
        #expect(try router.links.links().filter { $0.kind == "vxlan" }.map(\.name) == ["v70001"])
        #expect(try router.links.rules().filter { $0.table >= 0x10000 }.count == 1)
        // The tenant that was lost can come again.
        try next.addVPC(lost.plan)
    }

    @Test("flows are spread over the proxies of a tenant's network, each a neighbour that stays")
    func severalProxies() throws {
        var plan = try Tenant(lab, 1).plan
        let second = IPv4Address(10, 255, 0, 9)
        plan.proxies.append(
            VPCProxy(
                node: IPv4Address(192, 0, 1, 9), address: second,
                linkAddress: LinkAddress(local: second.rawValue)))
        try lab.network.addVPC(plan)
        let router = try Place(lab.network.router)
        let route = try router.tell("ip", ["route", "show", "table", "65537"])
        for proxy in plan.proxies {
            #expect(route.contains("nexthop via \(proxy.address) dev v70001 weight 1 onlink"))
        }
        let link = try #require(try router.links.links().first { $0.name == "v70001" }).index
        #expect(
            Set(try router.links.neighbours().filter { $0.link == link }.map(\.address))
                == Set(plan.proxies.map(\.address)))
        #expect(
            Set(try router.links.forwarding(of: link).map(\.remote))
                == Set(plan.proxies.map(\.node)))
        // By whole flows: ports count, not machines alone.
        let places = try (0..<64).map { port in
            try router.tell(
                "ip",
                [
                    "route", "get", "10.0.0.5", "mark", "1", "ipproto", "udp", "sport",
                    "\(1000 + port)", "dport", "7000",
                ]
            ).contains("\(second)")
        }
        #expect(Set(places) == [true, false])
        try lab.network.removeVPC(plan.number)
    }

    @Test("plans that cannot work are refused with the reason")
    func refusals() throws {
        let tenant = try Tenant(lab, 1)
        var plans = [VPCPlan](repeating: tenant.plan, count: 4)
        plans[0].prefixes = [try #require(IPv4Prefix("172.16.0.0/12"))]
        plans[1].prefixes += [try #require(IPv4Prefix("10.0.1.0/24"))]
        plans[2].identifier = 1 << 24
        plans[3].proxies = []
        let words = [
            "covers what each sandbox has within", "of VPC 1 overlap", "must have 24 bits",
            "must have a prefix and a proxy",
        ]
        for (plan, words) in zip(plans, words) {
            let error = try #require(throws: HostNetworkError.self) {
                try lab.network.addVPC(plan)
            }
            #expect(error.description.contains(words), "\(error)")
        }
    }
}
