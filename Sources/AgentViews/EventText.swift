public import AgentAPI
internal import Console

/// Events for people, a line for each.
public enum EventText {
    /// `12  2026-01-31T12:00:05.123Z  web-1  running → stopped: exited with 0`
    public static func line(_ event: Event) -> String {
        let subject = event.sandboxID.isEmpty ? "node" : event.sandboxID
        let time = TimeText.utc(event.atNanoseconds, decimals: 3)
        return PlainText.line("\(event.number)  \(time)  \(subject)  \(what(event.kind))") + "\n"
    }

    private static func what(_ kind: Event.Kind?) -> String {
        switch kind {
        case .created(let created):
            "created from \(created.spec?.image ?? "?") as a \(created.isolation.label) sandbox"
        case .stateChanged(let change):
            "\(change.before.label) → \(change.after.label)"
                + (change.outcome.map { ": \(SandboxText.ending($0))" } ?? "")
        case .resourcesUpdated(let update):
            "limits changed" + (update.limits.map { ": \(limits($0))" } ?? "")
        case .removed: "removed"
        case .adopted(let adopted): "taken over by the agent, \(adopted.state.label)"
        case .undone(let undone): "a half-done \(undone.operation) was undone"
        case .orphanRemoved(let orphan):
            "the \(orphan.kind) \(orphan.name), which belonged to nothing, was removed"
        case .agentStarted(let started): "agent \(started.version) started"
        case .drainStarted(let drain):
            "draining"
                + (drain.deadlineAtNanoseconds == 0
                    ? "" : " until \(TimeText.utc(drain.deadlineAtNanoseconds))")
        case .drainEnded: "draining ended"
        case .networkUpdated(let update):
            "network changed: \(NetworkText.summary(update.network ?? NetworkSpec()))"
        case .vpcJoined(let joined): "in the VPC \(joined.vpcID)"
        case .vpcLeft(let left): "no longer in the VPC \(left.vpcID)"
        case .proxyChanged(let change):
            "proxy \(change.proxyAddress) of the VPC \(change.vpcID) "
                + (change.alive ? "answers" : "does not answer")
        case .heartbeat: "nothing happened"
        case nil: "something that this version does not know"
        }
    }

    /// `cpus 0.5, memory 128MiB`
    static func limits(_ limits: Limits) -> String {
        let parts: [(String, String?)] = [
            ("cpus", limits.milliCPUs.map { AmountText.cpus(UInt64($0)) }),
            ("memory", limits.memoryBytes.map(AmountText.bytes)),
            ("pids", limits.pids.map { "\($0)" }),
            ("read", limits.readBytesPerSecond.map { AmountText.bytes($0) + "/s" }),
            ("write", limits.writeBytesPerSecond.map { AmountText.bytes($0) + "/s" }),
        ]
        let given = parts.compactMap { name, value in value.map { "\(name) \($0)" } }
        return given.isEmpty ? "none" : given.joined(separator: ", ")
    }
}
