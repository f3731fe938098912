import AgentAPI
import LinuxKernel
import ProtocolBuffers
import RPC
import TestSupport
import Testing

@Suite struct TypedCallTests {
    /// A server and a connection to it.
    private func withAgent(_ body: (AgentConnection, TypedServer) throws -> Void) throws {
        let server = try TypedServer()
        defer { server.stop() }
        try body(try AgentConnection(path: server.socket), server)
    }

    @Test("grpcio's client calls typed endpoints of every kind", .needs(.pythonEnvironment))
    func judged() throws {
        let server = try TypedServer()
        defer { server.stop() }
        let script = PackageRoot.path("Tests/AgentAPITests/Python/typed.py")
        let result = try run(
            PythonEnvironment.interpreter,
            arguments: ["-B", script, server.socket, PackageRoot.path("proto")],
            timeout: .seconds(300))
        #expect(result.succeeded, "\(result)")
        #expect(server.cancellations.with { $0 }.contains(.badInput))
    }

    @Test("a request is waited for, and fails with all that its server says")
    func request() throws {
        try withAgent { agent, _ in
            let sandbox = try agent.request(SandboxesMethods.get, GetRequest(id: "a")).sandbox
            #expect(sandbox == Sandbox(id: "a", pid: 7))
            let missing = #expect(throws: CallFailure.self) {
                try agent.request(SandboxesMethods.get, GetRequest(id: "missing"))
            }
            #expect(
                missing
                    == CallFailure(
                        .notFound, reason: "no_such_sandbox", "there is no sandbox `missing`",
                        hint: "`alcove ps` lists them"))
            let full = #expect(throws: CallFailure.self) {
                try agent.request(SandboxesMethods.create, CreateRequest(id: "full"))
            }
            #expect(full?.shortages == [.init(resource: .memory, requested: 1 << 40, available: 5)])
            let bad = #expect(throws: CallFailure.self) {
                try agent.request(SandboxesMethods.create, CreateRequest(id: "bad"))
            }
            #expect(bad?.code == .invalidArgument && bad?.message == "`spec.image` is empty")
            let none = #expect(throws: CallFailure.self) {
                try agent.request(NodeMethods.info, InfoRequest())
            }
            #expect(none?.code == .unimplemented && none?.reason == "")
        }
    }

    @Test("a stream is taken one by one, and who stops ends it at the server")
    func stream() throws {
        try withAgent { agent, server in
            let events = agent.stream(
                SandboxesMethods.watch, WatchRequest(fromNumber: 1, sandboxIDs: ["20000"]))
            var next: UInt64 = 1
            while let event = try events.next() {
                if event.number != next { Issue.record("\(event.number) instead of \(next)") }
                next += 1
            }
            #expect(next == 20001)
            #expect(try events.next() == nil)
            for _ in 0..<3 {
                let endless = agent.stream(SandboxesMethods.watch, WatchRequest(fromNumber: 5))
                #expect(try endless.next()?.number == 5)
                #expect(try endless.next()?.number == 6)
            }
            #expect(try agent.request(SandboxesMethods.get, GetRequest(id: "a")).sandbox?.pid == 7)
            #expect(server.cancellations.with { $0 } == [.byClient, .byClient, .byClient])
            let short = agent.stream(
                SandboxesMethods.watch, WatchRequest(fromNumber: 1), timeout: .milliseconds(20))
            let failure = #expect(throws: CallFailure.self) { while try short.next() != nil {} }
            #expect(failure?.code == .deadlineExceeded)
        }
    }

    @Test("both ways at once, with a descriptor watched on the same loop")
    func exec() throws {
        try withAgent { agent, _ in
            let exec = agent.open(SandboxesMethods.exec)
            var output: [UInt8] = []
            var exit: Exit?
            exec.onMessage { response in
                switch response.message {
                case .started: break
                case .stdout(let bytes): output += bytes
                case .exit(let how): exit = how
                case .stderr, nil: Issue.record("nobody sends that")
                }
            }
            exec.send(ExecRequest(message: .start(.init(sandboxID: "a", command: ["cat"]))))
            let counter = try EventCounter()
            var rounds = 0
            let watch = try agent.loop.watch(counter.descriptor.rawValue, for: .readable) { _ in
                rounds += 1
                guard rounds <= 100 else {
                    counter.clear()
                    exec.send(ExecRequest(message: .stdinEnd(.init())))
                    return
                }
                exec.send(ExecRequest(message: .stdin(Array("\(rounds),".utf8))))
            }
            counter.signal()
            try agent.wait(for: exec)
            watch.cancel()
            #expect(exit == Exit(how: .code(3)))
            #expect(String(decoding: output, as: UTF8.self) == (1...100).map { "\($0)," }.joined())
            #expect(!exec.isOpen)
        }
    }

    @Test("a stream of requests gets one answer, and the lack of one is a failure")
    func clientStream() throws {
        try withAgent { agent, _ in
            let call = agent.open(TypedServer.gather)
            var result: Result<WaitResponse, CallFailure>?
            call.onOnlyAnswer { result = $0 }
            for _ in 0..<1000 { call.send(ExecRequest(message: .signal(1))) }
            call.finishSending()
            try agent.wait(for: call)
            #expect(try result?.get().sandbox?.outcome?.exitCode == 1000)
            // One answer is not what these give.
            for id in ["0", "2"] {
                let watch = agent.connection.open(
                    SandboxesMethods.watch, WatchRequest(fromNumber: 1, sandboxIDs: [id]))
                var event: Result<Event, CallFailure>?
                watch.onOnlyAnswer { event = $0 }
                agent.run(until: { event != nil })
                #expect(throws: CallFailure.self) { try event?.get() }
            }
        }
    }

    @Test("an answer that is another message fails the call")
    func otherMessage() throws {
        try withAgent { agent, _ in
            let method = Method<GetRequest, TerminalSize>("/alcove.v1.Sandboxes/Get", .unary)
            let failure = #expect(throws: CallFailure.self) {
                try agent.request(method, GetRequest(id: "a"))
            }
            #expect(failure?.code == .internal)
            #expect(failure?.message.hasPrefix("the answer is no alcove.v1.TerminalSize: ") == true)
        }
    }

    @Test("a server that ends in the middle fails what waits")
    func ends() throws {
        let server = try TypedServer()
        let agent = try AgentConnection(path: server.socket)
        let exec = agent.open(SandboxesMethods.exec)
        exec.send(ExecRequest(message: .start(.init())))
        var isStarted = false
        exec.onMessage { _ in isStarted = true }
        agent.run(until: { isStarted })
        server.stop(within: .zero)
        let failure = #expect(throws: CallFailure.self) { try agent.wait(for: exec) }
        #expect(failure?.code == .unavailable)
        let late = #expect(throws: CallFailure.self) {
            try agent.request(SandboxesMethods.get, GetRequest(id: "a"))
        }
        #expect(late?.code == .unavailable)
        #expect(throws: SystemCallError.self) { try AgentConnection(path: server.socket) }
    }
}
