import LinuxKernel
import Virtio

/// A device under test, with what the host can do to it meanwhile.
struct FuzzSubject {
    let device: any VirtioDevice
    /// Whether threads work for it, which are waited for.
    var usesWorkers = false
    /// What good requests begin with. None of them is empty.
    var beginnings: [[UInt8]] = []
    /// Does something of the host's, with the device's lock held.
    var act: (inout FuzzInput) throws(DeviceFault) -> Void = { (_) throws(DeviceFault) in }
    /// What can be seen from outside of what the device did. A new answer makes an input worth
    /// keeping.
    var outcome: () -> [UInt64] = { [] }
}

/// What lasts from input to input.
final class FuzzHost {
    let workers: Workers
    let racer: Workers
    let disk: Descriptor
    private let folder: String
    private var madeFrames: FuzzFrames?

    /// - Parameter folder: where files are made that have no name.
    init(folder: String) throws {
        self.folder = folder
        workers = try Workers(threads: 1, queue: 64, named: "disk")
        racer = try Workers(threads: 1, queue: 64, named: "racer")
        disk = try Files.open(folder, [.readWrite, .unnamed])
        try disk.setSize(64 << 10)
    }

    deinit {
        workers.stop()
        racer.stop()
    }

    /// Made when it is needed: it has a name in the folder.
    func frames() throws -> FuzzFrames {
        let frames = try madeFrames ?? FuzzFrames(folder: folder)
        madeFrames = frames
        return frames
    }

    /// Waits until a thread has done all that it was given.
    static func settle(_ workers: Workers) {
        let isDone = Locked(false)
        workers.run(isBounded: false) {
            isDone.with { $0 = true }
            isDone.signalAll()
        }
        isDone.wait { $0 ? () : nil }
    }
}

/// The devices by the names that `scripts/fuzz --device` takes.
enum FuzzSubjects {
    typealias Make = @Sendable (FuzzHost) throws -> FuzzSubject

    static let all: [(name: String, make: Make)] = [
        ("balloon", balloon), ("block", block), ("console", console), ("entropy", entropy),
        ("network", network), ("read-only-block", readOnlyBlock), ("socket", socket),
    ]

    static func named(_ name: String) -> Make? {
        all.first { $0.name == name }?.make
    }

    @Sendable private static func entropy(_ host: FuzzHost) -> FuzzSubject {
        FuzzSubject(device: EntropyDevice())
    }

    @Sendable private static func block(_ host: FuzzHost) throws -> FuzzSubject {
        try block(host, isReadOnly: false)
    }

    @Sendable private static func readOnlyBlock(_ host: FuzzHost) throws -> FuzzSubject {
        try block(host, isReadOnly: true)
    }

    private static func block(_ host: FuzzHost, isReadOnly: Bool) throws -> FuzzSubject {
        let device = try BlockDevice(
            try host.disk.duplicate(), isReadOnly: isReadOnly, serial: "fuzzed",
            workers: host.workers)
        return FuzzSubject(
            device: device, usesWorkers: true, beginnings: diskRequests,
            act: { (input) throws(DeviceFault) in
                device.setLimits(
                    TransferLimits(bytes: limit(&input), operations: limit(&input)))
            },
            outcome: {
                let counters = device.counters
                return [
                    counters.reads, counters.writes, counters.flushes, counters.discards,
                    counters.errors, counters.throttled,
                ]
            })
    }

    /// Of each kind, about sector 3; those that name parts of the disk name one or two.
    private static let diskRequests: [[UInt8]] = {
        let part: [UInt8] = [3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
        return ([0, 1, 4, 8, 11, 13] as [UInt8]).map { kind in
            let header: [UInt8] = [kind, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]
            return header + (kind == 11 ? part : kind == 13 ? part + part : [])
        }
    }()

    /// One that lets things pass again soon, so that an input comes to its end.
    private static func limit(_ input: inout FuzzInput) -> TokenBucket.Limit? {
        let rate = input.oddNumber()
        return TokenBucket.Limit(perSecond: rate, burst: input.oddNumber())
    }

    @Sendable private static func balloon(_ host: FuzzHost) -> FuzzSubject {
        let device = BalloonDevice()
        return FuzzSubject(
            device: device,
            // Pages; two statistics.
            beginnings: [
                [0x80, 0, 0, 0, 0x81, 0, 0, 0, 0x90, 0, 0, 0],
                [4, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 2, 0, 0, 0, 0, 0, 0, 0],
            ],
            act: { (input) throws(DeviceFault) in
                if input.choice(2) == 0 {
                    device.setTarget(pages: UInt32(truncatingIfNeeded: input.oddNumber()))
                } else {
                    _ = try device.requestStatistics()
                }
            },
            outcome: {
                let counters = device.counters
                return [
                    counters.inflatedPages, counters.deflatedPages, counters.reportedBytes >> 12,
                    counters.failures, UInt64(device.statistics?.values.count ?? 0),
                    UInt64(device.actualPages),
                ]
            })
    }

    @Sendable private static func console(_ host: FuzzHost) throws -> FuzzSubject {
        guard let limit = TokenBucket.Limit(perSecond: 1 << 16, burst: 1 << 14) else {
            preconditionFailure("a limit lets something pass")
        }
        let device = ConsoleDevice(limit: limit) { $0.count > 100 ? 100 : $0.count }
        return FuzzSubject(
            device: device,
            act: { (input) throws(DeviceFault) in
                if input.choice(4) == 0 {
                    device.setSize(columns: UInt16(input.byte()), rows: UInt16(input.byte()))
                } else {
                    let count = Int(input.oddNumber() % 70_000)
                    _ = try device.send([UInt8](repeating: input.byte(), count: count))
                }
            },
            outcome: {
                let counters = device.counters
                return [counters.outputBytes, counters.droppedBytes, counters.inputBytes]
            })
    }
}
