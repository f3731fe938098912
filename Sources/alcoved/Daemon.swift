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
        static let recordUnusable: Int32 = 65
        static let failure: Int32 = 71
        static let recordUnreachable: Int32 = 74
        static let configuration: Int32 = 78

        static func of(_ error: AgentError) -> Int32 {
            switch error.kind {
            case .recordUnusable: recordUnusable
            case .recordUnreachable: recordUnreachable
            case .other: failure
            }
        }
    }

    static func run(_ words: [String]) -> Never {
        do {
            ThisProcess.exit(try perform(words))
        } catch let error as FlagError {
            say("\(error.message)" + (error.hint.map { " (\($0))" } ?? ""))
            ThisProcess.exit(Code.usage)
        } catch let error as ConfigurationError {
            for line in "\(error)".split(separator: "\n") { say(String(line)) }
            ThisProcess.exit(Code.configuration)
        } catch let error as AgentError {
            say("\(error)")
            ThisProcess.exit(Code.of(error))
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
        return try serve(configuration, death: try DaemonFlags.death(parsed)) {
            try DaemonFlags.configuration(parsed)
        }
    }

    private static func serve(
        _ configuration: AgentConfiguration, death: DeathAt?,
        read: @escaping () throws -> AgentConfiguration
    ) throws -> Int32 {
        // Before any thread: all three take what is theirs out of the environment.
        let format = Log.Format(configuration.logFormat, environment: ProcessEnvironment.entries)
        let manager = try ServiceManager.adopt()
        var inherited = try InheritedSockets.adopt()
        let log = Log(level: configuration.logLevel, format: format)
        let metrics = AgentMetrics(version: Agent.version, methods: Agent.methods)
        metrics.follow(log)
        let signals = try SignalReader([.terminate, .interrupt, .hangUp])
        let loop = try EventLoop(named: "agent")
        let agent = try Agent(
            NodeSettings(configuration), loop: loop, log: log, metrics: metrics, death: death)
        var limits = ServerLimits()
        limits.keepalive = configuration.keepalive > .zero ? configuration.keepalive : nil
        limits.keepaliveTimeout = configuration.keepaliveTimeout
        let server = Server(loop: loop, endpoints: agent.endpoints, limits: limits)
        server.onConnectionChange = { metrics.count($0) }
        server.onCallBegin = { metrics.calls.began() }
        server.onCallEnd = { path, code, nanoseconds in
            metrics.calls.ended(method: path, code: code.rawValue, nanoseconds: nanoseconds)
        }
        try AgentSockets.listen(server, configuration, &inherited)
        let exposition = try AgentSockets.serve(metrics, configuration, &inherited)
        try exposition?.start()
        defer { exposition?.stop() }
        let watchdog = Watchdog(manager, on: loop)
        let farewell = Farewell(
            agent, server, manager, log, drainDeadline: configuration.drainDeadline)
        let reloader = Reloader(
            configuration, agent, server, manager, log, farewell, read: read)
        try loop.watch(signals.descriptor.rawValue, for: .readable) { _ in
            for signal in signals.pending() {
                if signal == .hangUp { reloader.reload() } else { farewell.advance() }
            }
        }
        agent.begin()
        watchdog.begin()
        _ = try? manager.tell(.ready, .status(reloader.status))
        log.info("serving", ["socket.path": .text(configuration.socket.path)])
        loop.runOnThisThread()
        agent.close()
        return 0
    }
}

extension AgentMetrics {
    fileprivate func count(_ counters: Server.Counters) {
        openConnections.set(counters.openConnections)
        connections.set(UInt64(counters.acceptedConnections), .accepted)
        connections.set(UInt64(counters.deniedConnections), .denied)
        connections.set(UInt64(counters.excessConnections), .excess)
        connections.set(UInt64(counters.brokenConnections), .failed)
    }
}
