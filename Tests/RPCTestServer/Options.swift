internal import RPC

/// The arguments: a path, then numbers by name.
struct Options {
    let path: String
    private var values: [String: Int] = [:]

    init(_ arguments: [String]) {
        path = arguments.first ?? ""
        for argument in arguments.dropFirst() {
            let parts = argument.split(separator: "=")
            guard parts.count == 2, let value = Int(parts[1]) else {
                preconditionFailure("an argument is `name=number`: \(argument)")
            }
            values[String(parts[0])] = value
        }
    }

    subscript(name: String) -> Int? { values[name] }

    var limits: ServerLimits {
        var limits = ServerLimits()
        if let value = self["connections"] { limits.connections = value }
        if let value = self["calls"] { limits.concurrentCalls = value }
        if let value = self["message"] { limits.messageSize = value }
        if let value = self["memory"] { limits.memory = value }
        if let value = self["handshake"] { limits.handshake = .milliseconds(value) }
        if let value = self["keepalive"] { limits.keepalive = .milliseconds(value) }
        if let value = self["keepalive-timeout"] {
            limits.keepaliveTimeout = .milliseconds(value)
        }
        return limits
    }
}
