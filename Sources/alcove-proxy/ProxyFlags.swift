internal import AgentOperations
internal import Console
internal import LinuxKernel
internal import ProxyNode

/// The command line of the proxy, which is all of its configuration.
enum ProxyFlags {
    static let command = Command(
        "", of: "alcove-proxy",
        summary: "the VPC proxy of a node: ends tunnels, and serves its interface on a socket",
        discussion: """
            Start it in the network namespace in which tunnels end and uplinks are: that of the \
            host. Each VPC has a namespace of its own; VPCs go on when the proxy ends, and the \
            next one takes them over.
            """,
        flags: [
            Flag(
                "socket", value: "PATH", default: "/run/alcove-proxy/proxy.sock",
                completes: .files, help: "where clients find it"),
            Flag("socket-mode", value: "MODE", default: "0660", help: "the socket's permissions"),
            Flag(
                "socket-group", value: "GROUP", defaultNote: "the proxy's own",
                help: "the socket's group, by name or number"),
            Flag(
                "underlay", value: "ADDRESS", defaultNote: "each VPC has to say it",
                help: "where tunnels end, unless a VPC says otherwise"),
            Flag(
                "state", value: "DIRECTORY", default: "/var/lib/alcove-proxy",
                help: "the record"),
            Flag(
                "namespaces", value: "DIRECTORY", default: "/run/alcove-proxy/netns",
                help: "where the VPCs' namespaces are pinned"),
            Flag(
                "events", value: "NUMBER", default: "100000", help: "how many events are kept"),
            Flag("log-level", value: "LEVEL", default: "info", help: levels),
            Flag("log-format", value: "FORMAT", default: "auto", help: formats),
            Flag("version", help: "print the version, and end"),
        ],
        tables: [
            HelpTable(
                "Signals",
                rows: [.init("SIGTERM, SIGINT", "end; VPCs and their flows go on")])
        ])

    private static let levels = LogLevel.allCases.map(\.rawValue).joined(separator: ", ")
    private static let formats = AgentConfiguration.LogFormat.allCases.map(\.rawValue)
        .joined(separator: ", ")

    static func settings(_ parsed: ParsedCommand) throws(FlagError) -> ProxySettings {
        var settings = ProxySettings()
        settings.stateDirectory = try path("state", parsed)
        settings.namespaceDirectory = try path("namespaces", parsed)
        settings.underlay = parsed.string("underlay")
        settings.eventsKept = UInt64(try parsed.integer("events", in: 1...1_000_000_000) ?? 100_000)
        return settings
    }

    static func path(_ flag: String, _ parsed: ParsedCommand) throws(FlagError) -> String {
        guard let path = parsed.string(flag), path.hasPrefix("/"), path.utf8.count < 1024 else {
            throw parsed.refuse(flag, "is no path from the root")
        }
        return path
    }

    static func mode(_ parsed: ParsedCommand) throws(FlagError) -> UInt32 {
        guard let mode = UInt32(parsed.string("socket-mode") ?? "", radix: 8), mode <= 0o777 else {
            throw parsed.refuse("socket-mode", "is no mode", hint: "as in `0660`")
        }
        return mode
    }

    static func group(_ parsed: ParsedCommand) throws(FlagError) -> UInt32? {
        guard let name = parsed.string("socket-group") else { return nil }
        guard let number = Groups.number(of: name) else {
            throw parsed.refuse(
                "socket-group", "is no group of the host",
                hint: "make it by `groupadd --system \(name)`")
        }
        return number
    }

    static func log(_ parsed: ParsedCommand) throws(FlagError) -> Log {
        let formats = AgentConfiguration.LogFormat.allCases.map(\.rawValue)
        let level = try parsed.choice("log-level", of: LogLevel.allCases.map(\.rawValue))
        let format = try parsed.choice("log-format", of: formats)
        return Log(
            level: level.flatMap { LogLevel(rawValue: $0) } ?? .info,
            format: Log.Format(
                format.flatMap { AgentConfiguration.LogFormat(rawValue: $0) } ?? .automatic,
                environment: ProcessEnvironment.entries),
            identifier: "alcove-proxy")
    }
}
