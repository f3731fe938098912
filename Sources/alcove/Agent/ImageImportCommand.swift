internal import AgentAPI
internal import AgentViews
internal import Console
internal import LinuxKernel

/// `alcove image import`
enum ImageImportCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "image import", summary: "bring an image to this node, or name a directory tree",
            discussion: """
                PATH is an OCI layout, as a directory or an archive, or what `docker save` wrote; \
                the agent takes it into its store, layer by layer, and PATH is not needed any \
                more. Without NAME the image has the names that it has in the archive.
                Any other directory is used as it is: it stays where it is, and must not change \
                from now on. The same name with the same directory is no error.
                Standard error tells how far it is. SIGINT and SIGTERM stop it, and nothing is \
                left of it.
                """,
            flags: [
                Flag(
                    "reference", value: "REF",
                    help: "which image of several: its name in the archive, or its digest"),
                Flag(
                    "platform", value: "OS/ARCH", defaultNote: "that of the node",
                    help: "for which platform, as in linux/arm64"),
                Flag("keep-devices", help: "take an image with device nodes; none can be opened"),
                Flag("pin", help: "protect it from eviction and from `prune`"),
                Flag("quiet", short: "q", help: "do not tell how far it is"),
                Flag("json", help: "print a line of JSON for each step, the result last"),
                Agent.socketFlag,
            ],
            arguments: [
                Argument(
                    "NAME", required: false, completes: .files,
                    help: "its name: a-z, 0-9 and -_./: after the first"),
                Argument("PATH", completes: .files, help: "the archive or directory"),
            ], tables: [AgentExitCode.table],
            examples: [
                Example("alcove image import app:1 ./app.tar", "from an archive"),
                Example("alcove image import base ./rootfs", "a directory tree, from here on"),
            ]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let request = try request(parsed)
        let what = "import `\(parsed.argument("NAME") ?? parsed.argument("PATH") ?? "")`"
        let agent = try Agent(parsed)
        // Without it the stream has no connection.
        defer { withExtendedLifetime(agent) {} }
        let isJSON = parsed.isOn("json")
        let meter = parsed.isOn("quiet") || isJSON ? nil : ProgressMeter()
        let answers = agent.connection.stream(ImagesMethods.import, request)
        do throws(CallFailure) {
            while let answer = try answers.next() {
                if isJSON { StandardStream.output.write(MessageJSON.line(answer)) }
                switch answer.kind {
                case .progress(let progress)?:
                    meter?.show(
                        done: progress.bytesDone, of: progress.bytes,
                        layers: (progress.layersDone, progress.layers),
                        isWaiting: progress.waiting)
                case .result(let result)?:
                    meter?.clear()
                    if !isJSON { tell(result, as: request.name) }
                case nil: break
                }
            }
        } catch {
            meter?.clear()
            throw AgentFailure(cannot: what, error)
        }
        return 0
    }

    private static func tell(_ result: ImportResponse.Result, as name: String) {
        let image = result.image ?? Image()
        let titles = [name, image.name, image.digest]
        StandardStream.output.write(PlainText.line(titles.first { !$0.isEmpty } ?? "") + "\n")
        for name in result.evicted { Messages.warn("image `\(name)` was evicted to make room") }
    }

    private static func request(_ parsed: ParsedCommand) throws -> ImportRequest {
        let path = AgentSpec.absolute(parsed.argument("PATH") ?? "")
        var request = ImportRequest(name: parsed.argument("NAME") ?? "")
        let isTree = isTree(path)
        request.source = isTree ? .directory(path) : .archive(path)
        request.reference = parsed.string("reference") ?? ""
        request.platform = parsed.string("platform") ?? ""
        request.devices = parsed.isOn("keep-devices") ? .keep : .refuse
        request.pin = parsed.isOn("pin")
        guard isTree else { return request }
        guard !request.name.isEmpty else {
            throw FlagError(
                "`\(path)` is a directory tree, which has no name of its own",
                hint: "write `alcove image import NAME PATH`; an OCI layout has a file"
                    + " `oci-layout`")
        }
        for flag in ["reference", "platform", "keep-devices", "pin"] where parsed.isGiven(flag) {
            throw FlagError(
                "`--\(flag)` is for archives, and `\(path)` is a directory tree",
                hint: "leave it out")
        }
        return request
    }

    /// A directory that is no OCI layout.
    private static func isTree(_ path: String) -> Bool {
        guard (try? Files.status(of: path))?.kind == .directory else { return false }
        return !["oci-layout", "index.json", "manifest.json"].contains {
            Files.exists(path + "/" + $0)
        }
    }
}

/// `alcove image fsck`
enum ImageCheckCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "image fsck", summary: "read all images of the store, and say which are damaged",
            discussion: """
                Sandboxes that run go on. New ones are not made of a damaged image, until it is \
                imported again, which mends it.
                """,
            flags: [
                Flag("quick", help: "only look whether all is there, and read nothing"),
                Flag("quiet", short: "q", help: "do not tell how far it is"), Agent.jsonFlag,
                Agent.socketFlag,
            ], tables: [AgentExitCode.table],
            examples: [Example("alcove image fsck", "exits with 74 where one is damaged")]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let meter = parsed.isOn("quiet") || parsed.isOn("json") ? nil : ProgressMeter()
        let agent = try Agent(parsed)
        // Without it the stream has no connection.
        defer { withExtendedLifetime(agent) {} }
        let answers = agent.connection.stream(
            ImagesMethods.check, CheckRequest(withoutContent: parsed.isOn("quick")))
        var code: Int32 = 0
        do throws(CallFailure) {
            while let answer = try answers.next() {
                switch answer.kind {
                case .progress(let progress)?:
                    meter?.show(done: progress.bytesDone, of: progress.bytes)
                case .result(let result)?:
                    meter?.clear()
                    StandardStream.output.write(
                        parsed.isOn("json")
                            ? MessageJSON.document(result) : ImageText.checked(result))
                    code = result.sound ? 0 : AgentExitCode.damaged.rawValue
                case nil: break
                }
            }
        } catch {
            meter?.clear()
            throw AgentFailure(cannot: "check the images", error)
        }
        return code
    }
}

/// How far something is, on standard error: a bar that is drawn again and again on a terminal, and
/// elsewhere a line for each layer.
final class ProgressMeter {
    private let stream = StandardStream.error
    private let isTerminal: Bool
    private let begun = MonotonicClock.nanoseconds
    private var drawnAt: UInt64 = 0
    private var layersTold: UInt32?

    /// A terminal shows no more.
    private static let interval: UInt64 = 50_000_000

    init() {
        isTerminal = Terminal.isTerminal(StandardStream.error.rawValue)
    }

    func show(
        done: UInt64, of total: UInt64, layers: (done: UInt32, all: UInt32)? = nil,
        isWaiting: Bool = false
    ) {
        let now = MonotonicClock.nanoseconds
        let line =
            ProgressText.line(
                done: done, of: total, layers: layers,
                elapsed: .nanoseconds(Int64(clamping: now - begun)))
            + (isWaiting ? ", waiting for another import" : "")
        if isTerminal {
            guard now - drawnAt >= Self.interval else { return }
            drawnAt = now
            stream.write("\r" + line.prefix(max(0, stream.textWidth - 1)) + "\u{1b}[K")
        } else if let layers, layers.done != layersTold {
            layersTold = layers.done
            stream.write(line + "\n")
        }
    }

    /// Before something else is told.
    func clear() {
        if isTerminal, drawnAt > 0 { stream.write("\r\u{1b}[K") }
    }
}
