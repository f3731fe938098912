internal import AgentAPI
internal import AgentViews
internal import Console
internal import LinuxKernel

/// `alcove image …`, but for what takes long.
enum ImageCommands {
    static let declarations = [
        ImageImportCommand.declaration, list, inspect, remove, prune, pin, unpin,
        ImageCheckCommand.declaration,
    ]

    private static let names = Completion.lines(of: "alcove image ls --quiet")
    private static let image = Argument(
        "NAME", completes: names, help: "a name, a digest or the beginning of one")

    static let list = PerformableCommand(
        command: Command(
            "image ls", summary: "list the images of this node",
            discussion: """
                SIZE is that of all layers of the image, SHARED of those that other images have \
                too, which the store has once.
                """,
            flags: [
                Flag("quiet", short: "q", help: "print names alone, digests of those without"),
                Agent.jsonFlag, Agent.socketFlag,
            ], tables: [AgentExitCode.table],
            examples: [Example("alcove image ls", "with their sizes and sandboxes")]),
        perform: { parsed in
            let response = try Agent(parsed).request(
                ImagesMethods.list, ListImagesRequest(), to: "list the images")
            let text =
                parsed.isOn("json")
                ? MessageJSON.document(response)
                : parsed.isOn("quiet")
                    ? response.images.flatMap { $0.names.isEmpty ? [$0.digest] : $0.names }
                        .map { PlainText.line($0) + "\n" }.joined()
                    : ImageText.list(
                        response.images, response.store, now: WallClock.nanoseconds,
                        width: StandardStream.output.tableWidth)
            StandardStream.output.write(text)
            return 0
        })

    static let inspect = PerformableCommand(
        command: Command(
            "image inspect", summary: "tell all that is known of an image",
            flags: [Agent.jsonFlag, Agent.socketFlag], arguments: [image],
            tables: [AgentExitCode.table],
            examples: [Example("alcove image inspect --json base", "its layers, how it is run")]),
        perform: { parsed in
            let name = parsed.argument("NAME") ?? ""
            let response = try Agent(parsed).request(
                ImagesMethods.list, ListImagesRequest(name: name), to: "tell of `\(name)`")
            for image in response.images {
                StandardStream.output.write(
                    parsed.isOn("json")
                        ? MessageJSON.document(image)
                        : ImageText.image(
                            image, now: WallClock.nanoseconds,
                            width: StandardStream.output.tableWidth))
            }
            return 0
        })

    static let remove = PerformableCommand(
        command: Command(
            "image rm", summary: "remove images, or names of them; directories stay",
            discussion: """
                An image goes with its last name, or by its digest with all of them, and takes \
                the layers with it that no other image has. Refused of an image that is pinned, \
                or of which there is a sandbox, a stopped one too.
                """,
            flags: [Agent.socketFlag],
            arguments: [
                Argument("NAME", repeatable: true, completes: names, help: "names or digests")
            ], tables: [AgentExitCode.table],
            examples: [Example("alcove image rm base", "remove one")]),
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
            "image prune", summary: "remove images without a name of which there is no sandbox",
            discussion: """
                Layers that no image has go with them. Pinned images stay. Prints the names or \
                digests of what goes, and what that frees.
                """,
            flags: [
                Flag(
                    "all", short: "a",
                    help: "those with a name too, also names of directories"),
                Flag("dry-run", short: "n", help: "only say which those are"), Agent.jsonFlag,
                Agent.socketFlag,
            ], tables: [AgentExitCode.table],
            examples: [Example("alcove image prune --all --dry-run", "what would be removed")]),
        perform: { parsed in
            let response = try Agent(parsed).request(
                ImagesMethods.prune,
                PruneRequest(dryRun: parsed.isOn("dry-run"), named: parsed.isOn("all")),
                to: "prune the images")
            StandardStream.output.write(
                parsed.isOn("json")
                    ? MessageJSON.document(response) : ImageText.pruned(response))
            return 0
        })

    static let pin = pinning(
        true, "image pin", "protect an image from eviction and from `prune`",
        Example("alcove image pin base", "it stays, whatever room is needed"))
    static let unpin = pinning(
        false, "image unpin", "let an image be evicted and pruned again",
        Example("alcove image unpin base", "as it was"))

    private static func pinning(
        _ pinned: Bool, _ path: String, _ summary: String, _ example: Example
    ) -> PerformableCommand {
        PerformableCommand(
            command: Command(
                path, summary: summary, flags: [Agent.jsonFlag, Agent.socketFlag],
                arguments: [image], tables: [AgentExitCode.table], examples: [example]),
            perform: { parsed in
                let name = parsed.argument("NAME") ?? ""
                let response = try Agent(parsed).request(
                    ImagesMethods.pin, PinRequest(name: name, pinned: pinned),
                    to: "\(pinned ? "pin" : "unpin") `\(name)`")
                StandardStream.output.write(
                    parsed.isOn("json")
                        ? MessageJSON.document(response) : PlainText.line(name) + "\n")
                return 0
            })
    }
}
