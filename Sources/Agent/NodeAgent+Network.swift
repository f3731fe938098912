internal import AgentAPI
internal import AgentOperations
internal import HostNetwork
internal import LinuxKernel
internal import Netlink
internal import RPC
internal import SandboxModel
internal import Store

/// A VPC that the node is in.
struct JoinedVPC {
    let number: VPCNumber
    var vpc: NodeVPC
}

// What sandboxes have of the node's networks.
//
// A slot's number is written down with the start that it is for, before anything of it is made; it
// leaves the record with the end of the sandbox, before anything of it is taken away. So an agent
// that dies between the two finds links of which its record knows nothing, and removes them. What
// a slot has is what the specification in the record says, which is written before it is done.
extension NodeAgent {
    /// The networks, where the node has any.
    func offeredNetworks() throws(CallFailure) -> SandboxNetworks {
        if let networks { return networks }
        throw CallFailure(
            .failedPrecondition, reason: "networks_not_offered",
            "this node offers no networks to sandboxes",
            hint: "set `network.enabled` in the agent's configuration, and start it again")
    }

    private func slotKind(of managed: ManagedSandbox) -> SlotKind {
        managed.engine.kind == .microvm ? .tap : .namespace
    }

    func slotSettings(of network: NetworkSpec) throws(CallFailure) -> SlotSettings {
        try network.slotSettings { (id) throws(CallFailure) in
            guard let joined = vpcs[id] else { throw .notInVPC(id) }
            return joined.number
        }
    }

    /// Refuses a network that could not be had.
    func checkNetwork(
        of wanted: AgentAPI.SandboxSpec, _ spec: SandboxModel.SandboxSpec
    ) throws(CallFailure) {
        guard let network = wanted.network else { return }
        _ = try offeredNetworks()
        _ = try slotSettings(of: network)
        guard spec.identityMaps.isEmpty else {
            throw CallFailure(
                .failedPrecondition, reason: "network_with_maps",
                "a sandbox with a user namespace cannot join a network that was made ahead",
                hint: "leave `identity_maps` or `network` out, or take isolation by microvm")
        }
    }

    // MARK: - From the start to the end of a sandbox

    /// What was changed while the sandbox was being started.
    func settleNetwork(of managed: ManagedSandbox) {
        guard let slot = managed.sandbox.networkSlot, let networks,
            let network = managed.sandbox.spec?.network
        else { return }
        do {
            try networks.network.apply(
                try slotSettings(of: network), to: SlotIndex(rawValue: slot))
        } catch {
            log.error(
                "the network of a sandbox could not be changed: it is ended",
                ["sandbox.id": .text(managed.id), "error": .text("\(error)")])
            try? managed.running?.kill()
        }
    }

    /// Gives a sandbox that is about to start the number of a slot, to be written down.
    func reserveSlot(for managed: ManagedSandbox) throws(CallFailure) {
        guard let network = managed.sandbox.spec?.network else { return }
        let networks = try offeredNetworks()
        let settings = try slotSettings(of: network)
        let kind = slotKind(of: managed)
        do throws(HostNetworkError) {
            let slot = try networks.reserve(kind)
            managed.network = NetworkOrder(
                networks: networks, slot: slot, kind: kind, settings: settings)
            managed.sandbox.networkSlot = slot.index.rawValue
            tendNetworksLater()
        } catch {
            throw CallFailure(SandboxError(network: error))
        }
    }

    /// The start was not written down.
    func cancelSlot(of managed: ManagedSandbox) {
        guard let network = managed.network.take() else { return }
        managed.sandbox.networkSlot = nil
        network.networks.cancel(network.slot, network.kind)
    }

    /// It has ended, or never ran: its slot leaves the record with that.
    func leaveSlot(_ managed: ManagedSandbox) {
        guard let slot = managed.sandbox.networkSlot else { return }
        managed.sandbox.networkSlot = nil
        managed.network = nil
        managed.leavingSlot = SlotIndex(rawValue: slot)
    }

    /// Once it has left the record, it goes.
    func giveSlotBack(of managed: ManagedSandbox) {
        guard let slot = managed.leavingSlot.take(), let networks else { return }
        journal.onceWritten { [self] in
            networks.giveBack(slot)
            tendNetworksLater()
        }
    }

    /// After a crowd the pool shrinks again, when that is a while ago; what failed is tried again.
    func tendNetworksLater() {
        guard networkTimer == nil, let networks else { return }
        networkTimer = loop.schedule(after: .seconds(30)) { [self] in
            networkTimer = nil
            networks.tend()
            if networks.needsTending { tendNetworksLater() }
        }
    }

    // MARK: - Changes while it runs

    /// Replaces all of a sandbox's network.
    func updateNetwork(
        _ managed: ManagedSandbox, to network: NetworkSpec
    ) throws(CallFailure) {
        let networks = try offeredNetworks()
        guard let before = managed.sandbox.spec?.network else { throw .noNetwork(managed) }
        guard !managed.state.hasEnded, managed.state != .removing else { throw .ended(managed) }
        let settings = try slotSettings(of: network)
        guard network != before else { return }
        try write(network, of: managed)
        // One that is being started gets it when its start is done.
        guard let slot = managed.sandbox.networkSlot, !managed.isSpawning else { return }
        do throws(HostNetworkError) {
            try networks.network.apply(settings, to: SlotIndex(rawValue: slot))
        } catch {
            managed.sandbox.spec?.network = before
            journal.record { $0.putNetwork(of: managed) }
            throw CallFailure(SandboxError(network: error))
        }
    }

    /// What a slot has follows from the record, so that comes first.
    private func write(
        _ network: NetworkSpec, of managed: ManagedSandbox
    ) throws(CallFailure) {
        let before = managed.sandbox.spec?.network
        managed.sandbox.spec?.network = network
        do throws(CallFailure) {
            try journal.commit { draft in draft.putNetwork(of: managed) }
        } catch {
            managed.sandbox.spec?.network = before
            throw error
        }
    }

    /// Lets a sandbox into a VPC.
    ///
    /// - Parameter inbound: by which address it is reached from there; empty for none.
    func attach(
        _ managed: ManagedSandbox, to id: String, inbound: String
    ) throws(CallFailure) {
        guard vpcs[id] != nil else { throw .unknownVPC(id) }
        guard var network = managed.sandbox.spec?.network else { throw .noNetwork(managed) }
        if !network.vpcs.contains(id) { network.vpcs.append(id) }
        network.inbound.removeAll { $0.vpcID == id }
        if !inbound.isEmpty {
            network.inbound.append(VPCInbound(vpcID: id, tunnelAddress: inbound))
        }
        try updateNetwork(managed, to: network)
    }

    func detach(_ managed: ManagedSandbox, from id: String) throws(CallFailure) {
        guard vpcs[id] != nil else { throw .unknownVPC(id) }
        guard var network = managed.sandbox.spec?.network else { throw .noNetwork(managed) }
        network.vpcs.removeAll { $0 == id }
        network.inbound.removeAll { $0.vpcID == id }
        try updateNetwork(managed, to: network)
    }

    // MARK: - VPCs

    /// Makes the node one end of a VPC's tunnel. Gives what it is in from now on.
    func joinVPC(_ wanted: NodeVPC) throws(CallFailure) -> NodeVPC {
        let networks = try offeredNetworks()
        try wanted.checkID()
        let vpc = try wanted.completed(underlay: networks.settings.underlay)
        if let known = vpcs[vpc.id] { return try change(known, to: vpc, networks) }
        if let other = vpcs.values.first(where: { $0.vpc.vni == vpc.vni }) {
            throw CallFailure(
                .alreadyExists, reason: "already_exists",
                "the tunnel \(vpc.vni) is that of the VPC `\(other.vpc.id)`")
        }
        let joined = JoinedVPC(number: try freeNumber(), vpc: vpc)
        let plan = try vpc.plan(joined.number)
        try journal.commit { $0.join(joined) }
        do throws(HostNetworkError) {
            try networks.network.addVPC(plan)
            try prober?.refresh()
        } catch {
            journal.record { draft in
                draft.removeVPC(vpc.id)
                draft.add(.vpcLeft(.init(vpcID: vpc.id)))
            }
            throw CallFailure(SandboxError(network: error))
        }
        vpcs[vpc.id] = joined
        gaugesChanged()
        return vpc
    }

    /// Other prefixes and proxies, under the sandboxes that are in it.
    private func change(
        _ known: JoinedVPC, to vpc: NodeVPC, _ networks: SandboxNetworks
    ) throws(CallFailure) -> NodeVPC {
        let old = known.vpc
        guard old != vpc else { return vpc }
        guard
            (old.vni, old.tunnelAddress, old.underlayAddress)
                == (vpc.vni, vpc.tunnelAddress, vpc.underlayAddress)
        else {
            throw CallFailure(
                .alreadyExists, reason: "already_exists",
                "the node is in the VPC `\(vpc.id)` by another tunnel",
                hint: "leave that one first: `alcove network vpc leave \(vpc.id)`")
        }
        let joined = JoinedVPC(number: known.number, vpc: vpc)
        let plan = try vpc.plan(joined.number)
        try journal.commit { $0.join(joined) }
        do throws(HostNetworkError) {
            try networks.network.updateVPC(plan)
            vpcs[vpc.id] = joined
            try prober?.refresh()
        } catch {
            vpcs[vpc.id] = known
            journal.record { $0.join(known) }
            throw CallFailure(SandboxError(network: error))
        }
        return vpc
    }

    private func freeNumber() throws(CallFailure) -> VPCNumber {
        let taken = Set(vpcs.values.map(\.number.rawValue))
        guard let free = (1...UInt16.max).first(where: { !taken.contains($0) }),
            let number = VPCNumber(rawValue: free)
        else {
            throw CallFailure(
                .resourceExhausted, reason: "too_many_vpcs", "the node is in 65535 VPCs")
        }
        return number
    }

    func leaveVPC(_ id: String) throws(CallFailure) {
        let networks = try offeredNetworks()
        guard let joined = vpcs[id] else { throw .unknownVPC(id) }
        if let user = users(of: id).first {
            throw CallFailure(
                .failedPrecondition, reason: "vpc_in_use",
                "sandbox `\(user.id)` is in the VPC `\(id)`",
                hint: "take it out by `alcove network detach \(user.id) \(id)`, or delete it")
        }
        try journal.commit { draft in
            draft.removeVPC(id)
            draft.add(.vpcLeft(.init(vpcID: id)))
        }
        do throws(HostNetworkError) {
            try networks.network.removeVPC(joined.number)
            vpcs[id] = nil
            gaugesChanged()
            try prober?.refresh()
        } catch {
            if vpcs[id] != nil { journal.record { $0.join(joined) } }
            throw CallFailure(SandboxError(network: error))
        }
    }

    /// Those that are in a VPC, or will be when they start.
    func users(of id: String) -> [ManagedSandbox] {
        registry.all.filter { managed in
            !managed.state.hasEnded && managed.state != .removing
                && managed.sandbox.spec?.network?.vpcs.contains(id) == true
        }
    }

    // MARK: - After a restart

    /// Takes over the node's router with what the record knows, before anything else is looked at.
    func openNetworks() throws(AgentError) {
        guard let settings = settings.networks else { return noteLostNetworks() }
        var known = HostNetwork.Known()
        do throws(CallFailure) {
            for joined in vpcs.values { known.vpcs.append(try joined.vpc.plan(joined.number)) }
            for managed in registry.all {
                guard let slot = managed.sandbox.networkSlot,
                    let network = managed.sandbox.spec?.network
                else { continue }
                known.slots[SlotIndex(rawValue: slot)] = try slotSettings(of: network)
            }
        } catch {
            throw AgentError(
                "the record's networks cannot be: \(error)", hint: AgentError.setAside,
                kind: .recordUnusable)
        }
        do throws(HostNetworkError) {
            let networks = try SandboxNetworks(
                settings, known: known, nameFile: self.settings.stateDirectory + "/resolv.conf")
            self.networks = networks
            try openNames(settings, networks)
            prober = try ProxyProber(networks.network, on: loop) { [unowned self] in
                noteProxy($0)
            }
            followMeasures(of: networks)
        } catch {
            throw AgentError(
                "set up the networks of sandboxes: \(error)",
                hint: "`network.enabled = false` goes on without")
        }
    }

    /// Ends what the agent does for them. They go on.
    func closeNetworks() {
        names?.close()
        prober?.close()
        networks?.stop()
    }

    private func noteLostNetworks() {
        let lost = registry.all.count { $0.sandbox.networkSlot != nil }
        guard lost > 0 else { return }
        log.warning(
            "networks are off, and sandboxes run that have some: they stay as they are",
            ["sandboxes": .integer(Int64(lost))])
    }

    /// One has died or come back, and flows go elsewhere already.
    private func noteProxy(_ change: ProxyChange) {
        guard let joined = vpcs.values.first(where: { $0.number == change.vpc }) else { return }
        gaugesChanged()
        let address = "\(change.proxy.address)"
        journal.record { draft in
            draft.add(
                .proxyChanged(
                    .init(vpcID: joined.vpc.id, proxyAddress: address, alive: change.isAlive)))
        }
        let details: Log.Fields = [
            "vpc.id": .text(joined.vpc.id), "proxy.address": .text(address),
            "proxies.used": .integer(Int64(change.used.count)),
        ]
        if change.isAlive {
            log.info("a proxy answers again", details)
        } else {
            log.warning("a proxy does not answer", details)
        }
    }

    private func openNames(
        _ settings: NodeSettings.Networks, _ networks: SandboxNetworks
    ) throws(HostNetworkError) {
        let servers = settings.nameServers.isEmpty ? Self.nodesNameServers() : settings.nameServers
        guard !servers.isEmpty else {
            return log.warning(
                "the node asks nobody for names, so sandboxes cannot: set `network.name_servers`")
        }
        names = try NameForwarder(
            networks.network,
            NameForwarderSettings(
                upstreams: servers.prefix(16).map { InternetAddress($0.rawValue, port: 53) }),
            on: loop)
    }

    private static func nodesNameServers() -> [IPv4Address] {
        guard let text = try? Files.read("/etc/resolv.conf", limit: 65536) else { return [] }
        return text.split(separator: "\n").compactMap { line in
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard words.count >= 2, words[0] == "nameserver" else { return nil }
            return IPv4Address(words[1])
        }
    }
}

extension Journal.Draft {
    fileprivate mutating func join(_ joined: JoinedVPC) {
        put(joined)
        add(.vpcJoined(.init(vpcID: joined.vpc.id)))
    }

    mutating func putNetwork(of managed: ManagedSandbox) {
        put(managed, removes: managed.state == .stopping(removes: true))
        putRequested(managed)
        add(.networkUpdated(.init(network: managed.sandbox.spec?.network)), of: managed.id)
    }
}

extension VPCNumber {
    /// As the record has it.
    init(recorded number: Int64) throws(CallFailure) {
        guard let raw = UInt16(exactly: number), let own = VPCNumber(rawValue: raw) else {
            throw .invalid("number", "is \(number)")
        }
        self = own
    }
}

extension CallFailure {
    static func unknownVPC(_ id: String) -> CallFailure {
        CallFailure(
            .notFound, reason: "vpc_not_found", "the node is in no VPC `\(id.prefix(80))`",
            hint: "`alcove network vpc ls` lists those that it is in")
    }

    /// A specification that names one.
    static func notInVPC(_ id: String) -> CallFailure {
        CallFailure(
            .failedPrecondition, reason: "vpc_not_joined",
            "the node is in no VPC `\(id.prefix(80))`",
            hint: "join it first: `alcove network vpc join`, or `Networks.JoinVPC`")
    }

    static func noNetwork(_ managed: ManagedSandbox) -> CallFailure {
        CallFailure(
            .failedPrecondition, reason: "no_network",
            "sandbox `\(managed.id)` was created without a network",
            hint: "create it with one, which may be closed at first: `--network none` with a rule")
    }
}
