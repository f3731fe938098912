import HostNetwork
import LinuxKernel
import Netlink
import TestSupport
import Testing

@Suite(.needs(.root, .netAdmin, .sysAdmin, .ip, .nft)) struct VPCUpdateTests {
    private let lab: Lab
    private let tenant: Tenant
    /// Outside the prefix that the tenant has at first.
    private static let other = IPv4Address(10, 8, 0, 5)

    init() throws {
        lab = try Lab()
        tenant = try Tenant(lab, 1)
        try tenant.place.perform {
            $0.addAddress(LinkAddressing(Self.other, prefixLength: 32, on: .loopback))
        }
        try lab.network.addVPC(tenant.plan)
    }

    private func plan(_ prefixes: String...) throws -> VPCPlan {
        var plan = tenant.plan
        plan.prefixes = try prefixes.map { try #require(IPv4Prefix($0)) }
        return plan
    }

    @Test("prefixes come and go under a connection, which goes on")
    func prefixes() throws {
        let sandbox = try lab.slot(SlotSettings(vpcs: [tenant.plan.number]))
        let server = try TestSocket(.stream, in: tenant.place.namespace)
        try server.bind(Tenant.server, 80)
        try server.listen()
        let client = try sandbox.stream()
        try client.connect(Tenant.server, 80)
        let connection = try server.accept()
        let (listener, datagrams) = (try tenant.listener(Self.other), try sandbox.datagrams())
        let rounds: [(plan: VPCPlan, isOpen: Bool)] = [
            (try plan("10.0.0.0/16", "10.8.0.0/16"), true),
            (try plan("10.0.0.0/8"), true),
            (try plan("10.0.0.0/24"), false),
            (try plan("10.8.0.0/24", "10.0.0.4/31"), true),
            (tenant.plan, false),
        ]
        for (index, round) in rounds.enumerated() {
            try lab.network.updateVPC(round.plan)
            #expect(lab.network.vpcs == [round.plan])
            try datagrams.send("\(index)", to: Self.other, 7000)
            try client.send(Array("\(index)".utf8))
            #expect(try connection.receive()?.text == "\(index)")
            #expect(try listener.receive(waiting: false)?.text == (round.isOpen ? "\(index)" : nil))
        }
    }

    @Test("what an update leaves is what a network has that was so from the beginning")
    func remainder() throws {
        let router = try Place(lab.network.router)
        let before = try router.inventory()
        var plan = try plan("10.8.0.0/16", "10.9.0.0/24")
        for byte in [UInt8(7), 8] {
            let inside = IPv4Address(10, 255, 0, byte)
            plan.proxies.append(
                VPCProxy(
                    node: IPv4Address(192, 0, 1, byte), address: inside,
                    linkAddress: LinkAddress(local: inside.rawValue)))
        }
        plan.proxies.removeFirst()
        try lab.network.updateVPC(plan)
        let changed = try router.inventory()
        #expect(changed.contains { $0.contains("10.255.0.8 dev v70001") })
        #expect(!changed.contains { $0.contains("10.255.0.1 ") || $0.contains("192.0.1.2 ") })
        #expect(!changed.contains { $0.contains("10.0.0.0/16") })
        try lab.network.updateVPC(tenant.plan)
        #expect(try difference(router.inventory(), before) == [])
    }

    @Test("a proxy that has moved to another machine is found there")
    func moved() throws {
        let sandbox = try lab.slot(SlotSettings(vpcs: [tenant.plan.number]))
        var plan = tenant.plan
        plan.proxies[0].node = IPv4Address(192, 0, 1, 77)
        try lab.network.updateVPC(plan)
        let listener = try tenant.listener()
        try sandbox.datagrams().send("lost", to: Tenant.server, 7000)
        try lab.network.updateVPC(tenant.plan)
        try sandbox.datagrams().send("found", to: Tenant.server, 7000)
        #expect(try listener.receive()?.text == "found")
    }

    @Test("a prefix that clashes with another network of a sandbox is refused, and changes nothing")
    func clash() throws {
        let other = try Tenant(lab, 2, prefix: "10.8.0.0/16")
        try lab.network.addVPC(other.plan)
        let numbers: Set = [tenant.plan.number, other.plan.number]
        let sandbox = try lab.slot(SlotSettings(vpcs: numbers))
        let router = try Place(lab.network.router)
        let before = try router.inventory()
        let wider = try plan("10.0.0.0/8")
        let error = try #require(throws: HostNetworkError.self) {
            try lab.network.updateVPC(wider)
        }
        #expect(
            error.description == "`10.0.0.0/8` of VPC 1 and `10.8.0.0/16` of VPC 2 overlap, and "
                + "\(sandbox.slot.index) is attached to both")
        #expect(try difference(router.inventory(), before) == [])
        try lab.network.detach(other.plan.number, from: sandbox.slot.index)
        try lab.network.updateVPC(wider)
    }

    @Test("what makes a network another one is refused")
    func refusals() throws {
        var plans = [VPCPlan](repeating: tenant.plan, count: 4)
        plans[0].identifier += 1
        plans[1].address = IPv4Address(10, 255, 0, 77)
        plans[2].proxies += plans[2].proxies
        plans[3].number = try #require(VPCNumber(rawValue: 9))
        let words = ["cannot change", "cannot change", "two proxies", "not known on this node"]
        for (plan, words) in zip(plans, words) {
            let error = try #require(throws: HostNetworkError.self) {
                try lab.network.updateVPC(plan)
            }
            #expect(error.description.contains(words), "\(error)")
        }
        #expect(lab.network.vpcs == [tenant.plan])
    }

    @Test("what the last agent did not finish is taken away by the next")
    func unfinished() throws {
        var plan = try plan("10.0.0.0/16", "10.8.0.0/16")
        let inside = IPv4Address(10, 255, 0, 7)
        plan.proxies.append(
            VPCProxy(
                node: IPv4Address(192, 0, 1, 7), address: inside,
                linkAddress: LinkAddress(local: inside.rawValue)))
        let router = try Place(lab.network.router)
        let before = try router.inventory()
        try lab.network.updateVPC(plan)
        let next = try lab.reopened(.init(vpcs: [tenant.plan]))
        #expect(next.vpcs == [tenant.plan])
        #expect(try difference(router.inventory(), before) == [])
    }
}
