internal import CInitProtocol
internal import LinuxKernel
internal import Machine
internal import Virtio

/// What belongs to a monitor as long as its guest runs.
struct MonitorDevices {
    /// The guest's address for sockets. Each guest has a monitor of its own, so all have the same.
    static let guestAddress: UInt32 = 3
    static let linkPort = UInt32(ALCOVE_GUEST_LINK_PORT)
    /// More than a kernel has to say while it boots, at once, and a part of it each second.
    private static let consoleLimit = TokenBucket.Limit(perSecond: 64 << 10, burst: 256 << 10)

    var signals: SignalRelay?
    var control: ControlServer?
    private(set) var sockets: (device: SocketDevice, transport: VirtioTransport)?
    let diskBudget = DiskBudget()
    private(set) var disks: [(device: BlockDevice, transport: VirtioTransport)] = []
    private(set) var balloon: (device: BalloonDevice, transport: VirtioTransport)?
    private(set) var network: (device: NetworkDevice, transport: VirtioTransport)?
    private(set) var console: (device: ConsoleDevice, transport: VirtioTransport)?
    private(set) var diskWorkers: Workers?

    /// Adds the devices in the order that alcove-init expects: layers, then the disk for what is
    /// written, then those that are found by what they are.
    mutating func attach(
        _ options: RunOptions, to machine: inout PreparedMachine,
        onLink: @escaping (consuming Descriptor) -> Void
    ) throws {
        var settings = SocketDevice.Settings()
        if let path = options.sockets {
            settings.listener = try ListeningSocket(path: path, mode: 0o600)
            settings.path = path
        }
        try attachDisks(options, to: &machine)
        let sockets = SocketDevice(cid: Self.guestAddress, settings)
        let receiver = LinkReceiver(onLink)
        sockets.listen(onPort: Self.linkPort) { receiver.take($0) }
        self.sockets = (sockets, try machine.attach(sockets))
        try machine.attach(EntropyDevice())
        let balloon = BalloonDevice()
        self.balloon = (balloon, try machine.attach(balloon))
        if let link = options.link {
            let device = try NetworkDevice(
                Self.open(link.tap), NetworkDevice.Settings(link.address))
            network = (device, try machine.attach(device))
        }
    }

    /// Adds a device by which the guest's kernel says something, behind all others.
    mutating func attachConsole(
        _ console: GuestConsole, to machine: inout PreparedMachine
    ) throws(MachineError) {
        guard let limit = Self.consoleLimit else {
            preconditionFailure("something may pass")
        }
        let device = ConsoleDevice(limit: limit) { bytes in
            console.take(bytes)
            return bytes.count
        }
        self.console = (device, try machine.attach(device))
    }

    private static func open(_ tap: RunOptions.Link.Tap) throws(SystemCallError) -> TapDevice {
        switch tap {
        case .named(let name): try TapDevice.open(name)
        case .open(let number): try TapDevice(adopting: Descriptor(owning: number))
        }
    }

    private mutating func attachDisks(
        _ options: RunOptions, to machine: inout PreparedMachine
    ) throws {
        limitDisks(read: options.diskRates.read, write: options.diskRates.write)
        let workers = try Workers(threads: 0, queue: 1024, named: "disk")
        diskWorkers = workers
        for (index, path) in options.layers.enumerated() {
            let disk = try BlockDevice(
                Files.open(path, .readOnly), isReadOnly: true, serial: "layer-\(index)",
                budget: diskBudget, workers: workers)
            disks.append((disk, try machine.attach(disk)))
        }
        if case .disk(let path) = options.scratch {
            let disk = try BlockDevice(
                Files.open(path, .readWrite), isReadOnly: false, serial: "scratch",
                budget: diskBudget, workers: workers)
            disks.append((disk, try machine.attach(disk)))
        }
    }

    /// One thread for what blocks on a disk; a guest with more processors gets a second one.
    func startThreads(forProcessors processors: Int, behind fences: MonitorFences) throws {
        let count = processors > 1 ? 2 : 1
        try diskWorkers?.add(threads: count, first: fences.first(on: .disk, threads: count))
    }
}

/// Called on the loop's thread alone.
private final class LinkReceiver: @unchecked Sendable {
    private let action: (consuming Descriptor) -> Void

    init(_ action: @escaping (consuming Descriptor) -> Void) {
        self.action = action
    }

    func take(_ link: consuming Descriptor) { action(link) }
}
