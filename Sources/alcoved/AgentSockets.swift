internal import Agent
internal import AgentOperations
internal import LinuxKernel
internal import RPC

/// The sockets that the agent serves: those of the service manager, or its own.
enum AgentSockets {
    /// Whose calls are taken.
    static func users(_ configuration: AgentConfiguration) -> Listener.Users {
        configuration.allowedUsers.isEmpty ? .any : .only(Set(configuration.allowedUsers))
    }

    static func listen(
        _ server: Server, _ configuration: AgentConfiguration,
        _ inherited: inout InheritedSockets
    ) throws {
        let users = users(configuration)
        if let socket = inherited.take(.agent) {
            server.listen(on: try Listener(inherited: socket, users: users))
        } else {
            server.listen(on: try listener(configuration.socket, users: users))
        }
        if let socket = inherited.take(.monitor) {
            server.listen(on: try Listener(inherited: socket, isReadOnly: true))
        } else if !configuration.monitor.path.isEmpty {
            server.listen(on: try listener(configuration.monitor, isReadOnly: true))
        }
    }

    /// What answers `GET /metrics`; nil where nobody asks for it.
    static func serve(
        _ metrics: AgentMetrics, _ configuration: AgentConfiguration,
        _ inherited: inout InheritedSockets
    ) throws -> MetricsServer? {
        var sockets: [ListeningSocket] = []
        let socket = configuration.metrics
        if let given = inherited.take(.metrics) {
            sockets.append(try ListeningSocket(inherited: given))
        } else if !socket.path.isEmpty {
            try makeFolder(of: socket)
            sockets.append(
                try ListeningSocket(
                    path: socket.path, mode: socket.mode, group: try group(of: socket)))
        }
        if configuration.metricsPort != 0 {
            sockets.append(try ListeningSocket(loopbackPort: configuration.metricsPort))
        }
        guard !sockets.isEmpty else { return nil }
        return try MetricsServer(on: sockets) { metrics.text() }
    }

    private static func makeFolder(of socket: AgentConfiguration.Socket) throws {
        let slash = socket.path.lastIndex(of: "/") ?? socket.path.startIndex
        try Files.makeDirectories(String(socket.path[..<slash]))
    }

    private static func listener(
        _ socket: AgentConfiguration.Socket, users: Listener.Users = .any,
        isReadOnly: Bool = false
    ) throws -> Listener {
        try makeFolder(of: socket)
        return try Listener(
            path: socket.path, mode: socket.mode, group: try group(of: socket), users: users,
            isReadOnly: isReadOnly)
    }

    private static func group(of socket: AgentConfiguration.Socket) throws -> UInt32? {
        if socket.group.isEmpty { return nil }
        if let number = Groups.number(of: socket.group) { return number }
        throw AgentError(
            "the host has no group `\(socket.group)` for the socket `\(socket.path)`",
            hint: "make it by `groupadd --system \(socket.group)`")
    }
}
