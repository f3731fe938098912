internal import Console
internal import Jail
internal import LinuxKernel
internal import SandboxModel

/// The flags that describe a sandbox, shared by every command that starts or plans one.
enum SandboxFlags {
    static let flags: [Flag] = limitFlags + identityFlags + rootFlags

    static let limitFlags = [
        Flag("memory", value: "SIZE", help: "limit its memory, as in 128MiB"),
        Flag("cpus", value: "COUNT", help: "limit its CPU time, as in 0.5 or 2"),
        Flag("pids", value: "COUNT", help: "limit its processes and threads"),
        Flag("io-read", value: "RATE", help: "limit reads of its disks, as in 10MiB/s"),
        Flag(
            "io-write", value: "RATE",
            help: "limit writes to its disks, as in 10MiB/s or 100Mbit/s"),
        Flag(
            "limits", value: "POLICY", default: "strict",
            completes: .words(SandboxSpec.LimitPolicy.allCases.map(\.rawValue)),
            help: "refuse a limit that the host cannot enforce (strict), or go on (best-effort)"),
        Flag(
            "rlimit", value: "NAME=SOFT[:HARD]", repeatable: true,
            help: "bound a single process, as in nofile=1024"),
    ]

    private static let identityFlags = [
        Flag("env", short: "e", value: "NAME=VALUE", repeatable: true, help: "set a variable"),
        Flag(
            "workdir", short: "w", value: "PATH", defaultNote: "as an imported image says, or /",
            help: "where the command starts"),
        Flag("hostname", value: "NAME", default: "sandbox", help: "its hostname"),
        Flag(
            "user", short: "u", value: "USER[:GROUP]",
            defaultNote: "as an imported image says, or 0:0",
            help: "who the command runs as: numbers, or a name of the image"),
        Flag(
            "map-user", value: "INSIDE:OUTSIDE:COUNT", repeatable: true,
            help: "give it a user namespace with this map of users and groups"),
        Flag(
            "denied-calls", value: "ANSWER", default: "kill",
            completes: .words(["kill", "errno"]),
            help: "what a denied system call does: kill its process, or errno"),
    ]

    static let isolationFlag = Flag(
        "isolation", value: "KIND", default: "auto",
        completes: .words(["auto"] + IsolationKind.allCases.map(\.rawValue)),
        help: "how it is kept apart from the node: auto, process or microvm")

    /// Nothing where the choice is left to whoever starts it.
    static func isolation(_ parsed: ParsedCommand) throws -> IsolationKind? {
        let kinds = IsolationKind.allCases.map(\.rawValue)
        return try parsed.choice("isolation", of: ["auto"] + kinds).flatMap(IsolationKind.init)
    }

    /// Of a sandbox that this process starts itself.
    static func localIsolation(_ parsed: ParsedCommand) throws -> IsolationKind {
        try isolation(parsed) ?? .process
    }

    private static let rootFlags = [
        Flag("read-only", help: "mount the image without a writable layer"),
        Flag(
            "scratch", value: "SIZE", default: "64MiB",
            help: "bound what it may write to its root, /tmp and /dev/shm, as in 64MiB"),
        Flag(
            "scratch-on", value: "PLACE", default: "memory",
            completes: .words(SandboxSpec.ScratchPlace.allCases.map(\.rawValue)),
            help: "where that goes: memory, or disk, which the agent alone can do"),
    ]

    static let image = Argument(
        "IMAGE", completes: .folders, help: "the image: path of a directory tree")

    /// The sandbox that the flags describe, and its image.
    static func spec(
        _ parsed: ParsedCommand, image: borrowing ImageTree
    ) throws -> SandboxSpec {
        var spec = try spec(parsed, imagePath: image.path)
        if parsed.isGiven("user"), let text = parsed.string("user") {
            guard let user = image.user(named: text) else {
                guard SandboxSpec.User.canBeNamed(text) else {
                    throw parsed.refuse(
                        "user", "`\(text)` cannot be a user", hint: SandboxSpec.User.hint)
                }
                throw SandboxError(
                    .userMissing, "the image has no user `\(text)`", hint: SandboxSpec.User.hint)
            }
            spec.user = user
        }
        return spec
    }

    /// The same without the user, whom only the image knows.
    static func spec(_ parsed: ParsedCommand, imagePath: String) throws -> SandboxSpec {
        var spec = SandboxSpec(image: imagePath, command: parsed.trailing)
        spec.limits = try limits(parsed)
        spec.limitPolicy = try limitPolicy(parsed)
        spec.workingDirectory = parsed.string("workdir") ?? "/"
        spec.hostname = parsed.string("hostname") ?? "sandbox"
        spec.root = parsed.isOn("read-only") ? .readOnly : .writable
        if let scratch = try size("scratch", parsed, atLeast: Limits.smallestScratchBytes) {
            spec.scratchBytes = scratch
        }
        let places = SandboxSpec.ScratchPlace.allCases.map(\.rawValue)
        spec.scratchPlace =
            try parsed.choice("scratch-on", of: places).flatMap(SandboxSpec.ScratchPlace.init)
            ?? .memory
        try addIdentityMaps(parsed, to: &spec)
        try addProcessLimits(parsed, to: &spec)
        if try parsed.choice("denied-calls", of: ["kill", "errno"]) == "errno" {
            spec.deniedCalls = .errno
        }
        for pair in try parsed.pairs("env") {
            let prefix = pair.key + "="
            spec.environment.removeAll { $0.hasPrefix(prefix) }
            spec.environment.append(prefix + pair.value)
        }
        return spec
    }

    static func limitPolicy(_ parsed: ParsedCommand) throws -> SandboxSpec.LimitPolicy {
        try parsed.choice("limits", of: SandboxSpec.LimitPolicy.allCases.map(\.rawValue))
            .flatMap(SandboxSpec.LimitPolicy.init) ?? .strict
    }

    static func limits(_ parsed: ParsedCommand) throws -> Limits {
        var limits = Limits()
        limits.memoryBytes = try size("memory", parsed, atLeast: Limits.smallestMemoryBytes)
        limits.milliCPUs = try parsed.milliCPUs("cpus", in: 0...1_000_000).map { UInt32($0) }
        limits.pids = try parsed.integer("pids", in: 0...Int(Int32.max)).map { UInt32($0) }
        limits.readBytesPerSecond = try parsed.bytesPerSecond("io-read")
        limits.writeBytesPerSecond = try parsed.bytesPerSecond("io-write")
        return limits
    }

    /// A size. A bare number is bytes: one that is too small for that was meant with a unit.
    private static func size(
        _ flag: String, _ parsed: ParsedCommand, atLeast least: UInt64
    ) throws -> UInt64? {
        guard let bytes = try parsed.bytes(flag), bytes < least, parsed.string(flag) == "\(bytes)"
        else { return try parsed.bytes(flag) }
        throw SandboxError(
            .limitOutOfRange,
            "`--\(flag)`: \(bytes) bytes are below the smallest that works,"
                + " \(Quantity.text(bytes: least))",
            hint: "add a unit, as in \(bytes == 0 ? "128" : "\(bytes)")MiB")
    }

    private static func addIdentityMaps(
        _ parsed: ParsedCommand, to spec: inout SandboxSpec
    ) throws {
        for text in parsed.strings("map-user") {
            let numbers = text.split(separator: ":", omittingEmptySubsequences: false).map {
                UInt32($0)
            }
            guard numbers.count == 3, let inside = numbers[0], let outside = numbers[1],
                let count = numbers[2]
            else {
                throw parsed.refuse(
                    "map-user", "`\(text)` is no map", hint: "write INSIDE:OUTSIDE:COUNT")
            }
            spec.identityMaps.append(
                SandboxSpec.IdentityMap(inside: inside, outside: outside, count: count))
        }
    }

    private static func addProcessLimits(
        _ parsed: ParsedCommand, to spec: inout SandboxSpec
    ) throws {
        for pair in try parsed.pairs("rlimit") {
            guard let resource = ProcessLimitSetting.Resource(rawValue: pair.key) else {
                let names = ProcessLimitSetting.Resource.allCases.map(\.rawValue)
                throw parsed.refuse(
                    "rlimit", "`\(pair.key)` is no limit of a process",
                    hint: "one of \(names.joined(separator: ", "))")
            }
            let parts = pair.value.split(separator: ":", omittingEmptySubsequences: false)
            let values = parts.map { $0 == "unlimited" ? UInt64.max : UInt64($0) }
            guard let soft = values.first ?? nil, let hard = values.last ?? nil, values.count <= 2
            else {
                throw parsed.refuse(
                    "rlimit", "`\(pair.value)` is no limit", hint: "write SOFT or SOFT:HARD")
            }
            spec.processLimits.removeAll { $0.resource == resource }
            spec.processLimits.append(ProcessLimitSetting(resource, soft: soft, hard: hard))
        }
    }
}
