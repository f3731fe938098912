import AgentAPI
import Foundation
import RPC
import TestSupport
import Testing

@Suite("A proxy node", .needs(.root, .netAdmin, .sysAdmin, .ip, .python3))
struct ProxyTests {
    @Test("a tenant's server sees the fixed address, directly and behind the gateway")
    func egress() throws {
        let scene = try ProxyScene()
        let tenant = try scene.addTenant("blue")
        let node = try scene.addNode(2)
        let vpc = try scene.create("blue", ProxyScene.spec(7, "blue"))
        #expect(vpc.state == .ready)
        #expect(vpc.tunnelHardwareAddress == "02:ac:64:60:00:01")
        #expect(vpc.spec?.underlayAddress == "192.0.2.10")
        #expect(try scene.attach(node, to: "blue").nodes.map(\.id) == ["node-2"])
        #expect(try node.greeting(of: "10.1.0.1") == "blue 10.1.0.6")
        #expect(try node.greeting(of: "10.9.0.1") == "blue 10.1.0.6")
        let statistics = try scene.statistics("blue")
        #expect(statistics.connections >= 1)
        #expect(statistics.tunnel?.receivedPackets ?? 0 > 0)
        #expect(statistics.uplink?.sentBytes ?? 0 > 0)
        #expect(try scene.count("to_vpc", of: "blue") > 0)
        #expect(try scene.count("from_vpc", of: "blue") > 0)
        withExtendedLifetime(tenant) {}
    }

    @Test("two tenants with the same addresses do not mix")
    func tenants() throws {
        let scene = try ProxyScene()
        let tenants = (try scene.addTenant("blue"), try scene.addTenant("green"))
        let (first, second) = (try scene.addNode(2, vni: 7), try scene.addNode(3, vni: 8))
        try scene.create("blue", ProxyScene.spec(7, "blue"))
        try scene.create("green", ProxyScene.spec(8, "green") { $0.egressAddresses = ["10.1.0.7"] })
        try scene.attach(first, to: "blue")
        try scene.attach(second, to: "green")
        for _ in 0..<3 {
            #expect(try first.greeting(of: "10.1.0.1") == "blue 10.1.0.6")
            #expect(try second.greeting(of: "10.1.0.1") == "green 10.1.0.7")
        }
        withExtendedLifetime(tenants) {}
    }

    @Test("a connection survives that the proxy is killed and started again, which changes nothing")
    func restart() throws {
        let scene = try ProxyScene()
        let tenant = try scene.addTenant("blue")
        let node = try scene.addNode(2)
        try scene.create("blue", ProxyScene.spec(7, "blue"))
        try scene.attach(node, to: "blue")
        let client = try node.talk(to: "10.1.0.1")
        try client.waitForOutput("blue 10.1.0.6")
        for round in 1...3 {
            try scene.kill()
            client.write("away \(round)\n")
            try client.waitForOutput("echo away \(round)")
            try scene.restart()
            #expect(try scene.changes() == "0")
            client.write("back \(round)\n")
            try client.waitForOutput("echo back \(round)")
        }
        let vpcs = try scene.connect().request(ProxyMethods.list, ListVPCsRequest()).vpcs
        #expect(vpcs.map(\.state) == [.ready])
        #expect(vpcs.first?.nodes.map(\.id) == ["node-2"])
        withExtendedLifetime(tenant) {}
    }

    @Test("a start mends what is broken, while a connection that has nothing to do with it goes on")
    func mending() throws {
        let scene = try ProxyScene()
        let tenant = try scene.addTenant("blue")
        let (node, other) = (try scene.addNode(2), try scene.addNode(3))
        try scene.create("blue", ProxyScene.spec(7, "blue"))
        let vpc = try scene.attach(node, to: "blue")
        try scene.attach(other, to: "blue")
        let client = try node.talk(to: "10.1.0.1")
        try client.waitForOutput("blue 10.1.0.6")
        try scene.kill()
        let inside = ["--net=\(vpc.namespacePath)", "ip"]
        for words in [
            "neighbour delete 100.96.0.3 dev tunnel", "route delete 10.9.0.0/16",
            "route add 10.77.0.0/16 via 10.1.0.1",
        ] {
            let result = try run(
                "nsenter",
                arguments: inside
                    + words.split(separator: " ").map {
                        String($0)
                    })
            #expect(result.succeeded, "\(result)")
        }
        try scene.proxyNode.ip("link set up-blue nomaster")
        try scene.restart()
        #expect(try scene.changes() == "4")
        client.write("still there\n")
        try client.waitForOutput("echo still there")
        #expect(try other.greeting(of: "10.9.0.1") == "blue 10.1.0.6")
        withExtendedLifetime(tenant) {}
    }

    @Test("rules that were taken away come back under a connection, which keeps its address")
    func rules() throws {
        let scene = try ProxyScene()
        let tenant = try scene.addTenant("blue")
        let node = try scene.addNode(2)
        try scene.create("blue", ProxyScene.spec(7, "blue"))
        let vpc = try scene.attach(node, to: "blue")
        let client = try node.talk(to: "10.1.0.1")
        try client.waitForOutput("blue 10.1.0.6")
        try scene.kill()
        let result = try run(
            "nsenter",
            arguments: ["--net=\(vpc.namespacePath)", "nft", "delete", "rule", "ip", "alcove"]
                + ["identity", "handle", try markHandle(vpc)])
        #expect(result.succeeded, "\(result)")
        try scene.restart()
        #expect(try scene.changes() == "1")
        client.write("still there\n")
        try client.waitForOutput("echo still there")
        withExtendedLifetime(tenant) {}
    }

    private func markHandle(_ vpc: VPC) throws -> String {
        let listed = try run(
            "nsenter",
            arguments: [
                "--net=\(vpc.namespacePath)", "nft", "-a", "list", "chain", "ip", "alcove",
                "identity",
            ])
        let line = try #require(
            listed.output.split(separator: "\n").first { $0.contains("counter") }, "\(listed)")
        return String(try #require(line.split(separator: " ").last))
    }

    @Test("nothing is left of a VPC that was deleted, and its names can be taken again")
    func deletion() throws {
        let scene = try ProxyScene()
        let tenant = try scene.addTenant("blue")
        let node = try scene.addNode(2)
        let before = try scene.proxyNode.links()
        for _ in 0..<3 {
            try scene.create("blue", ProxyScene.spec(7, "blue"))
            try scene.attach(node, to: "blue")
            #expect(try node.greeting(of: "10.1.0.1") == "blue 10.1.0.6")
            #expect(try scene.proxyNode.links() == (before + ["up-blue"]).sorted())
            _ = try scene.connect().request(
                ProxyMethods.deleteVPC, DeleteVPCRequest(id: "blue"))
            #expect(try scene.proxyNode.links() == before)
            #expect(try FileManager.default.contentsOfDirectory(atPath: scene.namespaces) == [])
        }
        try scene.kill()
        try scene.restart()
        #expect(try scene.changes() == "0")
        #expect(try scene.connect().request(ProxyMethods.list, ListVPCsRequest()).vpcs == [])
        withExtendedLifetime(tenant) {}
    }

    @Test("only nodes that are attached get through, and none does after it was detached")
    func strangers() throws {
        let scene = try ProxyScene()
        let tenant = try scene.addTenant("blue")
        let (node, stranger) = (try scene.addNode(2), try scene.addNode(3))
        try scene.create("blue", ProxyScene.spec(7, "blue") { $0.prefixes = ["10.9.0.0/16"] })
        try scene.attach(node, to: "blue")
        try stranger.send(to: "10.9.0.1")
        #expect(try scene.count("unknown_node", of: "blue") == 1)
        try node.send(to: "10.1.0.1")
        #expect(try scene.count("not_in_vpc", of: "blue") == 1)
        // Nothing of the tenant's reaches a node uninvited, or what is on the proxy.
        try tenant.ip("route add 100.96.0.0/16 via 10.1.0.5")
        try tenant.tell("python3", ["-c", Self.datagram, "100.96.0.2"])
        #expect(try scene.count("uninvited", of: "blue") == 1)
        // Nor what is for the proxy itself, from either side.
        try node.send(to: "100.96.0.1")
        #expect(try scene.count("uninvited", of: "blue", above: 1) == 2)
        try tenant.tell("python3", ["-c", Self.datagram, "10.1.0.6"])
        #expect(try scene.count("uninvited", of: "blue", above: 2) == 3)
        let client = try node.talk(to: "10.9.0.1")
        try client.waitForOutput("blue 10.1.0.6")
        _ = try scene.connect().request(
            ProxyMethods.detachNode, DetachNodeRequest(vpcID: "blue", nodeID: "node-2"))
        client.write("nobody hears this\n")
        try client.waitForOutput("sent nobody hears this")
        #expect(try scene.count("unknown_node", of: "blue", above: 1) > 1)
        #expect(!client.output.contains("echo"))
        try scene.attach(node, to: "blue")
        try client.waitForOutput("echo nobody hears this")
    }

    private static let datagram = """
        import socket, sys
        socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', (sys.argv[1], 9))
        """

    @Test("the tenant's segment is told of the fixed address, without being asked")
    func announcement() throws {
        let scene = try ProxyScene()
        let tenant = try scene.addTenant("blue")
        let listener = try tenant.start("python3", ["-u", "-c", Self.listener])
        try listener.waitForOutput("listening")
        try scene.create("blue", ProxyScene.spec(7, "blue"))
        try listener.waitForOutput("10.1.0.6 is at")
        try listener.waitForOutput("10.1.0.5 is at")
    }

    /// Prints who says of itself where it is: ARP with the sender's address as the target.
    private static let listener = """
        import socket
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
        print('listening')
        while True:
            frame = packets.recv(2048)
            if frame[28:32] == frame[38:42]:
                print(socket.inet_ntoa(frame[28:32]), 'is at', frame[22:28].hex(':'))
        """

    @Test("the proxy answers an echo request of a node, even while its program is away")
    func health() throws {
        let scene = try ProxyScene()
        let tenant = try scene.addTenant("blue")
        let node = try scene.addNode(2)
        try scene.create("blue", ProxyScene.spec(7, "blue"))
        try scene.attach(node, to: "blue")
        #expect(try node.place.tell("python3", ["-c", Self.echo, "100.96.0.1"]) == "0\n")
        try scene.kill()
        #expect(try node.place.tell("python3", ["-c", Self.echo, "100.96.0.1"]) == "0\n")
        try scene.restart()
        withExtendedLifetime(tenant) {}
    }

    /// Asks for an echo, and prints the type of the answer.
    private static let echo = """
        import socket, struct, sys
        icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        body = struct.pack('!BBHHH', 8, 0, 0, 7, 1)
        total = sum(struct.unpack('!4H', body))
        total = (total & 0xffff) + (total >> 16)
        icmp.sendto(struct.pack('!BBHHH', 8, 0, ~total & 0xffff, 7, 1), (sys.argv[1], 0))
        print(icmp.recv(2048)[20])
        """

    @Test("a link that is moved in is given back under its name, also by the next proxy")
    func moved() throws {
        let scene = try ProxyScene()
        let tenant = try Place()
        try scene.proxyNode.ip(
            "link add eth7 type veth peer name eth0 netns \(tenant.number)", tenant)
        try tenant.ip("address add 10.1.0.1/24 dev eth0")
        try tenant.ip("link set eth0 up")
        let spec = ProxyScene.spec(7, "blue") { $0.uplink?.kind = .link(.init(name: "eth7")) }
        let before = try scene.proxyNode.links()
        try scene.create("blue", spec)
        #expect(try scene.proxyNode.links() == before.filter { $0 != "eth7" })
        // One of which the record knows nothing.
        try scene.kill()
        try FileManager.default.removeItem(atPath: scene.folder.path + "/state")
        try scene.restart()
        #expect(try scene.proxyNode.links() == before)
        #expect(try FileManager.default.contentsOfDirectory(atPath: scene.namespaces) == [])
        try scene.create("blue", spec)
        _ = try scene.connect().request(ProxyMethods.deleteVPC, DeleteVPCRequest(id: "blue"))
        #expect(try scene.proxyNode.links() == before)
    }

    @Test("a link of its own on a link of the node leads out as well")
    func macvlan() throws {
        let scene = try ProxyScene()
        let tenant = try scene.addTenant("blue")
        let node = try scene.addNode(2)
        try scene.proxyNode.ip("link add wire type veth peer name wire-end")
        try scene.proxyNode.ip("link set wire-end master br-blue up")
        try scene.proxyNode.ip("link set wire up")
        try scene.create(
            "blue",
            ProxyScene.spec(7, "blue") {
                $0.uplink?.kind = .macvlan(.init(parent: "wire"))
                $0.egressAddresses = ["10.1.0.5"]
            })
        try scene.attach(node, to: "blue")
        #expect(try node.greeting(of: "10.9.0.1") == "blue 10.1.0.5")
        withExtendedLifetime(tenant) {}
    }

    @Test("what cannot be made is refused with what is missing, and leaves nothing")
    func refusals() throws {
        let scene = try ProxyScene()
        let before = try scene.proxyNode.links()
        for kind: Uplink.Kind in [
            .veth(.init(peer: "up-blue", bridge: "br-none")), .veth(.init(peer: "under")),
            .macvlan(.init(parent: "none")), .link(.init(name: "none")),
            .link(.init(name: "under")),
        ] {
            let spec = ProxyScene.spec(7, "blue") { $0.uplink?.kind = kind }
            let failure = #expect(throws: CallFailure.self) { try scene.create("blue", spec) }
            #expect(failure?.code == .failedPrecondition)
            #expect(failure?.reason == "uplink_unusable")
            #expect(try scene.proxyNode.links() == before)
            #expect(try FileManager.default.contentsOfDirectory(atPath: scene.namespaces) == [])
            #expect(try scene.connect().request(ProxyMethods.list, ListVPCsRequest()).vpcs == [])
        }
    }
}

@Suite("`alcove proxy`", .needs(.root, .netAdmin, .sysAdmin, .ip, .python3))
struct ProxyCommandTests {
    private func alcove(_ scene: ProxyScene, _ words: String...) throws -> RunResult {
        try run(
            Products.path("alcove"), arguments: ["proxy"] + words,
            environment: ["ALCOVE_PROXY_SOCKET": scene.socket])
    }

    @Test("a VPC is made, used, looked at and removed by commands")
    func commands() throws {
        let scene = try ProxyScene()
        let tenant = try scene.addTenant("blue")
        let node = try scene.addNode(2)
        let created = try alcove(
            scene, "vpc", "create", "blue", "--vni", "7", "--prefix", "10.1.0.0/24", "--uplink",
            "veth:up-blue,br-blue", "--address", "10.1.0.5/24", "--egress", "10.1.0.6", "--tunnel",
            "100.96.0.1/16")
        #expect(created.succeeded && created.output.contains("10.1.0.5/24 by veth"), "\(created)")
        let attached = try alcove(
            scene, "node", "attach", "blue", "node-2", "--underlay", "192.0.2.2", "--tunnel",
            "100.96.0.2", "--json")
        #expect(attached.succeeded && attached.output.contains("\"node-2\""), "\(attached)")
        #expect(try node.greeting(of: "10.1.0.1") == "blue 10.1.0.6")
        #expect(try alcove(scene, "vpc", "ls", "--quiet").output == "blue\n")
        let listed = try alcove(scene, "vpc", "ls")
        #expect(listed.output.contains("ready") && listed.output.contains("10.1.0.6"), "\(listed)")
        let statistics = try alcove(scene, "stats", "blue")
        #expect(statistics.output.contains("to_vpc") && statistics.succeeded, "\(statistics)")
        let watching = try TestSupport.ChildProcess(
            Products.path("alcove"), arguments: ["proxy", "watch", "--from", "1"],
            environment: ["ALCOVE_PROXY_SOCKET": scene.socket])
        try watching.waitForOutput("node node-2 attached at 192.0.2.2")
        #expect(try alcove(scene, "node", "detach", "blue", "node-2").succeeded)
        try watching.waitForOutput("node node-2 detached")
        #expect(try alcove(scene, "vpc", "rm", "blue").output == "blue\n")
        try watching.waitForOutput("blue  deleted")
        let missing = try alcove(scene, "vpc", "ls", "blue")
        #expect(missing.code == 67 && missing.errorOutput.contains("there is no VPC `blue`"))
        try watching.send(signal: 15)
        withExtendedLifetime(tenant) {}
    }

    @Test("without a proxy, each command says so with a code of its own and a hint")
    func noProxy() throws {
        for words in [["vpc", "ls"], ["vpc", "rm", "x"], ["stats", "x"], ["watch"]] {
            let result = try run(
                Products.path("alcove"), arguments: ["proxy"] + words,
                environment: ["ALCOVE_PROXY_SOCKET": "/nonexistent/proxy.sock"])
            #expect(result.code == 68 && result.output.isEmpty, "\(result)")
            #expect(result.errorOutput.contains("no proxy answers at `/nonexistent/proxy.sock`"))
            #expect(result.errorOutput.contains("systemctl start alcove-proxy"))
        }
    }
}
