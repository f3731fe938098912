import AgentAPI
import Foundation
import HostNetwork
import LinuxKernel
import Netlink
import RPC
import TestSupport
import Testing

/// A proxy node with a cable to the underlay and one to the tenant's segment, which is moved into
/// the VPC.
final class ProxyMachine {
    let number: UInt8
    let place: Place
    private let folder: URL
    private(set) var process: TestSupport.ChildProcess
    private var isKilled = false

    var underlay: String { "192.0.2.\(number)" }
    var tunnel: String { "100.96.0.\(number)" }
    private var socket: String { folder.appendingPathComponent("proxy.sock").path }

    init(_ number: UInt8, to wire: Place, below parent: URL) throws {
        self.number = number
        folder = parent.appendingPathComponent("\(number)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        place = try Place()
        for (name, bridge) in [("under", "under"), ("card", "blue")] {
            try wire.ip(
                "link add \(bridge)-\(number) type veth peer name \(name) netns \(place.number)",
                place)
            try wire.ip("link set \(bridge)-\(number) master \(bridge) up")
        }
        try place.ip("address add 192.0.2.\(number)/24 dev under")
        try place.ip("link set under up")
        process = try Self.start(folder, place, number)
    }

    private static func start(
        _ folder: URL, _ place: Place, _ number: UInt8
    ) throws -> TestSupport.ChildProcess {
        let process = try place.start(
            try Products.path("alcove-proxy"),
            [
                "--socket", folder.path + "/proxy.sock", "--state", folder.path + "/state",
                "--namespaces", folder.path + "/netns", "--underlay", "192.0.2.\(number)",
                "--log-format", "json",
            ])
        try process.waitForErrorOutput("\"serving\"")
        return process
    }

    func kill() throws {
        isKilled = true
        try process.send(signal: 9)
        try process.waitForEnd()
    }

    func restart() throws {
        process = try Self.start(folder, place, number)
        isKilled = false
    }

    func end() throws {
        if !isKilled {
            try process.send(signal: 15)
            try process.waitForEnd()
        }
        let namespaces = folder.path + "/netns"
        for pin in try FileManager.default.contentsOfDirectory(atPath: namespaces) {
            _ = try run("umount", arguments: ["\(namespaces)/\(pin)"])
        }
    }

    // MARK: - Calls

    func connect() throws -> AgentConnection { try AgentConnection(path: socket) }

    func vpc() throws -> VPC {
        try #require(
            try connect().request(ProxyMethods.list, ListVPCsRequest(id: "blue")).vpcs.first)
    }

    @discardableResult
    func create(_ change: (inout VPCSpec) -> Void) throws -> VPC {
        var spec = VPCSpec(
            vni: 7, prefixes: ["10.1.0.0/24", "10.9.0.0/16"],
            uplink: Uplink(
                kind: .link(.init(name: "card")), address: "10.1.0.\(number)/24",
                gateway: "10.1.0.1"),
            egressAddresses: ["10.1.0.6"], tunnelAddress: "\(tunnel)/16")
        change(&spec)
        let response = try connect().request(
            ProxyMethods.createVPC, CreateVPCRequest(id: "blue", spec: spec))
        return try #require(response.vpc)
    }

    func attach(_ node: VPCNode) throws {
        _ = try connect().request(
            ProxyMethods.attachNode, AttachNodeRequest(vpcID: "blue", node: node))
    }

    func addInbound(_ address: String, to sandbox: String) throws {
        _ = try connect().request(
            ProxyMethods.addInbound,
            AddInboundRequest(
                vpcID: "blue",
                inbound: InboundAddress(
                    address: address, tunnelAddress: sandbox, nodeID: "node-2")))
    }

    /// The first that is of the kind, from a number on.
    func wait(from number: UInt64 = 1, for isIt: (VPCEvent) -> Bool) throws -> VPCEvent {
        let connection = try connect()
        defer { withExtendedLifetime(connection) {} }
        let stream = connection.stream(
            ProxyMethods.watch, WatchVPCsRequest(fromNumber: number), timeout: .seconds(60))
        while let event = try stream.next() {
            if isIt(event) { return event }
        }
        throw CallFailure(.cancelled, reason: "ended", "there was no such event")
    }

    /// Waits until the fixed addresses have come or gone. Gives the number of the next event.
    @discardableResult
    func wait(from number: UInt64 = 1, isHere: Bool) throws -> UInt64 {
        try wait(from: number) { event in
            guard case .egressMoved(let moved) = event.kind else { return false }
            return moved.isHere == isHere
        }.number + 1
    }

    func lastEvent() throws -> UInt64 {
        try connect().request(ProxyMethods.list, ListVPCsRequest()).eventNumber
    }
}

/// Two proxies of a VPC, a compute node that asks them whether they are alive, and the tenant:
///
///     compute node ──┐         ┌── proxy 10 ──┐
///       sandbox      ├─ under ─┤              ├─ blue ── tenant
///                    ┘         └── proxy 11 ──┘
final class FailoverScene {
    let folder: URL
    let wire: Place
    let tenant: Place
    let machines: [ProxyMachine]
    let network: HostNetwork
    let sandbox: Place
    let plan: VPCPlan
    private let slot: SlotIndex
    private let node: Place
    private let server: TestSupport.ChildProcess
    private let loop: EventLoop
    private var thread: KernelThread?
    private let prober: Locked<ProxyProber?>

    init(sharing: Bool) throws {
        folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("failover-\(UUID().uuidString.prefix(8))")
        wire = try Place()
        for bridge in ["under", "blue"] {
            try wire.ip("link add \(bridge) type bridge")
            try wire.ip("link set \(bridge) up")
        }
        let (wire, folder) = (wire, folder)
        tenant = try Place()
        try wire.ip("link add to-blue type veth peer name eth0 netns \(tenant.number)", tenant)
        try wire.ip("link set to-blue master blue up")
        try tenant.ip("address add 10.1.0.1/24 dev eth0")
        try tenant.ip("address add 10.9.0.1/32 dev eth0")
        try tenant.ip("link set eth0 up")
        server = try tenant.start("python3", ["-u", "-c", ProxyScene.server, "blue"])
        try server.waitForOutput("listening")
        node = try Place()
        try wire.ip("link add under-2 type veth peer name under netns \(node.number)", node)
        try wire.ip("link set under-2 master under up")
        try node.ip("address add 192.0.2.2/24 dev under")
        try node.ip("link set under up")
        let machines = try [UInt8(10), 11].map { try ProxyMachine($0, to: wire, below: folder) }
        self.machines = machines
        network = try HostNetwork.open(
            NodeNetworkSettings(), node: node.namespace, pinnedAt: folder.path + "/router")
        plan = try Self.makeVPC(machines, sharing: sharing)
        try network.addVPC(plan)
        let slot = try #require(try network.makeSlots(1).first)
        try network.apply(SlotSettings(vpcs: [plan.number]), to: slot.index)
        self.slot = slot.index
        sandbox = Place(try #require(slot.namespace))
        loop = try EventLoop(named: "prober")
        prober = Locked(try ProxyProber(network, on: loop))
        thread = try loop.start()
    }

    private static func makeVPC(_ machines: [ProxyMachine], sharing: Bool) throws -> VPCPlan {
        var proxies: [VPCProxy] = []
        for (index, machine) in machines.enumerated() {
            let rank = UInt8(sharing ? index : 0)
            try machine.create { spec in
                guard sharing else {
                    spec.egressAddresses = ["10.1.0.\(machine.number)"]
                    return
                }
                spec.rank = UInt32(rank)
                spec.peers = machines.enumerated().filter { $0.offset != index }.map {
                    ProxyPeer(
                        tunnelAddress: $0.element.tunnel, underlayAddress: $0.element.underlay,
                        rank: UInt32($0.offset))
                }
            }
            try machine.attach(ComputePlace.message(2))
            let inside = try #require(IPv4Address(machine.tunnel))
            proxies.append(
                VPCProxy(
                    node: try #require(IPv4Address(machine.underlay)), address: inside,
                    linkAddress: LinkAddress(local: inside.rawValue), rank: rank))
        }
        return VPCPlan(
            number: try #require(VPCNumber(rawValue: 1)), identifier: 7,
            prefixes: try ["10.1.0.0/24", "10.9.0.0/16"].map { try #require(IPv4Prefix($0)) },
            node: IPv4Address(192, 0, 2, 2), address: IPv4Address(100, 96, 0, 2),
            proxies: proxies)
    }

    deinit {
        loop.enqueue { [prober] in prober.with { $0?.close() } }
        loop.stop()
        thread.take()?.join()
        do {
            try network.remove(pinnedAt: folder.path + "/router")
            for machine in machines { try machine.end() }
        } catch {
            Issue.record("it could not be taken away: \(error)")
        }
        try? FileManager.default.removeItem(at: folder)
    }

    /// Lets the sandbox be reached by an address in the tunnel.
    func lead(_ address: String) throws {
        let address = try #require(IPv4Address(address))
        try network.change(slot) { $0.inbound = [plan.number: address] }
    }

    /// Pulls a cable of a proxy, or puts it back.
    func cable(_ name: String, of machine: ProxyMachine, isUp: Bool) throws {
        try wire.ip("link set \(name)-\(machine.number) \(isUp ? "up" : "down")")
    }
}
