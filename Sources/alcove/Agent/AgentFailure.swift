internal import AgentAPI
internal import Console
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// The exit codes of commands that ask the agent, beside those of `SandboxError`.
enum AgentExitCode: Int32, CaseIterable {
    case notFound = 67
    case noAgent = 68
    case agentFailed = 70
    case wrongState = 72
    case alreadyExists = 73
    case damaged = 74
    case noRoom = 75
    case connectionLost = 76

    /// What programs know it by, where the agent gave no name.
    var name: String {
        switch self {
        case .notFound: "not_found"
        case .noAgent: "no_agent"
        case .agentFailed: "agent_failed"
        case .wrongState: "wrong_state"
        case .alreadyExists: "already_exists"
        case .damaged: "damaged"
        case .noRoom: "no_room"
        case .connectionLost: "connection_lost"
        }
    }

    var meaning: String {
        switch self {
        case .notFound: "there is no sandbox, image or event of that name or number"
        case .noAgent: "no agent answers at the socket"
        case .agentFailed: "the agent failed, or cannot do it"
        case .wrongState: "the sandbox's state, or what uses the image, does not allow it"
        case .alreadyExists: "there is another one of that name already"
        case .damaged: "an image in the store is damaged: import it again"
        case .noRoom: "the node has no room, drains, or has too much to do: try later"
        case .connectionLost: "the agent went away, or does not answer"
        }
    }

    /// For the help of every command that asks the agent.
    static let table = HelpTable(
        "Exit codes",
        rows: rows([.usage, .notPermitted]))

    /// For that of commands that start something too.
    static let startTable = HelpTable(
        "Exit codes of commands that start something",
        rows: rows(SandboxError.Code.allCases))

    private static func rows(_ codes: [SandboxError.Code]) -> [HelpTable.Row] {
        let rows =
            codes.map { (code: $0.rawValue, meaning: $0.meaning) }
            + allCases.map { (code: $0.rawValue, meaning: $0.meaning) }
        return rows.sorted { $0.code < $1.code }.map { .init("\($0.code)", $0.meaning) }
    }
}

/// What the agent refused, or why it could not be asked: one line, a hint and an exit code.
struct AgentFailure: Error {
    let code: Int32
    /// What programs know it by: `wrong_state`.
    let reason: String
    let message: String
    let hint: String?

    init(code: Int32, reason: String, message: String, hint: String?) {
        self.code = code
        self.reason = reason
        self.message = message
        self.hint = hint
    }

    /// - Parameters:
    ///   - what: what was to be done, with its object: ``start `web` ``.
    ///   - service: the unit of who was asked.
    init(cannot what: String, _ failure: CallFailure, service: String = "alcoved") {
        code = Self.code(of: failure)
        reason =
            failure.reason.isEmpty
            ? AgentExitCode(rawValue: code)?.name ?? "\(failure.code)" : failure.reason
        // A connection says nothing of what to do.
        let isLost = failure.reason.isEmpty && failure.code == .unavailable
        let hint =
            isLost ? "`systemctl status \(service)` says more, where systemd runs it" : failure.hint
        message = "cannot \(what): \(failure.message.isEmpty ? "\(failure.code)" : failure.message)"
        self.hint = hint.isEmpty ? nil : hint
    }

    /// The agent went away, and may come back: nothing is known of what was asked for.
    var isLost: Bool { code == AgentExitCode.connectionLost.rawValue }

    /// No agent at a socket.
    ///
    /// - Parameter canDoWithout: the command has a way without the agent.
    init(socket: String, _ error: SystemCallError, canDoWithout: Bool = false) {
        if error.errorNumber == .permissionDenied {
            code = SandboxError.Code.notPermitted.rawValue
            reason = SandboxError.Code.notPermitted.name
            message = "the agent's socket `\(socket)` cannot be used: \(error.errorNumber)"
            hint = "be root, or in the group that owns the socket"
        } else {
            code = AgentExitCode.noAgent.rawValue
            reason = AgentExitCode.noAgent.name
            message = "no agent answers at `\(socket)`: \(error.errorNumber)"
            hint =
                "start it by `systemctl start alcoved`, or name its socket by `--socket`"
                + (canDoWithout ? "; `alcove run --local` does without" : "")
        }
    }

    static func code(of failure: CallFailure) -> Int32 {
        if let code = SandboxError.Code(named: failure.reason) { return code.rawValue }
        let code: AgentExitCode
        switch failure.code {
        case .invalidArgument: return SandboxError.Code.usage.rawValue
        case .permissionDenied, .unauthenticated: return SandboxError.Code.notPermitted.rawValue
        case .notFound, .outOfRange: code = .notFound
        case .alreadyExists: code = .alreadyExists
        case .failedPrecondition, .aborted: code = .wrongState
        case .resourceExhausted: code = .noRoom
        case .unavailable: code = failure.reason.isEmpty ? .connectionLost : .noRoom
        case .deadlineExceeded, .cancelled: code = .connectionLost
        case .dataLoss: code = .damaged
        case .internal, .unimplemented, .unknown, .ok: code = .agentFailed
        }
        return code.rawValue
    }
}

extension AgentFailure: CustomStringConvertible {
    var description: String {
        guard let hint else { return message }
        return "\(message) (\(hint))"
    }
}

extension AgentFailure {
    /// The result of a sandbox that the agent refused, as `run` gives it to programs.
    var refusal: JSONValue {
        let known = SandboxError.Code(rawValue: code) ?? .unavailable
        let outcome = SandboxOutcome(refused: SandboxError(known, message, hint: hint))
        guard case .object(var object) = outcome.json else { return .null }
        object["exit_code"] = JSONValue(code)
        if AgentExitCode(rawValue: code) != nil, case .object(var error) = object["error"] {
            error["code"] = JSONValue(reason)
            object["error"] = .object(error)
        }
        return .object(object)
    }
}
