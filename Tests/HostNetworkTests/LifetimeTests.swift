import Foundation
import HostNetwork
import LinuxKernel
import Netlink
import TestSupport
import Testing

@Suite(.needs(.root, .netAdmin, .sysAdmin, .ip, .nft)) struct LifetimeTests {
    private let lab: Lab

    init() throws { lab = try Lab() }

    /// All that the kernel keeps for the router and for the node.
    private func inventory() throws -> [String] {
        try [Place(lab.network.router), lab.node].flatMap { try $0.inventory() }
    }

    @Test("two hundred slots with all that they can have leave nothing, and their names are free")
    func many() throws {
        let before = try inventory()
        var settings = SlotSettings(isPublic: true, rules: [EgressRule(.deny, transport: .tcp)])
        settings.limits.outwardBytes = TokenBucket(.bytes, perSecond: 1000, burst: 65536)
        settings.limits.inwardPackets = TokenBucket(.packets, perSecond: 1000, burst: 50)
        for _ in 0..<2 {
            let slots = try lab.network.makeSlots(200)
            for slot in slots { try lab.network.apply(settings, to: slot.index) }
            #expect(Set(slots.map(\.address)).count == 200)
            #expect(try Place(lab.network.router).links.links().count == 202)
            try lab.network.giveBack(slots.map(\.index))
            let changes = try difference(inventory(), before)
            #expect(changes == [])
            #expect(lab.network.slots.isEmpty)
        }
    }

    @Test("a sandbox sees the same address, gateway, card and size of packets in every slot")
    func inside() throws {
        let places = try (0..<2).map { _ in try lab.slot().place }
        let seen = try places.map {
            try [
                $0.tell("ip", ["-o", "address", "show", "dev", "eth0"]),
                $0.tell("ip", ["-o", "link", "show", "dev", "eth0"]).replacing(
                    /eth0@if\d+/, with: "eth0"),
                $0.tell("ip", ["route", "show"]), $0.tell("ip", ["neighbour", "show"]),
            ].map { $0.replacing(/\ state [A-Z]+/, with: "") }
        }
        #expect(seen[0] == seen[1])
        let text = seen[0].joined()
        for part in [
            "inet 172.31.255.2/30", "mtu 1450", "link/ether 02:ac:ac:1f:ff:02",
            "default via 172.31.255.1 dev eth0",
            "172.31.255.1 dev eth0 lladdr 02:ac:ac:1f:ff:01 PERMANENT",
        ] { #expect(text.contains(part), "\(part) in \(text)") }
        #expect(!text.contains("inet6"))
    }

    @Test("slots whose sandboxes died with their namespaces are given back all the same")
    func vanished() throws {
        var slots = try lab.network.makeSlots(3)
        let indices = slots.map(\.index)
        slots.removeAll()
        try lab.network.giveBack(indices)
        #expect(lab.network.slots.isEmpty)
        #expect(try Place(lab.network.router).links.links().count == 2)
    }

    @Test("a pool hands out what is ready, makes what is not, and takes nothing twice")
    func pool() throws {
        let pool = SlotPool(lab.network, size: 5)
        try pool.fill()
        #expect(pool.count == 5)
        let links = try Place(lab.network.router).links
        let before = try links.links()
        let taken = try (0..<5).map { _ in try pool.take(SlotSettings(isPublic: true)) }
        // Nothing was made or moved.
        #expect(try links.links().map(\.index) == before.map(\.index))
        #expect(Set(taken.map(\.index)).count == 5 && pool.count == 0 && pool.missed == 0)
        let late = try pool.take(SlotSettings())
        #expect(pool.missed == 1 && !taken.map(\.index).contains(late.index))
        try pool.fill()
        #expect(pool.count == 5 && lab.network.slots.count == 11)
        #expect(throws: HostNetworkError.self) {
            _ = try pool.take(SlotSettings(rules: [EgressRule(.deny, ports: 1...2)]))
        }
        #expect(pool.count == 5)
        pool.size = 2
        try pool.fill()
        #expect(pool.count == 2 && lab.network.slots.count == 8)
        try pool.drain()
        try lab.network.giveBack(taken.map(\.index) + [late.index])
        #expect(lab.network.slots.isEmpty)
    }

    @Test("the next agent takes the router over: flows go on, what nobody owns is gone")
    func adoption() throws {
        let kept = try lab.slot()
        let lost = try lab.slot()
        let server = try TestSocket(.stream, in: lab.world.namespace)
        try server.bind(Lab.server, 80)
        try server.listen()
        let client = try kept.stream()
        try client.connect(Lab.server, 80)
        let connection = try server.accept()
        try client.send(Array("before".utf8))
        #expect(try connection.receive()?.text == "before")
        let settings = try #require(lab.network.settings(of: kept.slot.index))
        let next = try lab.reopened(.init(slots: [kept.slot.index: settings]))
        #expect(next.slots == [kept.slot.index])
        try client.send(Array("after".utf8))
        #expect(try connection.receive()?.text == "after")
        let names = try Place(next.router).links.links().map(\.name)
        #expect(names.contains(kept.slot.index.linkName))
        #expect(!names.contains(lost.slot.index.linkName))
        #expect(try lost.place.links.links().map(\.name) == ["lo"])
        // Once more with nothing known: as if it were new.
        _ = try lab.reopened(.init())
        let fresh = try Lab()
        #expect(
            try Place(next.router).tell("nft", ["list", "ruleset"])
                == Place(fresh.network.router).tell("nft", ["list", "ruleset"]))
    }

    @Test(
        "after an agent that was killed at work nothing is left",
        arguments: ["slots 300", "new", "vpc 3", "attach 5", "rules 5", "clear"])
    func killed(work: String) throws {
        let path = lab.path + "-killed"
        let agent = try ChildProcess(Products.toolPath("NetworkProbe"), arguments: [path])
        try agent.waitForOutput("\n")
        let number = try #require(agent.output.split(separator: " ").first)
        let node = try #require(
            try NetworkNamespace.pinned(at: "/proc/\(agent.pid)/fd/\(number)"))
        // The last is nothing that it knows.
        agent.write("slots 32\nnew\nattach 3\nready\n")
        try agent.waitForOutput("unknown")
        // It is at it, or about to begin, or done.
        agent.write(work + "\n")
        try agent.send(signal: 9)
        _ = try agent.finish()
        let next = try HostNetwork.open(NodeNetworkSettings(), node: node, pinnedAt: path)
        let router = try Place(next.router)
        let fresh = try HostNetwork.open(
            NodeNetworkSettings(), node: Place().namespace, pinnedAt: path + "-fresh")
        let expected = try Place(fresh.router)
        #expect(Set(try router.links.links().map(\.name)) == ["lo", "uplink"])
        #expect(try router.links.rules() == expected.links.rules())
        #expect(try router.links.routes() == expected.links.routes())
        #expect(try router.links.neighbours().isEmpty)
        #expect(
            try router.tell("nft", ["list", "ruleset"])
                == expected.tell("nft", ["list", "ruleset"]))
        // And all of it can be made again.
        #expect(try next.makeSlots(40).count == 40)
        try next.remove(pinnedAt: path)
        try fresh.remove(pinnedAt: path + "-fresh")
    }

    @Test("a router that is removed leaves nothing on the node")
    func removal() throws {
        let other = try Place()
        let path = lab.path + "-other"
        let before = try other.tell("ip", ["route", "show", "table", "all"])
        let network = try HostNetwork.open(
            NodeNetworkSettings(), node: other.namespace, pinnedAt: path)
        #expect(try NetworkNamespace.pinned(at: path) != nil)
        try network.remove(pinnedAt: path)
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(try other.links.links().map(\.name) == ["lo"])
        #expect(try other.tell("nft", ["list", "ruleset"]).isEmpty)
        #expect(try other.tell("ip", ["route", "show", "table", "all"]) == before)
    }

    @Test("settings that cannot work are refused with the reason")
    func refusals() throws {
        let node = try Place()
        let small = IPv4Prefix(containing: IPv4Address(100, 64, 0, 0), length: 29)
        let inside = IPv4Prefix(containing: IPv4Address(100, 64, 3, 0), length: 30)
        for (settings, words) in [
            (NodeNetworkSettings(slots: small), "between 8 and 28 bits"),
            (NodeNetworkSettings(uplink: inside), "`100.64.0.0/16` and `100.64.3.0/30` overlap"),
            (NodeNetworkSettings(uplinkName: ""), "must have 1 to 15 bytes"),
            (NodeNetworkSettings(mtu: 100), "must be between 576 and 65000"),
        ] {
            let error = try #require(throws: HostNetworkError.self) {
                _ = try HostNetwork.open(
                    settings, node: node.namespace, pinnedAt: lab.path + "-refused")
            }
            #expect(error.description.contains(words), "\(error)")
        }
        #expect(!FileManager.default.fileExists(atPath: lab.path + "-refused"))
    }

    @Test("a microVM's link has the same layout, with its descriptor for a monitor", .needs(.tun))
    func tap() throws {
        let slot = try #require(try lab.network.makeSlots(1, .tap).first)
        try lab.network.apply(SlotSettings(isPublic: true), to: slot.index)
        #expect(slot.tapDescriptor >= 0 && slot.namespace == nil)
        let link = try #require(
            try Place(lab.network.router).links.links().first { $0.name == slot.index.linkName })
        #expect(link.kind == "tun" && link.isUp && link.mtu == 1450)
        #expect(link.address == SandboxNetwork.gatewayLinkAddress)
        try lab.network.giveBack([slot.index])
        #expect(try Place(lab.network.router).links.links().count == 2)
    }
}
