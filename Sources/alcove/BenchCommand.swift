internal import Console
internal import Jail
internal import LinuxKernel
internal import SandboxModel

/// `alcove bench cold-start`
enum BenchCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "bench cold-start", summary: "measure how long sandboxes take, from request to reaped",
            discussion: """
                Starts sandboxes from this one process and measures each from the request until \
                its end was collected. The command should do nothing.
                Of a microVM the stages are those of its jail, its monitor, its kernel and its \
                first process. The directory is packed before the first start, and not counted.
                """,
            flags: [
                Flag("count", short: "n", value: "N", default: "100", help: "samples to take"),
                Flag(
                    "concurrency", short: "c", value: "N", default: "1",
                    help: "sandboxes in flight at the same time"),
                Flag("warm-up", value: "N", default: "5", help: "starts before the first sample"),
                Flag(
                    "pooled",
                    help: "with network namespaces and cgroups made ahead, which is not counted"),
                SandboxFlags.isolationFlag,
                Flag("json", help: "print one JSON line for each sample, and one for the summary"),
                Flag("samples", value: "FILE", help: "write those JSON lines to a file"),
                Flag("picture", value: "FILE", help: "write an SVG picture of the distribution"),
            ] + SandboxFlags.flags,
            arguments: [SandboxFlags.image], trailing: .command,
            examples: [
                Example(
                    "alcove bench cold-start -n 500 --read-only IMAGE -- /bin/true",
                    "500 starts, one after another"),
                Example(
                    "alcove bench cold-start -c 8 --picture starts.svg IMAGE -- /bin/true",
                    "eight in flight, with a picture"),
            ]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        let image = try ImageTree.open(parsed.argument("IMAGE") ?? "")
        let spec = try SandboxFlags.spec(parsed, image: image)
        let count = try parsed.integer("count", in: 1...1_000_000) ?? 100
        let isPooled = parsed.isOn("pooled")
        let sandbox = try LocalSandbox(
            spec, image: image, isolation: try SandboxFlags.localIsolation(parsed),
            network: isPooled ? .pooled : .new)
        let host = sandbox.host
        let bench = try ColdStartBench(
            sandbox.prepared, concurrency: try parsed.integer("concurrency", in: 1...1024) ?? 1)
        let warmUp = try parsed.integer("warm-up", in: 0...10_000) ?? 5
        _ = try measure(bench, on: host, count: warmUp, isPooled: isPooled)
        let result = try measure(bench, on: host, count: count, isPooled: isPooled)
        host.removeAbandoned()
        try tell(result, parsed)
        return 0
    }

    /// Each sandbox uses up a network namespace and a cgroup of the pools, which are filled between
    /// the measurements: the time for that is not counted.
    private static func measure(
        _ bench: borrowing ColdStartBench, on host: SandboxHost, count: Int, isPooled: Bool
    ) throws -> ColdStartResult {
        guard isPooled else { return try bench.run(count: count, networks: []) }
        let poolSize = 256
        var result = ColdStartResult()
        while result.samples.count < count {
            let part = min(poolSize, count - result.samples.count)
            try host.poolCgroups(part)
            result += try bench.run(
                count: part, networks: try NetworkNamespace.make(count: part))
        }
        return result
    }

    private static func tell(_ result: ColdStartResult, _ parsed: ParsedCommand) throws {
        let lines = result.jsonLines(parameters: try parameters(parsed))
        if let path = parsed.string("samples") {
            let file = try Files.open(path, [.writeOnly, .create, .truncate])
            try file.writeAll(Array(lines.utf8))
        }
        if let path = parsed.string("picture"), let picture = try picture(of: result, parsed) {
            let file = try Files.open(path, [.writeOnly, .create, .truncate])
            try file.writeAll(Array(picture.utf8))
        }
        StandardStream.output.write(parsed.isOn("json") ? lines : result.table)
    }

    private static func parameters(_ parsed: ParsedCommand) throws -> JSONValue {
        [
            "concurrency": JSONValue(parsed.string("concurrency") ?? "1"),
            "pooled": JSONValue(parsed.isOn("pooled")),
            "isolation": JSONValue(try SandboxFlags.localIsolation(parsed).rawValue),
            "read_only": JSONValue(parsed.isOn("read-only")),
            "command": JSONValue(parsed.trailing),
        ]
    }

    private static func picture(
        of result: ColdStartResult, _ parsed: ParsedCommand
    ) throws -> String? {
        let settings = [
            "\(result.samples.count) samples", "\(parsed.string("concurrency") ?? "1") in flight",
            try SandboxFlags.localIsolation(parsed) == .microvm
                ? "microVMs" : "process sandboxes",
            parsed.isOn("pooled") ? "pooled network namespaces" : "everything new",
            parsed.isOn("read-only") ? "read-only root" : "writable root",
            parsed.trailing.joined(separator: " "),
        ]
        guard
            let total = Distribution(nanoseconds: result.samples.map(\.total)),
            let picture = DistributionPicture(
                title: "A sandbox, from request to reaped",
                subtitle: settings.joined(separator: ", "),
                series: [DistributionPicture.Series("request to reaped", total)])
        else { return nil }
        return picture.svg()
    }
}
