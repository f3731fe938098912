internal import AgentAPI
internal import AgentViews
internal import Console
internal import LinuxKernel

/// `alcove image import`, `ls`, `rm` and `prune`
enum ImageCommands {
    static let declarations = [importImage, list, remove, prune]

    private static let names = Completion.lines(of: "alcove image ls --quiet")

    static let importImage = PerformableCommand(
        command: Command(
            "image import", summary: "give a directory tree of this node a name",
            discussion: """
                The directory stays where it is, and must not change from now on. The same name \
                with the same directory is no error.
                """,
            flags: [Agent.jsonFlag, Agent.socketFlag],
            arguments: [
                Argument("NAME", help: "its name: a-z, 0-9 and -_./: after the first"),
                Argument("DIR", completes: .folders, help: "the directory tree"),
            ], tables: [AgentExitCode.table],
            examples: [Example("alcove image import base ./rootfs", "from here on `base`")]),
        perform: { parsed in
            let name = parsed.argument("NAME") ?? ""
            let directory = AgentSpec.absolute(parsed.argument("DIR") ?? "")
            let response = try Agent(parsed).request(
                ImagesMethods.import, ImportRequest(name: name, source: .directory(directory)),
                to: "import `\(name)`")
            StandardStream.output.write(
                parsed.isOn("json")
                    ? MessageJSON.document(response) : PlainText.line(name) + "\n")
            return 0
        })

    static let list = PerformableCommand(
        command: Command(
            "image ls", summary: "list the images of this node",
            flags: [
                Flag("quiet", short: "q", help: "print names alone"), Agent.jsonFlag,
                Agent.socketFlag,
            ], tables: [AgentExitCode.table],
            examples: [Example("alcove image ls", "with their sizes and sandboxes")]),
        perform: { parsed in
            let response = try Agent(parsed).request(
                ImagesMethods.list, ListImagesRequest(), to: "list the images")
            let text =
                parsed.isOn("json")
                ? MessageJSON.document(response)
                : parsed.isOn("quiet")
                    ? response.images.map { PlainText.line($0.name) + "\n" }.joined()
                    : NodeText.images(
                        response.images, now: WallClock.nanoseconds,
                        width: StandardStream.output.tableWidth)
            StandardStream.output.write(text)
            return 0
        })

    static let remove = PerformableCommand(
        command: Command(
            "image rm", summary: "forget images; their directories stay",
            discussion: "Refused of an image of which there is a sandbox, a stopped one too.",
            flags: [Agent.socketFlag],
            arguments: [
                Argument("NAME", repeatable: true, completes: names, help: "the images")
            ], tables: [AgentExitCode.table],
            examples: [Example("alcove image rm base", "forget one")]),
        perform: { parsed in
            try Agent(parsed).forEach(
                parsed.arguments("NAME"), "remove the image", ImagesMethods.remove,
                request: { RemoveRequest(name: $0) }
            ) { name, _ in
                StandardStream.output.write(PlainText.line(name) + "\n")
                return 0
            }
        })

    static let prune = PerformableCommand(
        command: Command(
            "image prune", summary: "forget all images of which there is no sandbox",
            flags: [
                Flag("dry-run", short: "n", help: "only say which those are"), Agent.jsonFlag,
                Agent.socketFlag,
            ], tables: [AgentExitCode.table],
            examples: [Example("alcove image prune --dry-run", "what would be forgotten")]),
        perform: { parsed in
            let response = try Agent(parsed).request(
                ImagesMethods.prune, PruneRequest(dryRun: parsed.isOn("dry-run")),
                to: "prune the images")
            StandardStream.output.write(
                parsed.isOn("json")
                    ? MessageJSON.document(response)
                    : response.removed.map { PlainText.line($0) + "\n" }.joined())
            return 0
        })
}
