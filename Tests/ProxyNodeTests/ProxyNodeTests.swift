import AgentAPI
import Foundation
import LinuxKernel
import Netlink
import RPC
import TestSupport
import Testing

@testable import ProxyNode

@Suite("The policy of a proxy")
final class ProxyNodeTests {
    private let folder: URL

    init() throws { folder = try FakeProxy.makeFolder() }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// The code and reason of a call's failure.
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

    @Test("what was asked for twice is there once, and something else of the same name is refused")
    func idempotence() throws {
        let host = FakeHost()
        let proxy = try FakeProxy(host, record: folder)
        #expect(try proxy.create("blue").existed == false)
        #expect(try proxy.create("blue").existed == true)
        #expect(
            failure { try proxy.create("blue") { $0.mtu = 1400 } }
                == "alreadyExists already_exists")
        #expect(failure { try proxy.create("green") } == "alreadyExists already_exists")
        #expect(
            failure {
                try proxy.create("green") { $0.vni = 8 }
            } == "alreadyExists already_exists")
        #expect(try proxy.attach(2, to: "blue").existed == false)
        #expect(try proxy.attach(2, to: "blue").existed == true)
        #expect(try proxy.attach(2, to: "blue", underlay: 9).existed == false)
        try proxy.check(host)
        #expect(failure { try proxy.detach(3, from: "blue") } == "notFound not_found")
        #expect(failure { try proxy.attach(2, to: "green") } == "notFound not_found")
        #expect(failure { try proxy.delete("green") } == "notFound not_found")
        try proxy.delete("blue")
        #expect(failure { try proxy.delete("blue") } == "notFound not_found")
        try proxy.check(host)
    }

    @Test("addresses of another node are refused")
    func nodes() throws {
        let host = FakeHost()
        let proxy = try FakeProxy(host, record: folder)
        try proxy.create("blue")
        try proxy.attach(2, to: "blue")
        for node in [
            VPCNode(id: "other", underlayAddress: "192.0.2.3", tunnelAddress: "100.96.0.2"),
            VPCNode(
                id: "other", underlayAddress: "192.0.2.3", tunnelAddress: "100.96.0.3",
                tunnelHardwareAddress: "02:ac:64:60:00:02"),
        ] {
            let refusal = failure {
                _ = try proxy.connection.request(
                    ProxyMethods.attachNode, AttachNodeRequest(vpcID: "blue", node: node))
            }
            #expect(refusal == "alreadyExists already_exists")
        }
        try proxy.check(host)
    }

    @Test("events tell all that happens, by numbers that go on with the next proxy")
    func events() throws {
        let host = FakeHost()
        var proxy: FakeProxy? = try FakeProxy(host, record: folder)
        try proxy?.create("blue")
        try proxy?.attach(2, to: "blue")
        try proxy?.detach(2, from: "blue")
        try proxy?.delete("blue")
        proxy = nil
        let next = try FakeProxy(host, record: folder)
        let events = try next.events()
        #expect(events.map(\.number) == Array(1...8))
        let words = events.map { event in
            switch event.kind {
            case .changed(let vpc): "\(vpc.state)"
            case .deleted: "deleted"
            case .proxyStarted(let started): "started \(started.changes)"
            case .nodeAttached(let node): "+\(node.id)"
            case .nodeDetached(let node): "-\(node.nodeID)"
            case .orphanRemoved, .undone, .egressMoved, .inboundAdded, .inboundRemoved, nil:
                "?"
            }
        }
        #expect(
            words == [
                "started 0", "creating", "ready", "+node-2", "-node-2", "deleting", "deleted",
                "started 0",
            ])
        let refusal = failure {
            _ = try next.connection.stream(
                ProxyMethods.watch, WatchVPCsRequest(fromNumber: 100)
            ).next()
        }
        #expect(refusal == "outOfRange event_not_there")
    }

    @Test("a VPC whose making fails at some step leaves nothing, and says which it was")
    func failedCreation() throws {
        let wanted = WantedNetwork(try Samples.network(), nodes: [])
        let count = NetworkPlan.steps(from: nil, to: wanted).count
        for place in 1...count {
            let folder = try FakeProxy.makeFolder()
            defer { try? FileManager.default.removeItem(at: folder) }
            let host = FakeHost(failing: place..<place + 1)
            let proxy = try FakeProxy(host, record: folder)
            #expect(failure { try proxy.create("blue") } == "internal kernel_refused")
            #expect(host.world.isEmpty)
            #expect(try proxy.list().vpcs.isEmpty)
            try proxy.create("blue")
            try proxy.check(host)
        }
    }

    @Test("what cannot be taken back is being deleted until it can be")
    func stuck() throws {
        let host = FakeHost(failing: 5..<100)
        var proxy: FakeProxy? = try FakeProxy(host, record: folder)
        #expect(failure { try proxy?.create("blue") } == "internal kernel_refused")
        #expect(try proxy?.list().vpcs.map(\.state) == [.deleting])
        #expect(failure { try proxy?.create("blue") } == "aborted being_deleted")
        #expect(failure { try proxy?.attach(2, to: "blue") } == "aborted being_deleted")
        #expect(failure { try proxy?.delete("blue") } == "internal kernel_refused")
        proxy = nil
        host.state.with { $0.failing = 0..<0 }
        let next = try FakeProxy(host, record: folder)
        #expect(host.world.isEmpty)
        #expect(try next.list().vpcs.isEmpty)
    }

    @Test("a node that cannot be attached is not, and what was broken is mended by the next call")
    func failedAttachment() throws {
        let host = FakeHost()
        let proxy = try FakeProxy(host, record: folder)
        try proxy.create("blue")
        try proxy.attach(2, to: "blue")
        // Now and when all is looked at again.
        host.state.with { $0.failing = $0.steps + 2..<$0.steps + 4 }
        #expect(failure { try proxy.attach(3, to: "blue") } == "internal kernel_refused")
        let vpc = try #require(try proxy.list().vpcs.first)
        #expect(vpc.state == .broken && !vpc.problem.isEmpty)
        #expect(vpc.nodes.map(\.id) == ["node-2"])
        try proxy.attach(4, to: "blue")
        try proxy.check(host)
    }

    @Test("a step that fails once alone is made up for at once")
    func failedOnce() throws {
        let host = FakeHost()
        let proxy = try FakeProxy(host, record: folder)
        try proxy.create("blue")
        host.state.with { $0.failing = $0.steps + 2..<$0.steps + 3 }
        try proxy.attach(2, to: "blue")
        try proxy.check(host)
    }

    @Test("what belongs to nobody is removed at the start")
    func orphans() throws {
        let network = try Samples.network("green")
        let host = FakeHost(["green": Samples.found(WantedNetwork(network, nodes: []))])
        let proxy = try FakeProxy(host, record: folder)
        #expect(host.world.isEmpty)
        #expect(
            try proxy.events().contains { event in
                if case .orphanRemoved(let orphan) = event.kind {
                    orphan.name == "green"
                } else {
                    false
                }
            })
    }

    @Test("killed at any step, the next proxy makes whole what was asked for, or takes it away")
    func crashes() throws {
        let copies = Locked<[(folder: URL, world: [String: FoundNetwork])]>([])
        let folder = folder
        // What would be there, had the proxy been killed now.
        let host = FakeHost { state in
            guard let copy = try? FakeProxy.makeFolder() else { return }
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
            for name in names where name.hasPrefix("alcove.db") && !name.hasSuffix("-shm") {
                try? FileManager.default.copyItem(
                    at: folder.appendingPathComponent(name),
                    to: copy.appendingPathComponent(name))
            }
            copies.with { $0.append((copy, state.world)) }
        }
        let proxy = try FakeProxy(host, record: folder)
        try proxy.create("blue")
        try proxy.attach(2, to: "blue")
        try proxy.attach(3, to: "blue")
        try proxy.attach(2, to: "blue", underlay: 7)
        try proxy.detach(3, from: "blue")
        try proxy.delete("blue")
        let all = copies.with { $0 }
        #expect(all.count > 25)
        for copy in all {
            let host = FakeHost(copy.world)
            try FakeProxy(host, record: copy.folder).check(host)
            let steps = host.state.with { $0.steps }
            // Once more there is nothing to do.
            try FakeProxy(host, record: copy.folder).check(host)
            #expect(host.state.with { $0.steps } == steps)
            try FileManager.default.removeItem(at: copy.folder)
        }
    }

    @Test("calls at once for one VPC are done one after the other")
    func together() throws {
        let host = FakeHost()
        let proxy = try FakeProxy(host, record: folder)
        var answers: [Result<CreateVPCResponse, CallFailure>] = []
        var attached = 0
        for _ in 0..<5 {
            proxy.connection.connection.call(
                ProxyMethods.createVPC, CreateVPCRequest(id: "blue", spec: Samples.spec)
            ) { answers.append($0) }
        }
        for number in 2...40 {
            let node = VPCNode(
                id: "node-\(number)", underlayAddress: "192.0.2.\(number)",
                tunnelAddress: "100.96.0.\(number)")
            proxy.connection.connection.call(
                ProxyMethods.attachNode, AttachNodeRequest(vpcID: "blue", node: node)
            ) { if (try? $0.get()) != nil { attached += 1 } }
        }
        proxy.connection.run { answers.count == 5 && attached == 39 }
        #expect(answers.filter { (try? $0.get().existed) == false }.count == 1)
        try proxy.check(host)
    }

    @Test("a stream of statistics ends with its VPC")
    func statistics() throws {
        let proxy = try FakeProxy(FakeHost(), record: folder)
        try proxy.create("blue")
        let stream = proxy.connection.stream(
            ProxyMethods.stats, VPCStatsRequest(id: "blue", intervalNanoseconds: 10_000_000))
        let names = try stream.next()?.rules.map(\.name)
        #expect(names == RuleSet.Counter.allCases.map(\.rawValue))
        try proxy.delete("blue")
        while try stream.next() != nil {}
        #expect(
            failure {
                _ = try proxy.connection.stream(
                    ProxyMethods.stats, VPCStatsRequest(id: "blue")
                ).next()
            } == "notFound not_found")
    }

    @Test("health and reflection name the service")
    func standard() throws {
        let proxy = try FakeProxy(FakeHost(), record: folder)
        let health = try proxy.connection.request(
            HealthMethods.check, HealthCheckRequest(service: "alcove.v1.Proxy"))
        #expect(health.status == .serving)
        let call = proxy.connection.open(ServerReflectionMethods.serverReflectionInfo)
        var services: [String] = []
        call.onMessage { response in
            if case .listServicesResponse(let list) = response.messageResponse {
                services = list.service.map(\.name)
            }
        }
        var request = ServerReflectionRequest()
        request.messageRequest = .listServices("")
        call.send(request)
        call.finishSending()
        try proxy.connection.wait(for: call)
        #expect(services.contains("alcove.v1.Proxy") && !services.contains("alcove.v1.Node"))
    }
}
