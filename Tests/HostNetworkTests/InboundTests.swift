import HostNetwork
import LinuxKernel
import Netlink
import TestSupport
import Testing

@Suite(.needs(.root, .netAdmin, .sysAdmin, .ip, .nft)) struct InboundTests {
    private static let address = IPv4Address(10, 255, 1, 7)
    private let lab: Lab
    private let tenant: Tenant

    init() throws {
        lab = try Lab()
        tenant = try Tenant(lab, 1)
        try lab.network.addVPC(tenant.plan)
        try lead(tenant, to: Self.address)
    }

    /// The proxy knows where the address is.
    private func lead(_ tenant: Tenant, to address: IPv4Address) throws {
        let tunnel = InterfaceIndex(rawValue: 6)
        try tenant.place.perform {
            $0.addRoute(Route(to: IPv4Prefix(address), through: tunnel, source: Tenant.server))
            $0.addNeighbour(Neighbour(address, at: tenant.plan.linkAddress, on: tunnel))
        }
    }

    private func settings(
        _ tenants: Tenant..., address: IPv4Address = Self.address, rules: [EgressRule] = []
    ) -> SlotSettings {
        let numbers = tenants.map(\.plan.number)
        return SlotSettings(
            vpcs: Set(numbers), rules: rules,
            inbound: Dictionary(uniqueKeysWithValues: numbers.map { ($0, address) }))
    }

    private func stranger(_ tenant: Tenant) throws -> TestSocket {
        let socket = try TestSocket(.datagrams, in: tenant.place.namespace)
        try socket.bind(Tenant.server, 9000)
        return socket
    }

    @Test("a sandbox is reached from its tenant's network, and answers whatever its rules say")
    func reached() throws {
        let sandbox = try lab.slot(settings(tenant, rules: [EgressRule(.deny)]))
        let inside = try sandbox.datagrams()
        try inside.bind(IPv4Address(0, 0, 0, 0), 7000)
        let stranger = try stranger(tenant)
        for round in 0..<3 {
            try stranger.send("question \(round)", to: Self.address, 7000)
            let question = try #require(try inside.receive())
            #expect(question.text == "question \(round)" && question.address == Tenant.server)
            try inside.send("answer", to: question.address, question.port)
            let answer = try #require(try stranger.receive())
            #expect(answer.text == "answer" && answer.address == Self.address)
        }
        let server = try sandbox.stream()
        try server.bind(IPv4Address(0, 0, 0, 0), 80)
        try server.listen()
        let client = try TestSocket(.stream, in: tenant.place.namespace)
        try client.bind(Tenant.server, 9001)
        try client.connect(Self.address, 80)
        let connection = try server.accept()
        try connection.send(Array("from within".utf8))
        #expect(try client.receive()?.text == "from within")
        // It begins nothing by that.
        try inside.send("no", to: Tenant.server, 7777)
        #expect(try lab.drops(.otherSandbox) == 0)
    }

    @Test("only that address leads there, and only for who is of the tenant's network")
    func refused() throws {
        let sandbox = try lab.slot(settings(tenant))
        let inside = try sandbox.datagrams()
        try inside.bind(IPv4Address(0, 0, 0, 0), 7000)
        let other = IPv4Address(10, 255, 1, 8)
        try lead(tenant, to: other)
        let stranger = try stranger(tenant)
        try stranger.send("another address", to: other, 7000)
        try stranger.send("the node's address", to: Tenant.nodeInside, 7000)
        let foreign = IPv4Address(203, 0, 113, 5)
        try tenant.place.perform {
            $0.addAddress(LinkAddressing(foreign, prefixLength: 32, on: .loopback))
        }
        let outsider = try TestSocket(.datagrams, in: tenant.place.namespace)
        try outsider.bind(foreign, 9000)
        try outsider.send("not of the network", to: Self.address, 7000)
        try stranger.send("yes", to: Self.address, 7000)
        #expect(try inside.receive()?.text == "yes")
        #expect(try inside.receive(waiting: false) == nil)
    }

    @Test("two tenants with the same address reach each their own, and no other slot")
    func tenants() throws {
        let second = try Tenant(lab, 2)
        try lab.network.addVPC(second.plan)
        try lead(second, to: Self.address)
        let pairs = [
            (tenant, try lab.slot(settings(tenant))), (second, try lab.slot(settings(second))),
        ]
        let servers = try pairs.map { pair in
            let server = try pair.1.datagrams()
            try server.bind(IPv4Address(0, 0, 0, 0), 7000)
            return server
        }
        for (index, pair) in pairs.enumerated() {
            let stranger = try stranger(pair.0)
            try stranger.send("\(index)", to: Self.address, 7000)
            let question = try #require(try servers[index].receive())
            #expect(question.text == "\(index)")
            try servers[index].send("back \(index)", to: question.address, question.port)
            #expect(try stranger.receive()?.text == "back \(index)")
        }
    }

    @Test("what is taken away ends flows at once, and the address can be another's")
    func withdrawn() throws {
        let (first, second) = (try lab.slot(settings(tenant)), try lab.slot())
        let servers = try [first, second].map { sandbox in
            let server = try sandbox.datagrams()
            try server.bind(IPv4Address(0, 0, 0, 0), 7000)
            return server
        }
        let stranger = try stranger(tenant)
        try stranger.send("first", to: Self.address, 7000)
        #expect(try servers[0].receive()?.text == "first")
        let error = try #require(throws: HostNetworkError.self) {
            try lab.network.apply(settings(tenant), to: second.slot.index)
        }
        #expect(
            error.description
                == "`10.255.1.7` of VPC 1 leads to \(first.slot.index) already")
        try lab.network.change(first.slot.index) { $0.inbound = [:] }
        try stranger.send("nobody", to: Self.address, 7000)
        try lab.network.apply(settings(tenant), to: second.slot.index)
        try stranger.send("second", to: Self.address, 7000)
        #expect(try servers[1].receive()?.text == "second")
        #expect(try servers[0].receive(waiting: false) == nil)
        try lab.network.detach(tenant.plan.number, from: second.slot.index)
        #expect(lab.network.settings(of: second.slot.index)?.inbound == [:])
        for address in [tenant.plan.address, tenant.plan.proxies[0].address] {
            #expect(throws: HostNetworkError.self) {
                try lab.network.apply(
                    settings(tenant, address: address), to: second.slot.index)
            }
        }
        #expect(throws: HostNetworkError.self) {
            try lab.network.change(second.slot.index) {
                $0.inbound = [tenant.plan.number: Self.address]
            }
        }
    }

    @Test("the next agent goes on with it, under a flow that runs")
    func adoption() throws {
        let sandbox = try lab.slot(settings(tenant))
        let inside = try sandbox.datagrams()
        try inside.bind(IPv4Address(0, 0, 0, 0), 7000)
        let stranger = try stranger(tenant)
        try stranger.send("before", to: Self.address, 7000)
        #expect(try inside.receive()?.text == "before")
        let next = try lab.reopened(
            .init(slots: [sandbox.slot.index: settings(tenant)], vpcs: [tenant.plan]))
        try stranger.send("after", to: Self.address, 7000)
        let question = try #require(try inside.receive())
        #expect(question.text == "after")
        try inside.send("answer", to: question.address, question.port)
        #expect(try stranger.receive()?.text == "answer")
        try next.giveBack([sandbox.slot.index])
    }
}
