internal import AgentAPI
internal import Glibc
internal import LinuxKernel
internal import ProtocolBuffers
internal import RPC

func say(_ line: String) {
    print(line)
    fflush(nil)
}

func serve(_ arguments: [String]) throws(SystemCallError) {
    let options = Options(arguments)
    let signals = try SignalReader([.terminate, .interrupt])
    let loop = try EventLoop(named: "rpc-test")
    let workers = try Workers(threads: 2, queue: 1024)
    let health = HealthService(services: ["test.Test"] + Definitions.services.map(\.name))
    let server = Server(
        loop: loop, endpoints: Endpoints.all(workers: workers) + standard(health),
        limits: options.limits)
    loop.enqueue { Record.shared.server = server }
    let listener: Listener
    if let number = options["inherited"] {
        listener = try Listener(inherited: Descriptor(owning: Int32(number)))
    } else {
        listener = try Listener(
            path: options.path, mode: UInt32(options["mode"] ?? 0o600),
            group: options["group"].map(UInt32.init),
            users: options["uid"].map { .only([UInt32($0)]) } ?? .any)
    }
    server.listen(on: listener)
    if options["readonly"] != nil {
        server.listen(on: try Listener(path: options.path + ".ro", isReadOnly: true))
    }
    let thread = try loop.start()
    say("ready")
    var waiting = [Readiness.Interest(signals.descriptor.rawValue)]
    try Readiness.wait(for: &waiting)
    loop.enqueue { health.end() }
    server.shutDown(within: .milliseconds(options["grace"] ?? 5000)) { loop.stop() }
    thread.join()
    workers.stop()
    say("stopped")
}

/// The services of gRPC itself, and a way to say how a service is.
private func standard(_ health: HealthService) -> [Endpoint] {
    let change = Endpoint.request("/test.Test/SetHealth") { call, request in
        // `+name` and `-name`
        let text = String(decoding: request, as: UTF8.self)
        health.set(String(text.dropFirst()), text.hasPrefix("+") ? .serving : .notServing)
        call.send([])
        call.finish()
    }
    return ReflectionService().endpoints + health.endpoints + [change]
}
