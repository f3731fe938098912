import AgentAPI
import LinuxKernel
import Netlink
import RPC
import TestSupport
import Testing

@testable import ProxyNode

@Suite("Addresses of a VPC that lead to sandboxes")
struct InboundTests {
    private static func inbound(
        _ address: String = "10.1.0.20", to sandbox: String = "100.96.1.7", on node: UInt8 = 2
    ) -> AddInboundRequest {
        AddInboundRequest(
            vpcID: "blue",
            inbound: InboundAddress(
                address: address, tunnelAddress: sandbox, nodeID: "node-\(node)"))
    }

    private func failure(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "none"
        } catch let failure as CallFailure {
            return "\(failure.code) \(failure.reason)"
        } catch {
            return "\(error)"
        }
    }

    @Test("they are made, told of, kept over restarts and taken away")
    func life() throws {
        let host = FakeHost()
        let folder = try FakeProxy.makeFolder()
        let added: InboundAddress
        do {
            let proxy = try FakeProxy(host, record: folder)
            try proxy.create("blue")
            try proxy.attach(2, to: "blue")
            let response = try proxy.connection.request(ProxyMethods.addInbound, Self.inbound())
            #expect(!response.existed)
            added = try #require(response.inbound)
            let again = try proxy.connection.request(ProxyMethods.addInbound, Self.inbound())
            #expect(again.existed && again.inbound == added)
        }
        let found = try #require(host.world["blue"])
        #expect(
            found.inbound == [IPv4Address(10, 1, 0, 20): IPv4Address(100, 96, 1, 7)])
        #expect(found.uplinkAddresses.contains { "\($0)" == "10.1.0.20/32" })
        let steps = host.state.with { $0.steps }
        let proxy = try FakeProxy(host, record: folder)
        #expect(host.state.with { $0.steps } == steps)
        #expect(try proxy.list().vpcs.first?.inbound == [added])
        #expect(
            failure { try proxy.detach(2, from: "blue") } == "failedPrecondition in_use")
        let removal = RemoveInboundRequest(vpcID: "blue", address: "10.1.0.20")
        _ = try proxy.connection.request(ProxyMethods.removeInbound, removal)
        #expect(
            failure { _ = try proxy.connection.request(ProxyMethods.removeInbound, removal) }
                == "notFound not_found")
        #expect(host.world["blue"]?.inbound == [:])
        try proxy.check(host)
        try proxy.detach(2, from: "blue")
        let kinds = try proxy.events().compactMap { event -> String? in
            switch event.kind {
            case .inboundAdded(let inbound): "+\(inbound.address)"
            case .inboundRemoved(let inbound): "-\(inbound.address)"
            default: nil
            }
        }
        #expect(kinds == ["+10.1.0.20", "-10.1.0.20"])
    }

    @Test("what another one has, and what is nobody's, is refused")
    func refusals() throws {
        let proxy = try FakeProxy(FakeHost(), record: FakeProxy.makeFolder())
        try proxy.create("blue")
        for number in [UInt8(2), 3] { try proxy.attach(number, to: "blue") }
        _ = try proxy.connection.request(ProxyMethods.addInbound, Self.inbound())
        let cases: [(AddInboundRequest, String)] = [
            (Self.inbound(to: "100.96.1.8"), "alreadyExists already_exists"),
            (Self.inbound("10.1.0.21", on: 3), "alreadyExists already_exists"),
            (Self.inbound("10.1.0.21", to: "100.96.0.3"), "alreadyExists already_exists"),
            (Self.inbound("10.1.0.21", on: 9), "notFound not_found"),
            (Self.inbound("10.1.0.6"), "invalidArgument invalid_request"),
            (Self.inbound("10.1.0.1"), "invalidArgument invalid_request"),
            (Self.inbound("100.96.0.77"), "invalidArgument invalid_request"),
            (Self.inbound("10.1.0.21", to: "100.97.0.1"), "invalidArgument invalid_request"),
            (Self.inbound("10.1.0.21", to: "100.96.0.1"), "invalidArgument invalid_request"),
        ]
        for (request, expected) in cases {
            let found = failure {
                _ = try proxy.connection.request(ProxyMethods.addInbound, request)
            }
            #expect(found == expected, "\(request)")
        }
    }
}
