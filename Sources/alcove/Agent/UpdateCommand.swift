internal import AgentAPI
internal import AgentViews
internal import Console
internal import LinuxKernel
internal import SandboxModel

/// `alcove update`
enum UpdateCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "update", summary: "change the limits of running sandboxes",
            discussion: """
                What is given changes, the rest stays. Of one sandbox all limits change or none.
                """,
            flags: SandboxFlags.limitFlags.filter { $0.name != "rlimit" } + [
                Agent.jsonFlag, Agent.socketFlag,
            ],
            arguments: [LifecycleCommands.runningIDs], tables: [AgentExitCode.startTable],
            examples: [Example("alcove update --memory 256MiB --cpus 1 web", "give it more")]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let limits = try SandboxFlags.limits(parsed)
        guard !limits.kinds.isEmpty else {
            throw FlagError(
                "no limit is given",
                hint: "give one of --memory, --cpus, --pids, --io-read,"
                    + " --io-write")
        }
        let policy = LimitPolicy(try SandboxFlags.limitPolicy(parsed))
        return try Agent(parsed).forEach(
            parsed.arguments("ID"), "update", SandboxesMethods.updateResources,
            request: { id in
                UpdateResourcesRequest(
                    id: id, limits: AgentAPI.Limits(limits), limitPolicy: policy)
            },
            then: { id, response in
                for warning in response.sandbox.map(SandboxText.warnings) ?? [] {
                    Messages.warn("`\(id)`: \(warning)")
                }
                StandardStream.output.write(
                    parsed.isOn("json")
                        ? MessageJSON.line(response) : PlainText.line(id) + "\n")
                return 0
            })
    }
}
