internal import Console
internal import SandboxModel

extension SandboxOutcome {
    /// Of a sandbox that was refused before anything was started.
    init(refused error: SandboxError) {
        self.init(
            ending: .failed(error),
            usage: Usage(userMicroseconds: 0, systemMicroseconds: 0, peakResidentKilobytes: 0),
            limits: [], timeline: [])
    }

    /// What a person is told when the workload did not simply end; nothing when it did.
    var complaint: String? {
        switch ending {
        case .ended: nil
        case .denied(let call, let more, _):
            "a process was killed: it made the denied call `\(call)`"
                + (more > 0 ? ", and \(more) more" : "")
                + " (`--denied-calls errno` makes such calls fail instead)"
        case .outOfMemory:
            limits.contains { $0.kind == .memory && $0.holds }
                ? "the sandbox was killed: its memory limit is used up"
                : "the sandbox was killed: the node is out of memory"
        case .timedOut: "the sandbox was stopped: its time is over"
        case .failed(let error): "\(error)"
        }
    }

    /// The result for programs.
    var json: JSONValue {
        var object = JSONObject()
        object["ending"] = JSONValue(endingName)
        object["exit_code"] = JSONValue(exitCode)
        if case .ended(.signaled(let number, let name)) = ending {
            object["signal"] = ["number": JSONValue(number), "name": JSONValue(name)]
        }
        if case .denied(let call, let more, _) = ending {
            object["denied_call"] = JSONValue(call)
            object["denied_calls"] = JSONValue(more + 1)
        }
        if case .failed(let error) = ending {
            object["error"] = [
                "code": JSONValue(error.code.name),
                "message": JSONValue(error.message),
                "hint": error.hint.map { JSONValue($0) } ?? .null,
            ]
        }
        object["limits"] = JSONValue(
            limits.map { limit in
                [
                    "kind": JSONValue(limit.kind.rawValue), "request": JSONValue(limit.request),
                    "holds": JSONValue(limit.holds),
                    "reason": limit.reason.map { JSONValue($0) } ?? .null,
                ] as JSONValue
            })
        object["usage"] = [
            "user_us": JSONValue(usage.userMicroseconds),
            "system_us": JSONValue(usage.systemMicroseconds),
            "peak_resident_kib": JSONValue(usage.peakResidentKilobytes),
        ]
        object["timeline"] = JSONValue(
            timeline.map { moment in
                ["what": JSONValue(moment.what), "ns": JSONValue(moment.nanoseconds)] as JSONValue
            })
        return .object(object)
    }

    private var endingName: String {
        switch ending {
        case .ended(.exited): "exited"
        case .ended(.signaled): "signaled"
        case .denied: "denied"
        case .outOfMemory: "out_of_memory"
        case .timedOut: "timed_out"
        case .failed: "failed"
        }
    }
}
