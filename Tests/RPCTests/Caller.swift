import Foundation
import LinuxKernel
import TestSupport

@testable import RPC

/// A server in a process of its own, at a socket of its own.
final class ServerProcess {
    enum Kind: String, CaseIterable, Sendable {
        /// RPCTestServer
        case own
        /// `Python/server.py`
        case grpcio
    }

    let socket: String
    let process: TestSupport.ChildProcess
    private let folder: URL

    convenience init(_ kind: Kind) throws {
        switch kind {
        case .own: try self.init(try Products.toolPath("RPCTestServer"), [])
        case .grpcio: try self.init(script: "server")
        }
    }

    /// One that `Python/bad_server.py` makes.
    convenience init(bad mode: String) throws {
        try self.init(script: "bad_server", [mode])
    }

    private convenience init(script: String, _ more: [String] = []) throws {
        let path = PackageRoot.path("Tests/RPCTests/Python/\(script).py")
        try self.init(PythonEnvironment.interpreter, ["-B", path], more)
    }

    private init(_ program: String, _ before: [String], _ after: [String] = []) throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "rpc-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        socket = folder.appendingPathComponent("s").path
        process = try TestSupport.ChildProcess(program, arguments: before + [socket] + after)
        try process.waitForOutput("ready\n")
    }

    deinit {
        try? process.send(signal: SIGKILL)
        _ = try? process.finish()
        try? FileManager.default.removeItem(at: folder)
    }
}

/// A client whose loop runs while it waits.
final class Caller {
    /// What is told of a call.
    final class Record {
        let call: ClientCall
        var metadata: Metadata?
        var messages: [[UInt8]] = []
        var status: Status?
        var trailers = Metadata()

        init(_ call: ClientCall) {
            self.call = call
            call.onMetadata = { self.metadata = $0 }
            call.onMessage = { self.messages.append($0) }
            call.onEnd = { (self.status, self.trailers) = ($0, $1) }
        }

        var texts: [String] { messages.map { String(decoding: $0, as: UTF8.self) } }
    }

    struct Stuck: Error {}

    let loop: EventLoop
    let connection: ClientConnection
    private(set) var end: ClientConnection.End?
    private(set) var goAways = 0

    init(_ socket: String, limits: ClientLimits = ClientLimits()) throws {
        loop = try EventLoop(named: "caller")
        connection = try ClientConnection(to: socket, on: loop, limits: limits)
        connection.onClose = { [unowned self] in end = $0 }
        connection.onGoAway = { [unowned self] in goAways += 1 }
    }

    /// Runs the loop until something holds, which must come to pass in the end.
    func wait(until isDone: () -> Bool) throws {
        var isStuck = false
        let limit = loop.schedule(after: .seconds(120)) { isStuck = true }
        loop.runOnThisThread(until: { isStuck || isDone() })
        loop.cancel(limit)
        if isStuck { throw Stuck() }
    }

    func open(
        _ name: String, metadata: Metadata = Metadata(), timeout: Duration? = nil
    ) -> Record {
        let deadline = timeout.map { MonotonicClock.nanoseconds(after: $0) }
        let path = name.hasPrefix("/") ? name : "/test.Test/\(name)"
        return Record(connection.call(path, metadata: metadata, deadline: deadline))
    }

    /// Begins a call with one request.
    func begin(
        _ name: String, _ request: some Sequence<UInt8>, metadata: Metadata = Metadata(),
        timeout: Duration? = nil
    ) -> Record {
        let record = open(name, metadata: metadata, timeout: timeout)
        record.call.send(Array(request))
        record.call.finishSending()
        return record
    }

    /// Makes a call with one request, and waits for its end.
    @discardableResult
    func run(
        _ name: String, _ request: some Sequence<UInt8>, metadata: Metadata = Metadata(),
        timeout: Duration? = nil
    ) throws -> Record {
        let record = begin(name, request, metadata: metadata, timeout: timeout)
        try wait(until: { record.status != nil })
        return record
    }

    /// How many calls the server knows to be cancelled by their clients.
    func cancellations() throws -> Int {
        let text = try run("Statistics", []).texts.first ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("byClient ") }
        return line.flatMap { Int($0.dropFirst(9)) } ?? 0
    }
}
