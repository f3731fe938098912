import Glibc
import HostNetwork
import LinuxKernel
import Netlink

func flushOutput() { fflush(nil) }

func exitWithFailure() -> Never { exit(1) }

func exitWithSuccess() -> Never { exit(0) }

struct Probe {
    private let node: NetworkNamespace
    private let network: HostNetwork
    private let path: String
    private let vpc: VPCPlan
    private var slots: [SandboxSlot] = []
    private let proxy: NetworkNamespace
    private let server: Datagrams
    /// What was made by `new`, and is to be taken away.
    private var extra: [SandboxSlot] = []

    init(path: String) throws {
        self.path = path
        node = try NetworkNamespace.make(count: 1)[0]
        proxy = try NetworkNamespace.make(count: 1)[0]
        // Addresses that links give themselves come when they like.
        if Files.exists("/proc/sys/net/ipv6/conf") {
            for namespace in [node, proxy] {
                try namespace.write([("ipv6/conf/default/disable_ipv6", "1")])
            }
        }
        network = try HostNetwork.open(
            NodeNetworkSettings(), node: node, pinnedAt: path)
        vpc = Self.plan(1)
        try Self.makeProxy(vpc, node, proxy)
        try network.addVPC(vpc)
        server = try Datagrams(in: proxy)
        server.bind(Self.inside, 7000)
    }

    private static let inside = IPv4Address(10, 0, 0, 5)

    /// The other end of the tunnel, with a server of the tenant's.
    private static func makeProxy(
        _ plan: VPCPlan, _ node: NetworkNamespace, _ namespace: NetworkNamespace
    ) throws {
        let (under, tunnel) = (InterfaceIndex(rawValue: 5), InterfaceIndex(rawValue: 6))
        let end = plan.proxies[0]
        var outer = NetlinkBatch()
        outer.makeVeth(
            LinkPlan("under", index: under, isUp: true),
            peer: LinkPlan("under", index: under, in: namespace))
        outer.addAddress(LinkAddressing(plan.node, prefixLength: 24, on: under))
        var inner = NetlinkBatch()
        inner.changeLink(under, LinkChange(isUp: true))
        inner.addAddress(LinkAddressing(end.node, prefixLength: 24, on: under))
        inner.addAddress(LinkAddressing(inside, prefixLength: 32, on: .loopback))
        inner.makeVXLAN(
            LinkPlan("tunnel", index: tunnel, address: end.linkAddress, mtu: 1450, isUp: true),
            VXLANPlan(identifier: plan.identifier, local: end.node))
        inner.addAddress(LinkAddressing(end.address, prefixLength: 24, on: tunnel))
        inner.addNeighbour(Neighbour(plan.address, at: plan.linkAddress, on: tunnel))
        inner.addForwarding(ForwardingEntry(plan.linkAddress, at: plan.node, on: tunnel))
        let links = try NetlinkSocket(.route, in: node)
        try links.perform(outer)
        try NetlinkSocket(.route, in: namespace).perform(inner)
        var last = NetlinkBatch()
        last.settleLink(under)
        try links.perform(last)
    }

    private static func plan(_ number: UInt16) -> VPCPlan {
        guard let number = VPCNumber(rawValue: number) else { fatalError("a VPC has a number") }
        let inside = IPv4Address(10, 255, 0, 1)
        return VPCPlan(
            number: number, identifier: 70000 + UInt32(number.rawValue),
            prefixes: [IPv4Prefix(containing: IPv4Address(10, 0, 0, 0), length: 16)],
            node: IPv4Address(192, 0, 2, 1), address: IPv4Address(10, 255, 0, 2),
            proxies: [
                VPCProxy(
                    node: IPv4Address(192, 0, 2, 2), address: inside,
                    linkAddress: LinkAddress(local: inside.rawValue))
            ])
    }

    func introduce() {
        print("\(node.descriptor) \(network.router.descriptor)")
        flushOutput()
    }

    mutating func perform(_ words: [String]) throws -> String {
        let number = words.count > 1 ? Int(words[1]) ?? 0 : 0
        switch words.first {
        case "slots":
            while slots.count < number {
                slots += try network.makeSlots(min(64, number - slots.count))
            }
            return "\(slots.count)"
        case "attach":
            return try timed { try network.attach(vpc.number, to: slots[number].index) }
        case "detach":
            return try timed { try network.detach(vpc.number, from: slots[number].index) }
        case "packet":
            // The first of a slot that was just attached, there and back.
            guard let namespace = slots[number].namespace else { return "failed: no namespace" }
            let client = try Datagrams(in: namespace)
            client.aim(at: Self.inside, 7000)
            var arrived = false
            let time = timed {
                arrived = client.send() && server.receive() && server.send() && client.receive()
            }
            return arrived ? time : "failed: a packet was lost"
        case "rules":
            let rules = (0..<8).map {
                EgressRule(
                    $0 % 2 == 0 ? .allow : .deny,
                    IPv4Prefix(IPv4Address(10, 1, UInt8($0), UInt8(number % 250))))
            }
            let slot = slots[number % slots.count].index
            return try timed { try network.change(slot) { $0.rules = rules } }
        case "new":
            return try timed {
                let made = try network.makeSlots(1)
                try network.attach(vpc.number, to: made[0].index)
                extra += made
            }
        case "clear":
            defer { extra = [] }
            return try timed { try network.giveBack(extra.map(\.index)) }
        case "cycles":
            var cycles = Cycles(
                network, vpc.number, seed: words.count > 2 ? UInt64(words[2]) ?? 1 : 1)
            return try timed { try cycles.run(number) }
        case "vpc":
            let plan = Self.plan(UInt16(number))
            let slot = slots[0].index
            try network.change(slot) { $0.vpcs = [] }
            let time = try timed {
                try network.addVPC(plan)
                try network.attach(plan.number, to: slot)
            }
            try network.detach(plan.number, from: slot)
            try network.removeVPC(plan.number)
            return time
        default: return "unknown"
        }
    }

    /// Nanoseconds.
    private func timed(_ body: () throws -> Void) rethrows -> String {
        let clock = ContinuousClock()
        let time = try clock.measure(body).components
        return "\(time.seconds * 1_000_000_000 + time.attoseconds / 1_000_000_000)"
    }

    func end() throws { try network.remove(pinnedAt: path) }
}
