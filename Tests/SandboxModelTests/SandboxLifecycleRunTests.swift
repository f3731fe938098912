import SandboxModel
import TestSupport
import Testing

/// Drives lives at random: requests, reports, and an agent that dies between any two actions.
@Suite struct SandboxLifecycleRunTests {
    private struct Driver {
        var lifecycle = SandboxLifecycle()
        var world = SandboxWorld()

        /// Takes an event. With `dying` the agent dies after so many actions.
        mutating func take(_ event: SandboxLifecycle.Event, dyingAfter dying: Int? = nil) {
            guard case .accept(_, let actions) = lifecycle.handle(event) else { return }
            for action in actions.prefix(dying ?? .max) { world.perform(action) }
        }

        mutating func takeReport(dyingAfter dying: Int? = nil) {
            guard !world.reports.isEmpty else { return }
            take(world.reports.removeFirst(), dyingAfter: dying)
        }

        mutating func restart(_ random: inout SeededRandom) {
            // As long as the record is there, the new agent knows of it.
            if world.isRemoved { return }
            world.restart(in: lifecycle.state)
            take(world.found(&random))
        }
    }

    private static let requests: [SandboxLifecycle.Event] = [
        .startRequested, .startRequested, .pauseRequested, .resumeRequested,
        .stopRequested(atOnce: false), .stopRequested(atOnce: true),
        .deleteRequested(force: false), .deleteRequested(force: true),
    ]

    /// What holds whenever the agent waits.
    private func expectSound(_ driver: Driver, _ comment: Comment) {
        let (state, world) = (driver.lifecycle.state, driver.world)
        #expect(world.wrongs == [], comment)
        if world.isRemoved {
            #expect(!world.hasRemains && world.process == .none && !world.isReserved, comment)
            return
        }
        #expect(world.isReserved == state.holdsReservation, comment)
        if !state.isLive { #expect(world.process == .none && !world.hasRemains, comment) }
        guard world.reports.isEmpty else { return }
        let expected: [SandboxWorld.Process] =
            switch state {
            case .created, .stopped, .failed, .removing: [.none]
            case .starting: [.settingUp]
            case .running: [.running]
            case .paused: [.frozen]
            case .stopping(removes: false): [.settingUp, .running]
            case .stopping(removes: true): []
            }
        #expect(expected.contains(world.process), comment)
    }

    private func step(_ driver: inout Driver, _ random: inout SeededRandom) {
        let dying = Int.random(in: 0..<12, using: &random)
        let isDying = dying < 3
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<3:
            let request = Self.requests[.random(in: 0..<Self.requests.count, using: &random)]
            driver.take(request, dyingAfter: isDying ? dying : nil)
        case 3..<6: driver.takeReport(dyingAfter: isDying ? dying : nil)
        case 6..<9: driver.world.go(&random)
        default: driver.world.letGracePass()
        }
        if isDying { driver.restart(&random) }
    }

    @Test("any life is sound, and comes to its end", arguments: 0..<16 as Range<UInt64>)
    func anyLife(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var ends: [SandboxLifecycle.State: Int] = [:]
        for life in 0..<400 {
            let comment: Comment = "seed \(seed), life \(life)"
            var driver = Driver()
            for _ in 0..<Int.random(in: 1...40, using: &random) where !driver.world.isRemoved {
                step(&driver, &random)
                expectSound(driver, comment)
            }
            ends[driver.lifecycle.state, default: 0] += 1
            finish(&driver, &random, comment)
        }
        #expect(ends.count >= 5, "seed \(seed): the lives are too much alike, \(ends)")
    }

    /// Stops it, or takes it by force, and waits.
    private func finish(_ driver: inout Driver, _ random: inout SeededRandom, _ comment: Comment) {
        let isForced = Bool.random(using: &random)
        driver.take(isForced ? .deleteRequested(force: true) : .stopRequested(atOnce: false))
        for _ in 0..<100 where !driver.lifecycle.state.hasEnded {
            driver.takeReport()
            driver.world.go(&random)
            driver.world.letGracePass()
            expectSound(driver, comment)
        }
        #expect(driver.lifecycle.state.hasEnded, comment)
        driver.take(.deleteRequested(force: false))
        #expect(driver.world.isRemoved, comment)
        expectSound(driver, comment)
    }
}
