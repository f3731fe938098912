internal import CInitProtocol
public import LinuxKernel
public import SandboxModel

/// A plan's steps for the child as a program of system calls, with the places where a run puts
/// what differs from sandbox to sandbox.
public struct LoweredPlan: Sendable {
    public let plan: SandboxPlan
    public let program: CallProgram
    let slots: Slots
    /// Set when the child runs for the first time.
    let birth: Mark
    /// One mark for each step of the child, set when the step is done, with the step in words.
    let marks: [(step: String, mark: Mark)]

    /// What the host gives to a run, and what it takes out of it.
    struct Slots: Sendable {
        /// The detached, read-only clone of the image.
        let image: Slot
        /// The detached file system for scratch space on the disk; in memory, the child makes it.
        let scratch: Slot
        /// alcove-init.
        let initProgram: Slot
        let report: Slot
        /// Standard input, output and error of the workload.
        let streams: [Slot]
        let network: Slot
        /// The link of a microVM's guest.
        let link: Slot
        /// Where the child waits for its identity maps.
        let maps: Slot
        let mapsWriter: Slot
        /// Where the child sends its terminal to.
        let terminal: Slot
        let lasting: Lasting?

        /// What alcove-init gets of a lasting sandbox.
        struct Lasting: Sendable {
            let reportFile: Slot
            let control: Slot
            let log: Slot
            let otherLog: Slot
        }
    }

    /// A failure to put into the program, for tests: the step fails instead of being performed.
    public struct InjectedFailure: Sendable {
        public let step: Int
        public let error: ErrorNumber

        public init(step: Int, error: ErrorNumber) {
            self.step = step
            self.error = error
        }
    }

    /// - Parameters:
    ///   - filter: the compiled policy of the spec.
    ///   - executable: the workload's program as a path inside the image.
    ///   - lasting: for a sandbox that outlives its starter.
    public init(
        _ plan: SandboxPlan, of spec: SandboxSpec, filter: SeccompProgram, executable: String,
        initOptions: String, lasting: Lasting? = nil, failing: InjectedFailure? = nil
    ) {
        self.plan = plan
        var slots: Slots?
        var birth: Mark?
        var marks: [(step: String, mark: Mark)] = []
        program = CallProgram { program in
            var lowering = PlanLowering(
                program: program, spec: spec, filter: filter, executable: executable,
                initOptions: initOptions, lasting: lasting)
            slots = lowering.slots
            birth = program.mark()
            for (index, step) in plan.steps.enumerated() where step.performer == .child {
                program.begin(step: index)
                if let failing, failing.step == index { program.fail(with: failing.error) }
                lowering.lower(step)
                if case .execute = step { continue }
                marks.append(("\(step)", program.mark()))
            }
        }
        guard let slots, let birth else {
            preconditionFailure("building a program runs its builder")
        }
        self.birth = birth
        self.slots = slots
        self.marks = marks
    }
}

/// Lays out the calls of each step. The order of the steps is the plan's, not this type's.
struct PlanLowering {
    /// Numbers that alcove-init gets its descriptors by. The host keeps what it hands over above
    /// ``SandboxHost/firstDescriptor``, so that nothing is in the way.
    enum FixedDescriptor {
        static let report = Int32(ALCOVE_DESCRIPTOR_REPORT.rawValue)
        static let listener = Int32(ALCOVE_DESCRIPTOR_LISTENER.rawValue)
        static let reportFile = Int32(ALCOVE_DESCRIPTOR_REPORT_FILE.rawValue)
        static let control = Int32(ALCOVE_DESCRIPTOR_CONTROL.rawValue)
        static let log = Int32(ALCOVE_DESCRIPTOR_LOG.rawValue)
        static let otherLog = Int32(ALCOVE_DESCRIPTOR_OTHER_LOG.rawValue)
        static let terminal = Int32(ALCOVE_DESCRIPTOR_TERMINAL.rawValue)
        static let link = Int32(ALCOVE_DESCRIPTOR_LINK.rawValue)
    }

    let program: CallProgram
    let spec: SandboxSpec
    let filter: SeccompProgram
    let executable: String
    let initOptions: String
    let lasting: Lasting?
    let slots: LoweredPlan.Slots

    private let root: Slot
    private let proc: Slot
    private let devices: Slot
    private let temporary: Slot
    private let empty: Slot
    private let terminals: Slot
    /// The controlling side of the terminal that alcove-init is to have.
    private let controller: Slot
    private var boundDevices: [(name: String, slot: Slot)] = []
    private var machineFiles: [Slot] = []
    private let nameFile: Slot

    /// A place that every host has and that the steps do not need: the new root is put together
    /// on it before it is entered.
    private static let staging = "/proc"

    init(
        program: CallProgram, spec: SandboxSpec, filter: SeccompProgram, executable: String,
        initOptions: String, lasting: Lasting?
    ) {
        self.program = program
        self.spec = spec
        self.filter = filter
        self.executable = executable
        self.initOptions = initOptions
        self.lasting = lasting
        slots = LoweredPlan.Slots(
            image: program.makeSlot(), scratch: program.makeSlot(),
            initProgram: program.makeSlot(),
            report: program.makeSlot(),
            streams: [program.makeSlot(), program.makeSlot(), program.makeSlot()],
            network: program.makeSlot(), link: program.makeSlot(), maps: program.makeSlot(),
            mapsWriter: program.makeSlot(),
            terminal: program.makeSlot(),
            lasting: lasting == nil
                ? nil
                : LoweredPlan.Slots.Lasting(
                    reportFile: program.makeSlot(), control: program.makeSlot(),
                    log: program.makeSlot(), otherLog: program.makeSlot()))
        controller = program.makeSlot()
        root = program.makeSlot()
        proc = program.makeSlot()
        devices = program.makeSlot()
        temporary = program.makeSlot()
        empty = program.makeSlot()
        terminals = program.makeSlot()
        nameFile = program.makeSlot()
    }

    mutating func lower(_ step: PlanStep) {
        switch step {
        case .createCgroup, .limitCgroup, .formatScratch, .cloneImage, .createProcess: break
        case .awaitIdentityMaps:
            program.awaitByte(from: slots.maps, writer: slots.mapsWriter)
            program.setGroup(0)
            program.setUser(0)
        case .newCgroupNamespace: program.unshare(.cgroup)
        case .joinNetwork(.begun): program.joinBegun(slots.network)
        case .joinNetwork: program.join(slots.network, .network)
        case .makeMountsPrivate: program.makeMountsPrivate()
        case .makeScratch(let bytes): makeScratch(bytes: bytes)
        case .mountScratch: mountScratch()
        case .mountImage: program.attach(slots.image, at: Self.staging + "/root")
        case .mountOverlay: mountOverlay()
        case .makeProc:
            program.newFileSystem(
                "proc", options: [], attributes: [.noSetUserID, .noDevices, .noExecution],
                into: proc)
        case .makeDevices(let source): makeDevices(source)
        case .takeMachineFiles(let files): takeMachineFiles(files)
        case .takeNameFile(let path): program.cloneTree(at: path, into: nameFile)
        case .enterRoot: program.pivot(to: spec.root == .readOnly ? slots.image : root)
        case .mountProc: program.attach(proc, at: "/proc")
        case .mountDevices: mountDevices()
        case .mountMachineFiles(let files): mountMachineFiles(files)
        case .mountNameFile(let root): mountNameFile(root)
        case .mountTerminals:
            program.newFileSystem(
                "devpts", options: [("ptmxmode", "0666"), ("mode", "0620")],
                attributes: [.noSetUserID, .noExecution], into: terminals)
            program.attach(terminals, at: "/dev/pts")
        case .mountTemporary:
            program.setAttributes([.noSetUserID, .noDevices], of: temporary)
            program.attach(temporary, at: "/tmp")
        case .mask(let paths): mask(paths)
        case .protect(let paths): protect(paths)
        case .setHostname(let name): program.setHostname(name)
        case .raiseLoopback: program.raiseLoopback()
        case .openTerminal: openTerminal()
        case .limitProcess where lasting != nil:
            // By alcove-init, for each process that it starts: it writes files and holds
            // descriptors that are not the workload's.
            break
        case .limitProcess(let limit):
            program.setLimit(limit.resource.kernelLimit, soft: limit.soft, hard: limit.hard)
        case .dropBoundingSet(by: .host): break
        case .dropBoundingSet(by: .child):
            for capability in 0...Capabilities.last { program.dropFromBoundingSet(capability) }
        case .dropGroups: program.dropGroups()
        case .setIdentity(let user):
            program.setFileCreationMask(0o022)
            program.setGroup(user.group)
            program.setUser(user.user)
        case .dropCapabilities: program.dropCapabilities()
        case .changeDirectory(let path):
            // The starter may have more descriptors open than the workload may: a number that the
            // limit allows, and that is given something else further down.
            program.free(FixedDescriptor.report)
            program.changeDirectory(to: path)
        case .forbidNewPrivileges: program.setNoNewPrivileges()
        case .closeDescriptors: closeDescriptors()
        case .loadFilter(let denial): loadFilter(denial)
        case .execute: execute()
        }
    }

    private func makeScratch(bytes: UInt64) {
        program.newFileSystem(
            "tmpfs",
            options: [("size", "\(bytes)"), ("nr_inodes", "\(max(1024, bytes / 4096))")],
            attributes: [], into: scratch)
        mountScratch()
    }

    private var scratch: Slot { slots.scratch }

    private func mountScratch() {
        program.setFileCreationMask(0)
        program.attach(scratch, at: Self.staging)
        program.makeDirectory("root", in: scratch, permissions: 0o755)
        program.makeDirectory("dev", in: scratch, permissions: 0o755)
        program.makeDirectory("tmp", in: scratch, permissions: 0o1777)
        program.makeDirectory("empty", in: scratch, permissions: 0o555)
        program.cloneTree(at: Self.staging + "/tmp", into: temporary)
        program.cloneTree(at: Self.staging + "/empty", into: empty)
    }

    private func mountOverlay() {
        for name in ["image", "upper", "work"] {
            program.makeDirectory(name, in: scratch, permissions: 0o755)
        }
        program.attach(slots.image, at: Self.staging + "/image")
        program.newFileSystem(
            "overlay",
            options: [
                ("lowerdir", Self.staging + "/image"), ("upperdir", Self.staging + "/upper"),
                ("workdir", Self.staging + "/work"),
            ], flags: spec.identityMaps.isEmpty ? [] : ["userxattr"],
            attributes: [.noSetUserID, .noDevices], into: root)
        program.attach(root, at: Self.staging + "/root")
        for name in ["proc", "dev", "tmp"] {
            program.makeDirectory(Self.staging + "/root/" + name, permissions: 0o755)
        }
    }

    /// The nodes of a minimal `/dev`, by the kernel's numbers.
    private static let nodes: [(name: String, major: UInt32, minor: UInt32)] = [
        ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9),
        ("tty", 5, 0),
    ]

    private static let links: [(name: String, target: String)] = [
        ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx"),
    ]

    private mutating func makeDevices(_ source: PlanStep.DeviceSource) {
        let directory = devices
        program.cloneTree(at: Self.staging + "/dev", into: directory)
        program.makeDirectory("dev/pts", in: scratch, permissions: 0o755)
        program.makeDirectory("dev/shm", in: scratch, permissions: 0o1777)
        for (name, target) in Self.links {
            program.makeLink("dev/" + name, to: target, in: scratch)
        }
        for node in Self.nodes {
            switch source {
            case .created:
                program.makeDevice(
                    "dev/" + node.name, in: scratch, major: node.major, minor: node.minor)
            case .bound:
                let slot = program.makeSlot()
                program.makeFile("dev/" + node.name, in: scratch)
                program.cloneTree(at: "/dev/" + node.name, into: slot)
                boundDevices.append((node.name, slot))
            }
        }
    }

    private mutating func takeMachineFiles(_ files: [MachineParts.File]) {
        let device = MachineParts.device
        program.makeDevice(
            "dev/" + device.name, in: scratch, major: device.major, minor: device.minor)
        if spec.machine?.hasLink == true {
            program.raise(
                slots.link, toAtLeast: SandboxHost.firstDescriptor, into: slots.link)
        }
        for file in files {
            let slot = program.makeSlot()
            program.makeFile("dev/" + file.name, in: scratch)
            program.cloneTree(at: file.path, into: slot)
            machineFiles.append(slot)
        }
    }

    private func mountMachineFiles(_ files: [MachineParts.File]) {
        for (file, slot) in zip(files, machineFiles) {
            program.setAttributes(
                file.isWritable
                    ? [.noSetUserID, .noDevices, .noExecution]
                    : [.readOnly, .noSetUserID, .noDevices, .noExecution], of: slot)
            program.attach(slot, at: "/dev/" + file.name)
        }
    }

    private func mountNameFile(_ root: SandboxSpec.Root) {
        if root == .writable {
            program.makeDirectory("/etc", permissions: 0o755)
            program.makeFile(ImageTree.nameFile)
        }
        program.setAttributes([.readOnly, .noSetUserID, .noDevices, .noExecution], of: nameFile)
        // It covers a link as well: none is followed.
        program.attach(nameFile, at: ImageTree.nameFile)
    }

    private func mountDevices() {
        program.setAttributes([.noSetUserID, .noExecution], of: devices)
        program.attach(devices, at: "/dev")
        for device in boundDevices {
            program.attach(device.slot, at: "/dev/" + device.name)
        }
    }

    private func mask(_ paths: [MaskedPath]) {
        var isFirstDirectory = true
        var firstDirectory = ""
        for path in paths {
            switch path.kind {
            case .file: program.bind("/dev/null", at: path.path)
            case .directory where isFirstDirectory:
                program.setAttributes(
                    [.readOnly, .noSetUserID, .noDevices, .noExecution], of: empty)
                program.attach(empty, at: path.path)
                isFirstDirectory = false
                firstDirectory = path.path
            case .directory: program.bind(firstDirectory, at: path.path)
            }
        }
    }

    private func protect(_ paths: [String]) {
        for path in paths {
            program.bind(path, at: path)
            program.setAttributes(
                [.readOnly, .noSetUserID, .noDevices, .noExecution], ofMountAt: path)
        }
    }

    private func openTerminal() {
        let workload = slots.streams[0]
        program.openTerminal(controller: controller, workload: workload)
        if lasting == nil {
            program.send(controller, over: slots.terminal)
        } else {
            program.raise(
                controller, toAtLeast: SandboxHost.firstDescriptor, into: controller)
        }
    }

    private func closeDescriptors() {
        program.closeOnExec(from: 3)
        for number in 0..<3 {
            program.duplicate(slots.streams[spec.terminal ? 0 : number], to: Int32(number))
        }
        program.duplicate(slots.report, to: FixedDescriptor.report)
        if spec.machine?.hasLink == true { program.duplicate(slots.link, to: FixedDescriptor.link) }
        guard let lasting = slots.lasting else { return }
        program.duplicate(lasting.reportFile, to: FixedDescriptor.reportFile)
        program.duplicate(lasting.control, to: FixedDescriptor.control)
        program.duplicate(lasting.log, to: FixedDescriptor.log)
        program.duplicate(lasting.otherLog, to: FixedDescriptor.otherLog)
        if spec.terminal { program.duplicate(controller, to: FixedDescriptor.terminal) }
    }

    private func loadFilter(_ denial: CallPolicy.Denial) {
        guard denial == .kill else {
            program.loadFilter(instructions: filter.bytes, listener: nil)
            return
        }
        // The listener comes at the lowest number that is free: all below it are taken.
        program.free(FixedDescriptor.listener)
        let listener = program.makeSlot()
        program.loadFilter(instructions: filter.bytes, listener: listener)
        program.keepOnExec(listener)
    }

    private func execute() {
        let listener = spec.deniedCalls == .kill ? "\(FixedDescriptor.listener)" : "-"
        program.execute(
            slots.initProgram,
            arguments: [
                "alcove-init", "\(FixedDescriptor.report)", listener, initOptions,
            ] + lastingArguments + [executable] + spec.command,
            environment: spec.environment)
    }

    private var lastingArguments: [String] {
        guard let lasting else { return [] }
        let limits = spec.processLimits.map {
            "\($0.resource.kernelLimit.rawValue):\($0.soft):\($0.hard)"
        }
        return ["\(lasting.logBytes)", limits.isEmpty ? "-" : limits.joined(separator: ",")]
    }
}

extension ProcessLimitSetting.Resource {
    public var kernelLimit: ProcessLimit {
        switch self {
        case .cpuSeconds: .cpuSeconds
        case .fileSize: .fileSize
        case .stack: .stack
        case .core: .core
        case .processes: .processes
        case .openFiles: .openFiles
        case .lockedMemory: .lockedMemory
        case .addressSpace: .addressSpace
        case .messageQueues: .messageQueues
        case .realTimePriority: .realTimePriority
        }
    }
}
