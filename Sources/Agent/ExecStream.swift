internal import AgentAPI
internal import AgentOperations
internal import Jail
internal import LinuxKernel
internal import RPC
internal import SandboxModel

private typealias ExecMessage = AgentAPI.ExecRequest.MessageMessage

/// One call of `Exec`: joins the command's streams to those of the call.
///
///     awaiting `start` ──► begun ──► running ──► ended, output still read ──► finished
///
/// Nothing is read from the command while the client has no room for it, and nothing is taken from
/// the client while the command does not read.
final class ExecStream: @unchecked Sendable {
    private static let chunk = 65536
    /// Of one message; there is one at a time.
    private static let longestInput = 1 << 20

    private let call: TypedCall<AgentAPI.ExecRequest, ExecResponse>
    private let node: NodeAgent
    private let find: (String) throws(CallFailure) -> ManagedSandbox
    private var hasStart = false
    private var session: ExecSession?
    private var isRunning = false
    private var watches: [Int32: Watch] = [:]
    /// What the command has not taken yet.
    private var input: ArraySlice<UInt8> = []
    private var inputEnds = false
    private var inputIsClosed = false
    private var outputIsOpen = true
    private var errorIsOpen = true
    private var exit: SandboxOutcome.Exit?
    /// Twice the most that a pipe can be made to hold.
    private var leftAfterEnd = 2 << 20
    /// What came between `start` and the session.
    private var early: [ExecMessage] = []

    init(
        _ call: TypedCall<AgentAPI.ExecRequest, ExecResponse>, _ node: NodeAgent,
        find: @escaping (String) throws(CallFailure) -> ManagedSandbox
    ) {
        self.call = call
        self.node = node
        self.find = find
    }

    func begin() {
        call.onMessage { self.take($0) }
        call.onHalfClose { self.take(ExecMessage.stdinEnd(.init())) }
        call.onWritable { self.step() }
        call.onCancel { _ in self.drop() }
    }

    // MARK: - From the client

    private func take(_ request: AgentAPI.ExecRequest) {
        guard let message = request.message else {
            return fail(.invalid("message", "is missing"))
        }
        if case .start(let start) = message {
            guard !hasStart else { return fail(.invalid("start", "came a second time")) }
            hasStart = true
            return execute(start)
        }
        take(message)
    }

    private func take(_ message: ExecMessage) {
        guard hasStart else {
            return fail(.invalid("start", "is missing: it is the first message"))
        }
        guard let session, isRunning else {
            early.append(message)
            // Some is taken while the command begins; the rest waits with the client.
            call.pause()
            return
        }
        switch message {
        case .start: break
        case .stdin(let bytes):
            guard bytes.count <= Self.longestInput else {
                return fail(
                    .invalid(
                        "stdin", "has \(bytes.count) bytes, more than \(Self.longestInput)",
                        hint: "send it in several messages"))
            }
            guard !inputEnds, !inputIsClosed else { return }
            input += bytes
            step()
        case .stdinEnd:
            inputEnds = true
            step()
        case .resize(let size):
            session.resize(Terminal.Size(size))
        case .signal(let number):
            do throws(CallFailure) {
                let signal = try SandboxesService.signal(number, field: "signal")
                // It may have ended just now.
                try? session.send(signal)
            } catch {
                fail(error)
            }
        }
    }

    private func execute(_ start: AgentAPI.ExecRequest.Start) {
        do throws(CallFailure) {
            let managed = try find(start.sandboxID)
            guard let running = managed.running, managed.state == .running else {
                throw .wrongState(managed, "commands run in one that is running")
            }
            let request = try Self.request(start, in: managed)
            node.steps.reached(.execBegun)
            node.offload(to: node.workers) { () throws(SandboxError) in
                UncheckedBox(try running.execute(request))
            } then: { [self] result in
                switch result {
                case .success(let box): attach(box.value)
                case .failure(let error): fail(.noCommand(error))
                }
            }
        } catch {
            fail(error)
        }
    }

    private static func request(
        _ start: AgentAPI.ExecRequest.Start, in managed: ManagedSandbox
    ) throws(CallFailure) -> Jail.ExecRequest {
        guard !start.command.isEmpty else {
            throw .invalid("start.command", "is empty", hint: "give at least the program")
        }
        guard start.user.isEmpty || start.user == managed.sandbox.spec?.user else {
            throw CallFailure(
                .unimplemented, reason: "other_user",
                "a further command runs as the user of the sandbox, not as `\(start.user)`",
                hint: "nothing inside may change its user; leave `user` out")
        }
        var request = Jail.ExecRequest(
            command: start.command,
            environment: managed.spec.environment.overridden(by: start.environment),
            workingDirectory: start.workingDirectory.isEmpty
                ? managed.spec.workingDirectory : start.workingDirectory)
        request.terminal = start.terminal.map { Terminal.Size($0) }
        return request
    }

    // MARK: - To and from the command

    private func attach(_ session: ExecSession) {
        // The client may have left meanwhile: dropping the session kills the command.
        guard call.isOpen else { return }
        self.session = session
        step()
    }

    /// Does all that can be done now, and waits for the rest.
    private func step() {
        takeEvents()
        guard session != nil, isRunning else { return arm() }
        writeInput()
        readOutputs()
        if let exit, !outputIsOpen, !errorIsOpen {
            call.finish(with: ExecResponse(message: .exit(AgentAPI.Exit(exit))))
            return drop()
        }
        arm()
    }

    private func takeEvents() {
        while let event = session?.takeEvent() {
            switch event {
            case .started(let pid):
                node.steps.reached(.execRunning)
                node.metrics.execs.add()
                call.send(ExecResponse(message: .started(.init(pid: UInt32(clamping: pid)))))
                isRunning = true
                errorIsOpen = session?.errorDescriptor != nil
                let waiting = early
                early = []
                for message in waiting { take(message) }
                call.resume()
            case .failed(let error): return fail(.noCommand(error))
            case .ended(let exit): self.exit = exit
            }
        }
    }

    private func writeInput() {
        guard let session, !inputIsClosed else { return }
        if !input.isEmpty { input = input.dropFirst(session.write(input)) }
        guard input.isEmpty else { return call.pause() }
        input = []
        if inputEnds {
            inputIsClosed = true
            session.closeInput()
        }
        call.resume()
    }

    private func readOutputs() {
        guard let session else { return }
        while outputIsOpen, call.isWritable {
            switch session.readOutput(atMost: Self.chunk) {
            case .bytes(let bytes):
                call.send(ExecResponse(message: .stdout(bytes)))
                outputIsOpen = isDue(bytes)
            case .wouldBlock:
                // A child of an ended command may hold it open, and writes for nobody.
                if exit != nil { outputIsOpen = false }
                return readErrors()
            case .end: outputIsOpen = false
            }
        }
        readErrors()
    }

    private func readErrors() {
        guard let session else { return }
        while errorIsOpen, call.isWritable {
            switch session.readError(atMost: Self.chunk) {
            case .bytes(let bytes):
                call.send(ExecResponse(message: .stderr(bytes)))
                errorIsOpen = isDue(bytes)
            case .wouldBlock:
                if exit != nil { errorIsOpen = false }
                return
            case .end: errorIsOpen = false
            }
        }
    }

    /// Whether more may be there that the command itself wrote: once it has ended, no more than a
    /// pipe holds.
    private func isDue(_ bytes: [UInt8]) -> Bool {
        guard exit != nil else { return true }
        leftAfterEnd -= bytes.count
        return leftAfterEnd > 0
    }

    // MARK: - Waiting

    /// Waits for what can go on: for output only while the client has room for it.
    private func arm() {
        var wanted: [Int32: PollEvents] = [:]
        if let session {
            if exit == nil, let descriptor = session.controlDescriptor {
                wanted[descriptor] = .readable
            }
            if isRunning {
                let hasRoom = call.isWritable
                if outputIsOpen, hasRoom, let descriptor = session.outputDescriptor {
                    wanted[descriptor, default: []].insert(.readable)
                }
                if errorIsOpen, hasRoom, let descriptor = session.errorDescriptor {
                    wanted[descriptor, default: []].insert(.readable)
                }
                if !input.isEmpty, let descriptor = session.inputDescriptor {
                    wanted[descriptor, default: []].insert(.writable)
                }
            }
        }
        for (descriptor, watch) in watches {
            if let events = wanted.removeValue(forKey: descriptor) {
                watch.change(to: events)
            } else {
                watch.cancel()
                watches[descriptor] = nil
            }
        }
        for (descriptor, events) in wanted {
            do throws(SystemCallError) {
                watches[descriptor] = try node.loop.watch(descriptor, for: events) {
                    [weak self] _ in self?.step()
                }
            } catch {
                return fail(CallFailure(SandboxError(.setUpFailed, "\(error)")))
            }
        }
    }

    private func fail(_ failure: CallFailure) {
        call.finish(failure)
        drop()
    }

    /// Nothing of the call stays. Without its session a command that still runs is killed.
    private func drop() {
        for watch in watches.values { watch.cancel() }
        watches = [:]
        session = nil
        early = []
        input = []
    }
}

extension Terminal.Size {
    fileprivate init(_ size: TerminalSize) {
        self.init(rows: UInt16(clamping: size.rows), columns: UInt16(clamping: size.columns))
    }
}

extension [String] {
    /// The entries `NAME=value` of an environment, with others added or in the place of those of
    /// the same name.
    fileprivate func overridden(by entries: [String]) -> [String] {
        let names = Set(entries.map { $0.prefix { $0 != "=" } })
        return filter { !names.contains($0.prefix { $0 != "=" }) } + entries
    }
}
