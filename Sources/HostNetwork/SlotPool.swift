internal import LinuxKernel

/// A slot that is somebody's, perhaps before it is made.
public struct ReservedSlot: Sendable {
    public let index: SlotIndex
    let ready: SandboxSlot?
}

/// Slots that are made ahead of time. Taking one makes and moves no link.
public final class SlotPool: Sendable {
    private let network: HostNetwork
    private let kind: SlotKind
    private let state: Locked<State>

    private struct State {
        var size: Int
        var ready: [SandboxSlot] = []
        var missed = 0
        /// Being made, to be ready.
        var coming = 0
    }

    /// - Parameter size: how many slots are ready after a fill.
    public init(_ network: HostNetwork, _ kind: SlotKind = .namespace, size: Int) {
        self.network = network
        self.kind = kind
        state = Locked(State(size: max(0, size)))
    }

    /// How many slots are to be ready after the next fill.
    public var size: Int {
        get { state.with { $0.size } }
        set { state.with { $0.size = max(0, newValue) } }
    }

    /// Makes what is missing, by parts: who takes meanwhile finds what is ready. Takes away what is
    /// too much.
    public func fill() throws(HostNetworkError) {
        while true {
            let (missing, surplus) = state.with { state in
                let missing = state.size - state.ready.count
                let surplus = Array(state.ready.suffix(max(0, -missing)))
                state.ready.removeLast(surplus.count)
                return (missing, surplus)
            }
            if !surplus.isEmpty { try network.giveBack(surplus.map(\.index)) }
            guard missing > 0 else { return }
            let part = min(missing, 16)
            state.with { $0.coming = part }
            defer { state.with { $0.coming = 0 } }
            let made = try network.makeSlots(part, kind)
            state.with { state in
                state.ready.append(contentsOf: made)
                state.coming = 0
            }
        }
    }

    /// How many are ready.
    public var count: Int { state.with { $0.ready.count } }

    /// How many are being made, to be ready.
    public var coming: Int { state.with { $0.coming } }

    /// How often none was ready.
    public var missed: Int { state.with { $0.missed } }

    /// Takes a slot and gives it what its sandbox is to have. Makes one when none is ready.
    public func take(_ settings: SlotSettings) throws(HostNetworkError) -> SandboxSlot {
        let reserved = try reserve()
        do throws(HostNetworkError) {
            return try settle(reserved, settings)
        } catch {
            cancel(reserved)
            throw error
        }
    }

    /// The number of a slot, of which nothing need be there yet: so that it can be written down
    /// before. Touches nothing of the kernel's.
    public func reserve() throws(HostNetworkError) -> ReservedSlot {
        let ready = state.with { state in
            let slot = state.ready.popLast()
            if slot == nil { state.missed += 1 }
            return slot
        }
        if let ready { return ReservedSlot(index: ready.index, ready: ready) }
        return ReservedSlot(index: try network.reserve(1)[0], ready: nil)
    }

    /// Makes the slot, if it is not there, and gives it what its sandbox is to have. When that
    /// fails, it can be cancelled or given back.
    public func settle(
        _ reserved: ReservedSlot, _ settings: SlotSettings
    ) throws(HostNetworkError) -> SandboxSlot {
        let slot: SandboxSlot
        if let ready = reserved.ready {
            slot = ready
        } else {
            slot = try network.makeSlots([reserved.index], kind)[0]
        }
        try network.apply(settings, to: slot.index)
        return slot
    }

    /// Nothing comes of it. One that was ready is so again.
    public func cancel(_ reserved: ReservedSlot) {
        if let ready = reserved.ready {
            state.with { $0.ready.append(ready) }
        } else {
            // What was made of it went, or goes with the next one of its number.
            try? network.giveBack([reserved.index])
        }
    }

    /// Takes away what is ready.
    public func drain() throws(HostNetworkError) {
        let slots = state.with { state in
            let slots = state.ready
            state.ready = []
            return slots
        }
        try network.giveBack(slots.map(\.index))
    }
}
