import HostNetwork
import LinuxKernel
import Netlink
import TestSupport
import Testing

/// A tenant's network with two proxies, each of which is a server too, and says which one it is.
private struct TwoProxies {
    static let server = IPv4Address(10, 0, 0, 5)
    static let node = IPv4Address(10, 255, 0, 2)
    private static let bridge = InterfaceIndex(rawValue: 200)
    private static let tunnel = InterfaceIndex(rawValue: 6)

    let places: [Place]
    let plan: VPCPlan

    init(_ lab: Lab, _ number: UInt16 = 1, ranks: [UInt8] = [0, 0]) throws {
        let node = IPv4Address(192, 0, 2, 1)
        try lab.node.perform {
            $0.makeBridge(LinkPlan("under", index: Self.bridge, isUp: true))
            $0.addAddress(LinkAddressing(node, prefixLength: 24, on: Self.bridge))
        }
        places = try ranks.map { _ in try Place() }
        var proxies: [VPCProxy] = []
        for (index, rank) in ranks.enumerated() {
            let byte = UInt8(10 + index)
            let inside = IPv4Address(10, 255, 0, byte)
            proxies.append(
                VPCProxy(
                    node: IPv4Address(192, 0, 2, byte), address: inside,
                    linkAddress: LinkAddress(local: inside.rawValue), rank: rank))
        }
        plan = VPCPlan(
            number: try #require(VPCNumber(rawValue: number)), identifier: 70000 + UInt32(number),
            prefixes: [IPv4Prefix(containing: Self.server, length: 16)], node: node,
            address: Self.node, proxies: proxies)
        for (index, place) in places.enumerated() { try make(index, place, lab) }
    }

    private func make(_ index: Int, _ place: Place, _ lab: Lab) throws {
        let proxy = plan.proxies[index]
        let (outer, inner) = (
            InterfaceIndex(rawValue: 210 + UInt32(index)), InterfaceIndex(rawValue: 5)
        )
        try lab.node.perform {
            $0.makeVeth(
                LinkPlan("to\(index)", index: outer, isUp: true),
                peer: LinkPlan("under", index: inner, in: place.namespace))
            $0.setMaster(Self.bridge, of: outer)
        }
        try place.perform {
            $0.changeLink(inner, LinkChange(isUp: true))
            $0.addAddress(LinkAddressing(proxy.node, prefixLength: 24, on: inner))
            $0.addAddress(LinkAddressing(Self.server, prefixLength: 32, on: .loopback))
            $0.makeVXLAN(
                LinkPlan(
                    "tunnel", index: Self.tunnel, address: proxy.linkAddress, mtu: 1450,
                    isUp: true),
                VXLANPlan(identifier: plan.identifier, local: proxy.node))
            $0.addAddress(LinkAddressing(proxy.address, prefixLength: 24, on: Self.tunnel))
            $0.addNeighbour(Neighbour(plan.address, at: plan.linkAddress, on: Self.tunnel))
            $0.addForwarding(ForwardingEntry(plan.linkAddress, at: plan.node, on: Self.tunnel))
        }
        try lab.node.perform { $0.settleLink(outer) }
    }

    func listener(_ index: Int) throws -> TestSocket {
        let socket = try TestSocket(.datagrams, in: places[index].namespace)
        try socket.bind(Self.server, 7000)
        return socket
    }

    /// The cable of a proxy is pulled, or put back.
    func cable(_ index: Int, isUp: Bool) throws {
        try places[index].perform {
            $0.changeLink(InterfaceIndex(rawValue: 5), LinkChange(isUp: isUp))
        }
    }
}

/// A prober on the test's own thread.
private final class ProberScene {
    let lab: Lab
    let loop: EventLoop
    let two: TwoProxies
    private(set) var changes: [ProxyChange] = []
    private(set) var prober: ProxyProber?

    static let settings = ProxyProberSettings(
        interval: .milliseconds(20), rules: LivenessRules(losses: 3, answers: 2))

    init(ranks: [UInt8] = [0, 0]) throws {
        lab = try Lab()
        loop = try EventLoop()
        two = try TwoProxies(lab, ranks: ranks)
        try lab.network.addVPC(two.plan)
        prober = try ProxyProber(lab.network, Self.settings, on: loop) { [weak self] in
            self?.changes.append($0)
        }
    }

    deinit { prober?.close() }

    /// Waits until that many changes have been told.
    func wait(forChanges count: Int) { loop.runOnThisThread { changes.count >= count } }

    var health: [ProxyHealth] { prober?.health(of: two.plan.number) ?? [] }

    func wait(until isSo: ([ProxyHealth]) -> Bool) { loop.runOnThisThread { isSo(health) } }

    /// Who gets datagrams of so many flows: how many each.
    func spread(_ sandbox: Sandbox, _ count: Int = 64) throws -> [Int] {
        let listeners = try two.places.indices.map { try two.listener($0) }
        for _ in 0..<count { try sandbox.datagrams().send("x", to: TwoProxies.server, 7000) }
        return try listeners.map { listener in
            var received = 0
            while try listener.receive(waiting: false) != nil { received += 1 }
            return received
        }
    }
}

@Suite(.needs(.root, .netAdmin, .sysAdmin, .ip, .nft)) struct ProxyProberTests {
    @Test("flows go to the proxy that is left, and to both when the other one is back")
    func death() throws {
        let scene = try ProberScene()
        let sandbox = try scene.lab.slot(SlotSettings(vpcs: [scene.two.plan.number]))
        scene.wait { $0.allSatisfy { $0.liveness.roundTrip != nil } }
        #expect(scene.health.allSatisfy { $0.liveness.isAlive && $0.isUsed })
        #expect(try scene.spread(sandbox).allSatisfy { $0 > 0 })
        try scene.two.cable(0, isUp: false)
        scene.wait(forChanges: 1)
        #expect(try scene.spread(sandbox) == [0, 64])
        #expect(scene.health.map(\.isUsed) == [false, true])
        #expect(scene.health[0].liveness.lost >= 3)
        try scene.two.cable(0, isUp: true)
        scene.wait(forChanges: 2)
        #expect(scene.changes.map(\.isAlive) == [false, true])
        #expect(scene.changes.map(\.proxy.address).allSatisfy { $0.bytes[3] == 10 })
        #expect(scene.changes.map(\.used.count) == [1, 2])
        #expect(try scene.spread(sandbox).reduce(0, +) == 64)
        #expect(scene.health.map(\.isUsed) == [true, true])
        // Nothing of it was for the router, or from it.
        #expect(try scene.lab.drops(.router) == 0)
    }

    @Test("a flow of the proxy that is left stays with it when the other one comes back")
    func affinity() throws {
        let scene = try ProberScene()
        let sandbox = try scene.lab.slot(SlotSettings(vpcs: [scene.two.plan.number]))
        try scene.two.cable(0, isUp: false)
        scene.wait(forChanges: 1)
        let clients = try (0..<32).map { _ in try sandbox.datagrams() }
        let listeners = try scene.two.places.indices.map { try scene.two.listener($0) }
        func send() throws -> [Int] {
            for client in clients { try client.send("x", to: TwoProxies.server, 7000) }
            return try listeners.map { listener in
                var received = 0
                while try listener.receive(waiting: false) != nil { received += 1 }
                return received
            }
        }
        // The kernel takes a packet in the moment of the change for one before it.
        let sent = scene.health[1].liveness.sent
        scene.wait { $0[1].liveness.sent > sent + 1 }
        #expect(try send() == [0, 32])
        try scene.two.cable(0, isUp: true)
        scene.wait(forChanges: 2)
        let later = try send()
        #expect(later == [0, 32])
    }

    @Test("of two ranks the better one is used as long as it is alive, and all when nobody is")
    func ranks() throws {
        let scene = try ProberScene(ranks: [1, 0])
        let sandbox = try scene.lab.slot(SlotSettings(vpcs: [scene.two.plan.number]))
        #expect(try scene.spread(sandbox, 16) == [0, 16])
        try scene.two.cable(1, isUp: false)
        scene.wait(forChanges: 1)
        #expect(try scene.spread(sandbox, 16) == [16, 0])
        try scene.two.cable(0, isUp: false)
        scene.wait(forChanges: 2)
        #expect(scene.lab.network.usedProxies(of: scene.two.plan.number).map(\.rank) == [0])
        try scene.two.cable(0, isUp: true)
        scene.wait(forChanges: 3)
        #expect(try scene.spread(sandbox, 16) == [16, 0])
        try scene.two.cable(1, isUp: true)
        scene.wait(forChanges: 4)
        #expect(try scene.spread(sandbox, 16) == [0, 16])
    }

    @Test("the next agent knows who was dead, and asks again")
    func adoption() throws {
        let scene = try ProberScene()
        let number = scene.two.plan.number
        try scene.two.cable(0, isUp: false)
        scene.wait(forChanges: 1)
        scene.prober?.close()
        let next = try scene.lab.reopened(.init(vpcs: [scene.two.plan]))
        #expect(next.usedProxies(of: number) == [scene.two.plan.proxies[1]])
        #expect(next.silentProxies(of: number) == [scene.two.plan.proxies[0].address])
        var changes: [ProxyChange] = []
        let prober = try ProxyProber(next, ProberScene.settings, on: scene.loop) {
            changes.append($0)
        }
        try scene.two.cable(0, isUp: true)
        scene.loop.runOnThisThread { !changes.isEmpty }
        #expect(changes.map(\.isAlive) == [true])
        #expect(next.usedProxies(of: number) == scene.two.plan.proxies)
        prober.close()
    }

    @Test("networks and proxies come and go while it asks")
    func refresh() throws {
        let scene = try ProberScene()
        let prober = try #require(scene.prober)
        var plan = scene.two.plan
        plan.proxies.removeFirst()
        try scene.lab.network.updateVPC(plan)
        try prober.refresh()
        #expect(scene.health.map(\.proxy) == plan.proxies)
        try scene.lab.network.updateVPC(scene.two.plan)
        try prober.refresh()
        scene.wait { $0.count == 2 && $0.allSatisfy { $0.liveness.roundTrip != nil } }
        try scene.lab.network.removeVPC(plan.number)
        try prober.refresh()
        #expect(scene.health.isEmpty)
        try scene.lab.network.addVPC(plan)
        try prober.refresh()
        scene.wait { $0.count == 1 && $0.allSatisfy { $0.liveness.roundTrip != nil } }
        #expect(scene.changes == [])
    }
}
