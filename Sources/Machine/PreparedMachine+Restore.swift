internal import GuestMemory
public import KVM
public import LinuxKernel
internal import Virtio

// A machine that goes on where another one was saved:
//
//     machine ► memory ► interrupt controllers ► processors ► their state ► devices attached
//       ► devices' state ► clock ► threads, fences ► the guest's next instruction
//
// The memory comes before the interrupt controllers, or each waits for a grace period. A local
// interrupt controller is one of a processor, and has to be there before the one that sends to it
// is told what waits.
extension PreparedMachine {
    /// Makes a machine of a snapshot. The devices are attached next, in the same order as before,
    /// then ``restoreDevices(of:)``.
    public static func restoring(
        _ snapshot: Snapshot, from files: SnapshotFiles, on system: borrowing System,
        loop: EventLoop
    ) throws(SnapshotError) -> PreparedMachine {
        for capability in KVMCapability.neededForSnapshots where !system.has(capability) {
            throw .machine(.missingCapability(capability))
        }
        let missing = try missingFeatures(of: snapshot, on: system)
        guard missing.isEmpty else { throw .missingFeatures(missing) }
        let memory = try files.map(snapshot)
        let prepared = try make(snapshot, memory, on: system, loop: loop)
        try prepared.load(snapshot)
        return prepared
    }

    private static func make(
        _ snapshot: Snapshot, _ memory: GuestMemory, on system: borrowing System, loop: EventLoop
    ) throws(SnapshotError) -> PreparedMachine {
        do throws(MachineError) {
            return try PreparedMachine(
                snapshot.configuration, on: system, loop: loop, memory: memory, of: snapshot)
        } catch {
            throw .machine(error)
        }
    }

    private borrowing func load(_ snapshot: Snapshot) throws(SnapshotError) {
        for (processor, saved) in zip(processors, snapshot.processors) {
            do throws(ProcessorStateError) {
                try processor.load(saved.state)
            } catch {
                throw .processor(index: processor.index, error)
            }
        }
        try RunningMachine.calling { () throws(SystemCallError) in
            try machine.loadControllers(of: snapshot.machine)
        }
    }

    /// Lets the devices that were attached go on as those of the snapshot, after the last one.
    public mutating func restoreDevices(of snapshot: Snapshot) throws(SnapshotError) {
        guard snapshot.deviceCount == transports.count else {
            throw .otherDevices(saved: snapshot.deviceCount, here: transports.count)
        }
        do throws(StateFault) {
            var reader = StateReader(snapshot.devices)
            for transport in transports { try transport.restore(from: &reader) }
            try reader.finish()
        } catch {
            throw .damaged(error)
        }
        serial = snapshot.serial
        try RunningMachine.calling { () throws(SystemCallError) in
            try machine.loadClock(of: snapshot.machine)
        }
        isLoaded = true
    }

    /// What this host's processors lack of what a snapshot's guest was shown.
    private static func missingFeatures(
        of snapshot: Snapshot, on system: borrowing System
    ) throws(SnapshotError) -> [String] {
        let features = try RunningMachine.calling { () throws(SystemCallError) in
            try system.supportedFeatures()
        }
        guard let shown = snapshot.processors.first?.features else { return [] }
        ProcessorFeatures.fit(features, processor: 0, of: snapshot.processors.count)
        return ProcessorFeatures.missing(of: shown, in: features.entries())
    }
}
