internal import AgentAPI
internal import AgentOperations
internal import Jail
internal import LinuxKernel
internal import ProtocolBuffers
internal import RPC
internal import SandboxModel
internal import Store

/// What an agent does first: takes over what an earlier one left, however that one ended.
///
/// For each sandbox in the record its engine says what is there of it, and the lifecycle says what
/// that means: what runs is adopted, what ended while nobody looked gets its outcome, what was half
/// done is done to its end or taken back. Then all that belongs to no sandbox is removed. No call
/// is answered before.
extension NodeAgent {
    func recover() throws(AgentError) {
        let records: [StoredRecord]
        let removals: Set<String>
        do throws(StoreError) {
            records = try journal.store.records(of: .sandbox)
            removals = Set(try journal.store.records(of: .removal).map(\.id))
        } catch {
            throw AgentError(error)
        }
        for record in records { try restore(record, removes: removals.contains(record.id)) }
        for managed in registry.all { recover(managed) }
        removeOrphans()
        journal.record { change in
            change.add(.agentStarted(.init(version: AgentVersion.current)))
        }
        restoreDrain()
    }

    private func restore(_ record: StoredRecord, removes: Bool) throws(AgentError) {
        let sandbox: AgentAPI.Sandbox
        let spec: SandboxModel.SandboxSpec
        do {
            sandbox = try AgentAPI.Sandbox(decoding: record.bytes)
            spec = try resolved(sandbox.spec ?? AgentAPI.SandboxSpec())
        } catch {
            throw AgentError(
                "the record of sandbox `\(record.id)` cannot be read: \(error)",
                hint: "set the record aside by `alcoved --set-record-aside`")
        }
        guard let kind = sandbox.isolation.model, let engine = engines[kind],
            let state = SandboxLifecycle.State(sandbox.state)
        else {
            throw AgentError(
                "sandbox `\(record.id)` is of a kind that this agent does not have",
                hint: "start the agent that made it")
        }
        let managed = ManagedSandbox(
            number: record.number, sandbox: sandbox, spec: spec, engine: engine,
            lifecycle: SandboxLifecycle(removes ? .stopping(removes: true) : state))
        managed.isCreated = true
        registry.insert(managed)
        // What it holds it holds, even if less is allowed by now.
        if managed.state.holdsReservation {
            _ = admission.adopt(request(of: spec.limits, on: engine), for: managed.id)
        }
    }

    private func recover(_ managed: ManagedSandbox) {
        managed.mayHaveRemains = true
        guard managed.state.isLive else { return note(.recoveredNothing, of: managed) }
        let found: EngineRecovery
        do throws(SandboxError) {
            found = try managed.engine.recover(order(for: managed))
        } catch {
            found = .ended(.failed(error))
        }
        switch found {
        case .running(let running): adopt(running, as: managed)
        case .ended(let outcome): noteEnd(of: managed, outcome, isRecovered: true)
        case .neverStarted: takeBack(managed)
        }
    }

    private func adopt(_ running: any EngineSandbox, as managed: ManagedSandbox) {
        if managed.sandbox.startedAtNanoseconds == 0 {
            managed.sandbox.startedAtNanoseconds = WallClock.nanoseconds
        }
        managed.mayHaveRemains = false
        managed.found = running
        note(running.isFrozen ? .recoveredPaused : .recoveredRunning, of: managed)
        journal.record { draft in
            draft.put(managed, removes: managed.state == .stopping(removes: true))
            draft.add(.adopted(.init(state: managed.sandbox.state)), of: managed.id)
        }
        armTimeout(managed)
        log.info(
            "a running sandbox was adopted",
            ["sandbox.id": .text(managed.id)])
    }

    /// Nothing of it runs: its start is taken back, or its stop has nothing left to do.
    private func takeBack(_ managed: ManagedSandbox) {
        if managed.state == .starting {
            journal.record { draft in
                draft.add(.undone(.init(operation: "start")), of: managed.id)
            }
        } else {
            managed.sandbox.outcome = AgentAPI.Outcome(
                .failed("nothing of it was there when the agent started again"))
        }
        note(.recoveredNothing, of: managed)
    }

    private func removeOrphans() {
        let numbers = Set(registry.all.map(\.number))
        for engine in engines.values {
            do throws(SandboxError) {
                for orphan in try engine.removeOrphans(keeping: numbers) {
                    log.info(
                        "what belonged to no sandbox was removed",
                        [
                            "orphan.kind": .text(orphan.kind),
                            "orphan.name": .text(orphan.name),
                        ])
                    journal.record { change in
                        change.add(.orphanRemoved(.init(kind: orphan.kind, name: orphan.name)))
                    }
                }
            } catch {
                log.error(
                    "what belongs to no sandbox cannot be removed", ["error": LogValue(error)])
            }
        }
    }
}
