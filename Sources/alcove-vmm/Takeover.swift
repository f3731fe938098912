#if DEBUG
    internal import Console
    internal import LinuxKernel
    internal import Machine

    /// What somebody does who has taken the monitor over: calls that a test gives, made by a thread
    /// of a real monitor when its guest has ended, behind the fences of a real monitor. Builds for
    /// development have it alone.
    struct Takeover: Sendable {
        static let command = Command(
            "taken-over", of: "alcove-vmm",
            summary: "run a microVM, and when it ends make a system call and say its result",
            discussion: "Takes what `alcove-vmm run` takes. The guest is to end by itself.",
            flags: RunFlags.command.flags + [
                Flag(
                    "by", value: "THREAD", default: "devices",
                    help: "which makes it: devices, processor, disk"),
                Flag(
                    "call", value: "NAME",
                    help: "the system call; its arguments are the command, numbers or texts"),
                Flag(
                    "fence", value: "KIND", default: "all",
                    help: "what stands: all, files or calls"),
            ], trailing: .command)

        let thread: MonitorThread
        private let number: UInt32
        private let arguments: [RawCall.Argument]

        static func run(_ parsed: ParsedCommand) throws -> Int32 {
            var options = try RunFlags.options(parsed)
            switch try parsed.choice("fence", of: ["all", "files", "calls"]) {
            case "files": options.fences = .files
            case "calls": options.fences = .calls
            default: options.fences = .all
            }
            options.takeover = try Takeover(parsed)
            try Monitor.run(options)
        }

        private init(_ parsed: ParsedCommand) throws(FlagError) {
            let threads = MonitorThread.allCases.map(\.rawValue)
            let name = try parsed.choice("by", of: threads)
            guard let thread = name.flatMap({ MonitorThread(rawValue: $0) }),
                let number = parsed.string("call").flatMap({ SystemCallTable.number(of: $0) })
            else { throw FlagError("there is no such thread or call") }
            self.thread = thread
            self.number = number
            arguments = parsed.trailing.map { word in
                if let number = Int64(word) { return .number(UInt64(bitPattern: number)) }
                if word == "-" { return .number(0) }
                if word == "own" { return .number(UInt64(ThisProcess.identifier)) }
                // An address of a socket: the family in two bytes, then the path.
                if word.hasPrefix("unix:") { return .bytes([1, 0] + word.utf8.dropFirst(5) + [0]) }
                return .bytes(Array(word.utf8) + [0])
            }
        }

        /// Makes the call on the calling thread, and ends the program with what came of it.
        func perform() {
            StandardStream.output.write("calls\n")
            let result = RawCall.make(number, arguments)
            StandardStream.output.write("\(result)\n")
            ThisProcess.exit(0)
        }
    }
#endif
