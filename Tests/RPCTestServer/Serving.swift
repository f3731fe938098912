internal import Glibc
internal import LinuxKernel
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
    let health = HealthService(services: ["test.Test"])
    let server = Server(
        loop: loop, endpoints: Endpoints.all(workers: workers) + (try standard(options, health)),
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

/// The services of gRPC itself; `descriptors=FD` is where the descriptors of others are read from:
/// each after its length in four bytes.
private func standard(
    _ options: Options, _ health: HealthService
) throws(SystemCallError) -> [Endpoint] {
    var files: [[UInt8]] = []
    if let number = options["descriptors"] {
        let source = Descriptor(owning: Int32(number))
        var bytes: [UInt8] = []
        while true {
            let more = try source.read(atMost: 65536)
            if more.isEmpty { break }
            bytes += more
        }
        var rest = bytes[...]
        while rest.count > 4 {
            let length = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            files.append(Array(rest.dropFirst(4).prefix(length)))
            rest = rest.dropFirst(4 + length)
        }
    }
    let reflection: ReflectionService
    do throws(ReflectionService.Malformed) {
        reflection = try ReflectionService(files: files)
    } catch {
        throw SystemCallError(call: "read", subject: "descriptors", errorNumber: .invalid)
    }
    let change = Endpoint.request("/test.Test/SetHealth") { call, request in
        // `+name` and `-name`
        let text = String(decoding: request, as: UTF8.self)
        health.set(String(text.dropFirst()), text.hasPrefix("+") ? .serving : .notServing)
        call.send([])
        call.finish()
    }
    return reflection.endpoints + health.endpoints + [change]
}
