import SandboxModel
import Testing

@Suite struct SandboxLifecycleTests {
    typealias State = SandboxLifecycle.State
    typealias Event = SandboxLifecycle.Event

    /// Every pair of a state and an event, with what is decided.
    private static let pairs = State.all.flatMap { state in
        Event.all.map { event in
            (state: state, event: event, decision: SandboxLifecycle.decide(event, in: state))
        }
    }

    private static let requests: Set<Event> = [
        .startRequested, .pauseRequested, .resumeRequested, .stopRequested(atOnce: false),
        .stopRequested(atOnce: true), .deleteRequested(force: false),
        .deleteRequested(force: true),
    ]
    private static let recoveries: Set<Event> = [
        .recoveredRunning, .recoveredPaused, .recoveredEnded, .recoveredFailed, .recoveredNothing,
    ]

    /// Feeds events in; nothing where one was not accepted.
    private func path(_ events: [Event]) -> [State?] {
        var lifecycle = SandboxLifecycle()
        return events.map { event in
            guard case .accept(let state, _) = lifecycle.handle(event) else { return nil }
            return state
        }
    }

    @Test("a life goes from created to removed")
    func life() {
        let events: [Event] = [
            .startRequested, .started, .pauseRequested, .paused, .resumeRequested, .resumed,
            .stopRequested(atOnce: false), .graceOver, .ended, .deleteRequested(force: false),
        ]
        #expect(
            path(events) == [
                .starting, .running, .running, .paused, .paused, .running,
                .stopping(removes: false), .stopping(removes: false), .stopped, .removing,
            ])
    }

    @Test("what a restart of the agent finds decides what becomes of what was under way")
    func recovery() {
        let expected: [(State, Event, State)] = [
            (.created, .recoveredNothing, .created),
            (.starting, .recoveredNothing, .created), (.starting, .recoveredRunning, .running),
            (.starting, .recoveredEnded, .stopped), (.starting, .recoveredFailed, .failed),
            (.running, .recoveredRunning, .running), (.running, .recoveredPaused, .paused),
            (.running, .recoveredEnded, .stopped), (.running, .recoveredNothing, .failed),
            (.paused, .recoveredRunning, .running), (.paused, .recoveredPaused, .paused),
            (.stopping(removes: false), .recoveredRunning, .stopping(removes: false)),
            (.stopping(removes: false), .recoveredEnded, .stopped),
            (.stopping(removes: false), .recoveredNothing, .failed),
            (.stopping(removes: true), .recoveredRunning, .stopping(removes: true)),
            (.stopping(removes: true), .recoveredEnded, .removing),
            (.stopped, .recoveredEnded, .stopped), (.failed, .recoveredNothing, .failed),
            (.removing, .recoveredNothing, .removing),
        ]
        for (state, event, next) in expected {
            var lifecycle = SandboxLifecycle(state)
            _ = lifecycle.handle(event)
            #expect(lifecycle.state == next, "\(event) in \(state)")
        }
    }

    @Test("requests that do not fit are denied with a reason, and reports never")
    func denials() {
        for (state, event, decision) in Self.pairs {
            guard case .deny(let denial) = decision else { continue }
            #expect(Self.requests.contains(event), "\(event) in \(state)")
            #expect(!denial.rawValue.isEmpty && denial.hint != "")
        }
        #expect(SandboxLifecycle.decide(.startRequested, in: .stopped) == .deny(.hasEnded))
        #expect(SandboxLifecycle.decide(.pauseRequested, in: .created) == .deny(.notStarted))
        #expect(SandboxLifecycle.decide(.startRequested, in: .paused) == .deny(.isPaused))
        #expect(
            SandboxLifecycle.decide(.deleteRequested(force: false), in: .running)
                == .deny(.isRunning))
        let used = Set(
            Self.pairs.compactMap {
                if case .deny(let denial) = $0.decision { denial } else { nil }
            })
        #expect(used == Set(SandboxLifecycle.Denial.allCases))
    }

    @Test("what was found at a restart is always acted on")
    func recoveriesAreAccepted() {
        for (state, event, decision) in Self.pairs where Self.recoveries.contains(event) {
            guard case .accept(let next, let actions) = decision else {
                Issue.record("\(event) in \(state) is \(decision)")
                continue
            }
            // What is still there is taken over, or cleared away.
            #expect(actions.contains(next.isLive ? .adopt : .clear), "\(event) in \(state)")
        }
    }

    @Test("what has ended does not come back, and only removal follows")
    func ended() {
        for (state, event, decision) in Self.pairs where state.hasEnded {
            guard case .accept(let next, _) = decision else { continue }
            #expect(next == state || next == .removing, "\(event) in \(state)")
        }
    }

    @Test("room is given back exactly when the state stops to hold it")
    func room() {
        for (state, event, decision) in Self.pairs {
            guard case .accept(let next, let actions) = decision else { continue }
            let isGiven = state.holdsReservation && !next.holdsReservation
            if isGiven { #expect(actions.contains(.release), "\(event) in \(state)") }
            if next.holdsReservation { #expect(!actions.contains(.release)) }
            // Whatever comes after `remove` would have nothing to act on.
            #expect(!actions.dropLast().contains(.remove))
            if actions.contains(.remove) { #expect(next == .removing) }
        }
    }

    @Test("each state but the first is reached from it")
    func reachable() {
        var reached: Set<State> = [.created]
        var isGrowing = true
        while isGrowing {
            let next = Self.pairs.compactMap { pair -> State? in
                guard reached.contains(pair.state), case .accept(let next, _) = pair.decision
                else { return nil }
                return next
            }
            isGrowing = !reached.isSuperset(of: next)
            reached.formUnion(next)
        }
        #expect(reached == Set(State.all))
        #expect(Set(State.all).count == State.all.count)
        #expect(Set(Event.all).count == Event.all.count)
    }
}
