internal import Agent
internal import AgentOperations
internal import LinuxKernel
internal import RPC

/// The sockets that the agent serves: those of the service manager, or its own.
enum AgentSockets {
    static func listen(
        _ server: Server, _ configuration: AgentConfiguration,
        _ inherited: inout InheritedSockets
    ) throws {
        let users: Listener.Users =
            configuration.allowedUsers.isEmpty ? .any : .only(Set(configuration.allowedUsers))
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

    private static func listener(
        _ socket: AgentConfiguration.Socket, users: Listener.Users = .any,
        isReadOnly: Bool = false
    ) throws -> Listener {
        let slash = socket.path.lastIndex(of: "/") ?? socket.path.startIndex
        try Files.makeDirectories(String(socket.path[..<slash]))
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
