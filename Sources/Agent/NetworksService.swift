internal import AgentAPI
internal import HostNetwork
internal import LinuxKernel
internal import Netlink
internal import ProtocolBuffers
internal import RPC
internal import SandboxModel

/// The calls of `alcove.v1.Networks`.
struct NetworksService {
    let node: NodeAgent

    var endpoints: [Endpoint] {
        [
            .answer(NetworksMethods.joinVPC, handler: joinVPC),
            .answer(NetworksMethods.leaveVPC, handler: leaveVPC),
            .answer(NetworksMethods.listVPCs, isReadOnly: true, handler: listVPCs),
            .answer(NetworksMethods.attachVPC, handler: attachVPC),
            .answer(NetworksMethods.detachVPC, handler: detachVPC),
            .answer(NetworksMethods.update, handler: update),
            .answer(NetworksMethods.get, isReadOnly: true, handler: get),
            .answer(NetworksMethods.status, isReadOnly: true, handler: status),
            .bidirectional(NetworksMethods.forward, handler: forward),
        ]
    }

    /// The sandbox of an id, if callers may know of it.
    private func find(_ id: String) throws(CallFailure) -> ManagedSandbox {
        guard let managed = node.registry[id], managed.isCreated, managed.state != .removing else {
            throw .notFound(id)
        }
        return managed
    }

    // MARK: - VPCs

    private func joinVPC(_ request: JoinVPCRequest) throws(CallFailure) -> JoinVPCResponse {
        guard let vpc = request.vpc else { throw .invalid("vpc", "is missing") }
        return JoinVPCResponse(vpc: try node.joinVPC(vpc))
    }

    private func leaveVPC(_ request: LeaveVPCRequest) throws(CallFailure) -> LeaveVPCResponse {
        try node.leaveVPC(request.id)
        return LeaveVPCResponse()
    }

    private func listVPCs(
        _ request: ListNodeVPCsRequest
    ) throws(CallFailure) -> ListNodeVPCsResponse {
        let all = node.vpcs.values.sorted { $0.vpc.id < $1.vpc.id }
        return ListNodeVPCsResponse(
            vpcs: all.map { joined in
                NodeVPCStatus(
                    vpc: joined.vpc,
                    sandboxes: UInt32(clamping: node.users(of: joined.vpc.id).count),
                    proxies: (node.prober?.health(of: joined.number) ?? []).map {
                        AgentAPI.ProxyHealth($0)
                    })
            })
    }

    private func attachVPC(_ request: AttachVPCRequest) throws(CallFailure) -> AttachVPCResponse {
        let managed = try find(request.sandboxID)
        try node.attach(managed, to: request.vpcID, inbound: request.inboundAddress)
        return AttachVPCResponse(network: managed.sandbox.spec?.network)
    }

    private func detachVPC(_ request: DetachVPCRequest) throws(CallFailure) -> DetachVPCResponse {
        let managed = try find(request.sandboxID)
        try node.detach(managed, from: request.vpcID)
        return DetachVPCResponse(network: managed.sandbox.spec?.network)
    }

    // MARK: - Sandboxes

    private func update(
        _ request: UpdateNetworkRequest
    ) throws(CallFailure) -> UpdateNetworkResponse {
        guard let network = request.network else { throw .invalid("network", "is missing") }
        let managed = try find(request.sandboxID)
        try node.updateNetwork(managed, to: network)
        return UpdateNetworkResponse(sandbox: managed.sandbox)
    }

    private func get(_ request: GetNetworkRequest) throws(CallFailure) -> GetNetworkResponse {
        let managed = try find(request.sandboxID)
        var response = GetNetworkResponse(network: managed.sandbox.spec?.network)
        guard let slot = managed.sandbox.networkSlot.map(SlotIndex.init(rawValue:)),
            let network = node.networks?.network
        else { return response }
        do throws(HostNetworkError) {
            response.counts = try network.counts(of: slot).map {
                AgentAPI.RuleCount(packets: $0.packets, bytes: $0.bytes)
            }
        } catch {
            throw CallFailure(SandboxError(network: error))
        }
        response.slotAddress = "\(network.address(of: slot))"
        response.resolvedAddresses = network.resolvedAddresses(of: slot).map { "\($0)" }
        return response
    }

    private func status(
        _ request: NetworkStatusRequest
    ) throws(CallFailure) -> NetworkStatusResponse {
        guard let networks = node.networks else { return NetworkStatusResponse() }
        let figures = networks.figures()
        var response = NetworkStatusResponse(
            enabled: true, slotsInUse: UInt32(clamping: figures.inUse),
            slotsReady: UInt32(clamping: figures.ready),
            slotsTarget: UInt32(clamping: figures.target), slotsMissed: UInt64(figures.missed))
        do throws(HostNetworkError) {
            response.drops = try networks.drops()
        } catch {
            throw CallFailure(SandboxError(network: error))
        }
        response.problem = figures.failure ?? ""
        response.names = node.names.map { AgentAPI.NameCounts($0.counts) }
        return response
    }

    private func forward(_ call: TypedCall<ForwardRequest, ForwardResponse>) {
        ForwardStream(call, node, find: find).begin()
    }
}

extension SandboxNetworks {
    /// Each reason with how often it held, the node's as `node-…`.
    fileprivate func drops() throws(HostNetworkError) -> [DropCount] {
        let router = try network.drops()
        let node = try network.nodeDrops()
        return RouterCounter.allCases.map {
            DropCount(reason: $0.name, packets: router[$0] ?? 0)
        } + NodeCounter.allCases.map { DropCount(reason: $0.name, packets: node[$0] ?? 0) }
    }
}

extension AgentAPI.ProxyHealth {
    fileprivate init(_ health: TunnelHealth) {
        let liveness = health.liveness
        let age = MonotonicClock.nanoseconds &- liveness.since
        self.init(
            tunnelAddress: "\(health.proxy.address)", alive: liveness.isAlive,
            sinceAtNanoseconds: WallClock.nanoseconds - Int64(clamping: age),
            requests: liveness.sent, lostRequests: liveness.lost,
            roundTripNanoseconds: liveness.roundTrip ?? 0, used: health.isUsed)
    }
}

extension RouterCounter {
    /// As clients and metrics know it.
    var name: String {
        switch self {
        case .falseSource: "false-source"
        case .otherSandbox: "other-sandbox"
        case .tunnel: "tunnel"
        case .refusedPrefix: "refused-prefix"
        case .notAllowed: "not-allowed"
        case .router: "router"
        case .falseNeighbour: "false-neighbour"
        }
    }
}

extension NodeCounter {
    var name: String {
        switch self {
        case .node: "node"
        case .strangers: "strangers"
        }
    }
}

extension AgentAPI.NameCounts {
    fileprivate init(_ counts: ForwardedNames) {
        self.init(
            questions: counts.questions, answers: counts.answers, denied: counts.denied,
            malformed: counts.malformed, excess: counts.excess, unanswered: counts.unanswered)
    }
}
