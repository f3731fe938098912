import AgentAPI
import Foundation
import LinuxKernel
import RPC
import TestSupport
import Testing

/// A proxy node, compute nodes and tenants, each a network namespace of the test's own:
///
///     compute node ── under ──┐                ┌─ br-blue ── tenant blue
///       tunnel end            ├── proxy node ──┤
///     compute node ── under ──┘   alcove-proxy └─ br-green ── tenant green
///
/// Both tenants have the same addresses. All of it goes with the object.
final class ProxyScene {
    let folder: URL
    let proxyNode: Place
    private(set) var process: TestSupport.ChildProcess
    private var isKilled = false
    private var servers: [TestSupport.ChildProcess] = []

    var socket: String { folder.appendingPathComponent("proxy.sock").path }
    var namespaces: String { folder.appendingPathComponent("netns").path }

    init() throws {
        folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("proxy-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        proxyNode = try Place()
        try proxyNode.ip("link add under type bridge")
        try proxyNode.ip("link set under up")
        try proxyNode.ip("address add 192.0.2.10/24 dev under")
        process = try Self.start(folder, proxyNode)
    }

    private static func start(_ folder: URL, _ place: Place) throws -> TestSupport.ChildProcess {
        let process = try place.start(
            try Products.path("alcove-proxy"),
            [
                "--socket", folder.path + "/proxy.sock", "--state", folder.path + "/state",
                "--namespaces", folder.path + "/netns", "--underlay", "192.0.2.10",
                "--log-format", "json",
            ])
        try process.waitForErrorOutput("\"serving\"")
        return process
    }

    deinit {
        servers = []
        do {
            if !isKilled {
                try process.send(signal: 15)
                try process.waitForEnd()
            }
            let pins = try FileManager.default.contentsOfDirectory(atPath: namespaces)
            for pin in pins { _ = try run("umount", arguments: ["\(namespaces)/\(pin)"]) }
        } catch {
            Issue.record("the proxy could not be ended: \(error)")
        }
        try? FileManager.default.removeItem(at: folder)
    }

    /// Kills the proxy as nothing else would.
    func kill() throws {
        isKilled = true
        try process.send(signal: 9)
        try process.waitForEnd()
    }

    func restart() throws {
        process = try Self.start(folder, proxyNode)
        isKilled = false
    }

    /// What the last start of the proxy changed, as its log says.
    func changes() throws -> String {
        let line = try #require(
            process.errorOutput.split(separator: "\n").first {
                $0.contains("took over what is there")
            })
        let text = try #require(line.firstRange(of: "\"kernel.changes\":"))
        return String(line[text.upperBound...].prefix { $0.isNumber })
    }

    // MARK: - Calls

    func connect() throws -> AgentConnection { try AgentConnection(path: socket) }

    static func spec(
        _ vni: UInt32, _ tenant: String, _ change: (inout VPCSpec) -> Void = { _ in }
    ) -> VPCSpec {
        var spec = VPCSpec(
            vni: vni, prefixes: ["10.1.0.0/24", "10.9.0.0/16"],
            uplink: Uplink(
                kind: .veth(.init(peer: "up-\(tenant)", bridge: "br-\(tenant)")),
                address: "10.1.0.5/24", gateway: "10.1.0.1"),
            egressAddresses: ["10.1.0.6"], tunnelAddress: "100.96.0.1/16")
        change(&spec)
        return spec
    }

    /// Makes a VPC into the network of a tenant.
    @discardableResult
    func create(_ tenant: String, _ spec: VPCSpec) throws -> VPC {
        let response = try connect().request(
            ProxyMethods.createVPC, CreateVPCRequest(id: tenant, spec: spec))
        return try #require(response.vpc)
    }

    @discardableResult
    func attach(_ node: ComputePlace, to tenant: String) throws -> VPC {
        try attach(node.message, to: tenant)
    }

    @discardableResult
    func attach(_ node: VPCNode, to tenant: String) throws -> VPC {
        let response = try connect().request(
            ProxyMethods.attachNode, AttachNodeRequest(vpcID: tenant, node: node))
        return try #require(response.vpc)
    }

    func statistics(_ tenant: String) throws -> VPCStatsResponse {
        let connection = try connect()
        let stream = connection.stream(ProxyMethods.stats, VPCStatsRequest(id: tenant))
        return try withExtendedLifetime(connection) { try #require(try stream.next()) }
    }

    /// The count of a rule, once it is more than a number.
    func count(_ rule: String, of tenant: String, above least: UInt64 = 0) throws -> UInt64 {
        let connection = try connect()
        defer { withExtendedLifetime(connection) {} }
        let stream = connection.stream(
            ProxyMethods.stats, VPCStatsRequest(id: tenant, intervalNanoseconds: 10_000_000),
            timeout: .seconds(60))
        while let statistics = try stream.next() {
            let count = statistics.rules.first { $0.name == rule }?.packets ?? 0
            if count > least { return count }
        }
        return 0
    }

    // MARK: - Places

    /// A tenant's network behind a bridge of the proxy node: a server at 10.1.0.1 and 10.9.0.1,
    /// which greets with the tenant's name and the address it is called from, and then repeats
    /// what it is told.
    func addTenant(_ name: String) throws -> Place {
        let place = try Place()
        try proxyNode.ip("link add br-\(name) type bridge")
        try proxyNode.ip("link set br-\(name) up")
        try proxyNode.ip(
            "link add to-\(name) type veth peer name eth0 netns \(place.number)", place)
        try proxyNode.ip("link set to-\(name) master br-\(name) up")
        try place.ip("address add 10.1.0.1/24 dev eth0")
        try place.ip("address add 10.9.0.1/32 dev eth0")
        try place.ip("link set eth0 up")
        let server = try place.start("python3", ["-u", "-c", Self.server, name])
        try server.waitForOutput("listening")
        servers.append(server)
        return place
    }

    static let server = """
        import socket, sys, threading
        listener = socket.create_server(('', 7000))
        print('listening')
        def serve(connection, peer):
            with connection, connection.makefile('rw') as file:
                print(sys.argv[1], peer[0], file=file, flush=True)
                for line in file:
                    print('echo', line.strip(), file=file, flush=True)
        while True:
            threading.Thread(target=serve, args=listener.accept(), daemon=True).start()
        """

    /// A namespace with a link to the proxy node's underlay.
    func addUnderlay(_ number: UInt8) throws -> Place {
        let place = try Place()
        try proxyNode.ip(
            "link add under-\(number) type veth peer name under netns \(place.number)", place)
        try proxyNode.ip("link set under-\(number) master under up")
        try place.ip("address add 192.0.2.\(number)/24 dev under")
        try place.ip("link set under up")
        return place
    }

    /// A compute node whose end of the tunnel leads to the proxy.
    func addNode(_ number: UInt8, vni: UInt32 = 7) throws -> ComputePlace {
        try ComputePlace(number, vni: vni, in: self)
    }
}

/// A network namespace.
final class Place {
    let namespace: NetworkNamespace

    init() throws { namespace = try #require(try NetworkNamespace.make(count: 1).first) }

    init(_ namespace: NetworkNamespace) { self.namespace = namespace }

    var path: String {
        "/proc/\(ProcessInfo.processInfo.processIdentifier)/fd/\(namespace.descriptor)"
    }

    /// What `ip` takes for another namespace.
    var number: String { path }

    func start(_ program: String, _ arguments: [String]) throws -> TestSupport.ChildProcess {
        try TestSupport.ChildProcess(
            "nsenter", arguments: ["--net=\(path)", program] + arguments)
    }

    @discardableResult
    func tell(_ program: String, _ arguments: [String]) throws -> String {
        let result = try run("nsenter", arguments: ["--net=\(path)", program] + arguments)
        try #require(result.succeeded, "\(program) \(arguments): \(result)")
        return result.output
    }

    /// - Parameter other: a namespace that the words name, to be there meanwhile.
    @discardableResult
    func ip(_ words: String, _ other: Place? = nil) throws -> String {
        try withExtendedLifetime(other) {
            try tell("ip", words.split(separator: " ").map(String.init))
        }
    }

    /// What a server greets with.
    func greeting(of address: String) throws -> String {
        let client = try talk(to: address)
        try client.waitForOutput("\n")
        return client.output.trimmingCharacters(in: .newlines)
    }

    /// A connection to a server: what is written to the client is told, what is answered comes as
    /// its output.
    func talk(to address: String) throws -> TestSupport.ChildProcess {
        try start("python3", ["-u", "-c", Self.client, address])
    }

    private static let client = """
        import socket, sys
        with socket.create_connection((sys.argv[1], 7000)) as connection:
            file = connection.makefile('rw')
            print(file.readline().strip())
            for line in sys.stdin:
                print(line.strip(), file=file, flush=True)
                print('sent', line.strip())
                print(file.readline().strip())
        """

    /// Names of links, sorted.
    func links() throws -> [String] {
        try ip("-o link show").split(separator: "\n").map { line in
            String(line.split(separator: " ")[1].prefix { $0 != "@" && $0 != ":" })
        }.sorted()
    }
}

/// A compute node: its end of the underlay and of a tunnel, and routes to the tenant through it.
final class ComputePlace {
    let place: Place
    let message: VPCNode

    init(_ number: UInt8, vni: UInt32, in scene: ProxyScene) throws {
        place = try scene.addUnderlay(number)
        message = Self.message(number)
        let digits = String(number, radix: 16)
        let hardware = "02:ac:64:60:00:\(number < 16 ? "0" : "")\(digits)"
        try place.ip(
            "link add vpc address \(hardware) mtu 1450 type vxlan id \(vni) local 192.0.2.\(number)"
                + " dstport 4789 nolearning")
        try place.ip("address add 100.96.0.\(number)/16 dev vpc")
        try place.ip("link set vpc up")
        try place.ip("neighbour add 100.96.0.1 lladdr 02:ac:64:60:00:01 dev vpc nud permanent")
        try place.tell(
            "bridge",
            ["fdb", "add", "02:ac:64:60:00:01", "dev", "vpc", "dst", "192.0.2.10"])
        try place.ip("route add 10.1.0.0/24 via 100.96.0.1 dev vpc")
        try place.ip("route add 10.9.0.0/16 via 100.96.0.1 dev vpc")
    }

    static func message(_ number: UInt8) -> VPCNode {
        VPCNode(
            id: "node-\(number)", underlayAddress: "192.0.2.\(number)",
            tunnelAddress: "100.96.0.\(number)")
    }

    func greeting(of address: String) throws -> String { try place.greeting(of: address) }

    func talk(to address: String) throws -> TestSupport.ChildProcess {
        try place.talk(to: address)
    }

    /// Sends a datagram, for which there is no answer.
    func send(to address: String) throws {
        try place.tell(
            "python3",
            [
                "-c",
                "import socket, sys; socket.socket(type=socket.SOCK_DGRAM)"
                    + ".sendto(b'x', (sys.argv[1], 9))", address,
            ])
    }
}
