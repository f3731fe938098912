internal import AgentAPI
internal import AgentOperations
internal import LinuxKernel
internal import ProtocolBuffers
internal import RPC
internal import SandboxModel

/// The node takes no new sandboxes, and goes on so after a restart.
struct DrainState {
    var since: Int64
    /// When those that still run are stopped, by the clock of the day; 0 for never.
    var deadline: Int64
    var isDone = false
}

extension NodeAgent {
    private static let drainKey = "drain"
    /// There while an agent drains for its own end, which the next one does not take over.
    private static let farewellKey = "drain-until-end"

    func beginDrain(within span: Duration?) throws(CallFailure) {
        let now = WallClock.nanoseconds
        let deadline = span.map { now.addingReportingOverflow($0.wholeNanoseconds) }
        let end = deadline.map { $0.overflow ? .max : $0.partialValue } ?? 0
        let state = DrainState(since: drain?.since ?? now, deadline: end)
        try journal.commit { change in
            change.set(Self.drainKey, to: Self.encoded(state))
            change.add(.drainStarted(.init(deadlineAtNanoseconds: end)))
        }
        drain = state
        armDrain()
        drainAdvanced()
        capacityChanged()
    }

    func endDrain() throws(CallFailure) {
        guard drain != nil else { return }
        try journal.commit { change in
            change.set(Self.drainKey, to: nil)
            change.add(.drainEnded(.init()))
        }
        drain = nil
        if let drainTimer { loop.cancel(drainTimer) }
        drainTimer = nil
        capacityChanged()
    }

    /// How many sandboxes are not stopped.
    var remaining: Int { registry.all.count { $0.isCreated && !$0.state.hasEnded } }

    /// One more has ended, perhaps the last.
    func drainAdvanced() {
        guard drain != nil, drain?.isDone == false, remaining == 0 else { return }
        drain?.isDone = true
        log.info("the node is drained")
        capacityChanged()
        for tell in whenDrained { tell() }
        whenDrained = []
    }

    /// Takes no new sandboxes and has those that are there stop, since the agent is about to end.
    /// Not written down: the next agent takes sandboxes again, unless the node is drained anyway.
    func empty(within span: Duration, then done: @escaping () -> Void) {
        let now = WallClock.nanoseconds
        let (end, isNever) = now.addingReportingOverflow(span.wholeNanoseconds)
        let known = drain.flatMap { $0.deadline == 0 ? nil : $0.deadline } ?? .max
        let deadline = min(known, isNever ? .max : end)
        drain = DrainState(since: drain?.since ?? now, deadline: deadline)
        whenDrained.append(done)
        journal.record { change in
            change.set(Self.farewellKey, to: Array("\(now)".utf8))
            change.add(.drainStarted(.init(deadlineAtNanoseconds: deadline)))
        }
        armDrain()
        drainAdvanced()
        capacityChanged()
    }

    func restoreDrain() {
        let wasFarewell = journal.value(Self.farewellKey) != nil
        let isDrained = journal.value(Self.drainKey) != nil
        if wasFarewell {
            journal.record { change in
                change.set(Self.farewellKey, to: nil)
                if !isDrained { change.add(.drainEnded(.init())) }
            }
        }
        guard let bytes = journal.value(Self.drainKey), let state = Self.decoded(bytes) else {
            return
        }
        drain = state
        armDrain()
        drainAdvanced()
    }

    private func armDrain() {
        if let drainTimer { loop.cancel(drainTimer) }
        drainTimer = nil
        guard let deadline = drain?.deadline, deadline != 0 else { return }
        let left = max(0, deadline - WallClock.nanoseconds)
        drainTimer = loop.schedule(after: .nanoseconds(left)) { [self] in
            drainTimer = nil
            stopAll()
        }
    }

    private static let drainRetry = Duration.seconds(1)

    private func stopAll() {
        var hasFailed = false
        for managed in registry.all where managed.isCreated && !managed.state.hasEnded {
            // Nobody waits for the ends, only for the orders to be taken.
            let leave = stop(managed, grace: nil, signal: nil) { result in
                if case .failure = result { hasFailed = true }
            }
            leave()
        }
        guard hasFailed else { return }
        drainTimer = loop.schedule(after: Self.drainRetry) { [self] in
            drainTimer = nil
            stopAll()
        }
    }

    /// Both times, as the response to a drain has them.
    private static func encoded(_ state: DrainState) -> [UInt8] {
        Condition(kind: .draining, sinceAtNanoseconds: state.since, message: "\(state.deadline)")
            .encoded()
    }

    private static func decoded(_ bytes: [UInt8]) -> DrainState? {
        guard let record = try? Condition(decoding: bytes) else { return nil }
        return DrainState(
            since: record.sinceAtNanoseconds, deadline: Int64(record.message) ?? 0)
    }
}
