internal import AgentAPI
internal import Console
internal import LinuxKernel
internal import ProtocolBuffers
internal import RPC

/// The agent of this node, as the commands ask it. Calls wait for their answers.
final class Agent {
    static let standardSocket = "/run/alcove/agent.sock"

    static let socketFlag = Flag(
        "socket", value: "PATH", default: standardSocket, environment: "ALCOVE_SOCKET",
        completes: .files, help: "the agent's socket")
    static let jsonFlag = Flag("json", help: "print as JSON")

    /// How long a command that lasts waits for an agent that went away: it may be upgraded.
    private static let patience = Duration.seconds(30)

    private let socket: String
    /// Another one, with another loop, after `reconnect`.
    private(set) var connection: AgentConnection
    var loop: EventLoop { connection.loop }

    init(_ parsed: ParsedCommand) throws(AgentFailure) {
        socket = parsed.string("socket") ?? Self.standardSocket
        do throws(SystemCallError) {
            connection = try AgentConnection(path: socket)
        } catch {
            let canDoWithout = ["run", "create"].contains(parsed.command.path.first ?? "")
            throw AgentFailure(socket: socket, error, canDoWithout: canDoWithout)
        }
    }

    /// Waits until an agent answers at the socket again, after one went away, and says so.
    func reconnect(after failure: AgentFailure) throws(AgentFailure) {
        Messages.warn("the agent went away: waiting for it")
        let deadline = MonotonicClock.nanoseconds(after: Self.patience)
        while MonotonicClock.nanoseconds < deadline {
            var isOver = false
            let pause = loop.schedule(after: .milliseconds(50)) { isOver = true }
            connection.run { isOver }
            loop.cancel(pause)
            guard let next = try? AgentConnection(path: socket),
                (try? next.request(NodeMethods.info, InfoRequest(), timeout: .seconds(5))) != nil
            else { continue }
            connection = next
            return
        }
        throw failure
    }

    /// Does again what failed since the agent went away.
    func lasting<Result>(
        _ body: () throws(AgentFailure) -> Result
    ) throws(AgentFailure) -> Result {
        while true {
            do throws(AgentFailure) {
                return try body()
            } catch {
                guard error.isLost else { throw error }
                try reconnect(after: error)
            }
        }
    }

    /// - Parameter what: what cannot be done when it fails: ``start `web` ``.
    func request<Request: Message, Response: Message>(
        _ method: Method<Request, Response>, _ request: Request, to what: String
    ) throws(AgentFailure) -> Response {
        do throws(CallFailure) {
            return try connection.request(method, request)
        } catch {
            throw AgentFailure(cannot: what, error)
        }
    }

    /// Calls a method for each subject, many at once, and an action with each answer, in the
    /// subjects' order and as soon as those before have been answered. Failures are told one by
    /// one; the worst code is the result.
    func forEach<Request: Message, Response: Message>(
        _ subjects: [String], _ verb: String, _ method: Method<Request, Response>,
        request: (String) -> Request, then action: (String, Response) -> Int32
    ) -> Int32 {
        let mostInFlight = 64
        var results = [Result<Response, CallFailure>?](repeating: nil, count: subjects.count)
        var next = 0
        var worst: Int32 = 0
        for place in subjects.indices {
            while next < subjects.count, next < place + mostInFlight {
                let current = next
                connection.connection.call(method, request(subjects[current])) {
                    results[current] = $0
                }
                next += 1
            }
            connection.run { results[place] != nil }
            switch results[place] {
            case .success(let response): worst = max(worst, action(subjects[place], response))
            case .failure(let failure):
                let error = AgentFailure(cannot: "\(verb) `\(subjects[place])`", failure)
                Messages.tell(error)
                worst = max(worst, error.code)
            case nil: break
            }
        }
        return worst
    }
}

extension Messages {
    static func tell(_ failure: AgentFailure) { write("alcove: \(failure)") }

    static func warn(_ text: String) { write("alcove: warning: \(text)") }
}

extension StandardStream {
    /// The characters in a line of a table: those of the terminal, and as many as it takes for
    /// programs.
    var tableWidth: Int? {
        Terminal.size(of: rawValue).flatMap { $0.columns == 0 ? nil : max(40, Int($0.columns)) }
    }
}
