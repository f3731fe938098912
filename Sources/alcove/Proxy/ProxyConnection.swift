internal import AgentAPI
internal import Console
internal import LinuxKernel
internal import ProtocolBuffers
internal import RPC
internal import SandboxModel

/// The VPC proxy of this node, as the commands ask it.
struct ProxyConnection {
    static let socketFlag = Flag(
        "proxy", value: "PATH", default: "/run/alcove-proxy/proxy.sock",
        environment: "ALCOVE_PROXY_SOCKET", completes: .files, help: "the proxy's socket")
    static let jsonFlag = Flag("json", help: "print as JSON")

    /// For the help of each command.
    static let codes = HelpTable(
        "Exit codes of the proxy's commands",
        rows: [
            .init("\(SandboxError.Code.usage.rawValue)", "what is asked for makes no sense"),
            .init("\(AgentExitCode.notFound.rawValue)", "there is no such VPC, node or event"),
            .init("\(AgentExitCode.noAgent.rawValue)", "no proxy answers at the socket"),
            .init("\(AgentExitCode.agentFailed.rawValue)", "the proxy failed"),
            .init(
                "\(AgentExitCode.wrongState.rawValue)",
                "the node does not have what the uplink is made of, or the VPC is being deleted"),
            .init(
                "\(AgentExitCode.alreadyExists.rawValue)",
                "the id, the tunnel, the link or the address is another one's"),
            .init("\(AgentExitCode.noRoom.rawValue)", "the proxy has too much to do: try later"),
            .init("\(AgentExitCode.connectionLost.rawValue)", "the proxy went away"),
            .init("\(SandboxError.Code.notPermitted.rawValue)", "the socket is not yours to use"),
        ])

    let connection: AgentConnection

    init(_ parsed: ParsedCommand) throws(AgentFailure) {
        let path = parsed.string("proxy") ?? ""
        do throws(SystemCallError) {
            connection = try AgentConnection(path: path)
        } catch {
            throw AgentFailure(proxy: path, error)
        }
    }

    /// - Parameter what: what cannot be done when it fails: ``create `blue` ``.
    func request<Request: Message, Response: Message>(
        _ method: Method<Request, Response>, _ request: Request, to what: String
    ) throws(AgentFailure) -> Response {
        do throws(CallFailure) {
            return try connection.request(method, request)
        } catch {
            throw AgentFailure(cannot: what, error, service: "alcove-proxy")
        }
    }

    /// Calls an action with each answer, until there are no more or it gives false.
    func each<Request: Message, Response: Message>(
        _ method: Method<Request, Response>, _ request: Request, to what: String,
        _ action: (Response) -> Bool
    ) throws(AgentFailure) {
        let stream = connection.stream(method, request)
        do throws(CallFailure) {
            while let response = try stream.next() {
                guard action(response) else { return }
            }
        } catch {
            throw AgentFailure(cannot: what, error, service: "alcove-proxy")
        }
    }
}

extension AgentFailure {
    /// No proxy at a socket.
    fileprivate init(proxy path: String, _ error: SystemCallError) {
        let isDenied = error.errorNumber == .permissionDenied
        self.init(
            code: isDenied
                ? SandboxError.Code.notPermitted.rawValue : AgentExitCode.noAgent.rawValue,
            reason: isDenied ? SandboxError.Code.notPermitted.name : "no_proxy",
            message: "no proxy answers at `\(path)`: \(error.errorNumber)",
            hint: isDenied
                ? "be root, or in the group that owns the socket"
                : "start it by `systemctl start alcove-proxy`, or name its socket by `--proxy`")
    }
}
