internal import HostNetwork
internal import ImageStore
internal import Jail
internal import LinuxKernel
internal import MicroVM
internal import RPC
internal import SandboxModel

/// Sandboxes in the jail, held by alcove-init while no agent runs: the workload itself, or the
/// monitor of a microVM that has the workload in its guest.
///
/// A sandbox's number names its cgroup and its folder, so what belongs to it is found without a
/// record of what was made.
final class JailEngine: SandboxEngine, @unchecked Sendable {
    let kind: IsolationKind
    let overhead: Overhead
    /// How guests are put into the jail, for microVMs.
    private let guests: GuestJail?
    /// What guests get of images that are directories.
    private let trees: TreeCache
    private let prefix: String
    /// Used on the spawner's thread, and before that one does anything.
    private let host: SandboxHost
    private let folders: String
    private let scratchDirectory: String
    private let networks: NetworkPool
    /// What was laid out last, the newest at the end. Belongs to the spawner's thread.
    private var recent: [(order: EngineOrder, sandbox: PreparedSandbox)] = []

    private static let mostRecent = 16

    /// Called on the spawner's thread, which does nothing else from then on.
    ///
    /// - Parameter guests: for microVMs.
    init(
        _ settings: NodeSettings, networks: NetworkPool, guests: GuestJail? = nil
    ) throws(SandboxError) {
        kind = guests == nil ? .process : .microvm
        overhead = guests == nil ? .process : .microvm
        prefix = guests == nil ? "s" : "m"
        self.guests = guests
        let hierarchy = CgroupHierarchy.detect()
        guard hierarchy.root != nil else {
            throw SandboxError(
                .unavailable, "this node has no cgroup version 2 tree",
                hint: "mount one at /sys/fs/cgroup, or beside version 1 at /sys/fs/cgroup/unified")
        }
        host = try SandboxHost(
            initProgram: settings.initProgram.isEmpty
                ? InitLocation.path() : settings.initProgram,
            limits: hierarchy.limitKinds, hierarchy: hierarchy, isDedicated: true,
            cgroupParent: settings.cgroupParent,
            places: DiskPlaces(
                images: settings.stateDirectory + "/images", scratch: settings.scratchDirectory))
        folders = settings.stateDirectory + "/sandboxes"
        trees = TreeCache(settings.stateDirectory + "/trees")
        scratchDirectory = settings.scratchDirectory
        self.networks = networks
        for folder in [folders, scratchDirectory] {
            do throws(SystemCallError) {
                try Files.makeDirectories(folder, permissions: 0o700)
            } catch {
                throw SandboxError(.setUpFailed, "make `\(folder)`: \(error.errorNumber)")
            }
        }
    }

    private func name(of number: Int64) -> String { "\(prefix)\(number)" }

    private func number(of name: String) -> Int64? {
        name.hasPrefix(prefix) ? Int64(name.dropFirst(prefix.count)) : nil
    }

    func folder(of number: Int64) -> SandboxFolder {
        SandboxFolder(folders + "/" + name(of: number))
    }

    func prepare(_ order: EngineOrder) throws(SandboxError) -> any PreparedStart {
        let sandbox = try guests == nil ? laidOut(order) : laidOutGuest(order)
        return JailStart(
            sandbox, limits: try limits(of: order, laidOutAs: sandbox),
            folder: folder(of: order.number), cgroup: name(of: order.number),
            scratch: scratch(of: order), networks: networks
        ) { [self] sandbox in wrapped(sandbox, order) }
    }

    private func wrapped(
        _ sandbox: any EngineSandbox, _ order: EngineOrder
    ) -> any EngineSandbox {
        guard let guests else { return sandbox }
        let hierarchy = host.hierarchy
        return MicroVMSandbox(sandbox, guests, order.spec, scratch: scratch(of: order)) {
            hierarchy.limitStatuses(of: $0)
        }
    }

    private func scratch(of order: EngineOrder) -> ScratchOrder {
        guard order.spec.scratchPlace == .disk else { return .none }
        guard guests == nil else {
            return .file(
                scratchFile(of: order.number), bytes: order.spec.scratchBytes,
                for: GuestJail.user(of: order.number))
        }
        // Who is root inside is somebody else outside, where the sandbox has a user namespace.
        let root = order.spec.identityMaps.first { $0.inside == 0 }?.outside ?? 0
        return .tree(in: scratchDirectory, bytes: order.spec.scratchBytes, owner: root)
    }

    /// It has that name only until a guest's monitor has it.
    private func scratchFile(of number: Int64) -> String {
        scratchDirectory + "/" + name(of: number) + Self.scratchSuffix
    }

    private static let scratchSuffix = ".ext4"

    /// Which limits hold of what was asked for.
    private func limits(
        of order: EngineOrder, laidOutAs sandbox: PreparedSandbox
    ) throws(SandboxError) -> [LimitStatus] {
        guard guests != nil else { return sandbox.limits }
        let statuses = GuestJail.statuses(
            host.hierarchy.limitStatuses(of: order.spec), of: order.spec.limits)
        try order.spec.accept(statuses)
        return statuses
    }

    /// The sandboxes of one function are the same again and again: their plan is laid out once, for
    /// as long as their image is the same directory or mount.
    private func laidOut(_ order: EngineOrder) throws(SandboxError) -> PreparedSandbox {
        let image = try Self.tree(of: order)
        let known = recent.firstIndex {
            $0.order.spec == order.spec && $0.order.network == order.network
                && $0.order.logBytes == order.logBytes && $0.sandbox.isMade(of: image)
        }
        if let known {
            let entry = recent.remove(at: known)
            recent.append(entry)
            return entry.sandbox
        }
        var spec = order.spec
        spec.nameFile = order.network?.nameFile
        let sandbox = try prepared(spec, image, order)
        if recent.count == Self.mostRecent { recent.removeFirst() }
        recent.append((order, sandbox))
        return sandbox
    }

    /// The monitor of each microVM has a user of its own, so each has its own plan.
    private func laidOutGuest(_ order: EngineOrder) throws(SandboxError) -> PreparedSandbox {
        guard let guests else { preconditionFailure("guests are laid out where there are some") }
        let layers: [String]
        if let source = order.source {
            layers = try source.layerFiles(trees)
        } else {
            layers = [try packedTree(of: order)]
        }
        let spec = try guests.spec(
            for: order.spec, number: order.number, layers: layers,
            scratch: scratch(of: order).file, link: order.network?.link,
            held: host.hierarchy.limitKinds)
        return try prepared(spec, try ImageTree.open(guests.root), order)
    }

    /// A directory that was packed before is looked through; one that was not takes its time.
    private func packedTree(of order: EngineOrder) throws(SandboxError) -> String {
        // The same refusals as for those who mount it.
        _ = try ImageTree.open(order.spec.image)
        do throws(ImageError) {
            return try trees.file(of: order.spec.image)
        } catch {
            throw SandboxError(error, of: order.spec.image)
        }
    }

    func needsTime(for order: EngineOrder) -> Bool { guests != nil && order.source == nil }

    func makeReady(_ order: EngineOrder) throws(SandboxError) {
        if needsTime(for: order) { _ = try packedTree(of: order) }
    }

    private func prepared(
        _ spec: SandboxSpec, _ image: consuming ImageTree, _ order: EngineOrder
    ) throws(SandboxError) -> PreparedSandbox {
        try PreparedSandbox(
            spec, image: image, on: host, network: spec.canJoinNetwork ? .pooled : .new,
            diesWithStarter: false, lasting: Lasting(logBytes: order.logBytes))
    }

    private static func tree(of order: EngineOrder) throws(SandboxError) -> ImageTree {
        if let source = order.source { return try source.open() }
        return try ImageTree.open(order.spec.image)
    }

    func recover(_ order: EngineOrder) throws(SandboxError) -> EngineRecovery {
        let found = try LastingSandbox.adopt(
            guests.map { $0.jailed(order.spec, held: host.hierarchy.limitKinds) } ?? order.spec,
            limits: order.limits, folder: folder(of: order.number),
            cgroup: name(of: order.number), on: host,
            removesCgroup: false)
        switch found {
        case .running(let sandbox):
            return .running(wrapped(JailedSandbox(sandbox, networks), order))
        case .ended(let outcome): return .ended(outcome)
        case .neverStarted: return .neverStarted
        }
    }

    func clear(_ number: Int64) throws(SandboxError) {
        try host.removeCgroup(named: name(of: number))
        // Of one that was never started, or whose agent died before the monitor had it.
        if guests != nil { try? Files.remove(scratchFile(of: number)) }
    }

    func numbers() -> [Int64] {
        let names = (try? DirectoryListing.names(in: folders)) ?? []
        return names.compactMap(number).sorted()
    }

    func removeOrphans(keeping numbers: Set<Int64>) throws(SandboxError) -> [Orphan] {
        var removed: [Orphan] = []
        for name in try host.lastingCgroups() {
            guard let number = number(of: name), !numbers.contains(number),
                // One that cannot be removed now keeps no other.
                (try? host.removeCgroup(named: name)) != nil
            else { continue }
            removed.append(Orphan(kind: "cgroup", name: name))
        }
        for name in (try? DirectoryListing.names(in: folders)) ?? [] {
            guard let number = number(of: name), !numbers.contains(number),
                (try? folder(of: number).remove()) != nil
            else { continue }
            removed.append(Orphan(kind: "file", name: folder(of: number).path))
        }
        return removed + removeScratchFiles(keeping: numbers)
    }

    private func removeScratchFiles(keeping numbers: Set<Int64>) -> [Orphan] {
        let names = (try? DirectoryListing.names(in: scratchDirectory)) ?? []
        return names.compactMap { name in
            guard name.hasSuffix(Self.scratchSuffix),
                let number = number(of: String(name.dropLast(Self.scratchSuffix.count))),
                !numbers.contains(number),
                (try? Files.remove(scratchFile(of: number))) != nil
            else { return nil }
            return Orphan(kind: "file", name: scratchFile(of: number))
        }
    }
}

/// The scratch space of a sandbox, where it is on the disk.
enum ScratchOrder {
    case none
    /// A file system of its own, whose root is this user's.
    case tree(in: String, bytes: UInt64, owner: UInt32)
    /// A file with one, which this user may open.
    case file(String, bytes: UInt64, for: UInt32)

    /// The path of a file.
    var file: String? {
        if case .file(let path, _, _) = self { path } else { nil }
    }

    /// Removes a file's name. Who has it open or mounted keeps it.
    func forgetName() {
        if let file { try? Files.remove(file) }
    }
}

/// A sandbox that could start at once.
private final class JailStart: PreparedStart, @unchecked Sendable {
    private let prepared: PreparedSandbox
    private let folder: SandboxFolder
    private let cgroup: String
    private let order: ScratchOrder
    private let networks: NetworkPool
    private let wrap: (any EngineSandbox) -> any EngineSandbox
    let limits: [LimitStatus]
    private var scratch: Scratch?
    private var ground: LastingGround?

    init(
        _ prepared: PreparedSandbox, limits: [LimitStatus], folder: SandboxFolder, cgroup: String,
        scratch: ScratchOrder, networks: NetworkPool,
        wrap: @escaping (any EngineSandbox) -> any EngineSandbox
    ) {
        self.prepared = prepared
        self.limits = limits
        self.wrap = wrap
        self.folder = folder
        self.cgroup = cgroup
        order = scratch
        self.networks = networks
    }

    func layGround() throws(SandboxError) {
        guard ground == nil else { return }
        try folder.make()
        ground = try prepared.layGround(
            in: folder, cgroup: cgroup, scratch: scratch.take()?.intoTree())
    }

    func discard() {
        scratch = nil
        ground = nil
        order.forgetName()
    }

    func makeScratch() throws(SandboxError) {
        do throws(ImageError) {
            switch order {
            case .none: break
            case .tree(let directory, let bytes, let owner):
                scratch = try .disk(in: directory, bytes: bytes, owner: (owner, owner))
            case .file(let path, let bytes, let user):
                try Scratch.file(path, bytes: bytes, for: user)
            }
        } catch {
            throw SandboxError(scratch: error)
        }
    }

    func start(_ order: NetworkOrder?) throws(SandboxError) -> any EngineSandbox {
        let requested = MonotonicClock.nanoseconds
        try layGround()
        guard let ground = ground.take() else {
            preconditionFailure("the ground was laid above")
        }
        let slot = try order?.settle()
        let network = if let own = slot?.namespace { own } else { try ownNetwork() }
        // Held until the child, which is in the midst of its set-up, has joined it.
        return wrap(
            JailedSandbox(
                try prepared.startLasting(
                    on: ground, requested: requested, network: network?.descriptor,
                    link: slot?.tapDescriptor),
                networks, holding: (network, slot)))
    }

    /// A loopback alone.
    private func ownNetwork() throws(SandboxError) -> NetworkNamespace? {
        prepared.spec.canJoinNetwork ? try networks.take() : nil
    }
}

/// Carries a running sandbox from thread to thread, of which one at a time uses it.
private final class JailedSandbox: EngineSandbox, @unchecked Sendable {
    private let sandbox: LastingSandbox
    private let networks: NetworkPool
    /// Open until the child has joined it, or has it.
    private var held: (NetworkNamespace?, SandboxSlot?)

    init(
        _ sandbox: LastingSandbox, _ networks: NetworkPool,
        holding held: (NetworkNamespace?, SandboxSlot?) = (nil, nil)
    ) {
        self.sandbox = sandbox
        self.networks = networks
        self.held = held
    }

    var pid: Int32 { sandbox.pid }
    var progress: LastingSandbox.Progress { sandbox.progress }
    var timeline: [SandboxOutcome.Moment] { sandbox.timeline }
    var reportDescriptor: Int32? { sandbox.reportDescriptor }
    var processDescriptor: Int32 { sandbox.processDescriptor }
    func collect() {
        sandbox.collect()
        if sandbox.progress != .settingUp { held = (nil, nil) }
    }
    func markTimedOut() { sandbox.markTimedOut() }
    func send(_ signal: Signal) throws(SandboxError) { try sandbox.send(signal) }
    func kill() throws(SandboxError) { try sandbox.kill() }
    func setFrozen(_ frozen: Bool) throws(SandboxError) {
        let events = try sandbox.openEvents()
        try sandbox.setFrozen(frozen)
        do throws(SystemCallError) {
            let timer = try Timer()
            try timer.start(Self.longestFreeze)
            // A reading counts the change as seen, so none is missed between it and the waiting.
            let wanted = "frozen \(frozen ? 1 : 0)\n"
            while !(try Self.tells(events, wanted)) {
                var interests = [
                    Readiness.Interest(changeOf: events.rawValue),
                    Readiness.Interest(processDescriptor),
                    Readiness.Interest(timer.descriptor.rawValue),
                ]
                try Readiness.wait(for: &interests)
                if interests[1].isReady { return }
                if interests[2].isReady { break }
            }
            if try Self.tells(events, wanted) { return }
        } catch {
            throw SandboxError(.setUpFailed, "wait for the freezer: \(error)")
        }
        try sandbox.setFrozen(false)
        throw SandboxError(
            .unavailable, "a process inside cannot be frozen now",
            hint: "it waits in the kernel for a device; try again")
    }

    /// A process in a call that nothing interrupts can hold the freezer up.
    private static let longestFreeze = Duration.seconds(5)

    private static func tells(
        _ events: borrowing Descriptor, _ line: String
    ) throws(SystemCallError) -> Bool {
        let text = try events.read(atMost: 256, at: 0, subject: "cgroup.events")
        return String(decoding: text, as: UTF8.self).contains(line)
    }

    var isFrozen: Bool { sandbox.isFrozen }
    func update(
        _ limits: Limits, policy: SandboxSpec.LimitPolicy
    ) throws(SandboxError) -> [LimitStatus] {
        try sandbox.update(limits, policy: policy)
    }
    func statistics() -> SandboxStatistics { sandbox.statistics() }
    func cost() -> SandboxCost? { sandbox.cost() }
    func execute(_ request: ExecRequest) throws(SandboxError) -> ExecSession {
        try sandbox.execute(request)
    }
    func finish() throws(SandboxError) -> SandboxOutcome? {
        defer { networks.refill() }
        return try sandbox.finish(removesCgroup: false)
    }
}

/// Network namespaces that are made ahead, by a thread of their own: when a sandbox has ended, and
/// when few are left. Not when one is taken: half a millisecond in the kernel on one processor
/// holds up the start on the other, whose new root waits for every processor to pass by.
final class NetworkPool: Sendable {
    private let spare = Locked<[NetworkNamespace]>([])
    private let target: Int
    private let maker: Workers

    init(target: Int) throws(SystemCallError) {
        self.target = target
        maker = try Workers(threads: 1, queue: 1, named: "networks")
        refill()
    }

    /// One of them, or a new one where none is left.
    func take() throws(SandboxError) -> NetworkNamespace {
        let (taken, isLow) = spare.with { spare in
            let taken = spare.popLast()
            return (taken, spare.count <= target / 4)
        }
        if isLow { refill() }
        if let taken { return taken }
        do throws(SystemCallError) {
            if let made = try NetworkNamespace.make(count: 1).first { return made }
        } catch {
            throw SandboxError(
                error.errorNumber == .noSpace || error.errorNumber == .wouldBlock
                    ? .exhausted : .setUpFailed, "make a network namespace: \(error)",
                hint: "`user.max_net_namespaces` bounds how many there are")
        }
        throw SandboxError(.setUpFailed, "make a network namespace")
    }

    func refill() {
        // One that is told off has a predecessor that will look again.
        maker.run { [spare, target] in
            while true {
                let missing = target - spare.with { $0.count }
                guard missing > 0,
                    // Whoever needs one meanwhile makes it, and says what is wrong.
                    let made = try? NetworkNamespace.make(count: 1)
                else { return }
                spare.with { $0 += made }
            }
        }
    }

    func stop() {
        maker.stop()
    }
}
