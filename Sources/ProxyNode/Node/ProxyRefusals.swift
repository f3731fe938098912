internal import AgentAPI
internal import RPC

extension CallFailure {
    static func noNetwork(_ id: String) -> CallFailure {
        CallFailure(
            .notFound, reason: "not_found", "there is no VPC `\(id.prefix(80))`",
            hint: "`alcove proxy vpc ls` lists them")
    }

    static func noNode(_ node: String, _ id: String) -> CallFailure {
        CallFailure(
            .notFound, reason: "not_found",
            "no node `\(node.prefix(80))` is attached to the VPC `\(id)`",
            hint: "`alcove proxy vpc ls \(id)` lists them")
    }

    static func noInbound(_ address: String, _ id: String) -> CallFailure {
        CallFailure(
            .notFound, reason: "not_found",
            "no address `\(address.prefix(80))` of the VPC `\(id)` leads to a sandbox",
            hint: "`alcove proxy vpc ls \(id)` lists them")
    }

    static func isLedTo(_ node: String, by address: String) -> CallFailure {
        CallFailure(
            .failedPrecondition, reason: "in_use",
            "\(address) leads to a sandbox on `\(node)`",
            hint: "take it away first, by `alcove proxy inbound rm`")
    }

    static func isTaken(_ what: String, by id: String) -> CallFailure {
        CallFailure(.alreadyExists, reason: "already_exists", "\(what) is that of `\(id)`")
    }

    static func isAnother(_ id: String) -> CallFailure {
        CallFailure(
            .alreadyExists, reason: "already_exists",
            "there is a VPC `\(id)` with another specification",
            hint: "delete it first, or take another id")
    }

    static func isBeingDeleted(_ id: String) -> CallFailure {
        CallFailure(
            .aborted, reason: "being_deleted", "VPC `\(id)` is being deleted",
            hint: "delete it again, should that have failed before")
    }

    static var tooManyInbound: CallFailure {
        CallFailure(
            .resourceExhausted, reason: "too_many",
            "at most \(InboundRoute.most) addresses of a VPC lead to sandboxes")
    }

    static var tooMuchWaits: CallFailure {
        CallFailure(
            .resourceExhausted, reason: "proxy_busy", "too much waits to be done for this VPC",
            hint: "try again in a moment")
    }

    init(_ failure: HostFailure) {
        self.init(
            failure.isOfUplink ? .failedPrecondition : .internal,
            reason: failure.isOfUplink ? "uplink_unusable" : "kernel_refused",
            "\(failure)",
            hint: failure.isOfUplink ? "`ip link` on the proxy node shows its links" : "")
    }
}
