internal import GuestMemory
public import KVM
internal import LinuxKernel
internal import Virtio

/// All that a machine is beside its memory, between two instructions of its guest.
public struct Snapshot: Hashable, Sendable {
    /// A processor, and what its guest was shown of it.
    public struct Processor: Hashable, Sendable {
        public let features: [CPUFeatures.Entry]
        public let state: ProcessorState

        public init(features: [CPUFeatures.Entry], state: ProcessorState) {
            self.features = features
            self.state = state
        }
    }

    /// What a snapshot of changes says of them.
    struct Changes: Hashable, Sendable {
        /// Of the whole snapshot below.
        let base: [UInt8]
        let pages: WorkingSet
    }

    /// In more pieces they are not mapped: a whole one is to be taken.
    static let mostChanges = 8192

    /// The only version that there is so far.
    public static let version: UInt32 = 1
    /// What a file of the state holds at most.
    public static let mostBytes = 32 << 20
    static let identityBytes = 16
    static let mostProgramBytes = 1 << 20
    private static let mostDeviceBytes = 16 << 20

    /// Random, the same in both files.
    public let identity: [UInt8]
    public let configuration: MachineConfiguration
    let memory: SavedMemory
    /// The snapshot that it has changes of, and which pages they are; nil for a whole one.
    let changes: Changes?
    public let processors: [Processor]
    public let machine: MachineState
    /// One after the other, in the guest's order.
    let devices: [UInt8]
    let deviceCount: Int
    let serial: SerialPort
    /// What the program around it keeps.
    public let program: [UInt8]

    init(
        identity: [UInt8], configuration: MachineConfiguration, memory: SavedMemory,
        changes: Changes?, processors: [Processor], machine: MachineState, devices: [UInt8],
        deviceCount: Int,
        serial: SerialPort, program: [UInt8]
    ) {
        self.identity = identity
        self.configuration = configuration
        self.memory = memory
        self.changes = changes
        self.processors = processors
        self.machine = machine
        self.devices = devices
        self.deviceCount = deviceCount
        self.serial = serial
        self.program = program
    }

    /// Whether it has changes of another one alone.
    public var isOfChanges: Bool { changes != nil }

    /// How many pages of its memory are in its file.
    public var storedPages: UInt64 { memory.pages }

    /// The registers that the kernel names and did not tell: they are what they are in a new
    /// processor.
    public var untoldRegisters: [UInt32] { Set(processors.flatMap(\.state.untold)).sorted() }

    // MARK: - In a file

    /// "ALCVSNAP", the version, zero, the length and the checksum of what follows.
    private static let magic: [UInt8] = Array("ALCVSNAP".utf8)
    private static let headBytes = 32

    /// What stands in the file of the state.
    public var bytes: [UInt8] {
        var body = StateWriter()
        body.put(identity)
        body.put(configuration.memoryBytes)
        body.put(UInt32(configuration.processors))
        body.put(configuration.hasIntervalTimer)
        body.put(memory.pages)
        body.put(memory.checksum)
        body.put(changes?.base ?? [])
        body.put(changes?.pages.runs ?? []) { writer, run in
            writer.put(run.first)
            writer.put(run.count)
        }
        body.put(processors) { $1.write(to: &$0) }
        body.put(machine.interruptControllers) { $0.put($1) }
        body.put(machine.intervalTimer ?? [])
        body.put(machine.clock)
        body.put(UInt32(deviceCount))
        body.put(devices)
        body.put(serial.state)
        body.put(program)
        var head = StateWriter()
        head.put(Self.version)
        head.put(0 as UInt32)
        head.put(UInt64(body.bytes.count))
        head.put(Checksum.of(body.bytes))
        return Self.magic + head.bytes + body.bytes
    }

    /// Takes a file of the state apart, which may be anybody's.
    public init(_ bytes: [UInt8]) throws(SnapshotError) {
        guard bytes.count >= Self.headBytes, bytes.starts(with: Self.magic) else {
            throw .notOne
        }
        let head = Head(bytes)
        guard head.version == Self.version else { throw .unknownVersion(head.version) }
        let body = Array(bytes[Self.headBytes...])
        guard head.reserved == 0, head.length == UInt64(body.count) else {
            throw .damaged(.badLength)
        }
        guard Checksum.of(body) == head.checksum else { throw .badChecksum }
        do throws(StateFault) {
            try self.init(body: body)
        } catch {
            throw .damaged(error)
        }
    }

    private struct Head {
        let version: UInt32
        let reserved: UInt32
        let length: UInt64
        let checksum: UInt64

        /// - Parameter bytes: at least those of a head.
        init(_ bytes: [UInt8]) {
            func number(_ count: Int, at place: Int) -> UInt64 {
                (0..<count).reduce(0) { $0 | UInt64(bytes[place + $1]) << UInt64($1 * 8) }
            }
            version = UInt32(number(4, at: 8))
            reserved = UInt32(number(4, at: 12))
            length = number(8, at: 16)
            checksum = number(8, at: 24)
        }
    }

    private init(body: [UInt8]) throws(StateFault) {
        var reader = StateReader(body)
        identity = try reader.piece(atMost: Self.identityBytes)
        var configuration = MachineConfiguration(memoryBytes: try reader.number())
        configuration.processors = Int(try reader.number(UInt32.self))
        configuration.hasIntervalTimer = try reader.flag()
        self.configuration = configuration
        memory = SavedMemory(pages: try reader.number(), checksum: try reader.number())
        let base = try reader.piece(atMost: Self.identityBytes)
        let runs = try reader.list(atMost: Self.mostChanges) { (reader) throws(StateFault) in
            WorkingSet.Run(
                first: try reader.number(), count: try reader.number(), isWritten: true)
        }
        changes = base.isEmpty ? nil : Changes(base: base, pages: WorkingSet(runs))
        guard base.isEmpty ? runs.isEmpty : base.count == Self.identityBytes,
            WorkingSet(runs).fits(
                pages: configuration.memoryBytes / UInt64(GuestMemory.pageBytes))
        else { throw .badValue("changes of a memory") }
        let count = configuration.processors
        processors = try reader.list(atMost: MachineConfiguration.mostProcessors) {
            (reader) throws(StateFault) in try Processor(&reader)
        }
        let controllers = try reader.list(atMost: MachineState.controllers) {
            (reader) throws(StateFault) in try reader.piece(atMost: 1024)
        }
        let timer = try reader.piece(atMost: 1024)
        let clock: UInt64 = try reader.number()
        guard identity.count == Self.identityBytes, count == processors.count,
            (try? configuration.check()) != nil, timer.isEmpty != configuration.hasIntervalTimer,
            let machine = MachineState(
                interruptControllers: controllers, intervalTimer: timer.isEmpty ? nil : timer,
                clock: clock)
        else { throw .badValue("a machine") }
        self.machine = machine
        deviceCount = Int(try reader.number(UInt32.self))
        devices = try reader.piece(atMost: Self.mostDeviceBytes)
        guard deviceCount <= GuestLayout.mostDevices,
            let serial = SerialPort(try reader.piece(atMost: 64))
        else { throw .badValue("its devices") }
        self.serial = serial
        program = try reader.piece(atMost: Self.mostProgramBytes)
        try reader.finish()
    }
}

extension Snapshot.Processor {
    private static let mostParts = ProcessorState.Part.allCases.count

    fileprivate func write(to writer: inout StateWriter) {
        writer.put(features) { writer, entry in
            for number in [
                entry.function, entry.index, entry.flags, entry.eax, entry.ebx, entry.ecx,
                entry.edx,
            ] { writer.put(number) }
        }
        writer.put(state.parts) { $0.put($1) }
        writer.put(state.modelRegisters) { writer, register in
            writer.put(register.number)
            writer.put(register.value)
        }
        writer.put(state.untold) { $0.put($1) }
        writer.put(state.counterRate)
    }

    fileprivate init(_ reader: inout StateReader) throws(StateFault) {
        features = try reader.list(atMost: Int(CPUFeatures.largestCount)) {
            (reader) throws(StateFault) in
            CPUFeatures.Entry(
                function: try reader.number(), index: try reader.number(),
                flags: try reader.number(), eax: try reader.number(), ebx: try reader.number(),
                ecx: try reader.number(), edx: try reader.number())
        }
        let parts = try reader.list(atMost: Self.mostParts) { (reader) throws(StateFault) in
            try reader.piece(atMost: ProcessorState.mostExtendedBytes)
        }
        let registers = try reader.list(atMost: ProcessorState.mostModelRegisters) {
            (reader) throws(StateFault) in
            ProcessorState.ModelRegister(
                number: try reader.number(), value: try reader.number())
        }
        let untold = try reader.list(atMost: ProcessorState.mostModelRegisters) {
            (reader) throws(StateFault) in try reader.number(UInt32.self)
        }
        guard
            let state = ProcessorState(
                parts: parts, modelRegisters: registers, untold: untold,
                counterRate: try reader.number())
        else { throw .badValue("a processor") }
        self.state = state
    }
}
