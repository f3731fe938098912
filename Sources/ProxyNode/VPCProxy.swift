internal import AgentAPI
public import AgentOperations
public import LinuxKernel
internal import Netlink
internal import ProtocolBuffers
public import RPC
internal import Store

/// What the operator decided about a proxy.
public struct ProxySettings: Hashable, Sendable {
    public var stateDirectory = "/var/lib/alcove-proxy"
    /// Where namespaces are pinned.
    public var namespaceDirectory = "/run/alcove-proxy/netns"
    /// Where tunnels end, unless a VPC says otherwise. Nothing: each VPC has to.
    public var underlay: String?
    public var eventsKept: UInt64 = 100_000

    public init() {}
}

/// Why the proxy cannot run: one line, and what to do about it.
public struct ProxyError: Error, Hashable, Sendable, CustomStringConvertible {
    public let message: String
    public let hint: String?
    /// The record is damaged, or another version's: it will be so the next time, too.
    public let isOfRecord: Bool

    init(_ message: String, hint: String? = nil, isOfRecord: Bool = false) {
        self.message = message
        self.hint = hint
        self.isOfRecord = isOfRecord
    }

    public var description: String {
        guard let hint else { return message }
        return "\(message) (\(hint))"
    }
}

/// The proxy as its program sees it: opened, served, closed.
public final class VPCProxy {
    /// What `alcove.v1` says for a version of the proxy.
    public static let version = ProxyVersion.current

    private let node: ProxyNode
    private let worker: Workers
    private let health = HealthService(services: Definitions.proxyServices.map(\.name))
    private let reflection = ReflectionService(services: Definitions.proxyServices)

    /// Opens the record, takes over what an earlier proxy left, and is ready to serve. The loop is
    /// not running yet, and the calling thread is the one that will run it, in the namespace in
    /// which tunnels end and uplinks are.
    public convenience init(
        _ settings: ProxySettings, loop: EventLoop, log: Log
    ) throws(ProxyError) {
        let host: any ProxyHost
        do {
            try Files.makeDirectories(settings.stateDirectory, permissions: 0o700)
            host = try KernelHost(directory: settings.namespaceDirectory)
        } catch {
            throw ProxyError("prepare `\(settings.stateDirectory)`: \(error)")
        }
        try self.init(settings, host: host, loop: loop, log: log)
    }

    init(
        _ settings: ProxySettings, host: any ProxyHost, loop: EventLoop, log: Log
    ) throws(ProxyError) {
        let underlay = try Self.underlay(settings)
        let journal: ProxyJournal
        do throws(StoreError) {
            let store = try Store.open(directory: settings.stateDirectory)
            journal = try ProxyJournal(store, eventsKept: settings.eventsKept)
        } catch {
            throw ProxyError(error.message, hint: error.hint, isOfRecord: error.kind == .corrupt)
        }
        do throws(SystemCallError) {
            worker = try Workers(threads: 1, queue: 65536, named: "kernel")
        } catch {
            throw ProxyError("start a thread: \(error)")
        }
        node = ProxyNode(
            loop: loop, host: host, journal: journal, worker: worker, log: log,
            underlay: underlay)
        do {
            try node.recover()
        } catch {
            throw ProxyError("take over what is there: \(error)")
        }
    }

    private static func underlay(_ settings: ProxySettings) throws(ProxyError) -> IPv4Address? {
        guard let text = settings.underlay else { return nil }
        guard let address = IPv4Address(text), address.isOfHost else {
            throw ProxyError("`\(text)` is no IPv4 address of a host", hint: "as in `192.0.2.10`")
        }
        return address
    }

    /// All that the socket answers.
    public var endpoints: [Endpoint] {
        ProxyService(node: node).endpoints + health.endpoints + reflection.endpoints
    }

    /// Says that calls are no longer welcome, before the server shuts down.
    public func end() { health.end() }

    /// Ends the thread after what it is doing. VPCs go on, and what was to be done next is for the
    /// next proxy, which finds it in the record.
    public func close() { worker.stop(dropsWaiting: true) }
}
