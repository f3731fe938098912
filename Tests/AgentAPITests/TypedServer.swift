import AgentAPI
import Foundation
import LinuxKernel
import ProtocolBuffers
import RPC
import TestSupport

/// A server of typed endpoints in this process, on a thread of its own.
final class TypedServer {
    static let gather = Method<ExecRequest, WaitResponse>("/test.Test/Gather", .clientStreaming)

    let socket: String
    private let folder: URL
    private let loop: EventLoop
    private let server: Server
    /// Why calls were cancelled.
    let cancellations: Locked<[ServerCall.Cancellation]>

    init() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "api-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        socket = folder.appendingPathComponent("s").path
        loop = try EventLoop(named: "typed-server")
        cancellations = Locked([])
        server = Server(loop: loop, endpoints: Self.endpoints(cancellations))
        server.listen(on: try Listener(path: socket, mode: 0o600))
        // Nobody joins it: `stop` is waited for.
        _ = try loop.start()
    }

    /// Ends it; calls that run are cancelled after the span.
    func stop(within span: Duration = .seconds(10)) {
        let ended = Locked(false)
        server.shutDown(within: span) { [loop] in
            loop.stop()
            ended.with { $0 = true }
            ended.signalAll()
        }
        ended.wait { $0 ? () : nil }
        try? FileManager.default.removeItem(at: folder)
    }

    private static func endpoints(
        _ cancellations: Locked<[ServerCall.Cancellation]>
    ) -> [Endpoint] {
        [get, create, watch(cancellations), exec(cancellations), gatherEndpoint]
    }

    private static let get = Endpoint.answer(SandboxesMethods.get, isReadOnly: true) {
        request throws(CallFailure) in
        guard request.id != "missing" else {
            throw CallFailure(
                .notFound, reason: "no_such_sandbox", "there is no sandbox `missing`",
                hint: "`alcove ps` lists them")
        }
        return GetResponse(sandbox: Sandbox(id: request.id, pid: 7))
    }

    /// Answers in a later turn.
    private static let create = Endpoint.unary(SandboxesMethods.create) { request, call in
        call.loop.enqueue {
            if request.id == "full" {
                let shortage = ErrorDetail.Shortage(
                    resource: .memory, requested: 1 << 40, available: 5)
                call.finish(
                    CallFailure(
                        .resourceExhausted, reason: "no_room", "the node is full",
                        shortages: [shortage]))
                return
            }
            do throws(CallFailure) {
                let spec = try (request.spec ?? SandboxSpec()).model { _ in nil }
                let sandbox = Sandbox(id: request.id, spec: SandboxSpec(spec))
                call.finish(with: CreateResponse(sandbox: sandbox))
            } catch {
                call.finish(error)
            }
        }
    }

    /// Events from a number on, to the one that the first id names, or without end.
    private static func watch(
        _ cancellations: Locked<[ServerCall.Cancellation]>
    ) -> Endpoint {
        .serverStream(SandboxesMethods.watch) { request, call in
            var next = request.fromNumber
            let last = request.sandboxIDs.first.flatMap { UInt64($0) } ?? .max
            let more = {
                while next <= last, call.isWritable {
                    call.send(Event(number: next, kind: .heartbeat(Event.Heartbeat())))
                    next += 1
                }
                if next > last { call.finish() }
            }
            call.onWritable(more)
            call.onCancel { cause in cancellations.with { $0.append(cause) } }
            more()
        }
    }

    /// Gives the standard input back as output, until its end or a signal.
    private static func exec(
        _ cancellations: Locked<[ServerCall.Cancellation]>
    ) -> Endpoint {
        .bidirectional(SandboxesMethods.exec) { call in
            func end(_ exit: Exit) {
                call.send(ExecResponse(message: .exit(exit)))
                call.finish()
            }
            call.onMessage { request in
                switch request.message {
                case .start: call.send(ExecResponse(message: .started(.init(pid: 5))))
                case .stdin(let bytes):
                    call.send(ExecResponse(message: .stdout(bytes)))
                    if !call.isWritable { call.pause() }
                case .signal(let number):
                    end(Exit(how: .signal(.init(number: number, name: "SIGNAL"))))
                case .stdinEnd: end(Exit(how: .code(3)))
                case .resize, nil: break
                }
            }
            call.onWritable { call.resume() }
            call.onHalfClose { end(Exit(how: .code(4))) }
            call.onCancel { cause in cancellations.with { $0.append(cause) } }
        }
    }

    private static let gatherEndpoint = Endpoint.clientStream(gather) { call in
        var count: Int32 = 0
        call.onMessage { _ in count += 1 }
        call.onHalfClose {
            let exit = Outcome(exitCode: count)
            call.finish(with: WaitResponse(sandbox: Sandbox(outcome: exit)))
        }
    }
}
