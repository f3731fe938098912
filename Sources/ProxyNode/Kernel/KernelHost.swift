internal import LinuxKernel
internal import Netlink

/// The kernel of the proxy node. One thread at a time uses it.
///
/// Namespaces of VPCs are pinned below a folder, under the VPCs' ids. What there is of a VPC is in
/// its namespace, but for the other end of its uplink.
final class KernelHost: ProxyHost, @unchecked Sendable {
    /// The namespace of the proxy itself, in which tunnels end and uplinks begin.
    let own: NetworkNamespace
    let ownLinks: NetlinkSocket
    private let directory: String
    private var opened: [String: OpenedNetwork] = [:]

    init(directory: String) throws {
        self.directory = directory
        try Files.makeDirectories(directory, permissions: 0o755)
        own = try NetworkNamespace.current()
        ownLinks = try NetlinkSocket(.route)
    }

    func path(of id: String) -> String { "\(directory)/\(id)" }

    func networks() throws(HostFailure) -> [String] {
        try Self.doing("list `\(directory)`") { () throws(SystemCallError) in
            try DirectoryListing.names(in: directory).sorted()
        }
    }

    /// The sockets in a VPC's namespace; nothing where there is no namespace.
    func open(_ id: String) throws(HostFailure) -> OpenedNetwork? {
        if let network = opened[id] { return network }
        let path = path(of: id)
        let namespace = try Self.doing("open `\(path)`") { () throws(SystemCallError) in
            try NetworkNamespace.pinned(at: path)
        }
        guard let namespace else { return nil }
        let network = try Self.doing("open `\(path)`") { () throws(NetlinkError) in
            try OpenedNetwork(namespace)
        }
        opened[id] = network
        return network
    }

    func make(_ id: String) throws(HostFailure) {
        let path = path(of: id)
        try Self.doing("make `\(path)`") { () throws(SystemCallError) in
            for namespace in try NetworkNamespace.make(count: 1) {
                try namespace.pin(at: path)
            }
        }
    }

    func forget(_ id: String) throws(HostFailure) {
        opened[id] = nil
        let path = path(of: id)
        try Self.doing("remove `\(path)`") { () throws(SystemCallError) in
            try NetworkNamespace.unpin(path)
        }
    }

    static func doing<Result, Failure: Error>(
        _ what: String, isOfUplink: Bool = false, _ body: () throws(Failure) -> Result
    ) throws(HostFailure) -> Result {
        do throws(Failure) {
            return try body()
        } catch {
            throw HostFailure(what, "\(error)", isOfUplink: isOfUplink)
        }
    }
}

/// A VPC's namespace, and sockets that stay in it.
final class OpenedNetwork {
    let namespace: NetworkNamespace
    let links: NetlinkSocket
    let rules: NetlinkSocket
    /// Numbers of the links by their names, as far as they were asked for.
    var indices: [String: InterfaceIndex] = [:]

    init(_ namespace: NetworkNamespace) throws(NetlinkError) {
        self.namespace = namespace
        links = try NetlinkSocket(.route, in: namespace)
        rules = try NetlinkSocket(.netfilter, in: namespace)
    }

    func index(of name: String) throws(NetlinkError) -> InterfaceIndex {
        if let index = indices[name] { return index }
        for link in try links.links() { indices[link.name] = link.index }
        guard let index = indices[name] else {
            throw NetlinkError(action: "find link", subject: name, errorNumber: .noDevice)
        }
        return index
    }
}
