internal import LinuxKernel
internal import Netlink

// Slots are made and taken away off the hot path.
extension HostNetwork {
    /// Makes slots that are ready for sandboxes, and that reach nothing yet.
    public func makeSlots(
        _ count: Int, _ kind: SlotKind = .namespace
    ) throws(HostNetworkError) -> [SandboxSlot] {
        let indices = try reserve(count)
        do throws(HostNetworkError) {
            return try makeSlots(indices, kind)
        } catch {
            free(indices)
            throw error
        }
    }

    /// Makes slots whose numbers were taken before. When it fails they still are.
    func makeSlots(
        _ indices: [SlotIndex], _ kind: SlotKind
    ) throws(HostNetworkError) -> [SandboxSlot] {
        do throws(HostNetworkError) {
            let slots =
                switch kind {
                case .namespace: try makeNamespaces(indices)
                case .tap: try makeTaps(indices)
                }
            var transaction = NetfilterTransaction()
            add(indices, in: &transaction)
            try performFilter(transaction)
            return slots
        } catch {
            // What failed is what is told of.
            try? removeLinks(indices.map(\.link))
            throw error
        }
    }

    /// Gives numbers back of which nothing was made.
    func free(_ indices: [SlotIndex]) {
        state.with { for index in indices { $0.slots[index] = nil } }
    }

    /// Takes away what a slot was given, at once: ports and networks are free for others before the
    /// slot is given back. One that is not there is no error.
    public func retire(_ slot: SlotIndex) throws(HostNetworkError) {
        guard let its = settings(of: slot) else { return }
        if !its.ports.isEmpty || !its.inbound.isEmpty {
            state.with { $0.slots[slot]?.hadStrangers = true }
        }
        try apply(SlotSettings(), to: slot)
    }

    /// Takes slots back whose sandboxes are gone: all that they were given, their flows and links.
    /// Those that are not there are passed over.
    public func giveBack(_ given: [SlotIndex]) throws(HostNetworkError) {
        let indices = state.with { state in given.filter { state.slots[$0] != nil } }
        for index in indices { try retire(index) }
        let published = state.with { state in
            indices.filter { state.slots[$0]?.hadStrangers == true }
        }
        var transaction = NetfilterTransaction()
        // One whose making failed has none, and an element that is not there would be an error.
        add(indices, in: &transaction)
        transaction.deleteElements(
            indices.map { NetfilterElement($0.link.rawValue.nativeBytes) }, of: rules.addresses)
        try performFilter(transaction)
        try removeLinks(indices.map(\.link))
        // An answer that comes late must not be the next sandbox's.
        for index in indices {
            try withNetlink { () throws(NetlinkError) in
                try filter.forgetFlows(from: address(of: index))
            }
        }
        for index in published { try forgetStrangers(of: index) }
        free(indices)
    }

    /// Slots that there are.
    public var slots: [SlotIndex] { state.with { $0.slots.keys.sorted() } }

    /// Deleting a link takes up to 30 ms, and deleting many at once hardly more.
    func removeLinks(_ indices: [InterfaceIndex]) throws(HostNetworkError) {
        guard !indices.isEmpty else { return }
        var batch = NetlinkBatch()
        for index in indices {
            batch.changeLink(index, LinkChange(group: RouterRules.leavingGroup))
        }
        batch.deleteLinks(ofGroup: RouterRules.leavingGroup)
        let whole = batch
        let failures = try withNetlink { () throws(NetlinkError) in
            try links.failures(of: whole)
        }
        // Those whose other end is gone are gone too, perhaps all of them.
        for failure in failures where failure.error.errorNumber != .noSuchDevice {
            throw .netlink(failure.error)
        }
    }

    /// Takes numbers, of which nothing is made yet.
    func reserve(_ count: Int) throws(HostNetworkError) -> [SlotIndex] {
        let capacity = capacity
        return try state.with { (state) throws(HostNetworkError) in
            guard state.slots.count + count <= Int(capacity) else {
                throw .exhausted(what: "address for a sandbox")
            }
            var indices: [SlotIndex] = []
            while indices.count < count {
                let index = SlotIndex(rawValue: state.next)
                state.next = (state.next + 1) % capacity
                guard state.slots[index] == nil else { continue }
                state.slots[index] = SlotState()
                indices.append(index)
            }
            return indices
        }
    }

    private func makeNamespaces(_ indices: [SlotIndex]) throws(HostNetworkError) -> [SandboxSlot] {
        let namespaces = try withSystem { () throws(SystemCallError) in
            let made = try NetworkNamespace.make(count: indices.count)
            for namespace in made {
                try namespace.turnOffVersion6()
                // Nobody inside has the capabilities for it, and nobody else has these ports.
                try namespace.write([
                    ("ipv4/ip_unprivileged_port_start", "0"),
                    ("ipv4/ping_group_range", "0 2147483647"),
                ])
            }
            return made
        }
        var batch = NetlinkBatch()
        for (index, namespace) in zip(indices, namespaces) {
            var plan = plan(index)
            plan.isUp = true
            batch.makeVeth(
                plan,
                peer: LinkPlan(
                    SandboxNetwork.linkName, index: Self.innerLink,
                    address: SandboxNetwork.linkAddress, mtu: settings.mtu, in: namespace))
            lead(to: index, in: &batch)
        }
        try performLinks(batch)
        var slots: [SandboxSlot] = []
        for (index, namespace) in zip(indices, namespaces) {
            let inner = Self.inner
            try withNetlink { () throws(NetlinkError) in
                try NetlinkSocket(.route, in: namespace).perform(inner)
            }
            slots.append(SandboxSlot(index, address(of: index), namespace: namespace))
        }
        var last = NetlinkBatch()
        for index in indices { last.settleLink(index.link) }
        try performLinks(last)
        return slots
    }

    private func makeTaps(_ indices: [SlotIndex]) throws(HostNetworkError) -> [SandboxSlot] {
        var slots: [SandboxSlot] = []
        var batch = NetlinkBatch()
        for index in indices {
            let tap = try withSystem { () throws(SystemCallError) in
                try TapDevice.open(index.linkName, in: router, index: index.link.rawValue)
            }
            slots.append(SandboxSlot(index, address(of: index), namespace: nil, tap: tap))
            let plan = plan(index)
            batch.changeLink(
                index.link,
                LinkChange(isUp: true, mtu: plan.mtu, address: plan.address, group: plan.group))
            lead(to: index, in: &batch)
        }
        try performLinks(batch)
        return slots
    }

    private func plan(_ index: SlotIndex) -> LinkPlan {
        LinkPlan(
            index.linkName, index: index.link, address: SandboxNetwork.gatewayLinkAddress,
            mtu: settings.mtu, group: RouterRules.slotGroup)
    }

    /// The router's way to a slot. By the time that the neighbour is looked up, the destination is
    /// the sandbox's own address.
    private func lead(to index: SlotIndex, in batch: inout NetlinkBatch) {
        batch.addRoute(
            Route(
                to: IPv4Prefix(address(of: index)), via: SandboxNetwork.address, onLink: true,
                through: index.link))
        batch.addNeighbour(
            Neighbour(SandboxNetwork.address, at: SandboxNetwork.linkAddress, on: index.link))
    }

    private static let innerLink = InterfaceIndex(rawValue: 2)

    /// What a sandbox sees, the same in each.
    private static let inner: NetlinkBatch = {
        var batch = NetlinkBatch()
        batch.changeLink(innerLink, LinkChange(isUp: true))
        batch.addAddress(
            LinkAddressing(
                SandboxNetwork.address, prefixLength: SandboxNetwork.prefixLength, on: innerLink))
        batch.addNeighbour(
            Neighbour(
                SandboxNetwork.gateway, at: SandboxNetwork.gatewayLinkAddress, on: innerLink))
        batch.addRoute(
            Route(to: .everything, via: SandboxNetwork.gateway, through: innerLink))
        return batch
    }()

    func add(_ indices: [SlotIndex], in transaction: inout NetfilterTransaction) {
        transaction.addElements(
            indices.map {
                NetfilterElement(
                    $0.link.rawValue.nativeBytes, to: .value(address(of: $0).bytes))
            }, to: rules.addresses)
    }
}
