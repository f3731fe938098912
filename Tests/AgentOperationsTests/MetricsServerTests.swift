import Foundation
import LinuxKernel
import TestSupport
import Testing

@testable import AgentOperations

/// A client that a test drives by hand.
private final class RawClient {
    private let socket: Descriptor

    init(_ path: String) throws {
        socket = try UnixSockets.make()
        while true {
            do throws(SystemCallError) {
                try UnixSockets.connect(socket, to: path)
                return
            } catch {
                // The backlog is full: there will be room.
                guard error.errorNumber == .wouldBlock else { throw error }
            }
        }
    }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            switch UnixSockets.send(bytes, from: sent, to: socket.rawValue) {
            case .bytes(let count): sent += count
            case .wouldBlock: try wait(writing: true)
            // It has answered and gone.
            case .failed: return
            }
        }
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    /// All that comes until the other side ends.
    func rest() throws -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            switch UnixSockets.receive(socket.rawValue, into: &buffer) {
            case .bytes(0), .failed: return String(decoding: bytes, as: UTF8.self)
            case .bytes(let count): bytes += buffer[..<count]
            case .wouldBlock: try wait(writing: false)
            }
        }
    }

    private func wait(writing: Bool) throws {
        var interests = [Readiness.Interest(socket.rawValue, writing: writing)]
        try Readiness.wait(for: &interests)
    }
}

/// A server at a path, which ends with the test.
private final class Served {
    let folder: TemporaryFolder
    let server: MetricsServer
    var path: String { folder.path("metrics") }

    init(
        _ limits: MetricsServer.Limits = MetricsServer.Limits(),
        content: @escaping @Sendable () -> String = { "a 1\n" }
    ) throws {
        folder = try TemporaryFolder()
        let listener = try ListeningSocket(path: folder.path("metrics"), mode: 0o600)
        server = try MetricsServer(on: [listener], limits: limits, content: content)
        try server.start()
    }

    func answer(_ request: String) throws -> String { try answer(Array(request.utf8)) }

    func answer(_ request: [UInt8]) throws -> String {
        let client = try RawClient(path)
        try client.send(request)
        return try client.rest()
    }

    deinit { server.stop() }
}

private let good = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"

@Suite struct MetricsServerTests {
    @Test("a request gets the metrics, and the connection ends")
    func get() throws {
        let served = try Served()
        let answer = try served.answer(good)
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.hasSuffix("\r\n\r\na 1\n"))
        #expect(answer.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
        #expect(answer.contains("\r\nContent-Length: 4\r\n"))
        let head = try served.answer("HEAD /metrics?x=y HTTP/1.0\r\n\r\n")
        #expect(head.contains("\r\nContent-Length: 4\r\n") && head.hasSuffix("\r\n\r\n"))
    }

    @Test(
        "what is no request for the metrics is refused with its status",
        arguments: [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404),
            ("GET /metrics/ HTTP/1.1\r\nHost: a\r\n\r\n", 404),
            ("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
            ("GET /metrics HTTP/1.1\r\n\r\n", 400),
            ("GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET /metrics HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
            ("GET  /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET metrics HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /metrics\r\n\r\n", 400), ("\r\n\r\n", 400), ("GET /metrics HTTP/1.1\n\n", 400),
            ("GET /metrics HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400), ("\u{16}\u{3}\u{1}", 400),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400), ("GET /metrics HTTP/2.0\r\n\r\n", 505),
            ("GET /" + String(repeating: "x", count: 3000), 414),
            ("GET /metrics HTTP/1.1\r\n" + String(repeating: "a: b\r\n", count: 2000), 431),
        ])
    func refused(_ request: String, _ code: Int) throws {
        let served = try Served()
        let answer = try served.answer(request)
        #expect(answer.hasPrefix("HTTP/1.1 \(code) "), "\(answer)")
    }

    @Test("a request that comes byte by byte is answered as one that comes whole")
    func slowRequest() throws {
        let served = try Served()
        let client = try RawClient(served.path)
        for byte in good.utf8 { try client.send([byte]) }
        #expect(try client.rest().hasSuffix("a 1\n"))
        for length in 0..<good.utf8.count {
            #expect(HTTPRequest.read(Array(good.utf8.prefix(length))) == .incomplete)
        }
    }

    @Test("an answer that is larger than any buffer arrives whole")
    func largeAnswer() throws {
        let served = try Served(content: { String(repeating: "a 1\n", count: 1_000_000) })
        let answer = try served.answer(good)
        #expect(answer.utf8.count > 4_000_000 && answer.hasSuffix("a 1\n"))
    }

    @Test("clients that hold their places lose them, and those that wait get theirs")
    func places() throws {
        var limits = MetricsServer.Limits()
        limits.connections = 3
        limits.time = .milliseconds(300)
        let served = try Served(limits)
        let idle = try (0..<7).map { _ in try RawClient(served.path) }
        for client in idle.prefix(2) { try client.send("GET /metrics") }
        #expect(try served.answer(good).hasSuffix("a 1\n"))
        for client in idle {
            #expect(try client.rest().hasPrefix("HTTP/1.1 408 "))
        }
    }

    @Test("clients that vanish at any point leave nothing behind")
    func vanishing() throws {
        var limits = MetricsServer.Limits()
        limits.connections = 4
        let served = try Served(limits, content: { String(repeating: "a 1\n", count: 100_000) })
        let before = try DirectoryListing.names(in: "/proc/self/task").count
        for round in 0..<200 {
            let client = try RawClient(served.path)
            try client.send(Array(good.utf8.prefix(round % (good.utf8.count + 1))))
        }
        #expect(try served.answer(good).hasSuffix("a 1\n"))
        #expect(try DirectoryListing.names(in: "/proc/self/task").count <= before + 8)
    }

    @Test("the end of the server is that of its thread, its clients and its path")
    func ending() throws {
        let served = try Served()
        let client = try RawClient(served.path)
        served.server.stop()
        #expect(try client.rest() == "")
        #expect(!Files.exists(served.path))
        served.server.stop()
    }

    @Test("a socket that somebody serves is not taken, a stale one is")
    func stale() throws {
        let folder = try TemporaryFolder()
        let first = try ListeningSocket(path: folder.path("s"), mode: 0o600)
        let error = #expect(throws: SystemCallError.self) {
            _ = try ListeningSocket(path: folder.path("s"))
        }
        #expect(error?.errorNumber == .addressInUse)
        #expect(try Files.status(of: folder.path("s")).mode == 0o600)
        withExtendedLifetime(first) {}
    }

    @Test("on a port of this host Prometheus's own library reads it", .needs(.pythonEnvironment))
    func port() throws {
        let metrics = AgentMetrics(version: "1", methods: [])
        let listener = try ListeningSocket(loopbackPort: 0)
        let server = try MetricsServer(on: [listener], content: metrics.text)
        try server.start()
        defer { server.stop() }
        #expect(listener.port > 0)
        let found = try judged("", port: listener.port)
        #expect(found["alcove_build_info"]?.value(["version": "1"]) == 1)
        #expect(throws: SystemCallError.self) {
            _ = try ListeningSocket(loopbackPort: listener.port)
        }
    }

    @Test(
        "whatever a client sends, the next one is answered", arguments: [21, 22, 23] as [UInt64])
    func fuzz(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let served = try Served()
        var answered = 0
        for _ in 0..<150 {
            let request = Self.mutated(using: &random)
            switch HTTPRequest.read(request) {
            // It would be waited for.
            case .incomplete: continue
            case .refused(let status): #expect(status.code >= 400, "seed \(seed)")
            case .complete(let request): #expect(request.path.hasPrefix("/"), "seed \(seed)")
            }
            let answer = try served.answer(request)
            // What is still unread when the connection ends can take the answer with it.
            #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 "), "seed \(seed): \(request)")
            answered += answer.isEmpty ? 0 : 1
        }
        #expect(answered > 20)
        #expect(try served.answer(good).hasSuffix("a 1\n"), "seed \(seed)")
    }

    private static func mutated(using random: inout SeededRandom) -> [UInt8] {
        var bytes = Array(
            "GET /metrics?a=b HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nX-A: \tb\r\n\r\n".utf8)
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0: bytes.remove(at: place)
            case 1: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 2:
                bytes.insert(
                    contentsOf: Array("\r\n: ?/\0".utf8).shuffled(using: &random), at: place)
            case 3: bytes.insert(contentsOf: bytes[place...].prefix(20), at: place)
            default:
                let count = Int.random(in: 0...9000, using: &random)
                bytes.insert(contentsOf: repeatElement(bytes[place], count: count), at: place)
            }
        }
        return bytes
    }
}
