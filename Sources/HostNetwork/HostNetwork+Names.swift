internal import LinuxKernel
public import Netlink

/// An address that is open to a slot because a name was resolved to it.
struct ResolvedAddress {
    /// All that the name it was asked by is an alias of, and itself.
    let names: [DomainName]
    /// Of the monotonic clock, in nanoseconds.
    let end: UInt64
}

// Names that slots may use, and what they were resolved to.
extension HostNetwork {
    /// The most addresses that are open to a slot by their names at a time.
    static let mostResolved = 1024

    /// The slot that an address within the router is of. Nothing for one that is not there.
    func slot(at address: IPv4Address) -> SlotIndex? {
        let offset = address.rawValue &- settings.slots.address.rawValue
        guard offset > 0, offset <= capacity else { return nil }
        let slot = SlotIndex(rawValue: offset - 1)
        return state.with { $0.slots[slot] == nil ? nil : slot }
    }

    /// Opens addresses for a time to a slot that may use the names which lead to them. False when
    /// it may not any more, or has too many open.
    func open(
        _ addresses: [(address: IPv4Address, seconds: UInt32)], of names: [DomainName],
        to slot: SlotIndex
    ) throws(HostNetworkError) -> Bool {
        try state.with { (state) throws(HostNetworkError) in
            guard var its = state.slots[slot], let name = names.first,
                its.settings.names.action(on: name) == .allow
            else { return false }
            let now = MonotonicClock.nanoseconds
            let key = self.address(of: slot).bytes
            var transaction = NetfilterTransaction()
            for (address, seconds) in addresses {
                let milliseconds = UInt64(seconds) * 1000
                let end = now + milliseconds * 1_000_000
                let known = its.resolved[address]
                // It is open as long already.
                if let known, known.end >= end { continue }
                let element = NetfilterElement(
                    key + address.bytes, lastingMilliseconds: milliseconds)
                if known != nil { renew(element, in: &transaction) }
                transaction.addElements([element], to: rules.resolved)
                its.resolved[address] = ResolvedAddress(names: names, end: end)
            }
            if its.resolved.count > Self.mostResolved {
                its.resolved = its.resolved.filter { $0.value.end > now }
                guard its.resolved.count <= Self.mostResolved else { return false }
            }
            try performFilter(transaction)
            state.slots[slot] = its
            return true
        }
    }

    /// An element that may have gone by itself is taken away: one that is not there would be an
    /// error, and the time of one that is there would stay.
    private func renew(
        _ element: NetfilterElement, in transaction: inout NetfilterTransaction
    ) {
        transaction.addElements([element], to: rules.resolved)
        transaction.deleteElements([NetfilterElement(element.key)], of: rules.resolved)
    }

    /// Addresses of names that are allowed no more are closed, and what goes on in flows to
    /// addresses that are not open at this moment ends.
    func changeNames(
        _ key: [UInt8], _ before: SlotState, _ after: inout SlotState,
        in transaction: inout NetfilterTransaction
    ) {
        if let mark = before.settings.names.mark?.nativeBytes {
            transaction.deleteElements([NetfilterElement(key)], of: rules.nameMarks)
            transaction.deleteElements([NetfilterElement(key + mark)], of: rules.nameFlows)
        }
        let names = after.settings.names
        if let mark = names.mark?.nativeBytes {
            transaction.addElements(
                [NetfilterElement(key, to: .value(mark))], to: rules.nameMarks)
            transaction.addElements([NetfilterElement(key + mark)], to: rules.nameFlows)
        }
        for (address, resolved) in before.resolved {
            let isAllowed =
                resolved.names.first.map { names.action(on: $0) == .allow } ?? false
                && !resolved.names.contains { names.action(on: $0) == .deny }
            guard !isAllowed else { continue }
            renew(
                NetfilterElement(key + address.bytes, lastingMilliseconds: 1000),
                in: &transaction)
            after.resolved[address] = nil
        }
    }

    /// Addresses that are open to a slot by their names at this moment, as far as is known here.
    public func resolvedAddresses(of slot: SlotIndex) -> [IPv4Address] {
        let now = MonotonicClock.nanoseconds
        return state.with { state in
            (state.slots[slot]?.resolved ?? [:]).filter { $0.value.end > now }.keys.sorted()
        }
    }
}
