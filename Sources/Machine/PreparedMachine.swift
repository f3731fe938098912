public import GuestMemory
public import KVM
public import LinuxKernel
public import Virtio

/// A machine that is laid out and has run nothing yet. All that does not depend on its guest is
/// made with it, so that it can be kept ready.
public struct PreparedMachine: ~Copyable {
    /// How the guest's first instruction is reached.
    public enum BootProtocol: String, CaseIterable, Sendable {
        /// Linux's own for 64 bits: at once in 64-bit mode.
        case linux
        /// That of paravirtual machines, in 32-bit mode.
        case pvh
    }

    public let memory: GuestMemory
    public let configuration: MachineConfiguration
    let machine: VirtualMachine
    private let loop: EventLoop
    let processors: [VirtualProcessor]
    private(set) var transports: [VirtioTransport] = []
    private let facts: SavingFacts
    var serial = SerialPort()
    var isLoaded = false
    var isMemoryThere = false
    /// Of the whole snapshot that it goes on with.
    var base: [UInt8]?

    /// - Parameters:
    ///   - memory: new memory of that size, if it is nil.
    ///   - loop: where the devices work. It runs on a thread of the caller's.
    public init(
        _ configuration: MachineConfiguration, on system: borrowing System, loop: EventLoop,
        memory given: GuestMemory? = nil
    ) throws(MachineError) {
        try self.init(configuration, on: system, loop: loop, memory: given, isBlank: false)
    }

    /// - Parameter isBlank: its processors are to become what others were.
    init(
        _ configuration: MachineConfiguration, on system: borrowing System, loop: EventLoop,
        memory given: GuestMemory?, isBlank: Bool
    ) throws(MachineError) {
        try configuration.check()
        try Self.check(system, configuration)
        let memory: GuestMemory
        if let given { memory = given } else { memory = try Self.makeMemory(configuration) }
        do throws(SystemCallError) {
            let facts = try SavingFacts(system)
            let machine = try Self.makeMachine(configuration, memory, system)
            processors = try Self.makeProcessors(
                configuration.processors, machine, system, isBlank: isBlank)
            self.machine = machine
            self.facts = facts
        } catch {
            throw .systemCall(error)
        }
        self.configuration = configuration
        self.loop = loop
        self.memory = memory
    }

    private static func makeMachine(
        _ configuration: MachineConfiguration, _ memory: GuestMemory, _ system: borrowing System
    ) throws(SystemCallError) -> VirtualMachine {
        var machine = try system.createMachine()
        // The memory first: afterwards it would cost a grace period.
        try machine.attach(memory)
        try machine.setTaskStatePages(GuestLayout.taskStatePages)
        try machine.setIdentityMap(GuestLayout.identityMap)
        try machine.createInterruptController()
        if configuration.hasIntervalTimer { try machine.createTimer() }
        return machine
    }

    private static func makeMemory(
        _ configuration: MachineConfiguration
    ) throws(MachineError) -> GuestMemory {
        do throws(SystemCallError) {
            return try GuestMemory.make(
                bytes: configuration.memoryBytes, hugePages: configuration.hugePages)
        } catch {
            if configuration.hugePages, error.errorNumber == .noMemory {
                throw .noHugePages(configuration.memoryBytes)
            }
            throw .systemCall(error)
        }
    }

    private static func check(
        _ system: borrowing System, _ configuration: MachineConfiguration
    ) throws(MachineError) {
        let version = try calling { () throws(SystemCallError) in try system.version() }
        guard version == System.knownVersion else { throw .unknownVersion(version) }
        let needed = KVMCapability.needed + (configuration.hasIntervalTimer ? [.intervalTimer] : [])
        for capability in needed where !system.has(capability) {
            throw .missingCapability(capability)
        }
    }

    private static func makeProcessors(
        _ count: Int, _ machine: borrowing VirtualMachine, _ system: borrowing System,
        isBlank: Bool
    ) throws(SystemCallError) -> [VirtualProcessor] {
        let features = try system.supportedFeatures()
        var processors: [VirtualProcessor] = []
        for index in 0..<count {
            ProcessorFeatures.fit(features, processor: index, of: count)
            let cpu = try machine.createCPU(UInt32(index))
            if !isBlank {
                try cpu.setFeatures(features)
                try cpu.enableFastStrings()
                try cpu.resetFloatingPoint()
                try cpu.connectLocalInterrupts()
            }
            processors.append(VirtualProcessor(cpu, index: index, features: features.entries()))
        }
        return processors
    }

    // MARK: - Devices

    /// Adds a device. The order is the guest's.
    @discardableResult
    public mutating func attach(_ device: any VirtioDevice) throws(MachineError) -> VirtioTransport
    {
        let index = transports.count
        guard index < GuestLayout.mostDevices else {
            throw .tooManyDevices(GuestLayout.mostDevices)
        }
        do throws(SystemCallError) {
            let line = try SharedCounter()
            let transport = try VirtioTransport(device, memory: memory, loop: loop, line: line)
            try machine.raise(GuestLayout.interrupt(ofDevice: index), by: line.descriptor)
            let doorbell = GuestLayout.window(ofDevice: index)
                .advanced(by: VirtioTransport.doorbellOffset)
            for (queue, counter) in transport.doorbells.enumerated() {
                try machine.signal(counter.descriptor, whenWritten: UInt32(queue), to: doorbell)
            }
            try transport.listen()
            transports.append(transport)
            return transport
        } catch {
            throw .systemCall(error)
        }
    }

    /// What the kernel's command line says of the devices.
    private var deviceWords: [String] {
        transports.indices.map { index in
            let place = String(GuestLayout.window(ofDevice: index).rawValue, radix: 16)
            return "virtio_mmio.device=4K@0x\(place):\(GuestLayout.interrupt(ofDevice: index))"
        }
    }

    // MARK: - The guest

    /// Puts a kernel and what it needs into the memory, after the last device.
    ///
    /// - Parameters:
    ///   - words: the kernel's own.
    ///   - arguments: those of its first process.
    public mutating func load(
        _ kernel: KernelFile, from file: borrowing Descriptor,
        initialFileSystem: borrowing Descriptor?, words: [String], arguments: [String],
        by way: BootProtocol = .linux
    ) throws(MachineError) {
        let loader = KernelLoader(memory: memory)
        try loader.load(kernel, from: file)
        var facts = BootFacts(memoryMap: MemoryMapEntry.map(of: memory), commandLineBytes: 0)
        switch initialFileSystem {
        case .some(let files):
            facts.initialFileSystem = try load(files, by: loader, after: kernel)
        case .none: break
        }
        let line = (words + deviceWords + (arguments.isEmpty ? [] : ["--"]) + arguments)
            .joined(separator: " ")
        let text = Array(line.utf8)
        guard text.count < GuestLayout.mostCommandLine, !text.contains(0) else {
            throw .doesNotFit("a command line of \(text.count) bytes")
        }
        facts.commandLineBytes = text.count
        do throws(GuestMemoryError) {
            try memory.write(text + [0], to: GuestLayout.commandLine)
            try memory.write(
                ProcessorTable.bytes(processors: configuration.processors),
                to: GuestLayout.processorTable)
            switch way {
            case .linux: try writeLinuxStart(facts, kernel)
            case .pvh: try writePVHStart(facts)
            }
        } catch {
            throw .doesNotFit("what the kernel is handed over")
        }
        try begin(kernel, by: way)
    }

    private func load(
        _ files: borrowing Descriptor, by loader: KernelLoader, after kernel: KernelFile
    ) throws(MachineError) -> GuestRange {
        let size: UInt64
        do throws(SystemCallError) {
            size = try Files.status(of: files).size
        } catch {
            throw .systemCall(error)
        }
        let kernelEnd = kernel.segments.map { $0.address + $0.memoryBytes }.max() ?? 0
        let end = min(memory.regions[0].count, GuestLayout.initialFileSystemEnd)
        guard size > 0, size < end, (end - size) / 4096 * 4096 >= kernelEnd else {
            throw .doesNotFit("an initial file system of \(size) bytes")
        }
        let start = GuestAddress(rawValue: (end - size) / 4096 * 4096)
        try loader.copy(files, from: 0, count: size, to: start, what: "initial file system")
        return GuestRange(start, count: Int(size))
    }

    private func writeLinuxStart(
        _ facts: BootFacts, _ kernel: KernelFile
    ) throws(GuestMemoryError) {
        try memory.write(
            LinuxBootPage.bytes(facts, setUpHead: kernel.setUpHead), to: GuestLayout.bootPage)
        try memory.write(LinuxBootPage.descriptors, to: GuestLayout.descriptors)
        try memory.write(LinuxBootPage.pageTables, to: GuestLayout.pageTables)
    }

    private func writePVHStart(_ facts: BootFacts) throws(GuestMemoryError) {
        try memory.write(PVHStart.info(facts), to: GuestLayout.startInfo)
        try memory.write(PVHStart.memoryMap(facts), to: GuestLayout.startMemoryMap)
        try memory.write(PVHStart.modules(facts), to: GuestLayout.startModules)
    }

    private mutating func begin(_ kernel: KernelFile, by way: BootProtocol) throws(MachineError) {
        switch way {
        case .linux:
            var registers = VirtualCPU.Registers(
                instruction: GuestAddress(rawValue: kernel.entry))
            registers.rsi = GuestLayout.bootPage.rawValue
            registers.stack = GuestLayout.stack
            try begin { (cpu) throws(SystemCallError) in
                try cpu.enterLongKernelMode(
                    pageTable: GuestLayout.pageTables, descriptors: GuestLayout.descriptors)
                try cpu.setRegisters(registers)
            }
        case .pvh:
            guard let entry = kernel.pvhEntry else {
                throw .badKernel("has no entry for PVH")
            }
            var registers = VirtualCPU.Registers(instruction: GuestAddress(rawValue: entry))
            registers.rbx = GuestLayout.startInfo.rawValue
            try begin { (cpu) throws(SystemCallError) in
                try cpu.enterFlatKernelMode()
                try cpu.setRegisters(registers)
            }
        }
    }

    /// Sets the first processor up by hand, for a guest that was put into the memory by hand.
    public mutating func begin(
        _ body: (borrowing VirtualCPU) throws(SystemCallError) -> Void
    ) throws(MachineError) {
        do throws(SystemCallError) {
            try processors[0].configure(body)
        } catch {
            throw .systemCall(error)
        }
        isLoaded = true
    }

    // MARK: - Start

    /// Lets the guest run.
    ///
    /// - Parameters:
    ///   - isHeld: the processors' threads are there and wait for ``RunningMachine/resume()``
    ///     before the first instruction.
    ///   - fences: put up on the threads of the processors and on the calling one before the
    ///     guest's first instruction.
    ///   - onEnd: called once, on the thread of a processor, when the guest has ended by itself.
    public consuming func start(
        isHeld: Bool = false, console: GuestConsole? = nil, fences: MonitorFences? = nil,
        onEnd: @escaping @Sendable (MachineEnd) -> Void
    ) throws(MachineError) -> RunningMachine {
        precondition(isLoaded, "there is something to run")
        let bus = DeviceBus(transports, serial: serial, console: console)
        let running = RunningMachine(
            machine, processors, transports, memory: memory, bus: bus,
            configuration: configuration, facts: facts, base: base)
        do throws(SystemCallError) {
            try running.start(isHeld: isHeld, behind: fences, onEnd: onEnd)
        } catch {
            throw .systemCall(error)
        }
        return running
    }
}

/// What is to be known when a machine is saved, which is asked for while this process may.
struct SavingFacts {
    let modelRegisters: [UInt32]
    let extendedBytes: Int

    init(_ system: borrowing System) throws(SystemCallError) {
        modelRegisters = try system.modelRegisters()
        extendedBytes = system.extendedStateBytes()
    }
}
