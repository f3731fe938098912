import Foundation
import LinuxKernel
import TestSupport
import Testing

@testable import RPC

/// The client with servers that keep to the protocol: our own, and one that nobody here wrote.
@Suite struct CallerTests {
    typealias Kind = ServerProcess.Kind

    @Test(
        "a request gets its answer, empty ones and large ones too",
        .needs(.pythonEnvironment), arguments: Kind.allCases)
    func unary(kind: Kind) throws {
        let server = try ServerProcess(kind)
        let caller = try Caller(server.socket)
        for size in [0, 1, 100, 65535, 1 << 20, 5_000_000, 1] {
            let request = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            let record = try caller.run(
                kind == .own && size > 4 << 20 ? "Big" : "Echo",
                kind == .own && size > 4 << 20 ? Array("\(size)".utf8) : request)
            #expect(record.status == .ok)
            #expect(record.messages.count == 1 && record.messages.first?.count == size)
            if size <= 1 << 20 { #expect(record.messages == [request]) }
        }
        #expect(caller.end == nil)
    }

    @Test(
        "metadata goes both ways, before and after the answer",
        .needs(.pythonEnvironment), arguments: Kind.allCases)
    func metadata(kind: Kind) throws {
        let server = try ServerProcess(kind)
        let caller = try Caller(server.socket)
        var metadata = Metadata()
        try metadata.add("x-a", "a b")
        try metadata.add("x-b-bin", [0, 255, 10])
        try metadata.add("x-a", "again")
        let record = try caller.run("Metadata", [1], metadata: metadata)
        #expect(record.status == .ok && record.messages == [[1]])
        let initial = try #require(record.metadata)
        for answer in [initial, record.trailers] {
            let prefix = answer == initial ? "" : "t-"
            let texts = answer.entries.filter { $0.name == prefix + "x-a" }.map(\.value)
            #expect(texts == [.text("a b"), .text("again")])
            #expect(answer.binary(prefix + "x-b-bin") == [0, 255, 10])
        }
    }

    @Test(
        "a failure has its code, its words, its details and its trailers",
        .needs(.pythonEnvironment), arguments: Kind.allCases)
    func failures(kind: Kind) throws {
        let server = try ServerProcess(kind)
        let caller = try Caller(server.socket)
        for code in Status.Code.allCases where code != .ok {
            let record = try caller.run("Fail", "\(code.rawValue)".utf8)
            #expect(
                record.status
                    == Status(
                        code, "fails: 100 % as asked\nünlücky 🙈",
                        details: [8, UInt8(code.rawValue)]))
            #expect(record.trailers["x-why"] == "asked for" && record.messages.isEmpty)
        }
        let late = try caller.run("FailLate", [])
        #expect(late.texts == ["1", "2"])
        #expect(late.status == Status(.dataLoss, "no more", details: [8, 15]))
        #expect(try caller.run("None", []).status?.code == .unimplemented)
        #expect(try caller.run("/none", []).status?.code == .unimplemented)
    }

    @Test(
        "a stream comes whole and in order, however slowly it is taken",
        .needs(.pythonEnvironment), arguments: Kind.allCases)
    func serverStream(kind: Kind) throws {
        let server = try ServerProcess(kind)
        let caller = try Caller(server.socket)
        let count = kind == .own ? 50_000 : 5_000
        let record = caller.begin("Count", "\(count)".utf8)
        let call = record.call
        var next = 1
        call.onMessage = { message in
            if message != Array("\(next)".utf8) { Issue.record("\(message) instead of \(next)") }
            next += 1
            guard next % 7 == 0 else { return }
            call.pause()
            caller.loop.enqueue { call.resume() }
        }
        try caller.wait(until: { record.status != nil })
        #expect(record.status == .ok && next == count + 1)
    }

    @Test(
        "requests go out as the server takes them, and are answered as a whole",
        .needs(.pythonEnvironment), arguments: Kind.allCases)
    func clientStream(kind: Kind) throws {
        let server = try ServerProcess(kind)
        let caller = try Caller(server.socket)
        let sum = caller.open("Sum")
        for number in 1...1000 { sum.call.send(Array("\(number)".utf8)) }
        sum.call.finishSending()
        sum.call.send([1])
        try caller.wait(until: { sum.status != nil })
        #expect(sum.status == .ok && sum.texts == ["500500"])
        let record = caller.open("Collect")
        let call = record.call
        let message = [UInt8](repeating: 1, count: 20_000)
        var (sent, most, rests) = (0, 0, 0)
        let more = {
            while sent < 500, call.isWritable {
                call.send(message)
                sent += 1
                most = max(most, call.waitingBytes)
            }
            if sent == 500 { call.finishSending() } else { rests += 1 }
        }
        call.onWritable = more
        more()
        try caller.wait(until: { record.status != nil })
        #expect(record.status == .ok && record.texts == ["500 10000000"])
        #expect(most < 100_000 && rests > 10, "\(most) bytes waited, \(rests) rests")
    }

    @Test(
        "both sides talk in turns, and the client's end ends it",
        .needs(.pythonEnvironment), arguments: Kind.allCases)
    func chat(kind: Kind) throws {
        let server = try ServerProcess(kind)
        let caller = try Caller(server.socket)
        let record = caller.open("Chat")
        try caller.wait(until: { record.metadata != nil })
        for number in 1...100 {
            record.call.send(Array("\(number)".utf8))
            try caller.wait(until: { record.messages.count == number })
        }
        #expect(record.texts == (1...100).map { "re: \($0)" })
        record.call.finishSending()
        try caller.wait(until: { record.status != nil })
        #expect(record.status == .ok && record.texts.last == "bye")
    }

    @Test(
        "a call ends at its deadline, here and at the server",
        .needs(.pythonEnvironment), arguments: Kind.allCases)
    func deadline(kind: Kind) throws {
        let server = try ServerProcess(kind)
        let caller = try Caller(server.socket)
        let passed = try caller.run("Echo", [1], timeout: .zero)
        #expect(passed.status?.code == .deadlineExceeded && passed.messages.isEmpty)
        let record = try caller.run("Ignore", [], timeout: .milliseconds(30))
        #expect(record.status?.code == .deadlineExceeded)
        // One that is far away is no trouble.
        #expect(try caller.run("Echo", [1], timeout: .seconds(Int64.max)).status == .ok)
        #expect(try caller.run("Echo", [1], timeout: .seconds(1 << 33)).status == .ok)
        #expect(caller.end == nil)
    }

    @Test(
        "a cancelled call ends at once here, and the server hears of it",
        .needs(.pythonEnvironment), arguments: Kind.allCases)
    func cancel(kind: Kind) throws {
        let server = try ServerProcess(kind)
        let caller = try Caller(server.socket)
        for round in 1...5 {
            let record = caller.begin("Flood", [])
            let call = record.call
            call.onMessage = { message in
                record.messages.append(message)
                if record.messages.count == round { call.cancel() }
            }
            try caller.wait(until: { record.status != nil })
            #expect(record.status?.code == .cancelled && record.messages.count == round)
            call.cancel()
            call.send([1])
            call.resume()
        }
        var told = 0
        // Its handlers see it in their own time.
        while told < 5 { told = try caller.cancellations() }
        #expect(told == 5 && caller.end == nil)
        // Before anything of it was sent.
        let record = caller.begin("Echo", [1])
        record.call.cancel()
        #expect(record.status?.code == .cancelled)
        #expect(try caller.run("Echo", [1]).status == .ok)
    }

    @Test(
        "a call that takes nothing holds no more than its window, and no other call",
        .needs(.pythonEnvironment), arguments: Kind.allCases)
    func slowReader(kind: Kind) throws {
        let server = try ServerProcess(kind)
        var limits = ClientLimits()
        limits.streamWindow = 100_000
        let caller = try Caller(server.socket, limits: limits)
        let records = (0..<10).map { _ in caller.begin("Flood", []) }
        for record in records {
            let call = record.call
            call.onMessage = { message in
                record.messages.append(message)
                call.pause()
            }
        }
        for number in 0..<200 {
            #expect(try caller.run("Echo", "\(number)".utf8).texts == ["\(number)"])
        }
        for record in records {
            #expect(record.messages.count == 1 && record.call.heldBytes <= limits.streamWindow)
            record.call.resume()
        }
        try caller.wait(until: { records.allSatisfy { $0.messages.count == 2 } })
        for record in records { record.call.cancel() }
        #expect(try caller.run("Echo", [1]).status == .ok)
    }

    @Test("an end that comes while a call rests is told after its messages")
    func pausedEnd() throws {
        let server = try ServerProcess(.own)
        let caller = try Caller(server.socket)
        let record = caller.begin("FailLate", [])
        record.call.pause()
        try caller.wait(until: { record.call.heldBytes > 0 })
        for _ in 0..<10 { try caller.run("Echo", [1]) }
        #expect(record.messages.isEmpty && record.status == nil && !record.call.isOpen)
        caller.connection.close()
        #expect(record.status == nil)
        record.call.resume()
        #expect(record.texts == ["1", "2"] && record.status?.code == .dataLoss)
        #expect(caller.end == .closed)
    }

    @Test(
        "hundreds of calls run at once on one connection",
        .needs(.pythonEnvironment), arguments: Kind.allCases)
    func many(kind: Kind) throws {
        let server = try ServerProcess(kind)
        let caller = try Caller(server.socket)
        let records = (0..<500).map { caller.begin("Echo", "\($0)".utf8) }
        try caller.wait(until: { records.allSatisfy { $0.status != nil } })
        for (number, record) in records.enumerated() {
            #expect(record.status == .ok && record.texts == ["\(number)"])
        }
    }

    @Test(
        "a message over the limit fails its call alone",
        .needs(.pythonEnvironment), arguments: Kind.allCases)
    func limit(kind: Kind) throws {
        let server = try ServerProcess(kind)
        var limits = ClientLimits()
        limits.messageSize = 1000
        let caller = try Caller(server.socket, limits: limits)
        #expect(try caller.run("Big", "1000".utf8).status == .ok)
        let record = try caller.run("Big", "1001".utf8)
        #expect(record.status?.code == .resourceExhausted && record.messages.isEmpty)
        #expect(try caller.run("Echo", [1]).status == .ok)
    }
}

/// How connections begin and end.
@Suite struct ClientConnectionTests {
    typealias Kind = ServerProcess.Kind

    @Test(
        "a server that vanishes fails every call, and the connection says so",
        .needs(.pythonEnvironment), arguments: Kind.allCases)
    func vanishes(kind: Kind) throws {
        let server = try ServerProcess(kind)
        let caller = try Caller(server.socket)
        let records = [caller.begin("Flood", []), caller.open("Chat"), caller.open("Ignore")]
        try caller.wait(until: { records[0].messages.count > 10 && records[1].metadata != nil })
        try server.process.send(signal: SIGKILL)
        try caller.wait(until: { caller.end != nil })
        #expect(caller.end == .lost && !caller.connection.isOpen)
        for record in records {
            #expect(record.status == Status(.unavailable, "the server closed the connection"))
        }
        #expect(try caller.run("Echo", [1]).status?.code == .unavailable)
        try server.process.waitForEnd()
        let error = #expect(throws: SystemCallError.self) { try Caller(server.socket) }
        #expect(error?.errorNumber == .connectionRefused && error?.subject == server.socket)
    }

    @Test(
        "a server that shuts down lets calls finish, and takes no more",
        .needs(.pythonEnvironment), arguments: Kind.allCases)
    func shutdown(kind: Kind) throws {
        let server = try ServerProcess(kind)
        let caller = try Caller(server.socket)
        let record = caller.open("Chat")
        try caller.wait(until: { record.metadata != nil })
        try server.process.send(signal: SIGTERM)
        try caller.wait(until: { caller.goAways > 0 || caller.end != nil })
        #expect(!caller.connection.isOpen && caller.end == nil)
        let refused = try caller.run("Echo", [1])
        #expect(refused.status?.code == .unavailable)
        record.call.send(Array("still there".utf8))
        record.call.finishSending()
        try caller.wait(until: { record.status != nil })
        #expect(record.status == .ok && record.texts == ["re: still there", "bye"])
        try caller.wait(until: { caller.end != nil })
        guard case .goneAway(code: 0, _) = caller.end else {
            Issue.record("\(String(describing: caller.end))")
            return
        }
        #expect(caller.goAways == 1)
        try server.process.waitForOutput("stopped\n")
    }

    @Test("where nobody listens, connecting fails and says where")
    func nobody() throws {
        for path in ["/nonexistent/s", String(repeating: "x", count: 200), ""] {
            let error = #expect(throws: SystemCallError.self) { try Caller(path) }
            #expect(error?.call == "connect" && error?.subject == path)
        }
    }

    @Test("a full backlog is waited for", .needs(.pythonEnvironment))
    func fullBacklog() throws {
        let server = try ServerProcess(bad: "full")
        // The server's backlog holds the first, and it accepts nobody yet.
        let callers = try (0..<4).map { _ in try Caller(server.socket) }
        let records = callers.map { $0.begin("/bad/close", []) }
        // Nothing comes of them, whatever time passes.
        for caller in callers {
            var turns = 0
            while turns < 10 {
                let timer = caller.loop.schedule(after: .milliseconds(1)) { turns += 1 }
                let before = turns
                caller.loop.runOnThisThread(until: { turns > before })
                caller.loop.cancel(timer)
            }
        }
        #expect(records.allSatisfy { $0.status == nil })
        server.process.write("go\n")
        try server.process.waitForOutput("going\n")
        for (caller, record) in zip(callers, records) {
            try caller.wait(until: { record.status != nil })
            #expect(record.status?.code == .unavailable && caller.end == .lost)
        }
    }

    @Test(
        "a server that says nothing is given up, and one that accepts nobody too",
        .needs(.pythonEnvironment), arguments: ["quiet", "full"])
    func quiet(mode: String) throws {
        let server = try ServerProcess(bad: mode)
        var limits = ClientLimits()
        limits.handshake = .milliseconds(50)
        let caller = try Caller(server.socket, limits: limits)
        let record = try caller.run("Echo", [1])
        #expect(record.status == Status(.unavailable, "the server does not answer"))
        #expect(caller.end == .unanswered)
    }

    @Test("a server that stops answering is pinged and then given up")
    func keepalive() throws {
        let server = try ServerProcess(.own)
        var limits = ClientLimits()
        limits.keepalive = .milliseconds(20)
        limits.keepaliveTimeout = .milliseconds(200)
        let caller = try Caller(server.socket, limits: limits)
        let record = caller.open("Ignore")
        // It answers pings while it is well.
        #expect(try caller.run("Slow", "400".utf8).status == .ok)
        try server.process.send(signal: SIGSTOP)
        try caller.wait(until: { caller.end != nil })
        #expect(caller.end == .unanswered && record.status?.code == .unavailable)
    }

    @Test("closing ends what runs, and a connection that is let go closes by itself")
    func close() throws {
        let server = try ServerProcess(.own)
        let caller = try Caller(server.socket)
        let records = [caller.begin("Flood", []), caller.open("Chat")]
        records[1].call.onEnd = { status, _ in
            records[1].status = status
            // All of it is over when it is told.
            #expect(!caller.connection.isOpen)
        }
        try caller.wait(until: { records[0].messages.count > 3 })
        records[0].call.onMessage = { _ in caller.connection.close() }
        try caller.wait(until: { caller.end != nil })
        #expect(caller.end == .closed)
        #expect(records.allSatisfy { $0.status?.code == .cancelled })
        caller.connection.close()
        let other = try Caller(server.socket)
        for _ in 0..<20 {
            var idle: ClientConnection? = try ClientConnection(to: server.socket, on: other.loop)
            #expect(idle?.isOpen == true)
            try other.run("Echo", [1])
            idle = nil
        }
        var open = 0
        repeat {
            let text = try other.run("Statistics", []).texts.first ?? ""
            let line = text.split(separator: "\n").first { $0.hasPrefix("connections ") }
            open = line.flatMap { Int($0.dropFirst(12)) } ?? 0
        } while open > 1
    }
}
