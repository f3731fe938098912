internal import LinuxKernel
internal import Netlink

// Sandboxes that are reached from a tenant's network: each by an address of its own in the tunnel,
// which is one element of a map.
extension HostNetwork {
    /// A key of `RouterRules.inbound`.
    private static func key(_ vpc: VPCNumber, _ address: IPv4Address) -> [UInt8] {
        vpc.link.rawValue.nativeBytes + address.bytes
    }

    private static func keys(_ inbound: [VPCNumber: IPv4Address]) -> Set<[UInt8]> {
        Set(inbound.map { key($0.key, $0.value) })
    }

    /// That nobody else has the addresses.
    func checkInbound(
        _ settings: SlotSettings, of slot: SlotIndex, _ state: State
    ) throws(HostNetworkError) {
        for (number, address) in settings.inbound.sorted(by: { $0.key < $1.key }) {
            if let plan = state.vpcs[number] { try plan.checkAnswers(to: slot) }
            if let other = state.inbound[Self.key(number, address)], other != slot {
                throw .refused(reason: "`\(address)` of \(number) leads to \(other) already")
            }
            let plan = state.vpcs[number]
            if plan?.address == address
                || plan?.proxies.contains(where: { $0.address == address })
                    == true
            {
                throw .refused(
                    reason: "`\(address)` of \(number) is that of this node, or of a proxy")
            }
        }
    }

    func changeInbound(
        _ before: SlotSettings, _ after: SlotSettings, of slot: SlotIndex,
        in transaction: inout NetfilterTransaction
    ) {
        guard before.inbound != after.inbound else { return }
        let (old, new) = (Self.keys(before.inbound), Self.keys(after.inbound))
        let (gone, come) = (old.subtracting(new), new.subtracting(old))
        if !gone.isEmpty {
            transaction.deleteElements(gone.map { NetfilterElement($0) }, of: rules.inbound)
        }
        if !come.isEmpty {
            let address = address(of: slot)
            transaction.addElements(
                come.map { NetfilterElement($0, to: .value(address.bytes)) }, to: rules.inbound)
        }
    }

    /// Takes note of what was changed, and ends flows to addresses that are gone.
    func noteInbound(
        _ before: SlotSettings, _ after: SlotSettings, of slot: SlotIndex, _ state: inout State
    ) throws(HostNetworkError) {
        guard before.inbound != after.inbound else { return }
        let (old, new) = (Self.keys(before.inbound), Self.keys(after.inbound))
        for key in old.subtracting(new) { state.inbound[key] = nil }
        for key in new { state.inbound[key] = slot }
        guard !old.subtracting(new).isEmpty else { return }
        let address = address(of: slot)
        try withNetlink { () throws(NetlinkError) in
            try filter.forgetFlows(answeredFrom: address)
        }
    }
}

extension VPCPlan {
    /// What a sandbox answers to who came by one proxy must not leave by another one, which knows
    /// nothing of it.
    func checkAnswers(to slot: SlotIndex) throws(HostNetworkError) {
        guard Set(proxies.map(\.rank)).count < proxies.count else { return }
        throw .refused(
            reason: "\(slot) is to be reached from \(number), over whose proxies flows are spread: "
                + "give each of them a rank of its own")
    }
}
