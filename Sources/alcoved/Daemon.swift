internal import Agent
internal import AgentOperations
internal import Console
internal import LinuxKernel
internal import RPC

/// The program: its flags, its signals, and the loop that all is served by.
enum Daemon {
    /// As sysexits.h has them.
    private enum Code {
        static let usage: Int32 = 64
        static let failure: Int32 = 71
        static let configuration: Int32 = 78
    }

    /// How long calls may go on after the signal to end.
    private static let farewell = Duration.seconds(2)

    static func run(_ words: [String]) -> Never {
        do {
            ThisProcess.exit(try perform(words))
        } catch let error as FlagError {
            say("\(error.message)" + (error.hint.map { " (\($0))" } ?? ""))
            ThisProcess.exit(Code.usage)
        } catch let error as ConfigurationError {
            for line in "\(error)".split(separator: "\n") { say(String(line)) }
            ThisProcess.exit(Code.configuration)
        } catch {
            say("\(error)")
            ThisProcess.exit(Code.failure)
        }
    }

    static func say(_ text: String) {
        StandardStream.error.write(PlainText.line("alcoved: \(text)") + "\n")
    }

    private static func print(_ text: String) -> Int32 {
        StandardStream.output.write(text)
        return 0
    }

    private static func perform(_ words: [String]) throws -> Int32 {
        let command = DaemonFlags.command
        if Command.asksForHelp(words) {
            return print(Program.Help.command(command).text(width: 80))
        }
        let parsed = try command.parse(words)
        if parsed.isOn("version") { return print("alcoved \(Agent.version)\n") }
        if parsed.isOn("list-steps") {
            return print(Step.allCases.map { $0.rawValue + "\n" }.joined())
        }
        if parsed.isOn("help-config") { return print(ConfigurationDocument.help()) }
        let configuration = try DaemonFlags.configuration(parsed)
        if parsed.isOn("check-config") { return 0 }
        if parsed.isOn("print-config") { return print(configuration.file()) }
        if parsed.isOn("set-record-aside") {
            let folder = try Agent.setRecordAside(configuration.stateDirectory)
            return print("the record is in \(folder) now\n")
        }
        return try serve(configuration, death: try DaemonFlags.death(parsed))
    }

    private static func serve(_ configuration: AgentConfiguration, death: DeathAt?) throws -> Int32
    {
        let signals = try SignalReader([.terminate, .interrupt])
        let loop = try EventLoop(named: "agent")
        let agent = try Agent(NodeSettings(configuration), loop: loop, death: death)
        var limits = ServerLimits()
        limits.keepalive = configuration.keepalive > .zero ? configuration.keepalive : nil
        limits.keepaliveTimeout = configuration.keepaliveTimeout
        let server = Server(loop: loop, endpoints: agent.endpoints, limits: limits)
        try listen(server, configuration)
        try loop.watch(signals.descriptor.rawValue, for: .readable) { _ in
            guard !signals.pending().isEmpty else { return }
            agent.end()
            server.shutDown(within: farewell) { loop.stop() }
        }
        agent.begin()
        say("serving at \(configuration.socket.path)")
        loop.runOnThisThread()
        agent.close()
        return 0
    }

    private static func listen(_ server: Server, _ configuration: AgentConfiguration) throws {
        let users: Listener.Users =
            configuration.allowedUsers.isEmpty ? .any : .only(Set(configuration.allowedUsers))
        server.listen(on: try listener(configuration.socket, users: users))
        guard !configuration.monitor.path.isEmpty else { return }
        server.listen(on: try listener(configuration.monitor, users: .any, isReadOnly: true))
    }

    private static func listener(
        _ socket: AgentConfiguration.Socket, users: Listener.Users, isReadOnly: Bool = false
    ) throws -> Listener {
        let slash = socket.path.lastIndex(of: "/") ?? socket.path.startIndex
        try Files.makeDirectories(String(socket.path[..<slash]))
        var group: UInt32?
        if !socket.group.isEmpty {
            group = Groups.number(of: socket.group)
            guard group != nil else {
                throw AgentError(
                    "the host has no group `\(socket.group)` for the socket `\(socket.path)`",
                    hint: "make it by `groupadd --system \(socket.group)`")
            }
        }
        return try Listener(
            path: socket.path, mode: socket.mode, group: group, users: users,
            isReadOnly: isReadOnly)
    }
}
