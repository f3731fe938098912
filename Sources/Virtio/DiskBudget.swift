internal import LinuxKernel

/// What all disks of a guest may move together, to and fro.
public final class DiskBudget: Sendable {
    private struct State {
        var reads = TransferLimiter(.none, at: 0)
        var writes = TransferLimiter(.none, at: 0)
    }

    private let state = Locked(State())

    public init() {}

    public func change(reads: TransferLimits, writes: TransferLimits) {
        let now = MonotonicClock.nanoseconds
        state.with { state in
            state.reads.change(to: reads, at: now)
            state.writes.change(to: writes, at: now)
        }
    }

    public var limits: (reads: TransferLimits, writes: TransferLimits) {
        state.with { ($0.reads.limits, $0.writes.limits) }
    }

    /// Takes from itself, and from a disk's own limits, if both let a request pass now. Otherwise
    /// gives how many nanoseconds it takes until they may.
    func take(
        _ request: BlockRequest, with own: inout TransferLimiter, at now: UInt64
    ) -> UInt64 {
        state.with { state in
            request.isChange
                ? Self.take(request.bytes, from: &state.writes, and: &own, at: now)
                : Self.take(request.bytes, from: &state.reads, and: &own, at: now)
        }
    }

    private static func take(
        _ bytes: UInt64, from shared: inout TransferLimiter, and own: inout TransferLimiter,
        at now: UInt64
    ) -> UInt64 {
        let delay = max(
            shared.nanoseconds(until: bytes, at: now), own.nanoseconds(until: bytes, at: now))
        guard delay == 0 else { return delay }
        _ = shared.take(bytes: bytes, at: now)
        _ = own.take(bytes: bytes, at: now)
        return 0
    }
}
