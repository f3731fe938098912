internal import LinuxKernel
internal import RPC

/// Methods over plain bytes; numbers are decimal text.
enum Endpoints {
    static func all(workers: Workers) -> [Endpoint] {
        [echo, blockingEcho(workers), big, metadata, fail, failLate, slow, ignore]
            + [sum, collect, count, flood, chat, tick, paused]
            + [statistics]
    }

    private static func number(_ bytes: [UInt8]) -> Int {
        Int(String(decoding: bytes, as: UTF8.self)) ?? 0
    }

    private static func text(_ text: String) -> [UInt8] { Array(text.utf8) }

    static let echo = Endpoint.request("/test.Test/Echo", isReadOnly: true) { call, request in
        call.send(request)
        call.finish()
    }

    /// The same by way of another thread.
    static func blockingEcho(_ workers: Workers) -> Endpoint {
        Endpoint.request("/test.Test/BlockingEcho") { call, request in
            workers.run {
                call.loop.enqueue {
                    call.send(request)
                    call.finish()
                }
            }
        }
    }

    /// As many bytes as asked for.
    static let big = Endpoint.request("/test.Test/Big") { call, request in
        call.send([UInt8](repeating: 0x78, count: number(request)))
        call.finish()
    }

    /// Gives metadata that begins with `x-` back: at the start, and at the end as `t-x-…`.
    static let metadata = Endpoint.request("/test.Test/Metadata") { call, request in
        var initial = Metadata()
        var trailing = Metadata()
        for entry in call.metadata.entries where entry.name.hasPrefix("x-") {
            switch entry.value {
            case .text(let text):
                try? initial.add(entry.name, text)
                try? trailing.add("t-" + entry.name, text)
            case .binary(let bytes):
                try? initial.add(entry.name, bytes)
                try? trailing.add("t-" + entry.name, bytes)
            }
        }
        call.sendMetadata(initial)
        call.send(request)
        call.finish(trailers: trailing)
    }

    /// Fails with the code asked for, before any message.
    static let fail = Endpoint.request("/test.Test/Fail") { call, request in
        let code = Status.Code(rawValue: number(request)) ?? .unknown
        var trailers = Metadata()
        try? trailers.add("x-why", "asked for")
        call.finish(
            Status(code, "fails: 100 % as asked\nünlücky 🙈", details: [8, UInt8(code.rawValue)]),
            trailers: trailers)
    }

    /// Fails after two messages.
    static let failLate = Endpoint.request("/test.Test/FailLate") { call, request in
        call.send(text("1"))
        call.send(text("2"))
        call.finish(Status(.dataLoss, "no more", details: [8, 15]))
    }

    /// Answers after as many milliseconds as asked for.
    static let slow = Endpoint.request("/test.Test/Slow") { call, request in
        let timer = call.loop.schedule(after: .milliseconds(number(request))) { [weak call] in
            call?.send(request)
            call?.finish()
        }
        call.onCancel = { [loop = call.loop] cause in
            loop.cancel(timer)
            Record.shared.cancelled("\(cause)")
        }
    }

    /// Never answers.
    static let ignore = Endpoint("/test.Test/Ignore") { call in
        call.onCancel = { Record.shared.cancelled("\($0)") }
    }

    /// The sum of all requests.
    static let sum = Endpoint("/test.Test/Sum") { call in
        var sum = 0
        call.onMessage = { sum += number($0) }
        call.onHalfClose = {
            call.send(text("\(sum)"))
            call.finish()
        }
    }

    /// How many bytes and messages came, of which each is taken a turn later.
    static let collect = Endpoint("/test.Test/Collect") { call in
        var bytes = 0
        var messages = 0
        call.onMessage = { message in
            bytes += message.count
            messages += 1
            call.pause()
            call.loop.enqueue { call.resume() }
        }
        call.onHalfClose = {
            call.send(text("\(messages) \(bytes)"))
            call.finish()
        }
    }

    /// Takes nothing until it is cancelled.
    static let paused = Endpoint("/test.Test/Paused") { call in
        call.pause()
        call.onCancel = { Record.shared.cancelled("\($0)") }
    }

    /// Numbers from 1, as many as asked for, as fast as the client takes them.
    static let count = Endpoint.request("/test.Test/Count") { call, request in
        let last = number(request)
        var next = 1
        let more = {
            while next <= last, call.isWritable {
                call.send(text("\(next)"))
                next += 1
            }
            if next > last { call.finish() }
        }
        call.onWritable = more
        call.onCancel = { Record.shared.cancelled("\($0)") }
        more()
    }

    /// Messages of 1 KiB without end.
    static let flood = Endpoint.request("/test.Test/Flood") { call, _ in
        let message = [UInt8](repeating: 0x79, count: 1024)
        let more = {
            while call.isWritable { call.send(message) }
        }
        call.onWritable = more
        call.onCancel = { Record.shared.cancelled("\($0)") }
        more()
    }

    /// Each message back at once, and a farewell.
    static let chat = Endpoint("/test.Test/Chat") { call in
        call.sendMetadata(Metadata())
        call.onMessage = { call.send(text("re: ") + $0) }
        call.onHalfClose = {
            call.send(text("bye"))
            call.finish()
        }
        call.onCancel = { Record.shared.cancelled("\($0)") }
    }

    /// A message each 10 ms, until it is cancelled.
    static let tick = Endpoint.request("/test.Test/Tick") { call, _ in
        final class State { var timer: ScheduledAction? }
        let state = State()
        func next() {
            call.send(text("tick"))
            state.timer = call.loop.schedule(after: .milliseconds(10)) { next() }
        }
        call.onCancel = { [loop = call.loop] cause in
            if let timer = state.timer { loop.cancel(timer) }
            Record.shared.cancelled("\(cause)")
        }
        next()
    }

    /// What the server counts, one `name value` each line.
    static let statistics = Endpoint.request("/test.Test/Statistics") { call, _ in
        guard let server = Record.shared.server else { return call.finish(Status(.unavailable)) }
        let counters = server.counters
        var lines = [
            "accepted \(counters.acceptedConnections)", "denied \(counters.deniedConnections)",
            "excess \(counters.excessConnections)", "broken \(counters.brokenConnections)",
            "connections \(counters.openConnections)", "calls \(counters.calls)",
            "open \(counters.openCalls)", "held \(counters.heldBytes)",
        ]
        for (cause, count) in Record.shared.cancellations { lines.append("\(cause) \(count)") }
        call.send(text(lines.joined(separator: "\n")))
        call.finish()
    }
}

/// What the methods saw. Belongs to the loop's thread.
final class Record: @unchecked Sendable {
    static let shared = Record()
    weak var server: Server?
    private(set) var cancellations: [String: Int] = [:]

    func cancelled(_ cause: String) {
        cancellations[cause, default: 0] += 1
    }
}
