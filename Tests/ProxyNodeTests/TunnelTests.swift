import AgentAPI
import Foundation
import HostNetwork
import Netlink
import TestSupport
import Testing

/// A compute node's network at one end, the proxy at the other: neither knows more of the other
/// than a control plane would tell it.
@Suite("A tunnel with both its ends", .needs(.root, .netAdmin, .sysAdmin, .ip, .python3))
final class TunnelTests {
    private let scene: ProxyScene
    private let node: Place
    private let network: HostNetwork
    private let path: String

    init() throws {
        scene = try ProxyScene()
        node = try scene.addUnderlay(2)
        path = scene.folder.path + "/router"
        network = try HostNetwork.open(
            NodeNetworkSettings(), node: node.namespace, pinnedAt: path)
    }

    deinit { try? network.remove(pinnedAt: path) }

    /// What the control plane tells the node of a VPC that it made on the proxy.
    private func plan(_ number: UInt16, of vpc: VPC) throws -> VPCPlan {
        let spec = try #require(vpc.spec)
        let inside = try #require(spec.tunnelAddress.split(separator: "/").first)
        let bytes = vpc.tunnelHardwareAddress.split(separator: ":").compactMap {
            UInt8($0, radix: 16)
        }
        let proxy = VPCProxy(
            node: try #require(IPv4Address(spec.underlayAddress)),
            address: try #require(IPv4Address(inside)),
            linkAddress: try #require(LinkAddress(bytes: bytes)))
        return VPCPlan(
            number: try #require(VPCNumber(rawValue: number)), identifier: spec.vni,
            prefixes: try spec.prefixes.map { try #require(IPv4Prefix($0)) },
            node: IPv4Address(192, 0, 2, 2), address: IPv4Address(100, 96, 0, 2),
            proxies: [proxy])
    }

    private func sandbox(in plan: VPCPlan) throws -> Place {
        let slot = try #require(try network.makeSlots(1).first)
        try network.apply(SlotSettings(isPublic: false, vpcs: [plan.number]), to: slot.index)
        return Place(try #require(slot.namespace))
    }

    @Test("sandboxes of two tenants with the same addresses on one node reach each their own")
    func tenants() throws {
        let tenants = (try scene.addTenant("blue"), try scene.addTenant("green"))
        var sandboxes: [Place] = []
        for (number, name) in [(UInt16(1), "blue"), (2, "green")] {
            let vpc = try scene.create(
                name,
                ProxyScene.spec(70000 + UInt32(number), name) {
                    $0.egressAddresses = ["10.1.0.\(10 + number)"]
                })
            let plan = try plan(number, of: vpc)
            try scene.attach(ComputePlace.message(2), to: name)
            try network.addVPC(plan)
            sandboxes.append(try sandbox(in: plan))
        }
        for _ in 0..<2 {
            #expect(try sandboxes[0].greeting(of: "10.1.0.1") == "blue 10.1.0.11")
            #expect(try sandboxes[1].greeting(of: "10.1.0.1") == "green 10.1.0.12")
        }
        withExtendedLifetime(tenants) {}
    }

    @Test("large transfers and a killed proxy go together, and what was sent is what arrived")
    func transfer() throws {
        let tenant = try scene.addTenant("blue")
        let vpc = try scene.create("blue", ProxyScene.spec(70001, "blue"))
        let plan = try plan(1, of: vpc)
        try scene.attach(ComputePlace.message(2), to: "blue")
        try network.addVPC(plan)
        let sandbox = try sandbox(in: plan)
        let client = try sandbox.start("python3", ["-u", "-c", Self.transfer])
        try client.waitForOutput("half")
        try scene.kill()
        try scene.restart()
        #expect(try scene.changes() == "0")
        client.write("go on\n")
        let result = try client.finish()
        #expect(result.output.hasSuffix("same\n"), "\(result)")
        withExtendedLifetime((tenant, sandbox)) {}
    }

    /// Sends lines of 10,000 bytes to a server that repeats them.
    private static let transfer = """
        import socket, sys
        with socket.create_connection(('10.9.0.1', 7000)) as connection:
            file = connection.makefile('rw')
            file.readline()
            for count in range(400):
                line = str(count) + 'x' * 10000
                print(line, file=file, flush=True)
                assert file.readline().strip() == 'echo ' + line
                if count == 200:
                    print('half')
                    sys.stdin.readline()
            print('same')
        """
}
