import HostNetwork
import LinuxKernel
import Netlink
import TestSupport
import Testing

@Suite(.needs(.root, .netAdmin, .sysAdmin, .ip, .nft)) struct PublishingTests {
    private let lab: Lab

    init() throws { lab = try Lab() }

    private static let web = PublishedPort(.tcp, nodePort: 8080, to: 80)
    private static let names = PublishedPort(.udp, nodePort: 5353, to: 53)
    /// It reaches nothing by itself.
    private static let closed = SlotSettings(
        rules: [EgressRule(.deny)], ports: [web, names])

    /// Says a word by a connection to the node, and gives what the sandbox heard and from where.
    private func call(
        from place: Place, _ address: IPv4Address = Lab.nodeAddress, server: TestSocket
    ) throws -> [UInt8] {
        let client = try TestSocket(.stream, in: place.namespace)
        try client.connect(address, 8080)
        let connection = try server.accept()
        try client.send(Array("ask".utf8))
        client.finish()
        let heard = try connection.receiveAll()
        try connection.send(heard + Array("!".utf8))
        connection.finish()
        return try client.receiveAll()
    }

    private func server(_ sandbox: Sandbox) throws -> TestSocket {
        let server = try sandbox.stream()
        try server.bind(SandboxNetwork.address, 80)
        try server.listen()
        return server
    }

    @Test("a sandbox is reached by a port of the node from the world, and from the node itself")
    func reached() throws {
        let sandbox = try lab.slot(Self.closed)
        let server = try server(sandbox)
        #expect(try call(from: lab.world, server: server) == Array("ask!".utf8))
        // The second one is that of the cable to the router.
        for address in [Lab.nodeAddress, IPv4Address(100, 127, 255, 253)] {
            #expect(
                try call(from: lab.node, address, server: server) == Array("ask!".utf8))
        }
        let datagrams = try sandbox.datagrams()
        try datagrams.bind(SandboxNetwork.address, 53)
        for place in [lab.world, lab.node] {
            let client = try TestSocket(.datagrams, in: place.namespace)
            try client.send("ask", to: Lab.nodeAddress, 5353)
            let message = try #require(try datagrams.receive())
            #expect(message.text == "ask")
            try datagrams.send("answer", to: message.address, message.port)
            #expect(try client.receive()?.text == "answer")
        }
        // It still begins nothing.
        let world = try lab.listener()
        try datagrams.send("out", to: Lab.server, 5000)
        try lab.slot().datagrams().send("end", to: Lab.server, 5000)
        #expect(try world.receive()?.text == "end")
    }

    @Test("other ports and other addresses of the sandbox stay closed")
    func closed() throws {
        var settings = Self.closed
        settings.ports.insert(PublishedPort(.udp, nodePort: 9999, to: 81))
        let sandbox = try lab.slot(settings)
        let other = try sandbox.datagrams()
        try other.bind(SandboxNetwork.address, 80)
        let published = try sandbox.datagrams()
        try published.bind(SandboxNetwork.address, 81)
        let client = try TestSocket(.datagrams, in: lab.world.namespace)
        // Published is 80 of TCP.
        try client.send("x", to: Lab.nodeAddress, 8080)
        try lab.world.perform {
            $0.addRoute(
                Route(
                    to: IPv4Prefix(sandbox.slot.address), via: Lab.nodeAddress,
                    through: InterfaceIndex(rawValue: 11)))
        }
        try client.send("x", to: sandbox.slot.address, 80)
        try client.send("end", to: Lab.nodeAddress, 9999)
        #expect(try published.receive()?.text == "end")
        #expect(try other.receive(waiting: false) == nil)
    }

    @Test("a port leads to one sandbox, and to none that the node itself uses")
    func conflicts() throws {
        let first = try lab.slot(SlotSettings(ports: [Self.web]))
        let second = try lab.slot(SlotSettings())
        func refusal(_ port: PublishedPort) -> String? {
            do throws(HostNetworkError) {
                try lab.network.change(second.slot.index) { $0.ports = [port] }
                return nil
            } catch {
                return "\(error)"
            }
        }
        #expect(
            refusal(PublishedPort(.tcp, nodePort: 8080, to: 81))
                == "port 8080 of TCP on the node leads to \(first.slot.index) already")
        let own = try TestSocket(.datagrams, in: lab.node.namespace)
        try own.bind(Lab.nodeAddress, 5353)
        #expect(refusal(Self.names) == "port 5353 of UDP on the node is in use")
        #expect(
            refusal(PublishedPort(.udp, nodePort: 4789, to: 1))
                == "port 4789 of UDP on the node is that of tunnels")
        #expect(
            refusal(PublishedPort(.icmp, nodePort: 1, to: 1))
                == "a published port must be one of TCP or UDP")
        #expect(lab.network.settings(of: second.slot.index)?.ports == [])
        // Nobody else on the node gets it either, until it is given back.
        let late = try TestSocket(.stream, in: lab.node.namespace)
        #expect(throws: TestSocket.Failure.self) { try late.bind(Lab.nodeAddress, 8080) }
        try lab.network.giveBack([first.slot.index])
        #expect(refusal(Self.web) == nil)
    }

    @Test("with the sandbox its ports are gone, and what was there before is all there is")
    func removed() throws {
        func inventory() throws -> [String] {
            try [Place(lab.network.router), lab.node].flatMap { try $0.inventory() }
        }
        let before = try inventory()
        let sandbox = try lab.slot(Self.closed)
        #expect(try inventory() != before)
        try lab.network.giveBack([sandbox.slot.index])
        let changes = try difference(inventory(), before)
        #expect(changes == [])
    }

    @Test("the next agent lets ports go on to lead where they did")
    func adopted() throws {
        let sandbox = try lab.slot(Self.closed)
        let server = try server(sandbox)
        // The last one's sockets are gone with it.
        try lab.network.apply(SlotSettings(), to: sandbox.slot.index)
        let next = try lab.reopened(
            HostNetwork.Known(slots: [sandbox.slot.index: Self.closed]))
        #expect(next.settings(of: sandbox.slot.index)?.ports == Self.closed.ports)
        #expect(try call(from: lab.world, server: server) == Array("ask!".utf8))
    }
}
