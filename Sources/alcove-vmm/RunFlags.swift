internal import Console
internal import GuestLink
internal import LinuxKernel
internal import Machine
internal import Virtio

/// What a microVM is made of and what runs in it.
struct RunOptions {
    /// Where the workload writes what it changes.
    enum Scratch {
        case memory(bytes: UInt64)
        /// A file system in a file, made for this guest.
        case disk(path: String)
    }

    /// By what the guest's kernel says something.
    enum Console {
        case none
        /// A serial port of the old kind, from the first line on.
        case serial
        /// The same until the kernel has found its virtio console, then that.
        case virtio
    }

    /// What becomes the guest's link.
    struct Link {
        enum Tap {
            /// One of the network namespace that the monitor runs in.
            case named(String)
            /// One of any namespace, which is open already: the monitor takes it over.
            case open(Int32)
        }

        var tap: Tap
        var address: HardwareAddress
        /// Nil leaves the link down.
        var network: GuestNetwork?
    }

    /// What the guest is made of.
    enum Origin {
        case kernel
        /// A snapshot in this folder.
        case snapshot(String)
        /// One that the control socket names.
        case laterSnapshot
    }

    var origin: Origin
    var machine: MachineConfiguration
    var kernel: String
    var initialFiles: String
    /// Read-only file systems, the topmost first.
    var layers: [String]
    var isReadOnly: Bool
    var scratch: Scratch
    var way: PreparedMachine.BootProtocol
    var kernelWords: [String]
    var console: Console
    var hostname: String
    /// So many processes and threads in the guest, its first one included.
    var mostProcesses: Int32?
    /// Bytes a second from and to all disks together.
    var diskRates: (read: UInt64?, write: UInt64?)
    var start: GuestStart
    var hasTerminal: Bool
    var link: Link?
    var control: String?
    /// The guest is entered when the control socket asks for it.
    var isHeld: Bool
    /// The command is started when the control socket asks for it.
    var waitsWithCommand: Bool
    var recordsWorkingSet: Bool
    /// The folder of the whole snapshot below one of changes.
    var base: String?
    var sockets: String?
    /// Descriptors that get records for the host. See `alcove_report`.
    var reports: [Int32]
    var showsTimeline: Bool
    var fences = MonitorFences.Kinds.all
    #if DEBUG
        var takeover: Takeover?
    #endif
}

/// The command line of `alcove-vmm run`.
enum RunFlags {
    /// What is said of a process in a guest.
    static let process = [
        Flag("user", value: "UID:GID", default: "0:0", help: "who runs the command"),
        Flag("workdir", value: "DIR", default: "/", help: "where it begins"),
        Flag(
            "program", value: "PATH", defaultNote: "the command's first word",
            repeatable: true,
            help: "what is executed; the first that is there"),
        Flag(
            "limit", value: "NUMBER:SOFT:HARD", repeatable: true,
            help: "a bound of the process, by the kernel's number of it"),
        Flag("terminal", help: "give the command a terminal, which is alcove-vmm's"),
        Flag("input", help: "pass standard input on"),
    ]

    static let command = Command(
        "run", of: "alcove-vmm", summary: "boot a microVM and run a command in it",
        discussion: "The command's standard streams are those of alcove-vmm, its environment is"
            + " alcove-vmm's. The exit code is the command's; when a signal ended it, alcove-vmm"
            + " ends by the same.",
        flags: [
            Flag("kernel", value: "FILE", help: "the guest's kernel, an ELF file or a bzImage"),
            Flag(
                "initial-files", value: "FILE",
                help: "the initial file system, which holds alcove-init"),
            Flag("memory", value: "SIZE", default: "128MiB", help: "the guest's memory"),
            Flag("cpus", value: "N", default: "1", help: "its processors"),
            Flag(
                "layer", value: "FILE", repeatable: true,
                help: "a read-only file system of the root, EROFS, the topmost first"),
            Flag("read-only", help: "give the command no writable root"),
            Flag(
                "scratch", value: "SIZE", default: "64MiB",
                help: "how much of the guest's memory the command may write as files"),
            Flag(
                "scratch-disk", value: "FILE",
                help: "a file with an ext4 file system for what the command writes"),
            Flag("hostname", value: "NAME", default: "sandbox", help: "the guest's host name"),
            Flag(
                "pids", value: "N",
                help: "how many processes and threads there may be, alcove-init included"),
            Flag(
                "disk-read", value: "SIZE", help: "bytes a second from all disks together"),
            Flag("disk-write", value: "SIZE", help: "bytes a second to them"),
        ] + process + [
            Flag(
                "control", value: "PATH",
                help: "where `alcove-vmm control` reaches the monitor"),
            Flag(
                "hold", help: "make the guest ready and wait for `alcove-vmm control start`"),
            Flag(
                "ready",
                help: "make the guest ready and start the command when `alcove-vmm control begin`"
                    + " asks for it: for a snapshot before that"),
            Flag(
                "restore", value: "DIR",
                help: "go on with a snapshot in place of a kernel; devices and disks are those"
                    + " that it was taken with"),
            Flag(
                "base", value: "DIR",
                help: "the whole snapshot below, for one that has changes alone"),
            Flag(
                "await-snapshot",
                help: "the same, with one that `alcove-vmm control restore DIR` names"),
            Flag(
                "record-working-set",
                help: "be able to tell `alcove-vmm control working-set DIR` what the guest used"),
            Flag(
                "sockets", value: "PATH",
                help: "where programs reach ports of the guest, by `CONNECT PORT`"),
            Flag("tap", value: "NAME", help: "a TAP that becomes the guest's link"),
            Flag(
                "tap-descriptor", value: "FD",
                help: "one that is open already, in any network namespace"),
            Flag(
                "mac", value: "ADDRESS", default: "02:00:00:00:00:01",
                help: "the hardware address of the guest's link"),
        ] + NetworkFlags.flags + [
            Flag(
                "boot", value: "PROTOCOL", default: "linux",
                help: "how the kernel is entered: linux or pvh"),
            Flag("interval-timer", help: "give the guest an interval timer"),
            Flag("huge-pages", help: "take the guest's memory of the host's huge pages"),
            Flag(
                "kernel-word", value: "WORD", repeatable: true,
                help: "a further word of the kernel's command line"),
            Flag("console", help: "show what the guest's kernel says, on standard error"),
            Flag(
                "virtio-console",
                help: "the same, by a virtio device as soon as the kernel has found that; what"
                    + " standard error does not take at once is left out"),
            Flag("timeline", help: "say on standard error when each stage was reached"),
            Flag(
                "report", value: "FD", repeatable: true,
                help: "a descriptor that gets records of how it goes"),
            Flag(
                "no-fences",
                help: "let alcove-vmm do all that its user may, for debugging: a guest that takes"
                    + " it over can do so too"),
        ],
        trailing: .command)

    static func options(_ parsed: ParsedCommand) throws(FlagError) -> RunOptions {
        let origin = try origin(parsed)
        for flag in ["hold", "ready", "await-snapshot", "record-working-set"]
        where parsed.isOn(flag) && parsed.string("control") == nil {
            throw FlagError("`--\(flag)` needs `--control`, by which it goes on")
        }
        var machine = MachineConfiguration(memoryBytes: try parsed.bytes("memory") ?? 0)
        machine.processors = try parsed.integer("cpus") ?? 1
        machine.hugePages = parsed.isOn("huge-pages")
        machine.hasIntervalTimer = parsed.isOn("interval-timer")
        let ways = PreparedMachine.BootProtocol.allCases.map(\.rawValue)
        let way = try parsed.choice("boot", of: ways)
        var options = RunOptions(
            origin: origin, machine: machine, kernel: parsed.string("kernel") ?? "",
            initialFiles: parsed.string("initial-files") ?? "", layers: parsed.strings("layer"),
            isReadOnly: parsed.isOn("read-only"), scratch: try scratch(parsed),
            way: way.flatMap { PreparedMachine.BootProtocol(rawValue: $0) } ?? .linux,
            kernelWords: parsed.strings("kernel-word"), console: try console(parsed),
            hostname: parsed.string("hostname") ?? "sandbox",
            mostProcesses: try parsed.integer("pids", in: 2...Int(Int32.max)).map { Int32($0) },
            diskRates: (try parsed.bytes("disk-read"), try parsed.bytes("disk-write")),
            start: try start(parsed),
            hasTerminal: parsed.isOn("terminal"), link: try link(parsed),
            control: parsed.string("control"), isHeld: parsed.isOn("hold"),
            waitsWithCommand: parsed.isOn("ready"),
            recordsWorkingSet: parsed.isOn("record-working-set"), base: parsed.string("base"),
            sockets: parsed.string("sockets"), reports: try reports(parsed),
            showsTimeline: parsed.isOn("timeline"))
        if parsed.isOn("no-fences") { options.fences = [] }
        return options
    }

    private static func origin(_ parsed: ParsedCommand) throws(FlagError) -> RunOptions.Origin {
        let folder = parsed.string("restore")
        let isLater = parsed.isOn("await-snapshot")
        guard parsed.string("base") == nil || folder != nil else {
            throw FlagError("`--base` is for `--restore`")
        }
        guard folder != nil || isLater else {
            guard parsed.string("kernel") != nil, parsed.string("initial-files") != nil else {
                throw FlagError(
                    "`--kernel` and `--initial-files` are needed",
                    hint: "scripts/build-kernel and rootfs/build-initrd make them")
            }
            return .kernel
        }
        guard folder == nil || !isLater else {
            throw FlagError("a guest has one snapshot: give `--restore` or `--await-snapshot`")
        }
        // What the snapshot says is not to be said again.
        for flag in ["kernel", "initial-files", "kernel-word", "boot", "huge-pages"]
        where parsed.isGiven(flag) {
            throw FlagError(
                "`--\(flag)` is for a guest that boots, which one of a snapshot does not")
        }
        if let folder {
            for flag in ["memory", "cpus", "interval-timer"] where parsed.isGiven(flag) {
                throw FlagError("`--\(flag)` is what the snapshot's machine has")
            }
            return .snapshot(folder)
        }
        return .laterSnapshot
    }

    private static func console(_ parsed: ParsedCommand) throws(FlagError) -> RunOptions.Console {
        switch (parsed.isOn("console"), parsed.isOn("virtio-console")) {
        case (false, false): return .none
        case (true, false): return .serial
        case (false, true): return .virtio
        case (true, true):
            throw FlagError("a guest has one console: give `--console` or `--virtio-console`")
        }
    }

    private static func scratch(_ parsed: ParsedCommand) throws(FlagError) -> RunOptions.Scratch {
        if let path = parsed.string("scratch-disk") { return .disk(path: path) }
        return .memory(bytes: try parsed.bytes("scratch") ?? 0)
    }

    private static func link(_ parsed: ParsedCommand) throws(FlagError) -> RunOptions.Link? {
        let tap: RunOptions.Link.Tap
        switch (parsed.string("tap"), parsed.string("tap-descriptor")) {
        case (nil, nil):
            guard try NetworkFlags.network(parsed) == nil else {
                throw FlagError("`--address` needs `--tap` or `--tap-descriptor`")
            }
            return nil
        case (let name?, nil): tap = .named(name)
        case (nil, let text?): tap = .open(try descriptor(text, of: "tap-descriptor", parsed))
        default: throw FlagError("a guest has one link: give `--tap` or `--tap-descriptor`")
        }
        let bytes = (parsed.string("mac") ?? "").split(separator: ":").compactMap {
            UInt8($0, radix: 16)
        }
        guard let address = HardwareAddress(bytes) else {
            throw parsed.refuse("mac", "is no hardware address")
        }
        return RunOptions.Link(
            tap: tap, address: address, network: try NetworkFlags.network(parsed))
    }

    private static func reports(_ parsed: ParsedCommand) throws(FlagError) -> [Int32] {
        try parsed.strings("report").map { (text) throws(FlagError) in
            try descriptor(text, of: "report", parsed)
        }
    }

    private static func descriptor(
        _ text: String, of flag: String, _ parsed: ParsedCommand
    ) throws(FlagError) -> Int32 {
        guard let number = Int32(text), number > 2 else {
            throw parsed.refuse(flag, "is no descriptor above 2")
        }
        return number
    }

    static func start(_ parsed: ParsedCommand) throws(FlagError) -> GuestStart {
        let words = parsed.trailing
        let given = parsed.strings("program")
        var start = GuestStart(
            programs: given.isEmpty ? Array(words.prefix(1)) : given, arguments: words)
        start.environment = ProcessEnvironment.entries
        start.directory = parsed.string("workdir") ?? "/"
        let user = (parsed.string("user") ?? "0:0").split(separator: ":").compactMap { UInt32($0) }
        guard user.count == 2 else {
            throw parsed.refuse("user", "is no UID:GID")
        }
        start.user = user[0]
        start.group = user[1]
        start.limits = try parsed.strings("limit").map { (text) throws(FlagError) in
            let parts = text.split(separator: ":").compactMap { UInt64($0) }
            guard parts.count == 3, let resource = UInt32(exactly: parts[0]) else {
                throw parsed.refuse("limit", "is no NUMBER:SOFT:HARD")
            }
            return GuestStart.Limit(resource: resource, soft: parts[1], hard: parts[2])
        }
        start.hasInput = parsed.isOn("input") || parsed.isOn("terminal")
        if let fault = start.fault { throw FlagError(fault) }
        return start
    }
}
