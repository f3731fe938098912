internal import LinuxKernel
internal import SandboxModel

extension NodeAgent {
    /// Other settings hold from now on. Only those are looked at that can change while sandboxes
    /// run; what was promised to sandboxes stays.
    func reload(_ new: NodeSettings) {
        settings = new
        journal.eventsKept = new.eventsKept
        total.addresses = new.addressesLimit
        total.sandboxes = new.sandboxesLimit
        admission.resize(
            to: Admission.allocatable(
                total: total, keptBack: new.keptBack, overCommit: new.overCommit))
        gate.resize(to: new.startsInFlight)
        gate.resizeQueue(to: new.startsQueued)
        follow(gate.advance(at: MonotonicClock.nanoseconds))
        capacityChanged()
    }
}
