internal import KVM
internal import LinuxKernel

/// A processor of a machine and the thread that runs it.
///
///     waiting ──start──► running ⇄ paused
///                           └── stopped, or its machine ended ──► gone
final class VirtualProcessor: Sendable {
    enum Wanted {
        case running, paused, stopped
    }

    private struct State {
        var wanted = Wanted.running
        var isStarted = false
        var isPaused = false
        var isGone = false
        var thread: Int32?
        var entryTime: UInt64?
        var counters = ExitCounters()
        /// To be done on the thread while it is paused.
        var task: (@Sendable () -> Void)?
    }

    private enum Next {
        case run, stop
        case perform(@Sendable () -> Void)
    }

    /// Comes while the guest runs, to end the run.
    private static let kick = Signal.user1

    let index: Int
    private let shown: Locked<[CPUFeatures.Entry]>
    private let cpu: VirtualCPU
    private let state = Locked(State())

    init(_ cpu: consuming VirtualCPU, index: Int, features: [CPUFeatures.Entry]) {
        self.cpu = cpu
        self.index = index
        shown = Locked(features)
    }

    /// Sets the processor up, before it is started.
    func configure(
        _ body: (borrowing VirtualCPU) throws(SystemCallError) -> Void
    ) throws(SystemCallError) {
        try body(cpu)
    }

    /// What its guest is shown of it.
    var features: [CPUFeatures.Entry] { shown.with { $0 } }

    /// Becomes what another one was, before it is started.
    func load(_ saved: Snapshot.Processor) throws(ProcessorStateError) {
        do throws(SystemCallError) {
            try cpu.setFeatures(try CPUFeatures(saved.features))
        } catch {
            throw .systemCall(error)
        }
        try cpu.load(saved.state)
        shown.with { $0 = saved.features }
    }

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - first: called on that thread when nothing is left to be set up. It is paused then.
    ///   - onEnd: called on that thread when the guest ended by this processor.
    func start(
        on bus: DeviceBus, first: (@Sendable () -> Void)?,
        onEnd: @escaping @Sendable (MachineEnd) -> Void
    ) throws(SystemCallError) {
        state.with { state in
            state.isStarted = true
            if first != nil { state.wanted = .paused }
        }
        do throws(SystemCallError) {
            // Nobody joins it: it tells when it is gone.
            _ = try KernelThread(named: "vcpu-\(index)") {
                self.run(on: bus, first: first, onEnd: onEnd)
            }
        } catch {
            state.with { $0.isStarted = false }
            throw error
        }
    }

    var counters: ExitCounters { state.with { $0.counters } }

    /// When it entered the guest for the first time, on the monotonic clock.
    var entryTime: UInt64? { state.with { $0.entryTime } }

    /// Asks for something. ``wait(until:)`` tells when it is so.
    func want(_ wanted: Wanted) {
        let thread = state.with { state -> Int32? in
            state.wanted = wanted
            return state.isPaused ? nil : state.thread
        }
        if let thread { KernelThread.send(Self.kick, to: thread) }
        state.signalAll()
    }

    /// Waits until it is paused, or gone.
    func waitUntilPaused() {
        state.wait { $0.isPaused || $0.isGone ? () : nil }
    }

    /// Does something on its thread, while it is paused, and waits for that. Nil when it is gone.
    func perform<Result: Sendable>(
        _ action: @escaping @Sendable (borrowing VirtualCPU) -> Result
    ) -> Result? {
        let result = Locked<Result?>(nil)
        state.with { state in
            state.task = { result.with { $0 = action(self.cpu) } }
        }
        state.signalAll()
        state.wait { $0.task == nil || $0.isGone ? () : nil }
        return result.with { $0 }
    }

    /// Waits until its thread touches nothing any more.
    func waitUntilGone() {
        state.wait { $0.isGone || !$0.isStarted ? () : nil }
    }

    // MARK: - On its thread

    private func run(
        on bus: DeviceBus, first: (@Sendable () -> Void)?, onEnd: @Sendable (MachineEnd) -> Void
    ) {
        if let end = runToEnd(on: bus, first: first) { onEnd(end) }
        state.with {
            $0.isGone = true
            $0.thread = nil
        }
        state.signalAll()
    }

    /// How the guest ended by this processor; nil when it was told to stop.
    private func runToEnd(on bus: DeviceBus, first: (@Sendable () -> Void)?) -> MachineEnd? {
        let number = KernelThread.currentNumber
        state.with { $0.thread = number }
        do throws(SystemCallError) {
            let preparation = Result { () throws(SystemCallError) in
                try cpu.interrupt(by: Self.kick)
            }
            // In any case: somebody waits for it.
            first?()
            try preparation.get()
            guard mayGoOn() else { return nil }
            state.with { $0.entryTime = MonotonicClock.nanoseconds }
            while mayGoOn() {
                let exit = try cpu.run()
                if let end = handle(exit, on: bus) { return end }
            }
            return nil
        } catch {
            return .failed("\(error)")
        }
    }

    /// Waits while it is to be paused. False when it is to stop.
    private func mayGoOn() -> Bool {
        let wasPaused = state.with { $0.wanted == .paused }
        while true {
            switch next() {
            case .run:
                if wasPaused { cpu.tellOfPause() }
                return true
            case .stop: return false
            case .perform(let task):
                task()
                state.with { $0.task = nil }
                state.signalAll()
            }
        }
    }

    private func next() -> Next {
        state.wait { state -> Next? in
            switch state.wanted {
            case .running:
                state.isPaused = false
                return .run
            case .stopped: return .stop
            case .paused:
                if !state.isPaused {
                    state.isPaused = true
                    self.state.signalAll()
                }
                return state.task.map { .perform($0) }
            }
        }
    }

    /// Ends what the guest asked for last, on the processor's thread, so that all of the guest is
    /// in the kernel. Gives how the guest ended by that, if it did.
    func completeExits(
        of cpu: borrowing VirtualCPU, on bus: DeviceBus
    ) throws(SystemCallError) -> MachineEnd? {
        while true {
            let exit = try cpu.completeExit()
            if let end = handle(exit, on: bus) { return end }
            if exit == .interrupted { return nil }
        }
    }

    private func handle(_ exit: VirtualCPUExit, on bus: DeviceBus) -> MachineEnd? {
        state.with { $0.counters.count(exit) }
        switch exit {
        case .memory(let access):
            bus.access(access, of: cpu)
            return nil
        case .port(let access):
            return bus.access(access, of: cpu) == .reset ? .reset : nil
        case .interrupted:
            // One that is left would end the next run, too.
            while KernelThread.takePending(Self.kick) {}
            return nil
        case .halt: return nil
        case .shutdown, .systemEvent, .entryFailed, .internalError, .other:
            let place = (try? cpu.instruction()).map { " at \($0)" } ?? ""
            return exit == .shutdown ? .shutdown : .failed("\(exit)\(place)")
        }
    }
}

/// How often guests left for this process, by what for.
public struct ExitCounters: Hashable, Sendable {
    public var memory: UInt64 = 0
    public var port: UInt64 = 0
    public var interrupted: UInt64 = 0
    public var other: UInt64 = 0

    public init() {}

    mutating func count(_ exit: VirtualCPUExit) {
        switch exit {
        case .memory: memory += 1
        case .port: port += 1
        case .interrupted: interrupted += 1
        case .halt, .shutdown, .systemEvent, .entryFailed, .internalError, .other: other += 1
        }
    }

    static func + (first: ExitCounters, second: ExitCounters) -> ExitCounters {
        var sum = first
        sum.memory += second.memory
        sum.port += second.port
        sum.interrupted += second.interrupted
        sum.other += second.other
        return sum
    }
}

/// How a machine ended.
public enum MachineEnd: Hashable, Sendable {
    /// The guest asked for a reset, which is how it switches itself off.
    case reset
    /// A triple fault.
    case shutdown
    /// It could not go on.
    case failed(String)
}

extension MachineEnd: CustomStringConvertible {
    public var description: String {
        switch self {
        case .reset: "the guest reset itself"
        case .shutdown: "the guest shut down after a triple fault"
        case .failed(let reason): "the guest could not go on: \(reason)"
        }
    }
}
