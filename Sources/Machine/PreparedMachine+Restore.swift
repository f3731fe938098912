internal import GuestMemory
public import KVM
public import LinuxKernel
internal import Virtio

// A machine that goes on where another one was saved:
//
//     machine ► room for memory ► interrupt controllers ► processors ► devices attached
//       ► memory ► processors' state ► controllers' state ► devices' state ► clock
//       ► threads, fences ► the guest's next instruction
//
// Memory, or room for it, comes before the interrupt controllers, or each waits for a grace
// period; what is in it may come later, and then KVM looks through all of the room once more. A
// local interrupt controller is one of a processor, and has to be there before the one that sends
// to it is told what waits.
extension PreparedMachine {
    /// A machine without anything in it, to become like one that was saved: ``adopt(_:from:)``. The
    /// devices are attached before that, in the other one's order.
    ///
    /// - Parameter known: the snapshot, where it is known: its memory is mapped at once.
    public static func blank(
        _ configuration: MachineConfiguration, on system: borrowing System, loop: EventLoop,
        memoryOf known: (snapshot: Snapshot, files: SnapshotFiles)? = nil
    ) throws(MachineError) -> PreparedMachine {
        try configuration.check()
        for capability in KVMCapability.neededForSnapshots where !system.has(capability) {
            throw .missingCapability(capability)
        }
        let memory = try calling { () throws(SystemCallError) in
            guard let (snapshot, files) = known else {
                return try GuestMemory.room(bytes: configuration.memoryBytes)
            }
            return try files.makeMemory(of: snapshot)
        }
        var prepared = try PreparedMachine(
            configuration, on: system, loop: loop, memory: memory, isBlank: true)
        prepared.isMemoryThere = known != nil
        return prepared
    }

    /// Becomes what was saved.
    public mutating func adopt(
        _ snapshot: Snapshot, from files: SnapshotFiles
    ) throws(SnapshotError) {
        try check(snapshot)
        if !isMemoryThere {
            try RunningMachine.calling { () throws(SystemCallError) in
                try files.fill(memory, of: snapshot)
            }
        }
        for (processor, saved) in zip(processors, snapshot.processors) {
            do throws(ProcessorStateError) {
                try processor.load(saved)
            } catch {
                throw .processor(index: processor.index, error)
            }
        }
        try RunningMachine.calling { () throws(SystemCallError) in
            try machine.loadControllers(of: snapshot.machine)
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
        base = snapshot.isOfChanges ? nil : snapshot.identity
        isLoaded = true
    }

    private borrowing func check(_ snapshot: Snapshot) throws(SnapshotError) {
        let (saved, here) = (snapshot.configuration, configuration)
        guard saved.memoryBytes == here.memoryBytes else {
            throw .otherConfiguration("\(saved.memoryBytes) bytes of memory")
        }
        guard saved.processors == here.processors else {
            throw .otherConfiguration("\(saved.processors) processors")
        }
        guard saved.hasIntervalTimer == here.hasIntervalTimer else {
            throw .otherConfiguration(
                saved.hasIntervalTimer ? "an interval timer" : "no interval timer")
        }
        guard snapshot.deviceCount == transports.count else {
            throw .otherDevices(saved: snapshot.deviceCount, here: transports.count)
        }
        let missing = ProcessorFeatures.missing(
            of: snapshot.processors[0].features, in: processors[0].features)
        guard missing.isEmpty else { throw .missingFeatures(missing) }
    }
}
