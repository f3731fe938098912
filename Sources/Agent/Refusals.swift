internal import AgentAPI
internal import Jail
internal import RPC
internal import SandboxModel

extension CallFailure {
    static func notFound(_ id: String) -> CallFailure {
        CallFailure(
            .notFound, reason: "not_found", "there is no sandbox `\(id.prefix(80))`",
            hint: "`alcove ps --all` lists them")
    }

    static func denied(
        _ managed: ManagedSandbox, _ denial: SandboxLifecycle.Denial
    ) -> CallFailure {
        CallFailure(
            .failedPrecondition, reason: "wrong_state",
            "sandbox `\(managed.id)`: \(denial.rawValue)", hint: denial.hint ?? "")
    }

    static func wrongState(_ managed: ManagedSandbox, _ reason: String) -> CallFailure {
        CallFailure(
            .failedPrecondition, reason: "wrong_state", "sandbox `\(managed.id)`: \(reason)")
    }

    static func ended(_ managed: ManagedSandbox) -> CallFailure {
        denied(managed, .hasEnded)
    }

    static var draining: CallFailure {
        CallFailure(
            .unavailable, reason: "draining", "the node is draining and takes no new sandboxes",
            hint: "use another node, or end the drain by `alcove drain --end`")
    }

    /// What the node lacks for a sandbox.
    static func noRoom(_ shortages: [Admission.Shortage]) -> CallFailure {
        let words = shortages.map(\.description).joined(separator: "; ")
        return CallFailure(
            .resourceExhausted, reason: "no_room",
            "the node has no room: \(words)",
            hint: "`alcove capacity` shows what is left",
            shortages: shortages.map {
                .init(
                    resource: AgentAPI.Resource($0.kind), requested: $0.requested,
                    available: $0.available)
            })
    }

    static func startsBusy(_ message: String, hint: String) -> CallFailure {
        CallFailure(.resourceExhausted, reason: "starts_busy", message, hint: hint)
    }

    static var startsLate: CallFailure {
        startsBusy(
            "the start waited too long for others",
            hint: "start fewer at once, or let them wait longer by `starts.queue_timeout`")
    }

    /// A start that came to nothing.
    static func notStarted(_ managed: ManagedSandbox) -> CallFailure {
        if let outcome = managed.sandbox.outcome.flatMap({ SandboxOutcome($0) }),
            case .failed(let error) = outcome.ending
        {
            return CallFailure(error)
        }
        return CallFailure(
            .aborted, reason: "ended_early",
            "sandbox `\(managed.id)` ended before its workload was seen to run",
            hint: "`alcove ps --all` shows how")
    }

    /// A command that came to nothing.
    static func noCommand(_ error: SandboxError) -> CallFailure {
        guard error == ExecSession.tooMany else { return CallFailure(error) }
        return CallFailure(
            .resourceExhausted, reason: "too_many_commands", error.message, hint: error.hint ?? "")
    }
}
