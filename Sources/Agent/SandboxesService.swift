internal import AgentAPI
internal import LinuxKernel
internal import ProtocolBuffers
internal import RPC
internal import SandboxModel

/// The calls of `alcove.v1.Sandboxes`: what of the request is looked at, and what is answered.
struct SandboxesService {
    let node: NodeAgent

    var endpoints: [Endpoint] {
        [
            .unary(SandboxesMethods.create, handler: create),
            .unary(SandboxesMethods.start, handler: start),
            .unary(SandboxesMethods.stop, handler: stop),
            .unary(SandboxesMethods.delete, handler: delete),
            .answer(SandboxesMethods.get, isReadOnly: true, handler: get),
            .answer(SandboxesMethods.list, isReadOnly: true, handler: list),
            .serverStream(SandboxesMethods.watch, isReadOnly: true, handler: watch),
            .bidirectional(SandboxesMethods.exec, handler: exec),
            .serverStream(SandboxesMethods.logs, isReadOnly: true, handler: logs),
            .serverStream(SandboxesMethods.stats, isReadOnly: true, handler: stats),
            .unary(SandboxesMethods.pause, handler: pause),
            .unary(SandboxesMethods.resume, handler: resume),
            .answer(SandboxesMethods.snapshot, handler: snapshot),
            .unary(SandboxesMethods.wait, isReadOnly: true, handler: wait),
            .unary(SandboxesMethods.updateResources, handler: updateResources),
        ]
    }

    /// The sandbox of an id, if callers may know of it.
    private func find(_ id: String) throws(CallFailure) -> ManagedSandbox {
        guard let managed = node.registry[id], managed.isCreated, managed.state != .removing else {
            throw .notFound(id)
        }
        return managed
    }

    /// Finds the sandbox and goes on with it, or ends the call.
    private func with<Request: Message, Response: Message>(
        _ id: String, _ call: TypedCall<Request, Response>,
        _ action: (ManagedSandbox) throws(CallFailure) -> Void
    ) {
        do throws(CallFailure) {
            try action(try find(id))
        } catch {
            call.finish(error)
        }
    }

    /// Whoever waits for something that can take long leaves when its client does.
    private func whileWaiting<Request: Message, Response: Message>(
        _ call: TypedCall<Request, Response>, _ leave: @escaping () -> Void
    ) {
        if call.isOpen { call.onCancel { _ in leave() } }
    }

    // MARK: - Life

    private func create(
        _ request: CreateRequest, _ call: TypedCall<CreateRequest, CreateResponse>
    ) {
        guard let spec = request.spec else {
            return call.finish(.invalid("spec", "is missing"))
        }
        node.create(request.id, spec) { result in
            node.count(creation: result)
            switch result {
            case .success(let created):
                guard request.start, [.created, .starting].contains(created.managed.state) else {
                    return call.finish(
                        with: CreateResponse(sandbox: created.sandbox, existed: created.existed))
                }
                start(created, for: call)
            case .failure(let failure): call.finish(failure)
            }
        }
    }

    private func start(_ created: Creation, for call: TypedCall<CreateRequest, CreateResponse>) {
        let managed = created.managed
        let leave = node.start(managed, deadline: call.deadline) { result in
            switch result {
            case .success:
                call.finish(
                    with: CreateResponse(
                        sandbox: managed.sandbox, existed: created.existed,
                        timeline: managed.timeline.map { Moment($0) }))
            case .failure(let failure): call.finish(failure)
            }
        }
        whileWaiting(call, leave)
    }

    private func start(
        _ request: StartRequest, _ call: TypedCall<StartRequest, StartResponse>
    ) {
        with(request.id, call) { managed in
            let leave = node.start(managed, deadline: call.deadline) { result in
                switch result {
                case .success:
                    call.finish(
                        with: StartResponse(
                            sandbox: managed.sandbox,
                            timeline: managed.timeline.map { Moment($0) }))
                case .failure(let failure): call.finish(failure)
                }
            }
            whileWaiting(call, leave)
        }
    }

    private func stop(_ request: StopRequest, _ call: TypedCall<StopRequest, StopResponse>) {
        with(request.id, call) { managed throws(CallFailure) in
            let grace = request.graceNanoseconds.map { Duration.nanoseconds(Int64(clamping: $0)) }
            let signal = try request.signal.map { (number) throws(CallFailure) in
                try Self.signal(number, field: "signal")
            }
            let leave = node.stop(managed, grace: grace, signal: signal) { result in
                switch result {
                case .success: call.finish(with: StopResponse(sandbox: managed.sandbox))
                case .failure(let failure): call.finish(failure)
                }
            }
            whileWaiting(call, leave)
        }
    }

    static func signal(_ number: Int32, field: String) throws(CallFailure) -> Signal {
        guard (1...64).contains(number) else {
            throw .invalid(field, "is \(number), which is no signal", hint: "1 to 64")
        }
        return Signal(rawValue: number)
    }

    private func delete(
        _ request: DeleteRequest, _ call: TypedCall<DeleteRequest, DeleteResponse>
    ) {
        // One that is being deleted is waited for.
        guard let managed = node.registry[request.id], managed.isCreated else {
            return call.finish(.notFound(request.id))
        }
        let leave = node.delete(managed, force: request.force) { result in
            switch result {
            case .success: call.finish(with: DeleteResponse())
            case .failure(let failure): call.finish(failure)
            }
        }
        whileWaiting(call, leave)
    }

    private func pause(_ request: PauseRequest, _ call: TypedCall<PauseRequest, PauseResponse>) {
        with(request.id, call) { managed in
            node.setPaused(managed, true) { result in
                switch result {
                case .success: call.finish(with: PauseResponse(sandbox: managed.sandbox))
                case .failure(let failure): call.finish(failure)
                }
            }
        }
    }

    private func resume(
        _ request: ResumeRequest, _ call: TypedCall<ResumeRequest, ResumeResponse>
    ) {
        with(request.id, call) { managed in
            node.setPaused(managed, false) { result in
                switch result {
                case .success: call.finish(with: ResumeResponse(sandbox: managed.sandbox))
                case .failure(let failure): call.finish(failure)
                }
            }
        }
    }

    private func snapshot(_ request: SnapshotRequest) throws(CallFailure) -> SnapshotResponse {
        let managed = try find(request.id)
        throw CallFailure(
            .unimplemented, reason: "not_for_this_kind",
            "sandbox `\(managed.id)` is a \(managed.engine.kind.rawValue) sandbox,"
                + " of which there are no snapshots",
            hint: "snapshots are of microVMs")
    }

    private func wait(_ request: WaitRequest, _ call: TypedCall<WaitRequest, WaitResponse>) {
        with(request.id, call) { managed in
            guard !managed.state.hasEnded else {
                return call.finish(with: WaitResponse(sandbox: managed.sandbox))
            }
            let token = managed.onEnded.add {
                call.finish(with: WaitResponse(sandbox: managed.sandbox))
            }
            call.onCancel { _ in managed.onEnded.remove(token) }
        }
    }

    private func updateResources(
        _ request: UpdateResourcesRequest,
        _ call: TypedCall<UpdateResourcesRequest, UpdateResourcesResponse>
    ) {
        with(request.id, call) { managed throws(CallFailure) in
            guard let limits = request.limits else {
                throw .invalid("limits", "is missing", hint: "set those that are to change")
            }
            node.update(managed, limits, request.limitPolicy) { result in
                switch result {
                case .success:
                    call.finish(with: UpdateResourcesResponse(sandbox: managed.sandbox))
                case .failure(let failure): call.finish(failure)
                }
            }
        }
    }

    // MARK: - Looking

    private func get(_ request: GetRequest) throws(CallFailure) -> GetResponse {
        GetResponse(sandbox: try find(request.id).sandbox)
    }

    private func list(_ request: ListRequest) throws(CallFailure) -> ListResponse {
        let limit = request.pageSize == 0 ? 1000 : min(request.pageSize, 1000)
        let states = Set(request.states)
        let (page, more) = node.registry.page(after: request.afterID, limit: Int(limit)) {
            $0.isCreated && $0.state != .removing
                && (states.isEmpty || states.contains($0.sandbox.state))
        }
        return ListResponse(
            sandboxes: page.map(\.sandbox), more: more, eventNumber: node.journal.history.last)
    }

    private func watch(_ request: WatchRequest, _ call: TypedCall<WatchRequest, Event>) {
        WatchStream(request, call, node).begin()
    }

    private func exec(_ call: TypedCall<ExecRequest, ExecResponse>) {
        ExecStream(call, node, find: find).begin()
    }

    private func logs(_ request: LogsRequest, _ call: TypedCall<LogsRequest, LogEntry>) {
        with(request.id, call) { managed throws(CallFailure) in
            try LogStream(request, of: managed, call, node).begin()
        }
    }

    private func stats(_ request: StatsRequest, _ call: TypedCall<StatsRequest, StatsResponse>) {
        with(request.id, call) { managed throws(CallFailure) in
            try StatsStream(request, of: managed, call, node).begin()
        }
    }
}
