internal import GuestLink
internal import KVM
internal import LinuxKernel
internal import Machine
internal import Virtio

/// What a monitor knows of its guest that the machine does not.
struct MonitorState {
    var hasSession: Bool
    var isReady: Bool
    var isWorkloadStarted: Bool
    var mostProcesses: Int32?
    var remains: GuestSession.Remains

    private static let mostBytes = 256 << 10

    var bytes: [UInt8] {
        var writer = StateWriter()
        writer.put(hasSession)
        writer.put(isReady)
        writer.put(isWorkloadStarted)
        writer.put(mostProcesses ?? 0)
        writer.put(remains.received)
        writer.put(remains.unsent)
        return writer.bytes
    }
}

extension MonitorState {
    init(_ bytes: [UInt8]) throws(StateFault) {
        var reader = StateReader(bytes)
        hasSession = try reader.flag()
        isReady = try reader.flag()
        isWorkloadStarted = try reader.flag()
        let most: Int32 = try reader.number()
        mostProcesses = most == 0 ? nil : most
        remains = GuestSession.Remains(
            received: try reader.piece(atMost: Self.mostBytes),
            unsent: try reader.piece(atMost: Self.mostBytes))
        try reader.finish()
        guard most == 0 || most >= 2, isReady || !isWorkloadStarted, hasSession || !isReady else {
            throw .badValue("what the monitor knows of its guest")
        }
    }
}

extension Monitor {
    /// Saves the guest to files, and tells when they are on the disk. The guest stands still until
    /// they are written.
    func save(
        to files: SnapshotFiles, changesAlone: Bool,
        _ tell: @escaping (Result<Snapshot, SnapshotError>) -> Void
    ) {
        guard let machine, let workers = devices.diskWorkers else { return }
        machine.pause()
        let result = Result { () throws(SnapshotError) in
            try machine.save(
                to: files, by: workers, changesBy: changesAlone ? recorder?.map : nil,
                quiet: settleLink
            ) { state.bytes }
        }
        if !isPaused { machine.resume() }
        guard case .success(let snapshot) = result else { return tell(result) }
        let teller = Teller(tell)
        let loop = loop
        workers.run(isBounded: false) {
            let result = Result { () throws(SnapshotError) in
                do throws(SystemCallError) {
                    try files.synchronize()
                } catch {
                    throw .systemCall(error)
                }
                return snapshot
            }
            loop.enqueue { teller.tell(result) }
        }
    }

    /// Takes from the device what the guest has sent by its link: that is not the guest's any more.
    private func settleLink() {
        guard let (device, transport) = devices.sockets else { return }
        while true {
            session?.drain()
            let isDone = transport.reading { device.passOn(port: MonitorDevices.linkPort) }
            if isDone || session == nil { break }
        }
        session?.drain()
    }

    private var state: MonitorState {
        MonitorState(
            hasSession: session != nil, isReady: isReady, isWorkloadStarted: isWorkloadStarted,
            mostProcesses: mostProcesses, remains: session?.remains ?? GuestSession.Remains())
    }

    // MARK: - Going on with one

    /// Becomes the monitor of a guest that was saved.
    func restore(
        _ prepared: consuming PreparedMachine, _ snapshot: Snapshot, from files: SnapshotFiles,
        workingSet: [UInt8]
    ) throws {
        let state: MonitorState
        do throws(StateFault) {
            state = try MonitorState(snapshot.program)
        } catch {
            throw SnapshotError.damaged(error)
        }
        restored = state
        isReady = state.isReady
        isWorkloadStarted = state.isWorkloadStarted
        mostProcesses = options.mostProcesses ?? state.mostProcesses
        try prepared.adopt(snapshot, from: files)
        timeline.reached(.stateLoaded)
        if prepared.load(workingSet: workingSet, of: snapshot) { timeline.reached(.pagesLoaded) }
        if options.recordsWorkingSet {
            recorder = WorkingSetRecorder(
                map: SharedFile(try Files.open("/proc/self/pagemap", .readOnly)),
                identity: snapshot.identity)
        }
        try launch(prepared)
        // Where the guest has a link it comes first: `take(link:)`.
        if !isHeld, !state.hasSession { goOn() }
    }

    /// Lets a guest that was saved go on. What makes it another one than the saved one is in its
    /// memory before its next instruction.
    func goOn() {
        if let session {
            renew(session)
            if isReady, !isWorkloadStarted, !options.waitsWithCommand { startWorkload() }
        } else {
            isRenewalDue = true
        }
        restored = nil
        if let (device, transport) = devices.sockets {
            transport.withDevice { (_) throws(DeviceFault) in try device.notified(0) }
        }
        if !isPaused { machine?.resume() }
    }

    /// Makes it another guest. Entropy first: all that comes after it may make something of it.
    func renew(_ session: GuestSession) {
        isRenewalDue = false
        do throws(SystemCallError) {
            session.send(.reseed(try Randomness.bytes(64)))
        } catch {
            return end(.failed("no entropy for a guest that was saved: \(error)"))
        }
        session.send(.clock(nanoseconds: UInt64(clamping: RealClock.nanoseconds)))
        session.send(.hostname(options.hostname))
        if let network = options.link?.network { session.send(.network(network)) }
    }

    /// Waits for a snapshot with all made that does not depend on it.
    func awaitSnapshot() throws {
        guard let path = options.control else { return }
        blank = try makeBlank(options.machine)
        devices.control = try ControlServer(path, self)
        timeline.reached(.held)
        showTimeline()
    }

    func makeBlank(
        _ configuration: MachineConfiguration,
        memoryOf known: (snapshot: Snapshot, files: SnapshotFiles)? = nil
    ) throws -> PreparedMachine {
        var prepared = try PreparedMachine.blank(
            configuration, on: .open(), loop: loop, memoryOf: known)
        timeline.reached(.machineMade)
        try attachDevices(to: &prepared)
        return prepared
    }

    /// Goes on with a snapshot that was waited for. One that cannot be gone on with is the end.
    func restore(from files: SnapshotFiles, workingSet: [UInt8]) throws {
        guard let prepared = blank.take() else { return }
        timeline.reached(.startAsked)
        let snapshot = try files.read()
        timeline.reached(.snapshotRead)
        try restore(prepared, snapshot, from: files, workingSet: workingSet)
    }

    /// Writes down which pages the guest has used so far, and tells how many pieces they are.
    func recordWorkingSet(
        to file: consuming Descriptor, _ tell: @escaping (Result<Int, SystemCallError>) -> Void
    ) {
        guard let recorder, let machine, let workers = devices.diskWorkers else { return }
        let output = SharedFile(file)
        let teller = Teller(tell)
        let loop = loop
        workers.run(isBounded: false) {
            let result = Result { () throws(SystemCallError) in
                try recorder.record(machine, to: output)
            }
            loop.enqueue { teller.tell(result) }
        }
    }
}

/// One who is told of something on the loop's thread.
private final class Teller<Answer>: @unchecked Sendable {
    let tell: (Answer) -> Void

    init(_ tell: @escaping (Answer) -> Void) {
        self.tell = tell
    }
}

/// Tells which pages of its memory a guest of a snapshot has used.
final class WorkingSetRecorder: Sendable {
    let map: SharedFile
    private let identity: [UInt8]

    init(map: SharedFile, identity: [UInt8]) {
        self.map = map
        self.identity = identity
    }

    fileprivate func record(
        _ machine: RunningMachine, to output: SharedFile
    ) throws(SystemCallError) -> Int {
        let set = try machine.workingSet(by: map.file, identity: identity)
        try output.file.write(set.bytes.span, at: 0)
        try output.file.synchronizeData()
        return set.pieces
    }
}
