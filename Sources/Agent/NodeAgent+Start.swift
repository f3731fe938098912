internal import AgentAPI
internal import AgentOperations
internal import Jail
internal import LinuxKernel
internal import RPC
internal import SandboxModel

extension NodeAgent {
    /// Starts a created sandbox; done when its workload runs. Whoever calls while a start goes on
    /// waits for the same one.
    ///
    /// - Returns: an action for one who no longer waits.
    @discardableResult
    func start(
        _ managed: ManagedSandbox, deadline: UInt64?,
        then done: @escaping (Result<Void, CallFailure>) -> Void
    ) -> () -> Void {
        switch SandboxLifecycle.decide(.startRequested, in: managed.state) {
        case .deny(let denial):
            done(.failure(.denied(managed, denial)))
            return {}
        case .ignore:
            guard managed.state == .starting else {
                done(.success(()))
                return {}
            }
        case .accept: break
        }
        let token = managed.onStarted.add(done)
        if managed.state == .created, !gate.contains(managed.id) {
            enterGate(managed, deadline: deadline)
        }
        return { managed.onStarted.remove(token) }
    }

    // MARK: - The gate

    private func enterGate(_ managed: ManagedSandbox, deadline: UInt64?) {
        let now = MonotonicClock.nanoseconds
        // Where nothing may wait, what need not wait goes on all the same.
        let limit = MonotonicClock.nanoseconds(
            after: max(settings.startQueueTimeout, .milliseconds(1)))
        managed.startRequestedAt = now
        switch gate.request(managed.id, at: now, deadline: min(deadline ?? limit, limit)) {
        case .go: begin(managed)
        case .queued: armGate()
        case .full:
            metrics.startResults.add(1, .refused)
            settleStart(
                managed,
                .failure(
                    .startsBusy(
                        "\(settings.startsInFlight) starts are going on and"
                            + " \(settings.startsQueued) wait",
                        hint: "try again in a moment")))
        case .late:
            metrics.startResults.add(1, .expired)
            settleStart(managed, .failure(.startsLate))
        }
        capacityChanged()
    }

    /// A start has come to its end, whichever: the next may begin.
    func leaveGate(_ managed: ManagedSandbox) {
        guard gate.contains(managed.id) else { return }
        if gate.withdraw(managed.id) {
            metrics.startResults.add(1, .abandoned)
            armGate()
        } else {
            follow(gate.finish(managed.id, at: MonotonicClock.nanoseconds))
        }
        capacityChanged()
    }

    /// Begins what may begin, and refuses what has waited too long.
    func follow(_ progress: StartGate<String>.Progress) {
        for id in progress.expired {
            guard let managed = registry[id] else { continue }
            metrics.startResults.add(1, .expired)
            settleStart(managed, .failure(.startsLate))
        }
        startable += progress.started
        // One that fails at once lets the next one in: they begin here, not each inside the one
        // before.
        guard !isBeginning else { return }
        isBeginning = true
        while !startable.isEmpty {
            let ids = startable
            startable = []
            for id in ids {
                if let managed = registry[id] { begin(managed) }
            }
        }
        isBeginning = false
        armGate()
    }

    private func armGate() {
        if let gateTimer { loop.cancel(gateTimer) }
        gateTimer = gate.nextDeadline.map { deadline in
            loop.schedule(at: deadline) { [self] in
                gateTimer = nil
                follow(gate.advance(at: MonotonicClock.nanoseconds))
            }
        }
    }

    // MARK: - The start

    private func begin(_ managed: ManagedSandbox) {
        managed.startBegunAt = MonotonicClock.nanoseconds
        do throws(CallFailure) {
            // After a restart of the agent nothing is laid out, and the image may be another one.
            if managed.prepared == nil {
                managed.spec = try resolvedAgain(managed.sandbox)
            }
            try reserveSlot(for: managed)
            try request(.startRequested, of: managed)
        } catch {
            cancelSlot(of: managed)
            metrics.startResults.add(1, .failed)
            settleStart(managed, .failure(error))
        }
    }

    func launch(_ managed: ManagedSandbox) {
        managed.startWrittenAt = MonotonicClock.nanoseconds
        steps.reached(.startWritten)
        let order = order(for: managed)
        let engine = managed.engine
        let prepared = managed.prepared.take()
        let network = managed.network.take()
        managed.isSpawning = true
        guard prepared == nil, order.spec.scratchPlace == .disk else {
            return spawn(managed) { () throws(SandboxError) in
                if let prepared { return try prepared.start(network) }
                return try engine.prepare(order).start(network)
            }
        }
        layOutOnDisk(managed, isBounded: false) { [self] result in
            spawn(managed) { () throws(SandboxError) in try result.get().start(network) }
        }
    }

    private func spawn(
        _ managed: ManagedSandbox,
        _ start: @escaping @Sendable () throws(SandboxError) -> any EngineSandbox
    ) {
        offload(for: managed, to: spawner) { () throws(SandboxError) in
            try start()
        } then: { [self] (result: Result<any EngineSandbox, SandboxError>) in
            managed.isSpawning = false
            steps.reached(.startSpawned)
            switch result {
            case .success(let running):
                attach(running, to: managed)
                settleNetwork(of: managed)
            case .failure(let error):
                managed.mayHaveRemains = true
                noteEnd(of: managed, .failed(error))
            }
        }
    }

    /// Watches a sandbox that was started or adopted.
    func attach(_ running: any EngineSandbox, to managed: ManagedSandbox) {
        managed.running = running
        managed.sandbox.pid = UInt32(clamping: running.pid)
        do throws(SystemCallError) {
            if let descriptor = running.reportDescriptor {
                managed.reportWatch = try loop.watch(descriptor, for: .readable) { [self] _ in
                    collectReport(of: managed)
                }
            }
            managed.endWatch = try loop.watch(running.processDescriptor, for: .readable) {
                [self] _ in clearAway(managed)
            }
        } catch {
            endUnwatched(managed, running)
        }
        if managed.diesWhenAttached { try? running.kill() }
    }

    /// Without a place in the set of descriptors its end would go unseen.
    private func endUnwatched(_ managed: ManagedSandbox, _ running: any EngineSandbox) {
        try? running.kill()
        // It may take long, as the kernel ends what it can.
        offload(to: workers, isBounded: false) { () throws(SandboxError) in
            var interests = [Readiness.Interest(running.processDescriptor)]
            try? Readiness.wait(for: &interests)
        } then: { [self] _ in
            clearAway(managed)
        }
    }

    func collectReport(of managed: ManagedSandbox) {
        guard let running = managed.running else { return }
        running.collect()
        if case .started = running.progress, managed.sandbox.startedAtNanoseconds == 0 {
            noteStarted(managed, running)
        }
        // Whoever has nothing more to report is not watched for it.
        if running.reportDescriptor == nil { stopWatchingReport(managed) }
    }

    func stopWatchingReport(_ managed: ManagedSandbox) {
        managed.reportWatch?.cancel()
        managed.reportWatch = nil
    }

    private func noteStarted(_ managed: ManagedSandbox, _ running: any EngineSandbox) {
        steps.reached(.startRunning)
        managed.sandbox.startedAtNanoseconds = WallClock.nanoseconds
        managed.timeline = running.timeline
        countStart(of: managed)
        note(.started, of: managed)
        // Nor does one that was asked to stop meanwhile hold others up for its grace.
        leaveGate(managed)
        steps.reached(.startRunningWritten)
        armTimeout(managed)
        measureLater(managed)
    }

    /// Ends the sandbox when its time is over, counted from when its workload began to run.
    func armTimeout(_ managed: ManagedSandbox) {
        guard let timeout = managed.spec.timeout else { return }
        let elapsed = max(0, WallClock.nanoseconds - managed.sandbox.startedAtNanoseconds)
        let left = timeout - .nanoseconds(elapsed)
        managed.timeoutTimer = loop.schedule(after: max(left, .zero)) { [self] in
            managed.timeoutTimer = nil
            // One that has ended by itself just before is told so.
            guard !managed.isFinishing else { return }
            managed.running?.markTimedOut()
            note(.stopRequested(atOnce: false), of: managed)
        }
    }

    // MARK: - The end

    /// Its first process has ended: takes the outcome and removes what it was made of.
    private func clearAway(_ managed: ManagedSandbox) {
        guard let running = managed.running, !managed.isFinishing else { return }
        managed.isFinishing = true
        managed.endWatch?.cancel()
        managed.endWatch = nil
        // What was reported last, the start among it.
        collectReport(of: managed)
        stopWatchingReport(managed)
        steps.reached(.stopEnded)
        offload(for: managed, to: undertakers) { () throws(SandboxError) in
            try running.finish()
        } then: { [self] result in
            steps.reached(.stopCleared)
            managed.running = nil
            managed.isFinishing = false
            // Until the outcome is written down, what it can be told from stays.
            managed.mayHaveRemains = true
            switch result {
            case .success(let outcome?): noteEnd(of: managed, outcome)
            case .success(nil): noteEnd(of: managed, .failed("it ended and left no word of how"))
            case .failure(let error): noteEnd(of: managed, .failed(error))
            }
        }
    }

    /// Takes in that nothing of a sandbox runs any more.
    ///
    /// - Parameter isRecovered: it was found out after a restart of the agent.
    func noteEnd(
        of managed: ManagedSandbox, _ outcome: SandboxOutcome, isRecovered: Bool = false
    ) {
        for timer in [managed.graceTimer, managed.timeoutTimer, managed.signalRetry] {
            if let timer { loop.cancel(timer) }
        }
        managed.graceTimer = nil
        managed.timeoutTimer = nil
        managed.signalRetry = nil
        managed.timeline = []
        countEnd(of: managed, outcome)
        managed.sandbox.outcome = AgentAPI.Outcome(outcome)
        switch (isRecovered, outcome.isFailure) {
        case (false, false): note(.ended, of: managed)
        case (false, true): note(.startFailed, of: managed)
        case (true, false): note(.recoveredEnded, of: managed)
        case (true, true): note(.recoveredFailed, of: managed)
        }
        steps.reached(.stopEndWritten)
    }
}
