public import LinuxKernel

/// Sockets that the service manager listens on for this service, by name. Corresponds to
/// `sd_listen_fds_with_names(3)`.
public struct InheritedSockets: ~Copyable, Sendable {
    /// What a socket is for. `FileDescriptorName=` of a socket unit says it.
    public enum Name: String, CaseIterable, Sendable {
        case agent
        case monitor
        case metrics
    }

    /// The first descriptor that is handed over. Corresponds to `SD_LISTEN_FDS_START`.
    public static let firstDescriptor: Int32 = 3
    static let mostSockets = 16

    /// What is put into the environment, which no child is to inherit.
    public static let variables = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID"]

    public private(set) var agent: Descriptor?
    public private(set) var monitor: Descriptor?
    public private(set) var metrics: Descriptor?

    /// Takes over what an environment names. From then on no child inherits it.
    ///
    /// A socket unit without a name passes its own: one of the name `NAME.socket` is the agent's.
    ///
    /// - Parameters:
    ///   - environment: entries such as `NAME=value`.
    ///   - process: the number of this process.
    public init(
        environment: [String], process: Int32, first: Int32 = InheritedSockets.firstDescriptor
    ) throws {
        let values = EnvironmentValues(environment)
        // Meant for a process that started this one.
        guard values["LISTEN_PID"] == "\(process)", let text = values["LISTEN_FDS"] else { return }
        guard let count = Int32(text), count >= 0, count <= Self.mostSockets else {
            throw ServiceError("LISTEN_FDS is no number of sockets: `\(text.prefix(40))`")
        }
        let names = Self.names(values["LISTEN_FDNAMES"], count: Int(count))
        guard names.count == count else {
            throw ServiceError(
                "LISTEN_FDNAMES has \(names.count) names for \(count) sockets")
        }
        for (index, name) in names.enumerated() {
            let descriptor = Descriptor(owning: first + Int32(index))
            try descriptor.setCloseOnExec()
            try take(descriptor, name)
        }
    }

    /// Takes over what the service manager handed to this process, and takes it out of the
    /// environment.
    ///
    /// For the start of a program: no other thread may be at the environment meanwhile.
    public static func adopt() throws -> InheritedSockets {
        let sockets = try InheritedSockets(
            environment: ProcessEnvironment.entries, process: ThisProcess.identifier)
        ProcessEnvironment.remove(variables)
        return sockets
    }

    private static func names(_ text: String?, count: Int) -> [String] {
        guard let text else { return [String](repeating: "unknown", count: count) }
        if count == 0, text.isEmpty { return [] }
        return text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    }

    private mutating func take(
        _ descriptor: consuming Descriptor, _ name: String
    ) throws(ServiceError) {
        // What no unit has named: `unknown`, or the unit's own name.
        let isUnnamed = name == "unknown" || name.isEmpty || name.hasSuffix(".socket")
        guard let name = isUnnamed ? .agent : Name(rawValue: name) else {
            let known = Name.allCases.map { "`\($0.rawValue)`" }.joined(separator: ", ")
            throw ServiceError(
                "the service manager passes a socket `\(name.prefix(80))`, and the agent knows "
                    + "\(known): set FileDescriptorName= of the socket unit")
        }
        let isTaken =
            switch name {
            case .agent: agent != nil
            case .monitor: monitor != nil
            case .metrics: metrics != nil
            }
        guard !isTaken else {
            throw ServiceError("the service manager passes two sockets `\(name.rawValue)`")
        }
        switch name {
        case .agent: agent = consume descriptor
        case .monitor: monitor = consume descriptor
        case .metrics: metrics = consume descriptor
        }
    }

    /// Gives a socket away, once.
    public mutating func take(_ name: Name) -> Descriptor? {
        switch name {
        case .agent: agent.take()
        case .monitor: monitor.take()
        case .metrics: metrics.take()
        }
    }
}
