internal import AgentAPI
internal import Console
internal import LinuxKernel
internal import SandboxModel

/// Flags that describe a sandbox, as the agent is asked for it.
enum AgentSpec {
    static let image = Argument(
        "IMAGE", completes: .foldersAndLines(of: "alcove image ls --quiet"),
        help: "the image: path of a directory tree, or name of an imported image")

    /// What only the agent can do.
    static let imageFlags = [
        Flag(
            "layer", value: "NAME", repeatable: true,
            completes: .lines(of: "alcove image ls --quiet"),
            help: "put another imported image, or a layer of one, above those of IMAGE"),
        Flag(
            "entrypoint", value: "PROGRAM",
            help: "in place of the image's entrypoint and command; \"\": without any"),
    ]

    static let timeFlags = [
        Flag("timeout", value: "DURATION", help: "stop it after this time, as in 30s or 1.5m"),
        Flag(
            "stop-grace", value: "DURATION", default: "2s",
            help: "time between SIGTERM, which asks it to stop, and its end, as in 500ms"),
    ]

    /// What is asked for by the flags, with an image as the agent knows it.
    static func spec(_ parsed: ParsedCommand) throws -> AgentAPI.SandboxSpec {
        let image = image(parsed.argument("IMAGE") ?? "")
        var model = try SandboxFlags.spec(parsed, imagePath: image)
        model.timeout = try parsed.duration("timeout")
        var spec = AgentAPI.SandboxSpec(model)
        // Who that is, the agent looks up in the image. What is not given, the image may say.
        if parsed.isGiven("user"), let user = parsed.string("user") { spec.user = user }
        spec.workingDirectory = parsed.string("workdir") ?? ""
        spec.environment = try environment(parsed)
        switch try SandboxFlags.isolation(parsed) {
        case .process: spec.isolation = .process
        case .microvm: spec.isolation = .microvm
        case nil: spec.isolation = .auto
        }
        spec.layers = parsed.strings("layer")
        spec.network = try NetworkFlags.network(parsed)
        if let entrypoint = parsed.string("entrypoint") { spec.entrypoint = [entrypoint] }
        let grace = try parsed.duration("stop-grace") ?? .seconds(2)
        if grace != AgentAPI.SandboxSpec.defaultStopGrace {
            spec.stopGraceNanoseconds = UInt64(clamping: grace.nanoseconds)
        }
        return spec
    }

    /// What is given; of one name the last.
    private static func environment(_ parsed: ParsedCommand) throws -> [String] {
        var entries: [String] = []
        for pair in try parsed.pairs("env") {
            entries.removeAll { $0.hasPrefix(pair.key + "=") }
            entries.append("\(pair.key)=\(pair.value)")
        }
        return entries
    }

    /// The agent is in another directory, and so gets whole paths. What is no directory here is
    /// a name.
    static func image(_ text: String) -> String {
        guard !text.hasPrefix("/") else { return text }
        let isPath = text == "." || text.hasPrefix("./") || text.hasPrefix("../") || text == ".."
        let kind = (try? Files.status(of: text))?.kind
        guard isPath || kind == .directory else { return text }
        return absolute(text)
    }

    /// A path from the root on.
    static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let here = try? Files.linkTarget("/proc/self/cwd") else {
            return path
        }
        var parts = here.split(separator: "/")
        for part in path.split(separator: "/") where part != "." {
            // By name alone, as a shell's `cd` does; the agent resolves links.
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    /// A new id that begins with the image's name: `base-x7k2m9qp`.
    static func newID(for image: String) -> String {
        let letters = Array("abcdefghjkmnpqrstuvwxyz23456789")
        let name = image.split(separator: "/").last.map(String.init) ?? ""
        let allowed = name.lowercased().filter {
            ($0.isASCII && ($0.isLetter || $0.isNumber)) || $0 == "-" || $0 == "_"
        }
        let start = allowed.drop { $0 == "-" || $0 == "_" }.prefix(24)
        let random = (0..<8).map { _ in letters.randomElement().map(String.init) ?? "" }
        return (start.isEmpty ? "sandbox" : String(start)) + "-" + random.joined()
    }
}

extension Duration {
    /// Whole nanoseconds, at most what 64 bits hold.
    var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow else { return .max }
        let (sum, overflows) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
        return overflows ? .max : sum
    }
}
