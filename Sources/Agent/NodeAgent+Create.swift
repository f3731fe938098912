internal import AgentAPI
internal import AgentOperations
internal import Jail
internal import LinuxKernel
internal import ProtocolBuffers
internal import RPC
internal import SandboxModel

/// What came of a Create.
struct Creation {
    let managed: ManagedSandbox
    let existed: Bool

    var sandbox: AgentAPI.Sandbox { managed.sandbox }
}

extension NodeAgent {
    /// Reserves, prepares and writes down a sandbox. Tells whether it was there already.
    func create(
        _ id: String, _ wanted: AgentAPI.SandboxSpec,
        then done: @escaping (Result<Creation, CallFailure>) -> Void
    ) {
        do throws(CallFailure) {
            try Self.checkID(id)
            if let existing = registry[id] {
                return try repeatCreation(of: existing, wanted, then: done)
            }
            guard drain == nil else { throw .draining }
            try Self.checkSize(of: wanted)
        } catch {
            return done(.failure(error))
        }
        find(wanted) { [self] found in create(id, wanted, of: found, then: done) }
    }

    /// Goes on once it is known what the sandbox is to be made of.
    private func create(
        _ id: String, _ wanted: AgentAPI.SandboxSpec, of found: Result<FoundImage, CallFailure>,
        then done: @escaping (Result<Creation, CallFailure>) -> Void
    ) {
        do throws(CallFailure) {
            let found = try found.get()
            // Somebody else may have asked for it meanwhile.
            if let existing = registry[id] {
                return try repeatCreation(of: existing, wanted, then: done)
            }
            let managed = try admit(id, wanted, found)
            managed.onCreated.add { result in
                done(result.map { Creation(managed: managed, existed: false) })
            }
            prepare(managed)
        } catch {
            done(.failure(error))
        }
    }

    /// The same id again: it is the same sandbox when the specification is the same.
    private func repeatCreation(
        of existing: ManagedSandbox, _ wanted: AgentAPI.SandboxSpec,
        then done: @escaping (Result<Creation, CallFailure>) -> Void
    ) throws(CallFailure) {
        guard existing.state != .removing, existing.state != .stopping(removes: true) else {
            throw CallFailure(
                .aborted, reason: "being_removed", "sandbox `\(existing.id)` is being removed",
                hint: "try again when it is gone: a second Delete answers then")
        }
        guard existing.requested == wanted else {
            throw CallFailure(
                .alreadyExists, reason: "already_exists",
                "sandbox `\(existing.id)` exists with another specification",
                hint: "choose another id, or delete that sandbox first")
        }
        guard !existing.isCreated else {
            return done(.success(Creation(managed: existing, existed: true)))
        }
        existing.onCreated.add { result in
            done(result.map { Creation(managed: existing, existed: true) })
        }
    }

    /// Checks what can be checked here, and reserves. Nothing has been made when it throws.
    private func admit(
        _ id: String, _ wanted: AgentAPI.SandboxSpec, _ found: FoundImage
    ) throws(CallFailure) -> ManagedSandbox {
        guard drain == nil else { throw .draining }
        let (spec, told) = try resolved(wanted, found)
        let engine = try engine(for: wanted.isolation)
        try checkNetwork(of: wanted, spec)
        let request = request(of: spec, on: engine)
        if case .refused(let shortages) = admission.reserve(request, for: id) {
            throw .noRoom(shortages)
        }
        capacityChanged()
        var sandbox = AgentAPI.Sandbox(
            id: id, spec: wanted, state: .created, isolation: AgentAPI.IsolationKind(engine.kind),
            createdAtNanoseconds: WallClock.nanoseconds)
        sandbox.resolved = told
        let managed = ManagedSandbox(
            number: nextNumber(), sandbox: sandbox, spec: spec, engine: engine,
            lifecycle: SandboxLifecycle())
        managed.source = source(of: sandbox)
        registry.insert(managed)
        useImages(of: managed)
        steps.reached(.createReserved)
        return managed
    }

    private func prepare(_ managed: ManagedSandbox) {
        let order = order(for: managed)
        let engine = managed.engine
        guard engine.needsTime(for: order) else { return layOut(managed) }
        offload(to: stored.depot.formatters) { () throws(SandboxError) in
            try engine.makeReady(order)
        } then: { [self] (result: Result<Void, SandboxError>) in
            switch result {
            case .success: layOut(managed)
            case .failure(let error): settlePreparation(of: managed, .failure(error))
            }
        }
    }

    private func layOut(_ managed: ManagedSandbox) {
        let order = order(for: managed)
        let engine = managed.engine
        let sandbox = managed.sandbox
        let layGround = { @Sendable (prepared: any PreparedStart) throws(SandboxError) in
            try prepared.layGround()
            try engine.folder(of: order.number).keep(sandbox.note(limits: prepared.limits))
        }
        guard order.spec.scratchPlace == .disk else {
            return offload(to: spawner) { () throws(SandboxError) -> any PreparedStart in
                let prepared = try engine.prepare(order)
                try layGround(prepared)
                return prepared
            } then: { [self] in
                settlePreparation(of: managed, $0)
            }
        }
        layOutOnDisk(managed) { [self] result in
            guard case .success(let prepared) = result else {
                return settlePreparation(of: managed, result)
            }
            offload(to: spawner, isBounded: false) { () throws(SandboxError) in
                try layGround(prepared)
            } then: { [self] laid in
                if case .failure = laid { undertakers.run { prepared.discard() } }
                settlePreparation(of: managed, laid.map { prepared })
            }
        }
    }

    /// Lays a start out whose scratch space is on the disk, which is made by another thread than
    /// that which starts sandboxes: it takes longer than some starts.
    ///
    /// - Parameter isBounded: whether too much that waits refuses it.
    func layOutOnDisk(
        _ managed: ManagedSandbox, isBounded: Bool = true,
        then next: @escaping (Result<any PreparedStart, SandboxError>) -> Void
    ) {
        let order = order(for: managed)
        let engine = managed.engine
        offload(to: spawner, isBounded: isBounded) { () throws(SandboxError) in
            try engine.prepare(order)
        } then: { [self] (result: Result<any PreparedStart, SandboxError>) in
            guard case .success(let prepared) = result else { return next(result) }
            let times = metrics.scratchTimes
            offload(to: stored.depot.formatters, isBounded: isBounded) { () throws(SandboxError) in
                let begun = MonotonicClock.nanoseconds
                try prepared.makeScratch()
                times.record(nanoseconds: MonotonicClock.nanoseconds - begun)
                return prepared
            } then: {
                next($0)
            }
        }
    }

    /// Lets go of what was laid out. With scratch space on the disk that is a file system, which
    /// takes a moment to go.
    func discardPrepared(of managed: ManagedSandbox) {
        guard let prepared = managed.prepared.take(), managed.spec.scratchPlace == .disk else {
            return
        }
        offload(for: managed, to: undertakers) { () throws(SandboxError) in
            prepared.discard()
        } then: { _ in
        }
    }

    private func settlePreparation(
        of managed: ManagedSandbox, _ result: Result<any PreparedStart, SandboxError>
    ) {
        steps.reached(.createPrepared)
        switch result {
        case .success(let prepared):
            managed.prepared = prepared
            managed.sandbox.limits = prepared.limits.map { AgentAPI.LimitStatus($0) }
            settleCreation(managed, writeDown(creationOf: managed))
        case .failure(let error):
            settleCreation(managed, .failure(CallFailure(error)))
        }
    }

    private func writeDown(creationOf managed: ManagedSandbox) -> Result<Void, CallFailure> {
        do throws(CallFailure) {
            // The drain may have begun meanwhile, and may have told that none is left.
            guard drain == nil else { throw .draining }
            try journal.commit { change in
                change.put(managed)
                change.add(
                    .created(
                        .init(spec: managed.sandbox.spec, isolation: managed.sandbox.isolation)),
                    of: managed.id)
            }
            steps.reached(.createWritten)
            return .success(())
        } catch {
            return .failure(error)
        }
    }

    private func settleCreation(_ managed: ManagedSandbox, _ result: Result<Void, CallFailure>) {
        switch result {
        case .success:
            managed.isCreated = true
        case .failure:
            registry.remove(managed)
            dropImages(of: managed)
            release(managed)
            let folder = managed.engine.folder(of: managed.number)
            offload(for: managed, to: undertakers) { () throws(SandboxError) in
                try folder.remove()
            } then: { _ in
            }
        }
        for tell in managed.onCreated.take() { tell(result) }
    }

    /// It is kept in memory and in the record, and told by events.
    private static let largestSpec = 256 << 10

    private static func checkSize(of spec: AgentAPI.SandboxSpec) throws(CallFailure) {
        let size = spec.encoded().count
        guard size <= largestSpec else {
            throw .invalid(
                "spec", "has \(size) bytes, more than \(largestSpec)",
                hint: "hand large inputs over as files of the image")
        }
    }

    /// `a-z 0-9 - _ .`, 1 to 64 of them, the first a letter or a digit.
    static func checkID(_ id: String) throws(CallFailure) {
        let bytes = Array(id.utf8)
        let isPlain = { (byte: UInt8) in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        }
        let isValid =
            (1...64).contains(bytes.count) && isPlain(bytes[0])
            && bytes.allSatisfy { isPlain($0) || "-_.".utf8.contains($0) }
        guard isValid else {
            throw CallFailure(
                .invalidArgument, reason: "invalid_request",
                "`id` is `\(id.prefix(80))`, which is no id of a sandbox",
                hint: "1 to 64 of `a-z 0-9 - _ .`, the first a letter or a digit")
        }
    }
}
