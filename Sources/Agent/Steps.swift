internal import LinuxKernel

/// The points of an operation between which the agent may die. Tests have it die at each, by
/// `alcoved --die-at STEP`, and look what the next one makes of it.
public enum Step: String, CaseIterable, Sendable {
    case createReserved = "create.reserved"
    case createPrepared = "create.prepared"
    case createWritten = "create.written"
    case startWritten = "start.written"
    case startSpawned = "start.spawned"
    case startRunning = "start.running"
    case startRunningWritten = "start.running-written"
    case execBegun = "exec.begun"
    case execRunning = "exec.running"
    case stopWritten = "stop.written"
    case stopSignaled = "stop.signaled"
    case stopEnded = "stop.ended"
    case stopCleared = "stop.cleared"
    case stopEndWritten = "stop.end-written"
    case deleteWritten = "delete.written"
    case deleteCleared = "delete.cleared"
}

/// Where this process dies, if anywhere.
public struct DeathAt: Sendable {
    public let step: Step
    /// At which passing of the step, from 1.
    public let occurrence: Int

    public init(step: Step, occurrence: Int) {
        self.step = step
        self.occurrence = occurrence
    }
}

/// Counts the passing of steps.
final class StepCounter: Sendable {
    private let death: DeathAt?
    private let passed = Locked(0)

    init(death: DeathAt?) {
        self.death = death
    }

    func reached(_ step: Step) {
        guard let death, death.step == step else { return }
        let count = passed.with { passed in
            passed += 1
            return passed
        }
        if count == death.occurrence { ThisProcess.killItself() }
    }
}
