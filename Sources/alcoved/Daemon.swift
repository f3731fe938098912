internal import Agent
internal import Console
internal import LinuxKernel
internal import RPC

/// The program: its flags, its signals, and the loop that all is served by.
enum Daemon {
    /// As sysexits.h has them.
    private static let usageCode: Int32 = 64
    private static let failureCode: Int32 = 71

    static func run(_ words: [String]) -> Never {
        do {
            ThisProcess.exit(try perform(words))
        } catch let error as FlagError {
            say("\(error.message)" + (error.hint.map { " (\($0))" } ?? ""))
            ThisProcess.exit(usageCode)
        } catch {
            say("\(error)")
            ThisProcess.exit(failureCode)
        }
    }

    static func say(_ text: String) {
        StandardStream.error.write(PlainText.line("alcoved: \(text)") + "\n")
    }

    private static func perform(_ words: [String]) throws -> Int32 {
        let command = DaemonFlags.command
        if Command.asksForHelp(words) {
            StandardStream.output.write(Program.Help.command(command).text(width: 80))
            return 0
        }
        let parsed = try command.parse(words)
        if parsed.isOn("version") {
            StandardStream.output.write("alcoved \(Agent.version)\n")
            return 0
        }
        if parsed.isOn("list-steps") {
            StandardStream.output.write(Step.allCases.map { $0.rawValue + "\n" }.joined())
            return 0
        }
        return try serve(try DaemonFlags(parsed))
    }

    private static func serve(_ flags: DaemonFlags) throws -> Int32 {
        let signals = try SignalReader([.terminate, .interrupt])
        let loop = try EventLoop(named: "agent")
        let agent = try Agent(flags.settings, loop: loop, death: flags.death)
        let server = Server(loop: loop, endpoints: agent.endpoints)
        try Files.makeDirectories(flags.socketDirectory)
        server.listen(on: try Listener(path: flags.socket, mode: 0o660))
        try loop.watch(signals.descriptor.rawValue, for: .readable) { _ in
            guard !signals.pending().isEmpty else { return }
            agent.endHealth()
            server.shutDown(within: .seconds(2)) { loop.stop() }
        }
        agent.begin()
        say("serving at \(flags.socket)")
        loop.runOnThisThread()
        agent.close()
        return 0
    }
}
