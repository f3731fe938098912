internal import LinuxKernel
internal import Netlink

// What a slot may reach. Each change is one transaction, of as many elements as there are changes.
extension HostNetwork {
    /// Gives a slot all that it is to have from now on, and takes away what it had beside.
    public func apply(
        _ settings: SlotSettings, to slot: SlotIndex
    ) throws(HostNetworkError) {
        try settings.validate()
        try state.with { (state) throws(HostNetworkError) in
            try apply(settings, to: slot, &state)
        }
    }

    /// Changes what a slot has.
    public func change(
        _ slot: SlotIndex, _ body: (inout SlotSettings) -> Void
    ) throws(HostNetworkError) {
        try state.with { (state) throws(HostNetworkError) in
            var settings = state.slots[slot]?.settings ?? SlotSettings()
            body(&settings)
            try settings.validate()
            try apply(settings, to: slot, &state)
        }
    }

    /// Lets a sandbox into a tenant's network, which this node must know.
    public func attach(_ vpc: VPCNumber, to slot: SlotIndex) throws(HostNetworkError) {
        try change(slot) { $0.vpcs.insert(vpc) }
    }

    public func detach(_ vpc: VPCNumber, from slot: SlotIndex) throws(HostNetworkError) {
        try change(slot) {
            $0.vpcs.remove(vpc)
            $0.inbound[vpc] = nil
        }
    }

    /// What a slot has.
    public func settings(of slot: SlotIndex) -> SlotSettings? {
        state.with { $0.slots[slot]?.settings }
    }

    private func apply(
        _ settings: SlotSettings, to slot: SlotIndex, _ state: inout State
    ) throws(HostNetworkError) {
        guard let before = state.slots[slot] else {
            throw .refused(reason: "there is no \(slot)")
        }
        guard before.settings != settings else { return }
        var transaction = NetfilterTransaction()
        let after = try change(slot, before, to: settings, &state, in: &transaction)
        let (old, new) = (before.settings.ports, settings.ports)
        try publish(new.subtracting(old), of: slot, &state)
        do throws(HostNetworkError) {
            try performFilter(transaction)
        } catch {
            // What failed is what is told of.
            try? unpublish(new.subtracting(old), of: slot, &state)
            throw error
        }
        let sockets = state.slots[slot]?.sockets ?? [:]
        state.slots[slot] = after
        state.slots[slot]?.sockets = sockets
        try unpublish(old.subtracting(new), of: slot, &state)
        try noteInbound(before.settings, settings, of: slot, &state)
    }

    /// Writes what is different.
    func change(
        _ slot: SlotIndex, _ before: SlotState, to settings: SlotSettings, _ state: inout State,
        in transaction: inout NetfilterTransaction
    ) throws(HostNetworkError) -> SlotState {
        var after = before
        after.settings = settings
        let key = address(of: slot).bytes
        if settings.isPublic != before.settings.isPublic {
            let element = [NetfilterElement(key)]
            if settings.isPublic {
                transaction.addElements(element, to: rules.open)
            } else {
                transaction.deleteElements(element, of: rules.open)
            }
        }
        if settings.vpcs != before.settings.vpcs {
            after.tenants = try tenants(before.tenants, settings.vpcs, state)
            changeTenants(key, before.tenants, after.tenants, in: &transaction)
        }
        if settings.rules != before.settings.rules {
            changeRules(slot, key, before.settings.rules, settings.rules, in: &transaction)
        }
        if settings.names != before.settings.names {
            changeNames(key, before, &after, in: &transaction)
        }
        try checkInbound(settings, of: slot, state)
        changeInbound(before.settings, settings, of: slot, in: &transaction)
        changePorts(key, before.settings.ports, settings.ports, in: &transaction)
        if settings.limits != before.settings.limits {
            after.buckets = changeBuckets(slot, key, before, settings, &state, in: &transaction)
        }
        return after
    }

    /// Those that stay come first, in their order.
    private func tenants(
        _ before: [VPCNumber], _ wanted: Set<VPCNumber>, _ state: State
    ) throws(HostNetworkError) -> [VPCNumber] {
        guard wanted.count <= SlotSettings.mostVPCs else {
            throw .refused(
                reason: "a sandbox is attached to at most \(SlotSettings.mostVPCs) VPCs")
        }
        var plans: [VPCPlan] = []
        for number in wanted.sorted() {
            guard let plan = state.vpcs[number] else {
                throw .refused(reason: "\(number) is not known on this node")
            }
            for other in plans {
                for first in other.prefixes {
                    for second in plan.prefixes where first.overlaps(second) {
                        throw .refused(
                            reason: "`\(first)` of \(other.number) and `\(second)` of \(number) "
                                + "overlap: a sandbox can be attached to one of them")
                    }
                }
            }
            plans.append(plan)
        }
        return before.filter(wanted.contains) + wanted.subtracting(before).sorted()
    }

    private func changeTenants(
        _ key: [UInt8], _ before: [VPCNumber], _ after: [VPCNumber],
        in transaction: inout NetfilterTransaction
    ) {
        for (place, map) in rules.tenants.enumerated() {
            let old = place < before.count ? before[place] : nil
            let new = place < after.count ? after[place] : nil
            guard old != new else { continue }
            if old != nil { transaction.deleteElements([NetfilterElement(key)], of: map) }
            if let new {
                transaction.addElements(
                    [NetfilterElement(key, to: .value(new.mark.nativeBytes))], to: map)
            }
        }
    }

    private func changeRules(
        _ slot: SlotIndex, _ key: [UInt8], _ before: [EgressRule], _ after: [EgressRule],
        in transaction: inout NetfilterTransaction
    ) {
        let table = settings.table
        if after.isEmpty {
            transaction.deleteElements([NetfilterElement(key)], of: rules.policies)
            transaction.clearChain(slot.chain, of: table)
            transaction.deleteChain(slot.chain, of: table)
            return
        }
        if before.isEmpty {
            transaction.addChain(slot.chain, of: table)
        } else {
            transaction.clearChain(slot.chain, of: table)
        }
        for rule in after { transaction.addRule(rule.expressions, to: slot.chain, of: table) }
        guard before.isEmpty else { return }
        transaction.addElements(
            [NetfilterElement(key, to: .verdict(.jump(chain: slot.chain)))], to: rules.policies)
    }

    private func changeBuckets(
        _ slot: SlotIndex, _ key: [UInt8], _ before: SlotState, _ settings: SlotSettings,
        _ state: inout State, in transaction: inout NetfilterTransaction
    ) -> [String?] {
        var names = before.buckets
        let (old, new) = (before.settings.limits.all, settings.limits.all)
        for (place, map) in rules.bucketMaps.enumerated() where old[place] != new[place] {
            if let name = names[place] {
                transaction.deleteElements([NetfilterElement(key)], of: map)
                transaction.deleteBucket(named: name, of: self.settings.table)
                names[place] = nil
            }
            guard let bucket = new[place] else { continue }
            // A bucket cannot be changed, and the name of one that goes is not free at once.
            state.generation += 1
            let name = "\(slot.linkName)-\(state.generation)"
            transaction.addBucket(bucket, named: name, of: self.settings.table)
            transaction.addElements(
                [NetfilterElement(key, to: .bucket(name: name))], to: map)
            names[place] = name
        }
        return names
    }

    /// What each rule of a slot has decided on since the rules were last changed.
    public func counts(of slot: SlotIndex) throws(HostNetworkError) -> [RuleCount] {
        let rules = settings(of: slot)?.rules ?? []
        guard !rules.isEmpty else { return [] }
        let listed = try self.rules(of: slot.chain, filter)
        return zip(rules, listed).map {
            RuleCount(rule: $0, packets: $1.packets ?? 0, bytes: $1.bytes ?? 0)
        }
    }
}
