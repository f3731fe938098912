import Foundation
import Jail
import LinuxKernel
import SandboxModel

@testable import Agent

/// An engine whose sandboxes live in a ``FakeWorld``.
final class FakeEngine: SandboxEngine {
    let kind = IsolationKind.process
    let overhead = Overhead(fixed: Resources(memoryBytes: 1 << 20, pids: 1))
    let world: FakeWorld

    init(_ world: FakeWorld) {
        self.world = world
    }

    func prepare(_ order: EngineOrder) throws(SandboxError) -> any PreparedStart {
        try world.begin(.prepare)
        return FakeStart(order, world)
    }

    func recover(_ order: EngineOrder) throws(SandboxError) -> EngineRecovery {
        try world.begin(.recover)
        if let process = world.process(order.number) {
            guard process.hasEnded else {
                let sandbox = FakeSandbox(process, world, [])
                sandbox.collect()
                return .running(sandbox)
            }
            return .ended(FakeProcess.outcome(process.phase))
        }
        let path = folder(of: order.number).path + "/report"
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            return .neverStarted
        }
        // Its code is not of interest here.
        return .ended(FakeProcess.outcome(text == "failed" ? .failed : .ended(code: 0)))
    }

    func removeOrphans(keeping numbers: Set<Int64>) throws(SandboxError) -> [Orphan] {
        var orphans: [Orphan] = []
        for (number, process) in world.processes where !numbers.contains(number) {
            process.kill()
            world.remove(number)
            orphans.append(Orphan(kind: "cgroup", name: "\(number)"))
        }
        for name in world.folder.names() {
            guard let number = Int64(name), !numbers.contains(number) else { continue }
            try folder(of: number).remove()
        }
        return orphans
    }

    func numbers() -> [Int64] { world.folder.names().compactMap { Int64($0) }.sorted() }

    func clear(_ number: Int64) throws(SandboxError) {
        try world.begin(.clear)
        world.process(number)?.kill()
        world.remove(number)
    }

    func folder(of number: Int64) -> SandboxFolder { world.folder(of: number) }
}

private final class FakeStart: PreparedStart {
    private let order: EngineOrder
    private let world: FakeWorld
    let limits: [LimitStatus] = []
    private let hasScratch = Locked(false)

    init(_ order: EngineOrder, _ world: FakeWorld) {
        self.order = order
        self.world = world
    }

    func makeScratch() throws(SandboxError) {
        try world.begin(.makeScratch)
        if order.spec.scratchPlace == .memory || hasScratch.with({ $0 }) {
            world.note("\(order.number) got scratch space that it has no use for")
        }
        hasScratch.with { $0 = true }
    }

    func discard() { hasScratch.with { $0 = false } }

    func layGround() throws(SandboxError) {
        try world.folder(of: order.number).make()
    }

    func start(_ network: NetworkOrder?) throws(SandboxError) -> any EngineSandbox {
        try world.begin(.start)
        if order.spec.scratchPlace == .disk, !hasScratch.with({ $0 }) {
            world.note("\(order.number) was started without its scratch space")
        }
        let folder = world.folder(of: order.number)
        try folder.make()
        let process: FakeProcess
        do throws(SystemCallError) {
            process = try FakeProcess(order.number, folder: folder, limits: order.spec.limits)
        } catch {
            throw SandboxError(.setUpFailed, "\(error)")
        }
        world.add(process)
        switch world.nextCourse() {
        case .runs: process.run()
        case .waits: break
        case .failsInSetUp: process.failInSetUp()
        }
        return FakeSandbox(process, world, [.init(what: "started", nanoseconds: 1)])
    }
}

/// What one agent holds of a process.
private final class FakeSandbox: EngineSandbox, @unchecked Sendable {
    private let process: FakeProcess
    private let world: FakeWorld
    let timeline: [SandboxOutcome.Moment]
    private(set) var progress = LastingSandbox.Progress.settingUp
    private var isTimedOut = false
    /// How many of the calls that change it are going on.
    private let changing = Locked(0)

    init(_ process: FakeProcess, _ world: FakeWorld, _ timeline: [SandboxOutcome.Moment]) {
        self.process = process
        self.world = world
        self.timeline = timeline
    }

    var pid: Int32 { Int32(truncatingIfNeeded: process.number) }
    var reportDescriptor: Int32? {
        process.hasEnded || world.isSilent ? nil : process.reportDescriptor
    }
    var processDescriptor: Int32 { process.processDescriptor }
    var isFrozen: Bool { process.isFrozen }

    func collect() {
        process.clearReports()
        guard progress == .settingUp else { return }
        switch process.phase {
        case .settingUp: break
        case .failed: progress = .failed(SandboxError(.setUpFailed, "its set-up failed"))
        case .running, .ended, .killed, .outOfMemory: progress = .started(nanoseconds: 1)
        }
    }

    func markTimedOut() { isTimedOut = true }

    func send(_ signal: Signal) throws(SandboxError) {
        try world.begin(.signal)
        process.signal()
    }

    func kill() throws(SandboxError) { process.kill() }

    func setFrozen(_ frozen: Bool) throws(SandboxError) {
        try alone { () throws(SandboxError) in
            try world.begin(.freeze)
            process.setFrozen(frozen)
        }
    }

    func update(
        _ limits: Limits, policy: SandboxSpec.LimitPolicy
    ) throws(SandboxError) -> [LimitStatus] {
        try alone { () throws(SandboxError) in
            try world.begin(.update)
            process.set(limits)
            return []
        }
    }

    func statistics() -> SandboxStatistics { SandboxStatistics() }
    func cost() -> SandboxCost? { world.nextCost() }

    func execute(_ request: ExecRequest) throws(SandboxError) -> ExecSession {
        throw SandboxError(.unavailable, "nothing runs in a fake")
    }

    func finish() throws(SandboxError) -> SandboxOutcome? {
        try alone { () throws(SandboxError) in
            try world.begin(.finish)
            guard process.hasEnded else { return nil }
            collect()
            return FakeProcess.outcome(process.phase, isTimedOut: isTimedOut)
        }
    }

    /// Two changes of one sandbox at once are what no engine is made for.
    private func alone<Value>(
        _ body: () throws(SandboxError) -> Value
    ) throws(SandboxError) -> Value {
        let others = changing.with { count in
            count += 1
            return count - 1
        }
        defer { changing.with { $0 -= 1 } }
        if others > 0 { world.note("\(process.number) was changed twice at once") }
        return try body()
    }
}
