internal import LinuxKernel

/// Slots that are made ahead of time. Taking one makes and moves no link.
public final class SlotPool: Sendable {
    private let network: HostNetwork
    private let kind: SlotKind
    private let size: Int
    private let state = Locked(State())

    private struct State {
        var ready: [SandboxSlot] = []
        var missed = 0
    }

    /// - Parameter size: how many slots are ready after a fill.
    public init(_ network: HostNetwork, _ kind: SlotKind = .namespace, size: Int) {
        self.network = network
        self.kind = kind
        self.size = size
    }

    /// Makes what is missing, by parts: who takes meanwhile finds what is ready.
    public func fill() throws(HostNetworkError) {
        while true {
            let missing = size - state.with { $0.ready.count }
            guard missing > 0 else { return }
            let made = try network.makeSlots(min(missing, 16), kind)
            state.with { $0.ready.append(contentsOf: made) }
        }
    }

    /// How many are ready.
    public var count: Int { state.with { $0.ready.count } }

    /// How often none was ready.
    public var missed: Int { state.with { $0.missed } }

    /// Takes a slot and gives it what its sandbox is to have. Makes one when none is ready.
    public func take(_ settings: SlotSettings) throws(HostNetworkError) -> SandboxSlot {
        let ready = state.with { state in
            let slot = state.ready.popLast()
            if slot == nil { state.missed += 1 }
            return slot
        }
        let slot: SandboxSlot
        if let ready {
            slot = ready
        } else {
            slot = try network.makeSlots(1, kind)[0]
        }
        do throws(HostNetworkError) {
            try network.apply(settings, to: slot.index)
        } catch {
            state.with { $0.ready.append(slot) }
            throw error
        }
        return slot
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
