internal import AgentAPI
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// The calls of `alcove.v1.Node`.
struct NodeService {
    let node: NodeAgent

    var endpoints: [Endpoint] {
        [
            .answer(NodeMethods.info, isReadOnly: true, handler: info),
            .answer(NodeMethods.capacity, isReadOnly: true, handler: capacity),
            .serverStream(NodeMethods.watchCapacity, isReadOnly: true, handler: watchCapacity),
            .answer(NodeMethods.drain, handler: drain),
        ]
    }

    private func info(_ request: InfoRequest) throws(CallFailure) -> InfoResponse {
        node.information
    }

    private func capacity(_ request: CapacityRequest) throws(CallFailure) -> CapacityResponse {
        CapacityResponse(capacity: node.capacity())
    }

    private func watchCapacity(
        _ request: WatchCapacityRequest, _ call: TypedCall<WatchCapacityRequest, CapacityResponse>
    ) {
        CapacityStream(request, call, node).begin()
    }

    private func drain(_ request: DrainRequest) throws(CallFailure) -> DrainResponse {
        switch request.order {
        case .begin(let begin):
            try node.beginDrain(
                within: begin.deadlineNanoseconds.map { .nanoseconds(Int64(clamping: $0)) })
        case .end: try node.endDrain()
        case nil: throw .invalid("order", "is missing", hint: "set `begin` or `end`")
        }
        return node.drainAnswer
    }
}

extension NodeAgent {
    var drainAnswer: DrainResponse {
        DrainResponse(
            remaining: UInt32(clamping: remaining), draining: drain != nil,
            deadlineAtNanoseconds: drain?.deadline ?? 0)
    }

    var information: InfoResponse {
        InfoResponse(
            nodeName: identity.name, nodeID: identity.id, version: AgentVersion.current,
            kernel: Machine.kernelRelease, architecture: Machine.architecture,
            agentStartedAtNanoseconds: startedAt,
            bootedAtNanoseconds: bootedAt, cpu: CPUModel.detect(),
            isolations: SandboxModel.IsolationKind.allCases.map(offer), labels: settings.labels)
    }

    private func offer(_ kind: SandboxModel.IsolationKind) -> OfferedIsolation {
        let isOffered = engines[kind] != nil
        let preferred = engines[.microvm] ?? engines[.process]
        let reason =
            switch kind {
            case .process: "the operator does not allow it"
            case .microvm: microVMObstacle ?? "the operator does not allow it"
            }
        return OfferedIsolation(
            kind: AgentAPI.IsolationKind(kind), offered: isOffered,
            reason: isOffered ? "" : reason, preferred: preferred?.kind == kind)
    }
}

extension CPUModel {
    /// What the kernel tells of the first CPU.
    static func detect() -> CPUModel {
        var model = CPUModel(count: UInt32(clamping: Machine.cpuCount))
        // It grows with the CPUs; the first is at its beginning.
        let text = (try? Files.read("/proc/cpuinfo", limit: 16384)) ?? ""
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard let key = parts.first?.prefix(while: { $0 != "\t" }) else { break }
            let value = parts.count > 1 ? parts[1].drop { $0 == " " } : ""
            switch key {
            case "model name": model.name = String(value)
            case "flags", "Features":
                model.flags = value.split(separator: " ").map(String.init).sorted()
            default: break
            }
        }
        return model
    }
}
