import TestSupport
import Testing

@testable import RPC

/// Servers that send what no proper server sends.
@Suite struct BadServerTests {
    /// How a call of each misbehaviour ends, and how many messages come before.
    private static let cases: [(name: String, code: Status.Code, messages: Int)] = [
        ("good", .ok, 1), ("pieces", .ok, 1), ("empty-frames", .ok, 1), ("interim", .ok, 1),
        ("two", .ok, 2), ("none", .ok, 0), ("trailers-only", .permissionDenied, 0),
        ("http-404", .unimplemented, 0), ("http-503", .unavailable, 0), ("html", .unknown, 0),
        ("no-headers", .unknown, 0), ("no-status", .unknown, 1), ("no-trailers", .internal, 1),
        ("bad-status", .unknown, 1), ("compressed", .unimplemented, 0),
        ("malformed", .internal, 0), ("too-long", .resourceExhausted, 0),
        ("cut-short", .internal, 0), ("cut-short-failure", .alreadyExists, 0),
        ("headers-between", .internal, 0),
        ("long-headers", .resourceExhausted, 0), ("rst-0", .internal, 1),
        ("rst-1", .internal, 1), ("rst-2", .internal, 1), ("rst-7", .unavailable, 1),
        ("rst-8", .cancelled, 1), ("rst-11", .resourceExhausted, 1),
        ("rst-12", .permissionDenied, 1), ("rst-99", .internal, 1), ("good", .ok, 1),
    ]

    @Test(
        "each misbehaviour ends its own call alone, with the code that gRPC names for it",
        .needs(.pythonEnvironment))
    func calls() throws {
        let server = try ServerProcess(bad: "frames")
        let caller = try Caller(server.socket)
        for (name, code, messages) in Self.cases {
            let record = try caller.run("/bad/" + name, [1])
            #expect(record.status?.code == code, "\(name): \(String(describing: record.status))")
            #expect(record.messages.count == messages, "\(name)")
            #expect(record.messages.allSatisfy { $0 == Array("hello".utf8) }, "\(name)")
        }
        #expect(caller.end == nil)
    }

    @Test(
        "misbehaviour of the connection ends it, and its calls as UNAVAILABLE",
        .needs(.pythonEnvironment))
    func connections() throws {
        let server = try ServerProcess(bad: "frames")
        let names = [
            "garbage", "push", "window-overflow", "close", "data-of-nobody", "data-first",
        ]
        for name in names {
            let caller = try Caller(server.socket)
            let other = caller.begin("/bad/silent", [1])
            let record = try caller.run("/bad/" + name, [1])
            #expect(record.status?.code == .unavailable, "\(name): \(record.status as Any)")
            try caller.wait(until: { other.status != nil })
            #expect(other.status?.code == .unavailable, "\(name)")
            #expect(caller.end != nil && caller.end != .closed, "\(name)")
        }
    }

    @Test("a server that goes away says which calls it took", .needs(.pythonEnvironment))
    func goAway() throws {
        let server = try ServerProcess(bad: "frames")
        var caller = try Caller(server.socket)
        let refused = try caller.run("/bad/goaway-refused", [1])
        #expect(refused.status == Status(.unavailable, "the server did not take the call"))
        try caller.wait(until: { caller.end != nil })
        #expect(caller.end == .goneAway(code: 0, text: "full"))
        caller = try Caller(server.socket)
        let record = caller.begin("/bad/goaway-late", [1])
        // Begun before the server says so, and told after it.
        let late = caller.begin("/bad/good", [1])
        try caller.wait(until: { record.status != nil && late.status != nil })
        #expect(record.status == .ok && record.texts == ["hello"])
        #expect(late.status?.code == .unavailable)
        try caller.wait(until: { caller.end != nil })
        #expect(caller.end == .goneAway(code: 0, text: "later"))
    }

    @Test(
        "what is no HTTP/2 ends the connection", .needs(.pythonEnvironment),
        arguments: ["http1", "random", "close"])
    func noHTTP2(mode: String) throws {
        let server = try ServerProcess(bad: mode)
        for _ in 0..<10 {
            let caller = try Caller(server.socket)
            let record = try caller.run("Echo", [1])
            #expect(record.status?.code == .unavailable)
            try caller.wait(until: { caller.end != nil })
            #expect(caller.end == (mode == "close" ? .lost : .broken) || caller.end == .lost)
        }
    }

    @Test(
        "mutated answers end their call in some way, and never hang or trap the client",
        .needs(.pythonEnvironment), arguments: 1...4)
    func noise(seed: Int) throws {
        let server = try ServerProcess(bad: "noise=\(seed)")
        for round in 1...150 {
            var limits = ClientLimits()
            // Its answer may be cut anywhere; then it closes.
            limits.headerListSize = 4096
            let caller = try Caller(server.socket, limits: limits)
            let record = try caller.run("/bad/noise", [1])
            #expect(record.status != nil, "seed \(seed), round \(round)")
        }
    }
}
