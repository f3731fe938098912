import LinuxKernel
import Netlink
import TestSupport
import Testing

@Suite(.needs(.root, .netAdmin, .sysAdmin, .ip)) struct LinkTests {
    @Test("a cable's ends are placed and described as planned")
    func veth() throws {
        let network = try TestNetwork()
        let other = try TestNetwork()
        let address = LinkAddress(local: 7)
        try network.perform {
            $0.makeVeth(
                LinkPlan(
                    "s7", index: InterfaceIndex(rawValue: 1007), address: address, mtu: 1450,
                    group: 81, isUp: true),
                peer: LinkPlan("eth0", mtu: 1450, in: other.namespace))
        }
        let outer = try network.link("s7")
        #expect(outer.index.rawValue == 1007 && outer.group == 81 && outer.mtu == 1450)
        #expect(outer.isUp && outer.address == address)
        #expect(outer.kind == "veth")
        let inner = try other.link("eth0")
        #expect(!inner.isUp && inner.kind == "veth" && inner.index.rawValue == 2)
        try other.perform { $0.changeLink(inner.index, LinkChange(isUp: true)) }
        #expect(try network.link("s7").isRunning)
        let told = try network.tell("ip", ["-d", "link", "show", "dev", "s7"])
        #expect(told.contains("numtxqueues 1 ") && told.contains("numrxqueues 1 "))
    }

    @Test("a link is changed, renamed, moved and taken away")
    func changes() throws {
        let network = try TestNetwork()
        let other = try TestNetwork()
        try network.perform { $0.makeVeth(LinkPlan("a"), peer: LinkPlan("b")) }
        let link = try network.link("a").index
        let address = LinkAddress(local: 9)
        try network.perform {
            $0.changeLink(
                link, LinkChange(isUp: true, mtu: 1300, address: address, name: "c", group: 5))
        }
        let changed = try network.link("c")
        #expect(changed.isUp && changed.mtu == 1300 && changed.address == address)
        #expect(changed.group == 5)
        try network.perform { $0.changeLink(link, LinkChange(isUp: false)) }
        #expect(try !network.link("c").isUp)
        try network.perform { $0.moveLink(link, to: other.namespace) }
        let moved = try other.link("c")
        try other.perform { $0.deleteLink(moved.index) }
        #expect(try network.socket.links().map(\.name) == ["lo"])
    }

    @Test("links of a group are taken away together")
    func groups() throws {
        let network = try TestNetwork()
        try network.perform { batch in
            for number in 0..<20 {
                batch.makeVeth(LinkPlan("g\(number)", group: 4), peer: LinkPlan("h\(number)"))
            }
            batch.makeVeth(LinkPlan("stays"), peer: LinkPlan("too"))
        }
        #expect(try network.socket.links().count == 43)
        try network.perform { $0.deleteLinks(ofGroup: 4) }
        #expect(Set(try network.socket.links().map(\.name)) == ["lo", "stays", "too"])
    }

    @Test("a tunnel's end is placed elsewhere, and its packets take the network it was made in")
    func vxlan() throws {
        let node = try TestNetwork()
        let router = try TestNetwork()
        try node.perform {
            $0.makeVXLAN(
                LinkPlan("vpc7", mtu: 1450, isUp: true, in: router.namespace),
                VXLANPlan(identifier: 70007, local: IPv4Address(127, 0, 0, 1)))
        }
        let link = try router.link("vpc7")
        #expect(link.kind == "vxlan" && link.mtu == 1450)
        let told = try router.tell("ip", ["-d", "link", "show", "dev", "vpc7"])
        for part in ["id 70007", "local 127.0.0.1", "dstport 4789", "nolearning", "noudpcsum"] {
            #expect(told.contains(part), "\(part) in \(told)")
        }
        let entry = ForwardingEntry(.zero, at: IPv4Address(127, 0, 0, 2), on: link.index)
        let known = ForwardingEntry(
            LinkAddress(local: 3), at: IPv4Address(127, 0, 0, 3), on: link.index)
        let further = ForwardingEntry(.zero, at: IPv4Address(127, 0, 0, 4), on: link.index)
        try router.perform {
            $0.addForwarding(entry)
            $0.addForwarding(known)
            $0.addForwarding(further)
        }
        let listed = try router.socket.forwarding(of: link.index)
        #expect(Set(listed) == [entry, known, further])
        #expect(
            try router.tell("bridge", ["fdb", "show", "dev", "vpc7"])
                .contains("02:ac:00:00:00:03 dst 127.0.0.3 "))
        // The socket of the tunnel is the node's.
        #expect(try node.tell("ss", ["-Hlun", "sport = 4789"]).contains(":4789"))
        #expect(try router.tell("ss", ["-Hlun", "sport = 4789"]).isEmpty)
        try router.perform { $0.deleteForwarding(known) }
        #expect(try router.socket.forwarding(of: link.index).count == 2)
    }

    @Test("a macvlan stands on another link, and a bridge above one")
    func others() throws {
        let network = try TestNetwork()
        let other = try TestNetwork()
        try network.perform {
            $0.makeVeth(LinkPlan("card"), peer: LinkPlan("wire"))
            $0.makeBridge(LinkPlan("br"))
        }
        let card = try network.link("card").index
        let wire = try network.link("wire").index
        let bridge = try network.link("br").index
        try network.perform {
            $0.makeMacvlan(LinkPlan("up", in: other.namespace), on: card)
            $0.setMaster(bridge, of: wire)
        }
        #expect(try other.link("up").kind == "macvlan")
        #expect(try network.tell("ip", ["link", "show", "dev", "wire"]).contains("master br"))
        try network.perform { $0.setMaster(nil, of: wire) }
        #expect(try !network.tell("ip", ["link", "show", "dev", "wire"]).contains("master br"))
    }
}
