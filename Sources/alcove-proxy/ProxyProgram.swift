internal import AgentOperations
internal import Console
internal import LinuxKernel
internal import ProxyNode
internal import RPC

/// The program: its flags, its signals, and the loop that all is served by.
enum ProxyProgram {
    /// As sysexits.h has them.
    private enum Code {
        static let usage: Int32 = 64
        static let recordUnusable: Int32 = 65
        static let failure: Int32 = 71
    }

    /// How long calls may go on after a signal.
    private static let callSpan = Duration.seconds(2)

    static func run(_ words: [String]) -> Never {
        do {
            ThisProcess.exit(try perform(words))
        } catch let error as FlagError {
            say("\(error.message)" + (error.hint.map { " (\($0))" } ?? ""))
            ThisProcess.exit(Code.usage)
        } catch let error as ProxyError {
            say("\(error)")
            ThisProcess.exit(error.isOfRecord ? Code.recordUnusable : Code.failure)
        } catch {
            say("\(error)")
            ThisProcess.exit(Code.failure)
        }
    }

    private static func say(_ text: String) {
        StandardStream.error.write(PlainText.line("alcove-proxy: \(text)") + "\n")
    }

    private static func print(_ text: String) -> Int32 {
        StandardStream.output.write(text)
        return 0
    }

    private static func perform(_ words: [String]) throws -> Int32 {
        let command = ProxyFlags.command
        if Command.asksForHelp(words) {
            return print(Program.Help.command(command).text(width: 80))
        }
        let parsed = try command.parse(words)
        if parsed.isOn("version") { return print("alcove-proxy \(VPCProxy.version)\n") }
        return try serve(parsed)
    }

    private static func serve(_ parsed: ParsedCommand) throws -> Int32 {
        let settings = try ProxyFlags.settings(parsed)
        let socket = try ProxyFlags.path("socket", parsed)
        let mode = try ProxyFlags.mode(parsed)
        let group = try ProxyFlags.group(parsed)
        // Before any thread: both take what is theirs out of the environment.
        let log = try ProxyFlags.log(parsed)
        let manager = try ServiceManager.adopt()
        let signals = try SignalReader([.terminate, .interrupt])
        let loop = try EventLoop(named: "proxy")
        let proxy = try VPCProxy(settings, loop: loop, log: log)
        let server = Server(loop: loop, endpoints: proxy.endpoints, limits: ServerLimits())
        let slash = socket.lastIndex(of: "/") ?? socket.startIndex
        try Files.makeDirectories(String(socket[..<slash]))
        server.listen(on: try Listener(path: socket, mode: mode, group: group))
        var isEnding = false
        try loop.watch(signals.descriptor.rawValue, for: .readable) { _ in
            guard !signals.pending().isEmpty, !isEnding else { return }
            isEnding = true
            _ = try? manager.tell(.stopping)
            proxy.end()
            server.shutDown(within: callSpan) { loop.stop() }
        }
        _ = try? manager.tell(.ready, .status("serving at \(socket)"))
        log.info("serving", ["socket.path": .text(socket)])
        loop.runOnThisThread()
        proxy.close()
        return 0
    }
}
