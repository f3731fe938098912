internal import GuestMemory
internal import KVM
public import LinuxKernel
internal import Virtio

extension RunningMachine {
    /// So many pages between changes are saved with them.
    private static let joinedPages: UInt32 = 8

    /// Saves the machine to two empty files. It is paused, and stays so; what its devices began is
    /// ended. The calling thread is the devices' loop, which stands still until it is done: so
    /// nothing changes the guest's memory.
    ///
    /// - Parameters:
    ///   - workers: write to the files.
    ///   - map: `/proc/self/pagemap`, for what has changed since the snapshot that the guest went
    ///     on with; all of it without.
    ///   - quiet: called when the guest has nothing under way, before the devices are saved.
    ///   - program: what the program around it keeps; asked for after that.
    public func save(
        to files: SnapshotFiles, by workers: Workers, changesBy map: SharedFile? = nil,
        quiet: () -> Void = {},
        program: () -> [UInt8]
    ) throws(SnapshotError) -> Snapshot {
        guard map == nil || base != nil else {
            throw .noChanges("the guest did not go on with a whole one")
        }
        try completeExits()
        quiet()
        var devices = StateWriter()
        for transport in transports { transport.save(into: &devices) }
        let processors = try saveProcessors()
        let machine = try saveController()
        let identity = try Self.calling { () throws(SystemCallError) in
            try Randomness.bytes(Snapshot.identityBytes)
        }
        let memory = memory
        let changed = try Self.run(on: workers) { () throws(SystemCallError) in
            try map.map { (map) throws(SystemCallError) in
                try memory.used(map.file).written(joiningOver: Self.joinedPages)
            }
        }
        guard changed?.runs.count ?? 0 <= Snapshot.mostChanges else {
            throw .noChanges("they are in too many pieces")
        }
        let saved = try Self.run(on: workers) { () throws(SystemCallError) in
            try files.write(memory, identity: identity, changes: changed)
        }
        let snapshot = Snapshot(
            identity: identity, configuration: configuration, memory: saved,
            changes: changed.map { Snapshot.Changes(base: base ?? [], pages: $0) },
            processors: processors, machine: machine, devices: devices.bytes,
            deviceCount: transports.count, serial: bus.serialPort, program: program())
        try Self.run(on: workers) { () throws(SystemCallError) in try files.write(snapshot) }
        return snapshot
    }

    /// What a guest asked for and has not got yet would be lost.
    private func completeExits() throws(SnapshotError) {
        let bus = bus
        for processor in processors {
            let result = processor.perform { [processor] cpu in
                Result { () throws(SystemCallError) in
                    try processor.completeExits(of: cpu, on: bus)
                }
            }
            guard let result, try Self.calling(result.get) == nil else { throw .ended }
        }
    }

    private func saveProcessors() throws(SnapshotError) -> [Snapshot.Processor] {
        var saved: [Snapshot.Processor] = []
        for processor in processors {
            let (registers, extended) = (facts.modelRegisters, facts.extendedBytes)
            let result = processor.perform { cpu in
                Result { () throws(SystemCallError) in
                    try cpu.save(modelRegisters: registers, extendedBytes: extended)
                }
            }
            guard let result else { throw .ended }
            saved.append(
                Snapshot.Processor(
                    features: processor.features, state: try Self.calling(result.get)))
        }
        return saved
    }

    private func saveController() throws(SnapshotError) -> MachineState {
        let hasTimer = configuration.hasIntervalTimer
        let result = processors[0].perform { _ in
            Result { () throws(SystemCallError) in
                try self.machine.save(hasIntervalTimer: hasTimer)
            }
        }
        guard let result else { throw .ended }
        return try Self.calling(result.get)
    }

    /// Does something on a thread for what blocks, and waits for it.
    private static func run<Result: Sendable>(
        on workers: Workers,
        _ body: @escaping @Sendable () throws(SystemCallError) -> Result
    ) throws(SnapshotError) -> Result {
        let done = Locked<Swift.Result<Result, SystemCallError>?>(nil)
        guard
            workers.run(
                isBounded: false,
                {
                    let result = Swift.Result { () throws(SystemCallError) in try body() }
                    done.with { $0 = result }
                    done.signalAll()
                })
        else { throw .ended }
        return try calling(done.wait { $0 }.get)
    }

    static func calling<Result: ~Copyable>(
        _ body: () throws(SystemCallError) -> Result
    ) throws(SnapshotError) -> Result {
        do throws(SystemCallError) {
            return try body()
        } catch {
            throw .systemCall(error)
        }
    }
}

/// A file that several threads use.
public final class SharedFile: Sendable {
    public let file: Descriptor

    public init(_ file: consuming Descriptor) {
        self.file = file
    }
}
