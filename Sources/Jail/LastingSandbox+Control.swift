internal import CInitProtocol
public import LinuxKernel
public import SandboxModel

// What the host does to a running sandbox.
extension LastingSandbox {
    /// Sends a signal to the workload.
    public func send(_ signal: Signal) throws(SandboxError) {
        try request(ALCOVE_REQUEST_SIGNAL, signal.rawValue)
    }

    /// Gives the workload's terminal another size. Without one nothing happens.
    public func resizeTerminal(_ size: Terminal.Size) throws(SandboxError) {
        let value = UInt32(size.rows) << 16 | UInt32(size.columns)
        try request(ALCOVE_REQUEST_RESIZE, Int32(bitPattern: value))
    }

    /// Ends every process inside, at once.
    public func kill() throws(SandboxError) {
        try change("kill") { cgroup throws(SystemCallError) in try cgroup.kill() }
    }

    /// Stops every process inside, or lets them go on. It takes a moment until all are stopped,
    /// see ``isFrozen``.
    public func setFrozen(_ frozen: Bool) throws(SandboxError) {
        try change(frozen ? "freeze" : "thaw") { cgroup throws(SystemCallError) in
            try cgroup.setFrozen(frozen)
        }
    }

    /// Whether every process inside is stopped.
    public var isFrozen: Bool { cgroup.number("frozen", in: "cgroup.events") == 1 }

    /// A descriptor that has an error event (`EPOLLERR`) when ``isFrozen`` has changed since it was
    /// last read. The kernel tells it up to 15 ms late.
    public func openEvents() throws(SandboxError) -> Descriptor {
        do throws(SystemCallError) {
            return try cgroup.open("cgroup.events")
        } catch {
            throw SandboxError(.setUpFailed, "\(error)")
        }
    }

    private func change(
        _ what: String, _ body: (borrowing Cgroup) throws(SystemCallError) -> Void
    ) throws(SandboxError) {
        do throws(SystemCallError) {
            try body(cgroup)
        } catch {
            // It has ended, and its cgroup is gone.
            if error.errorNumber == .noEntry || error.errorNumber == .noSuchDevice { return }
            throw SandboxError(.setUpFailed, "\(what) the sandbox: \(error)")
        }
    }

    private func request(_ kind: alcove_request_kind, _ value: Int32) throws(SandboxError) {
        do throws(SystemCallError) {
            let connection = try connect()
            try MessageSockets.send(
                LittleEndian.bytes(kind.rawValue) + LittleEndian.bytes(value), to: connection)
        } catch {
            // It has ended: there is nobody left to do anything to.
            if error.errorNumber == .connectionRefused { return }
            throw Self.unreachable(error)
        }
    }

    /// A connection to alcove-init.
    func connect(takesCredentials: Bool = false) throws(SystemCallError) -> Descriptor {
        try MessageSockets.connect(
            to: SandboxFolder.Name.control, in: try Files.open(folder.path, [.path, .directory]),
            takesCredentials: takesCredentials)
    }

    static func unreachable(_ error: SystemCallError) -> SandboxError {
        SandboxError(
            .unavailable, "alcove-init cannot be reached: \(error)",
            hint: error.errorNumber == .wouldBlock
                ? "it is paused, or busy with other commands: try again" : nil)
    }
}
