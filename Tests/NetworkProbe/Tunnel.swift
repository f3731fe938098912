import HostNetwork
import LinuxKernel
import Netlink

/// A compute node in the namespace that this program is started in, with one sandbox in a VPC. It
/// asks the proxies whether they are alive, and says what becomes of them, until its input ends.
struct Tunnel {
    private let network: HostNetwork
    private let path: String
    private let plan: VPCPlan
    private let slot: SandboxSlot
    private let loop: EventLoop

    /// - Parameter words: the router's path, the node's addresses outside and inside, the tunnel's
    ///   number and the prefix; then for each proxy the same addresses and its rank, with commas.
    init(_ words: [String]) throws {
        guard words.count > 5, let number = VPCNumber(rawValue: 1),
            let node = IPv4Address(words[1]), let inside = IPv4Address(words[2]),
            let identifier = UInt32(words[3]), let prefix = IPv4Prefix(words[4])
        else { fatalError("tunnel PATH NODE INSIDE NUMBER PREFIX PROXY…") }
        path = words[0]
        plan = VPCPlan(
            number: number, identifier: identifier, prefixes: [prefix], node: node,
            address: inside, proxies: words[5...].compactMap(Self.proxy))
        network = try HostNetwork.open(
            NodeNetworkSettings(), node: try NetworkNamespace.current(), pinnedAt: path)
        try network.addVPC(plan)
        slot = try network.makeSlots(1)[0]
        try network.attach(plan.number, to: slot.index)
        loop = try EventLoop()
    }

    private static func proxy(_ text: String) -> VPCProxy? {
        let parts = text.split(separator: ",")
        guard parts.count == 3, let node = IPv4Address(parts[0]),
            let inside = IPv4Address(parts[1]), let rank = UInt8(parts[2])
        else { return nil }
        return VPCProxy(
            node: node, address: inside, linkAddress: LinkAddress(local: inside.rawValue),
            rank: rank)
    }

    func run() throws {
        let prober = try ProxyProber(network, on: loop) { change in
            let used = change.used.map { "\($0.address)" }.joined(separator: " ")
            print("\(change.proxy.address) is \(change.isAlive ? "alive" : "dead"), used: \(used)")
            flushOutput()
        }
        var byte: [UInt8] = [0]
        let watch = try loop.watch(0, for: .readable) { [loop] _ in
            guard case .bytes(0) = UnixSockets.receive(0, into: &byte) else { return }
            prober.close()
            loop.stop()
        }
        print(slot.namespace?.descriptor ?? -1)
        flushOutput()
        loop.runOnThisThread()
        withExtendedLifetime(watch) {}
        try network.remove(pinnedAt: path)
    }
}
