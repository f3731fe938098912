internal import CInitProtocol
public import LinuxKernel
public import SandboxModel

/// A further command in a running sandbox. It runs as the sandbox's user, with the rights, limits
/// and filter of the sandbox.
public struct ExecRequest: Equatable, Sendable {
    /// The program and its arguments. The program is looked up inside, along the `PATH` of
    /// ``environment``, as things are there by then.
    public var command: [String]
    /// All of it: nothing is inherited.
    public var environment: [String]
    /// Absolute.
    public var workingDirectory: String
    /// With a size the command has a terminal.
    public var terminal: Terminal.Size?

    public init(
        command: [String], environment: [String] = SandboxSpec.defaultEnvironment,
        workingDirectory: String = "/", terminal: Terminal.Size? = nil
    ) {
        self.command = command
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.terminal = terminal
    }

    /// What asks alcove-init for it, see `struct alcove_execute`.
    func message() throws(SandboxError) -> [UInt8] {
        try validate()
        let programs = programs
        let texts = [workingDirectory] + programs + command + environment
        let head: [UInt8] =
            LittleEndian.bytes(ALCOVE_REQUEST_EXECUTE.rawValue)
            + LittleEndian.bytes(terminal == nil ? 0 : UInt32(ALCOVE_EXECUTE_TERMINAL))
            + LittleEndian.bytes(terminal?.rows ?? 0) + LittleEndian.bytes(terminal?.columns ?? 0)
            + [programs.count, command.count, environment.count, 0].flatMap {
                LittleEndian.bytes(UInt16($0))
            }
        let size = texts.reduce(head.count) { $0 + $1.utf8.count + 1 }
        guard size <= ALCOVE_CONTROL_LARGEST else {
            throw SandboxError(
                .usage, "the command and its environment are \(size) bytes long",
                hint: "at most \(ALCOVE_CONTROL_LARGEST) fit; pass long ones by standard input")
        }
        var message = head
        message.reserveCapacity(size)
        for text in texts {
            message += text.utf8
            message.append(0)
        }
        return message
    }

    public func validate() throws(SandboxError) {
        guard let program = command.first, !program.isEmpty else {
            throw SandboxError(.usage, "no command")
        }
        guard command.count <= 4096, environment.count <= 4096 else {
            throw SandboxError(.usage, "more than 4096 arguments or variables")
        }
        guard workingDirectory.hasPrefix("/") else {
            throw SandboxError(
                .usage, "the working directory `\(workingDirectory)` is not absolute")
        }
        for entry in environment where entry.hasPrefix("=") || !entry.contains("=") {
            throw SandboxError(
                .usage, "`\(entry)` is no environment variable", hint: "write NAME=VALUE")
        }
        for text in command + environment + [workingDirectory] where text.utf8.contains(0) {
            throw SandboxError(.usage, "a text holds a zero byte")
        }
    }

    /// Where the program may be, in the order in which it is tried.
    public var programs: [String] {
        let name = command.first ?? ""
        if name.contains("/") { return [name] }
        let entry = environment.last { $0.hasPrefix("PATH=") }
        let path = entry.map { String($0.dropFirst(5)) } ?? SandboxSpec.defaultPath
        let folders = path.split(separator: ":").filter { $0.hasPrefix("/") }
        return folders.isEmpty
            ? ["/" + name] : folders.prefix(Self.mostFolders).map { $0 + "/" + name }
    }

    private static let mostFolders = 64
}
