internal import Jail
internal import LinuxKernel
internal import SandboxModel

/// Drives one sandbox in the foreground: passes signals on, keeps the time, and carries bytes
/// between two terminals where there are any.
struct ForegroundSession: ~Copyable {
    /// What a person or a supervisor sends to a program that is meant for the workload.
    private static let forwarded: [Signal] = [
        .hangUp, .interrupt, .quit, .user1, .user2, .terminate, .windowChange,
    ]

    private let running: RunningSandbox
    private let network: NetworkMaker?
    private let signals: SignalReader
    private let timer: Timer
    private let grace: Duration
    private let withTimeline: Bool
    /// The host's side of the sandbox's terminal.
    private let terminal: Descriptor?
    /// The settings of the host's own terminal, to be put back.
    private var settings: Terminal.Settings?
    private var inputIsOpen = true
    private var pendingInput: [UInt8] = []
    private var isStopping = false

    static func run(
        _ sandbox: PreparedSandbox, network: consuming NetworkMaker?, grace: Duration,
        withTimeline: Bool
    ) throws -> SandboxOutcome {
        // Blocked before the start, so that none is lost; the child unblocks its own.
        let signals = try SignalReader(forwarded)
        let timer = try Timer()
        let running = try sandbox.start(network: network.number)
        var session = ForegroundSession(
            running: running, network: network, signals: signals, timer: timer, grace: grace,
            withTimeline: withTimeline,
            terminal: sandbox.spec.terminal ? running.takeTerminal() : nil)
        if let timeout = sandbox.spec.timeout {
            // Zero would stop the timer.
            try session.timer.start(max(timeout, .milliseconds(1)))
        }
        guard let settings = Terminal.settings(of: 0), session.terminal.number >= 0 else {
            return try session.untilOver()
        }
        session.resize()
        session.settings = settings
        session.makeTerminalNonBlocking()
        Terminal.makeRaw(0, from: settings)
        defer { Terminal.restore(0, settings) }
        return try session.untilOver()
    }

    private init(
        running: RunningSandbox, network: consuming NetworkMaker?, signals: consuming SignalReader,
        timer: consuming Timer,
        grace: Duration, withTimeline: Bool, terminal: consuming Descriptor?
    ) {
        self.running = running
        self.network = network
        self.signals = signals
        self.timer = timer
        self.grace = grace
        self.withTimeline = withTimeline
        self.terminal = terminal
    }

    private mutating func untilOver() throws -> SandboxOutcome {
        var terminalIsOpen = terminal.number >= 0
        while true {
            // What could not be written yet waits, and so does who types.
            let isTyping = terminalIsOpen && inputIsOpen && pendingInput.isEmpty
            let isPending = terminalIsOpen && !pendingInput.isEmpty
            var interests = [
                Readiness.Interest(running.processDescriptor),
                Readiness.Interest(signals.descriptor.rawValue),
                Readiness.Interest(timer.descriptor.rawValue),
                Readiness.Interest(terminalIsOpen ? terminal.number : -1),
                Readiness.Interest(isTyping ? 0 : -1),
                Readiness.Interest(isPending ? terminal.number : -1, writing: true),
            ]
            try Readiness.wait(for: &interests)
            if interests[3].isReady, copyOutput() == .closed {
                terminalIsOpen = false
                // Nothing is passed on any more: Ctrl-C must mean this process again.
                if let settings { Terminal.restore(0, settings) }
            }
            if interests[4].isReady { takeInput() }
            if interests[4].isReady || interests[5].isReady { passInput() }
            if interests[1].isReady { try forwardSignals() }
            if interests[2].isReady { try timeIsOver() }
            if interests[0].isReady, let outcome = try running.finish(withTimeline: withTimeline) {
                // What the workload wrote last is still in the terminal.
                while terminalIsOpen { terminalIsOpen = copyOutput() == .copied }
                return outcome
            }
        }
    }

    private func forwardSignals() throws {
        for signal in signals.pending() {
            if signal == .windowChange, terminal.number >= 0 {
                resize()
            } else {
                try running.send(signal)
            }
        }
    }

    /// First asks, then ends it.
    private mutating func timeIsOver() throws {
        _ = try? timer.descriptor.read(atMost: 8)
        if isStopping {
            try running.kill()
            return
        }
        isStopping = true
        running.markTimedOut()
        try running.send(.terminate)
        try timer.start(max(grace, .milliseconds(1)))
    }

    private func makeTerminalNonBlocking() {
        switch terminal {
        case .some(let terminal): try? terminal.makeNonBlocking()
        case .none: break
        }
    }

    private func resize() {
        guard let size = Terminal.size(of: 0) else { return }
        switch terminal {
        case .some(let terminal): Terminal.setSize(size, of: terminal)
        case .none: break
        }
    }

    private enum Copying {
        case copied, nothing, closed
    }

    private func copyOutput() -> Copying {
        switch terminal {
        case .some(let terminal):
            do throws(SystemCallError) {
                let bytes = try terminal.read(atMost: 16384)
                StandardStream.output.write(bytes)
                return bytes.isEmpty ? .closed : .copied
            } catch {
                return error.errorNumber == .wouldBlock ? .nothing : .closed
            }
        case .none: return .closed
        }
    }

    private mutating func takeInput() {
        guard let bytes = StandardStream.input.read(atMost: 4096), !bytes.isEmpty else {
            inputIsOpen = false
            return
        }
        pendingInput += bytes
    }

    /// Writes what the terminal takes now: a workload that does not read must not stop the rest.
    private mutating func passInput() {
        guard !pendingInput.isEmpty else { return }
        switch terminal {
        case .some(let terminal):
            if let count = try? terminal.writeSome(pendingInput) {
                pendingInput.removeFirst(count)
            }
        case .none: pendingInput = []
        }
    }
}
