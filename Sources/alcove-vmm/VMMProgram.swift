internal import Console
internal import LinuxKernel

/// The `alcove-vmm` command: the monitor of one microVM, and ways to speak to one.
enum VMMProgram {
    static let program = Program(
        "alcove-vmm", summary: "run one microVM under KVM, and speak to one that runs",
        commands: [RunFlags.command, ExecFlags.command, ControlFlags.command] + further)

    #if DEBUG
        private static let further = [version, Takeover.command]
    #else
        private static let further = [version]
    #endif

    private static let version = Command(
        "version", of: "alcove-vmm", summary: "print the version")

    static func run(_ words: [String]) -> Never {
        let code: Int32
        do {
            switch try program.parse(words, environment: { ProcessEnvironment.value(of: $0) }) {
            case .help(let help):
                StandardStream.output.write(help.text())
                code = 0
            case .perform(let parsed): code = try perform(parsed)
            }
        } catch let error as FlagError {
            Complaint.tell("\(error)")
            ThisProcess.exit(Complaint.usage)
        } catch {
            Complaint.tell("\(error)")
            ThisProcess.exit(Complaint.failed)
        }
        ThisProcess.exit(code)
    }

    private static func perform(_ parsed: ParsedCommand) throws -> Int32 {
        switch parsed.command.path {
        case RunFlags.command.path: try Monitor.run(try RunFlags.options(parsed))
        case ExecFlags.command.path: return try GuestCommand.run(parsed)
        case ControlFlags.command.path: return try ControlClient.run(parsed)
        #if DEBUG
            case Takeover.command.path: return try Takeover.run(parsed)
        #endif
        default:
            StandardStream.output.write("alcove-vmm \(VMMVersion.text)\n")
            return 0
        }
    }
}

enum VMMVersion {
    static let text = "0.1.0"
}

/// What is said on standard error, and the exit codes that go with it.
enum Complaint {
    static let usage: Int32 = 64
    /// The monitor could not do what it is for.
    static let failed: Int32 = 125

    static func tell(_ text: String) {
        StandardStream.error.write("alcove-vmm: \(text)\n")
    }
}
