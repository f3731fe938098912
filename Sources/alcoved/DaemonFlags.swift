internal import Agent
internal import AgentOperations
internal import Console

/// The command line of the daemon. What the node is like stands in the configuration file.
enum DaemonFlags {
    static let command = Command(
        "", of: "alcoved",
        summary: "the agent of a node: keeps sandboxes, and serves them on a socket",
        flags: [
            Flag(
                "config", value: "FILE",
                defaultNote: "\(AgentConfiguration.standardPath), if there",
                help: "the configuration file"),
            Flag("check-config", help: "read the configuration file, say what is wrong, and end"),
            Flag("print-config", help: "print the configuration that holds, as a file, and end"),
            Flag("help-config", help: "print what can be configured, and end"),
            Flag(
                "set-record-aside",
                help: "put a record that cannot be used out of the way, and end"),
            Flag(
                "die-at", value: "STEP[:N]",
                help: "die when a step is reached for the N-th time, for tests of recovery"),
            Flag("list-steps", help: "print the steps, and end"),
            Flag("version", help: "print the version, and end"),
        ],
        tables: [
            HelpTable(
                "Signals",
                rows: [
                    .init(
                        "SIGTERM, SIGINT",
                        "end; sandboxes run on, unless `shutdown.drain_deadline` is set: then "
                            + "drain first, and end at once when it comes again"),
                    .init(
                        "SIGHUP",
                        "read the configuration again; one with a mistake changes nothing"),
                ])
        ])

    static func configuration(_ parsed: ParsedCommand) throws -> AgentConfiguration {
        if let path = parsed.string("config") { return try AgentConfiguration.load(path) }
        return try AgentConfiguration.loadStandard()
    }

    static func death(_ parsed: ParsedCommand) throws(FlagError) -> DeathAt? {
        guard let text = parsed.string("die-at") else { return nil }
        let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
        guard let name = parts.first, let step = Step(rawValue: name),
            let occurrence = parts.count == 1 ? 1 : Int(parts[1]), occurrence > 0
        else { throw parsed.refuse("die-at", "is no step", hint: "`--list-steps` lists them") }
        return DeathAt(step: step, occurrence: occurrence)
    }
}
