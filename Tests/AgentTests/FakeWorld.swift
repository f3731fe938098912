import Foundation
import Jail
import LinuxKernel
import SandboxModel

/// What is below an engine: processes, cgroups and folders, which outlive agents. The processes do
/// what a test says.
final class FakeWorld: Sendable {
    /// A call of the engine.
    enum Call: Hashable, CaseIterable {
        case prepare, makeScratch, start, signal, freeze, update, finish, clear, recover
    }

    /// What comes of a start.
    enum Course: CaseIterable {
        case runs
        /// The set-up goes on until the test says so.
        case waits
        case failsInSetUp
    }

    private struct State {
        var processes: [Int64: FakeProcess] = [:]
        var held: Set<Call> = []
        var failing: [Call: Int] = [:]
        var courses: [Course] = []
        var violations: [String] = []
        var isSilent = false
        var calls: [Call: Int] = [:]
        var costs: [SandboxCost] = []
    }

    private let state = Locked(State())
    /// Where the folders of sandboxes are.
    let folder: Folder

    init() throws {
        folder = try Folder()
    }

    func folder(of number: Int64) -> SandboxFolder {
        SandboxFolder("\(folder.path)/\(number)")
    }

    // MARK: - For tests

    /// Calls of this kind wait until they are released.
    func hold(_ call: Call) { state.with { _ = $0.held.insert(call) } }

    func release(_ call: Call) {
        state.with { _ = $0.held.remove(call) }
        state.signalAll()
    }

    func releaseAll() { for call in Call.allCases { release(call) } }
    var isHolding: Bool { state.with { !$0.held.isEmpty } }
    /// The next calls of this kind fail.
    func fail(_ call: Call, times: Int = 1) { state.with { $0.failing[call, default: 0] += times } }
    func failNothing() { state.with { $0.failing = [:] } }
    /// The next starts take these courses; later ones run.
    func plan(_ courses: [Course]) { state.with { $0.courses += courses } }
    /// From now on nothing tells an agent of what is reported to it, but for ends.
    func keepSilent() { state.with { $0.isSilent = true } }
    var isSilent: Bool { state.with { $0.isSilent } }
    /// What the next sandboxes cost; later ones cannot tell.
    func plan(_ costs: [SandboxCost]) { state.with { $0.costs += costs } }
    func nextCost() -> SandboxCost? {
        state.with { $0.costs.isEmpty ? nil : $0.costs.removeFirst() }
    }
    /// How many calls have begun.
    func count(_ call: Call) -> Int { state.with { $0.calls[call] ?? 0 } }
    func waitFor(_ call: Call, count: Int) {
        state.wait { ($0.calls[call] ?? 0) >= count ? () : nil }
    }
    var violations: [String] { state.with { $0.violations } }
    /// By their numbers: those whose cgroup is there.
    var processes: [Int64: FakeProcess] { state.with { $0.processes } }

    // MARK: - For the engine

    func begin(_ call: Call) throws(SandboxError) {
        state.with { $0.calls[call, default: 0] += 1 }
        state.signalAll()
        let fails = state.wait { state -> Bool? in
            if state.held.contains(call) { return nil }
            guard let count = state.failing[call], count > 0 else { return false }
            state.failing[call] = count - 1
            return true
        }
        if fails { throw SandboxError(.setUpFailed, "\(call) was made to fail") }
    }

    func nextCourse() -> Course {
        state.with { $0.courses.isEmpty ? .runs : $0.courses.removeFirst() }
    }

    func note(_ violation: String) { state.with { $0.violations.append(violation) } }
    func process(_ number: Int64) -> FakeProcess? { state.with { $0.processes[number] } }

    func add(_ process: FakeProcess) {
        let previous = state.with { $0.processes.updateValue(process, forKey: process.number) }
        if previous != nil { note("\(process.number) was given twice") }
    }

    func remove(_ number: Int64) { state.with { _ = $0.processes.removeValue(forKey: number) } }
}

/// The processes of one sandbox, with what the kernel and alcove-init tell of them.
final class FakeProcess: Sendable {
    enum Phase: Equatable {
        case settingUp, running
        case failed
        case ended(code: Int32)
        case killed
        case outOfMemory
    }

    private struct State {
        var phase = Phase.settingUp
        var isFrozen = false
        var ignoresSignals = false
        /// Sent while it was frozen.
        var hasSignal = false
        var limits = Limits()
    }

    let number: Int64
    private let state = Locked(State())
    private let folder: SandboxFolder
    private let reports: EventCounter
    private let end: EventCounter

    init(_ order: Int64, folder: SandboxFolder, limits: Limits) throws(SystemCallError) {
        number = order
        self.folder = folder
        reports = try EventCounter()
        end = try EventCounter()
        state.with { $0.limits = limits }
    }

    var phase: Phase { state.with { $0.phase } }
    var isFrozen: Bool { state.with { $0.isFrozen } }
    var limits: Limits { state.with { $0.limits } }
    var reportDescriptor: Int32 { reports.descriptor.rawValue }
    var processDescriptor: Int32 { end.descriptor.rawValue }
    var hasEnded: Bool { phase != .settingUp && phase != .running }
    func clearReports() { reports.clear() }

    /// The workload begins to run.
    func run() {
        guard move(from: [.settingUp], to: .running) else { return }
        reports.signal()
    }

    func failInSetUp() { finish(from: [.settingUp], .failed) }
    func exit(code: Int32) { finish(from: [.running], .ended(code: code)) }
    func kill() { finish(from: [.settingUp, .running], .killed) }
    func runOutOfMemory() { finish(from: [.running], .outOfMemory) }
    func ignoreSignals() { state.with { $0.ignoresSignals = true } }

    func signal() {
        let ends = state.with { state in
            if state.isFrozen {
                state.hasSignal = true
                return false
            }
            return !state.ignoresSignals && state.phase == .running
        }
        if ends { finish(from: [.running], .killed) }
    }

    func setFrozen(_ frozen: Bool) {
        let isSignaled = state.with { state in
            state.isFrozen = frozen
            guard !frozen, state.hasSignal else { return false }
            state.hasSignal = false
            return true
        }
        if isSignaled { signal() }
    }

    func set(_ limits: Limits) { state.with { $0.limits = limits.over($0.limits) } }

    private func move(from: [Phase], to phase: Phase) -> Bool {
        let moved = state.with { state in
            guard from.contains(state.phase) else { return false }
            state.phase = phase
            return true
        }
        guard moved else { return false }
        // Its report stays in its folder, when the rest is gone.
        try? Data("\(phase)".utf8).write(to: URL(fileURLWithPath: folder.path + "/report"))
        return true
    }

    private func finish(from: [Phase], _ phase: Phase) {
        guard move(from: from, to: phase) else { return }
        reports.signal()
        end.signal()
    }

    static func outcome(_ phase: Phase, isTimedOut: Bool = false) -> SandboxOutcome {
        let ending: SandboxOutcome.Ending =
            switch phase {
            case .settingUp, .running, .failed:
                .failed(SandboxError(.setUpFailed, "its set-up failed"))
            case .ended(let code): .ended(.exited(code: code))
            case .outOfMemory: .outOfMemory
            case .killed: isTimedOut ? .timedOut : .ended(.signaled(number: 9, name: "SIGKILL"))
            }
        return SandboxOutcome(
            ending: ending,
            usage: .init(userMicroseconds: 1, systemMicroseconds: 1, peakResidentKilobytes: 1),
            limits: [], timeline: [])
    }
}
