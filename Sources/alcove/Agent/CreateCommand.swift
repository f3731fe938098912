internal import AgentAPI
internal import AgentViews
internal import Console
internal import LinuxKernel
internal import SandboxModel

/// `alcove create`
enum CreateCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "create", summary: "reserve a sandbox on this node, and start it with `--start`",
            discussion: """
                Prints the id. The same id with the same flags gives the same sandbox again. What \
                the sandbox writes is kept, see `alcove logs`; it has no standard input.
                IMAGE is a directory, or where there is none of that path, the name of an imported \
                image. COMMAND takes the place of the image's own and stands behind its \
                entrypoint; it can be left out where the image has one.
                """,
            flags: [
                Flag(
                    "id", value: "ID", defaultNote: "made up",
                    help: "its id: letters a-z, digits and -_. after the first"),
                Flag("start", short: "s", help: "start it too"),
                Flag(
                    "terminal", short: "t", help: "a terminal as its standard streams"),
                SandboxFlags.isolationFlag,
            ] + AgentSpec.imageFlags + AgentSpec.timeFlags + NetworkFlags.flags + SandboxFlags.flags
                + [
                    Agent.jsonFlag, Agent.socketFlag,
                ],
            arguments: [AgentSpec.image], trailing: .optionalCommand,
            tables: [AgentExitCode.startTable],
            examples: [
                Example(
                    "alcove create --id web --memory 128MiB base -- /bin/app --port 80",
                    "reserve one, from an imported image"),
                Example("alcove create --start ./rootfs -- sleep 60", "start one from a directory"),
            ]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        var spec = try AgentSpec.spec(parsed)
        spec.terminal = parsed.isOn("terminal")
        let id = parsed.string("id") ?? AgentSpec.newID(for: spec.image)
        let agent = try Agent(parsed)
        let starts = parsed.isOn("start")
        let created = try agent.request(
            SandboxesMethods.create, CreateRequest(id: id, spec: spec, start: starts),
            to: "\(starts ? "start" : "create") `\(id)`")
        for warning in created.sandbox.map(SandboxText.warnings) ?? [] { Messages.warn(warning) }
        StandardStream.output.write(
            parsed.isOn("json") ? MessageJSON.document(created) : "\(id)\n")
        return 0
    }
}
