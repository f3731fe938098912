internal import AgentAPI
internal import AgentOperations
internal import HostNetwork
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
    /// What some sandboxes have beside their record, by their ids.
    private struct RecordsBeside {
        let removals: [String: [UInt8]]
        let limitChanges: [String: [UInt8]]
        let requested: [String: [UInt8]]
    }

    func recover() throws(AgentError) {
        // Before anything reserves.
        restoreOverheads()
        try restoreImages()
        try takeOverUnknown()
        let beside = RecordsBeside(
            removals: try table(of: .removal), limitChanges: try table(of: .limitChange),
            requested: try table(of: .requested))
        for record in try records(of: .sandbox) { try restore(record, beside) }
        restoreHolds()
        try restoreVPCs()
        try openNetworks()
        for managed in registry.all {
            recover(managed)
            finishLimitChange(of: managed)
        }
        removeOrphans()
        journal.record { change in
            change.add(.agentStarted(.init(version: AgentVersion.current)))
        }
        restoreDrain()
    }

    private func records(of kind: RecordKind) throws(AgentError) -> [StoredRecord] {
        do throws(StoreError) {
            return try journal.store.records(of: kind)
        } catch {
            throw AgentError(error)
        }
    }

    private func table(of kind: RecordKind) throws(AgentError) -> [String: [UInt8]] {
        var table: [String: [UInt8]] = [:]
        for record in try records(of: kind) { table[record.id] = record.bytes }
        return table
    }

    private func restoreImages() throws(AgentError) {
        for record in try records(of: .image) {
            do throws(WireError) {
                var image = try Image(decoding: record.bytes)
                image.kind = .directory
                image.names = [image.name]
                images.insert(image)
            } catch {
                throw Self.unreadable("image", record, error)
            }
        }
        restoreStoredImages()
    }

    private func restoreVPCs() throws(AgentError) {
        for record in try records(of: .vpc) {
            do {
                let vpc = try NodeVPC(decoding: record.bytes)
                vpcs[vpc.id] = JoinedVPC(number: try VPCNumber(recorded: record.number), vpc: vpc)
            } catch {
                throw Self.unreadable("VPC", record, error)
            }
        }
    }

    private static func unreadable(
        _ what: String, _ record: StoredRecord, _ error: any Error
    ) -> AgentError {
        AgentError(
            "the record of \(what) `\(record.id)` cannot be read: \(error)",
            hint: AgentError.setAside, kind: .recordUnusable)
    }

    private func restore(
        _ record: StoredRecord, _ beside: RecordsBeside
    ) throws(AgentError) {
        let removes = beside.removals[record.id] != nil
        let sandbox: AgentAPI.Sandbox
        let spec: SandboxModel.SandboxSpec
        let requested: AgentAPI.SandboxSpec?
        let limitChange: LimitChange?
        do {
            sandbox = try AgentAPI.Sandbox(decoding: record.bytes)
            spec = try restored(sandbox)
            requested = try beside.requested[record.id].map {
                try AgentAPI.SandboxSpec(decoding: $0)
            }
            limitChange = try beside.limitChanges[record.id].map {
                try LimitChange(decoding: $0)
            }
        } catch {
            throw Self.unreadable("sandbox", record, error)
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
            lifecycle: SandboxLifecycle(removes ? .stopping(removes: true) : state),
            requested: requested)
        managed.limitChange = limitChange
        managed.isCreated = true
        managed.source = source(of: sandbox)
        registry.insert(managed)
        useImages(of: managed)
        // What it holds it holds, even if less is allowed by now.
        if managed.state.holdsReservation {
            _ = admission.adopt(reservation(ofRestored: managed), for: managed.id)
        }
    }

    /// The specification of one that was created, also where its image is gone or has no such user
    /// any more. It matters for a start alone, which looks again.
    private func restored(
        _ sandbox: AgentAPI.Sandbox
    ) throws(CallFailure) -> SandboxModel.SandboxSpec {
        if let spec = try? resolvedAgain(sandbox) { return spec }
        let wanted = sandbox.spec ?? AgentAPI.SandboxSpec()
        var spec = try wanted.model { _ in Self.nobody }
        if let directory = try? images.directory(of: wanted.image) { spec.image = directory }
        return spec
    }

    static let nobody = SandboxModel.SandboxSpec.User(user: 65534, group: 65534)

    private func recover(_ managed: ManagedSandbox) {
        managed.mayHaveRemains = true
        guard managed.state.isLive else { return note(.recoveredNothing, of: managed) }
        let found: EngineRecovery
        do throws(SandboxError) {
            found = try managed.engine.recover(order(for: managed))
        } catch {
            found = .ended(.failed(error))
        }
        metrics.recovered.add(1, RecoveryResult(found, in: managed.state))
        switch found {
        case .running(let running): adopt(running, as: managed)
        case .ended(let outcome): noteEnd(of: managed, outcome, isRecovered: true)
        case .neverStarted: takeBack(managed)
        }
    }

    private func adopt(_ running: any EngineSandbox, as managed: ManagedSandbox) {
        managed.mayHaveRemains = false
        if managed.state == .starting, running.progress == .settingUp,
            running.reportDescriptor != nil
        {
            // Its start goes on. Where nothing would tell, it counts as running.
            attach(running, to: managed)
        } else {
            noteRecovered(running, as: managed)
        }
        journal.record { draft in
            draft.put(managed, removes: managed.state == .stopping(removes: true))
            draft.add(.adopted(.init(state: managed.sandbox.state)), of: managed.id)
        }
    }

    private func noteRecovered(_ running: any EngineSandbox, as managed: ManagedSandbox) {
        if managed.sandbox.startedAtNanoseconds == 0 {
            managed.sandbox.startedAtNanoseconds = WallClock.nanoseconds
        }
        managed.found = running
        note(running.isFrozen ? .recoveredPaused : .recoveredRunning, of: managed)
        armTimeout(managed)
        measureLater(managed)
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
            let outcome = SandboxOutcome.failed(
                "nothing of it was there when the agent started again")
            countEnd(of: managed, outcome)
            managed.sandbox.outcome = AgentAPI.Outcome(outcome)
        }
        note(.recoveredNothing, of: managed)
    }

    private func removeOrphans() {
        let numbers = Set(registry.all.map(\.number))
        for engine in engines.values {
            do throws(SandboxError) {
                for orphan in try engine.removeOrphans(keeping: numbers) {
                    metrics.recovered.add(1, .removed)
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
