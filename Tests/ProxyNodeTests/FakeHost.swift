import AgentAPI
import AgentOperations
import Foundation
import LinuxKernel
import RPC
import TestSupport
import Testing

@testable import ProxyNode

/// A kernel that does as it is told, until it is told to fail.
final class FakeHost: ProxyHost {
    struct State {
        var world: [String: FoundNetwork] = [:]
        /// Steps that were performed.
        var steps = 0
        /// Steps from these on fail, up to where they do so no longer.
        var failing: Range<Int> = 0..<0
    }

    let state: Locked<State>
    /// Called before each step.
    let onStep: @Sendable (State) -> Void

    init(
        _ world: [String: FoundNetwork] = [:], failing: Range<Int> = 0..<0,
        onStep: @escaping @Sendable (State) -> Void = { _ in }
    ) {
        state = Locked(State(world: world, failing: failing))
        self.onStep = onStep
    }

    var world: [String: FoundNetwork] { state.with { $0.world } }

    func networks() throws(HostFailure) -> [String] { world.keys.sorted() }

    func find(_ id: String) throws(HostFailure) -> FoundNetwork? { world[id] }

    func perform(_ steps: [NetworkStep], for id: String) throws(HostFailure) {
        for step in steps {
            onStep(state.with { $0 })
            try state.with { (state) throws(HostFailure) in
                state.steps += 1
                guard !state.failing.contains(state.steps) else {
                    throw HostFailure("\(step)", "it was told to fail")
                }
                if step == .makeNamespace { state.world[id] = FoundNetwork() }
                state.world[id]?.take(step)
                if step == .removeNamespace { state.world[id] = nil }
            }
        }
    }

    func statistics(of id: String) throws(HostFailure) -> NetworkStatistics {
        NetworkStatistics()
    }

    /// Nobody is heard here.
    func echoes(of id: String) throws(HostFailure) -> InternetSocket {
        throw HostFailure("ask other proxies", "there are none")
    }

    func look(at id: String) throws(HostFailure) -> NetworkLook {
        NetworkLook(received: 0, isUplinkUp: true)
    }

    func path(of id: String) -> String { "/netns/\(id)" }
}

/// A proxy in this process, on a thread of its own.
final class FakeProxy {
    let folder: URL
    let connection: AgentConnection
    private let loop: EventLoop
    private let server: Server
    private let proxy: VPCProxy
    private var thread: KernelThread?

    init(_ host: FakeHost, record folder: URL, underlay: String? = nil) throws {
        self.folder = folder
        var settings = ProxySettings()
        settings.stateDirectory = folder.path
        settings.underlay = underlay
        loop = try EventLoop(named: "proxy")
        proxy = try VPCProxy(
            settings, host: host, loop: loop, log: Log(level: .error, format: .json))
        server = Server(loop: loop, endpoints: proxy.endpoints)
        let socket = folder.path + "/s"
        server.listen(on: try Listener(path: socket, mode: 0o600))
        connection = try AgentConnection(path: socket)
        thread = try loop.start()
    }

    deinit {
        server.shutDown(within: .zero) { [loop] in loop.stop() }
        // It holds what has the record open.
        thread.take()?.join()
        proxy.close()
    }

    static func makeFolder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("proxy-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    // MARK: - Calls

    @discardableResult
    func create(_ id: String, _ change: (inout VPCSpec) -> Void = { _ in }) throws
        -> CreateVPCResponse
    {
        try connection.request(
            ProxyMethods.createVPC, CreateVPCRequest(id: id, spec: Samples.spec.with(change)))
    }

    @discardableResult
    func attach(_ number: UInt8, to id: String, underlay: UInt8? = nil) throws
        -> AttachNodeResponse
    {
        try connection.request(
            ProxyMethods.attachNode,
            AttachNodeRequest(
                vpcID: id,
                node: VPCNode(
                    id: "node-\(number)", underlayAddress: "192.0.2.\(underlay ?? number)",
                    tunnelAddress: "100.96.0.\(number)")))
    }

    func detach(_ number: UInt8, from id: String) throws {
        _ = try connection.request(
            ProxyMethods.detachNode, DetachNodeRequest(vpcID: id, nodeID: "node-\(number)"))
    }

    func delete(_ id: String) throws {
        _ = try connection.request(ProxyMethods.deleteVPC, DeleteVPCRequest(id: id))
    }

    func list() throws -> ListVPCsResponse {
        try connection.request(ProxyMethods.list, ListVPCsRequest())
    }

    /// All events so far.
    func events() throws -> [VPCEvent] {
        let last = try list().eventNumber
        let stream = connection.stream(ProxyMethods.watch, WatchVPCsRequest(fromNumber: 1))
        var events: [VPCEvent] = []
        while events.count < last, let event = try stream.next() { events.append(event) }
        return events
    }

    /// That all VPCs of the list are whole in the kernel, and there is nothing else.
    func check(_ host: FakeHost, sourceLocation: SourceLocation = #_sourceLocation) throws {
        var expected: [String: FoundNetwork] = [:]
        for vpc in try list().vpcs {
            #expect(vpc.state == .ready, "\(vpc.problem)", sourceLocation: sourceLocation)
            let network = try TenantNetwork(id: vpc.id, vpc.spec ?? VPCSpec(), underlay: nil)
            let nodes = try vpc.nodes.map { try ComputeNode($0, in: network) }
            expected[vpc.id] = Samples.found(WantedNetwork(network, nodes: nodes))
        }
        #expect(host.world == expected, sourceLocation: sourceLocation)
    }
}
