internal import Console
internal import GuestLink
internal import JSON
internal import LinuxKernel
internal import Machine

/// What the host asks of a running monitor: a JSON object in a line, answered by one. It lives on
/// the loop's thread.
///
/// Whoever may connect may do all of it; the socket is its maker's alone.
final class ControlServer {
    private static let mostConnections = 16
    private let listener: ListeningSocket
    private unowned let monitor: Monitor
    private var connections: [ObjectIdentifier: ControlConnection] = [:]

    init(_ path: String, _ monitor: Monitor) throws {
        listener = try ListeningSocket(path: path, mode: 0o600, backlog: 16)
        self.monitor = monitor
        try monitor.loop.watch(listener.descriptor.rawValue, for: .readable) { [weak self] _ in
            self?.accept()
        }
    }

    private func accept() {
        guard let socket = try? UnixSockets.accept(listener.descriptor) else { return }
        guard connections.count < Self.mostConnections else { return }
        let connection = ControlConnection(socket, monitor)
        connections[ObjectIdentifier(connection)] = connection
        connection.onEnd = { [weak self] in
            self?.connections[ObjectIdentifier($0)] = nil
        }
        connection.begin()
    }
}

/// One who asks.
final class ControlConnection {
    private static let mostLine = 65536
    private static let statisticsTime = Duration.seconds(2)

    private let socket: Descriptor
    private unowned let monitor: Monitor
    private var watch: Watch?
    private var received: [UInt8] = []
    private static let mostRead = 4096
    /// Files that came, by what they are for.
    private var files: [String: PassedFile] = [:]
    private var passed: PassedFile?
    var onEnd: ((ControlConnection) -> Void)?

    init(_ socket: consuming Descriptor, _ monitor: Monitor) {
        self.socket = socket
        self.monitor = monitor
    }

    func begin() {
        watch = try? monitor.loop.watch(socket.rawValue, for: .readable) { [weak self] _ in
            self?.receive()
        }
    }

    private func receive() {
        do throws(SystemCallError) {
            guard let message = try MessageSockets.receive(from: socket, atMost: Self.mostRead)
            else { return }
            if message.bytes.isEmpty { return end() }
            received += message.bytes
            if let file = message.takeDescriptor() { passed = PassedFile(file) }
            takeLines()
        } catch {
            end()
        }
    }

    private func takeLines() {
        while let line = received.firstIndex(of: 0x0a) {
            let text = Array(received[..<line])
            received.removeFirst(line + 1)
            take(text)
        }
        if received.count > Self.mostLine { end() }
    }

    private func end() {
        watch?.cancel()
        watch = nil
        onEnd?(self)
    }

    private func answer(_ value: JSONValue) {
        let line = Array((JSONWriter.text(value) + "\n").utf8)
        // Who does not take so little is not served.
        guard case .bytes(line.count) = UnixSockets.send(line, from: 0, to: socket.rawValue)
        else { return end() }
    }

    private func refuse(_ reason: String) {
        answer(["ok": false, "error": .string(reason)])
    }

    // MARK: - Requests

    private func take(_ line: [UInt8]) {
        guard let request = try? JSONReader.read(line, limits: JSONLimits(size: Self.mostLine)),
            let word = request["do"]?.string
        else { return refuse("a line is no object with a text `do`") }
        if word == "file" { return takeFile(request) }
        if word == "state" { return answer(["ok": true, "state": .string(monitor.stateName)]) }
        guard let machine = monitor.machine else { return takeBlank(word) }
        if monitor.isHeld, ["pause", "resume", "snapshot"].contains(word) {
            return refuse("the guest is held: `start` it first")
        }
        switch word {
        case "start":
            guard monitor.isHeld else { return refuse("the guest was started already") }
            monitor.startGuest()
            answer(["ok": true])
        case "snapshot": snapshot(changesAlone: request["changes"]?.bool == true)
        case "working-set": recordWorkingSet()
        case "begin":
            guard monitor.isReady, !monitor.isWorkloadStarted else {
                return refuse("the guest is not ready yet, or was told to begin")
            }
            monitor.startWorkload()
            answer(["ok": true])
        case "machine": answer(monitor.size)
        case "processes":
            guard let most = request["most"]?.uint64.flatMap({ Int32(exactly: $0) }), most >= 2,
                monitor.limitProcesses(to: most)
            else { return refuse("`most` is 2 or more, for a guest that began with `--pids`") }
            answer(["ok": true])
        case "pause":
            machine.pause()
            monitor.isPaused = true
            answer(["ok": true])
        case "resume":
            machine.resume()
            monitor.isPaused = false
            answer(["ok": true])
        case "stop":
            answer(["ok": true])
            monitor.stop()
        case "statistics": tellStatistics()
        default: refuseUnlessDevices(word, request)
        }
    }

    /// Of a machine that waits for a snapshot.
    private func takeBlank(_ word: String) {
        guard word == "restore", monitor.blank != nil else {
            return refuse("the guest does not run yet")
        }
        guard let files = takeFiles() else {
            return refuse("no `memory` and `state` were passed")
        }
        do {
            try monitor.restore(from: files, workingSet: takeWorkingSet())
            answer(["ok": true])
        } catch {
            refuse("\(error)")
            monitor.end(.failed("\(error)"))
        }
    }

    // MARK: - Snapshots

    /// A file that came with the line.
    private func takeFile(_ request: JSONValue) {
        guard let name = request["as"]?.string, PassedFile.names.contains(name),
            let file = passed.take()
        else { return refuse("`as` says what a file is for, which comes with the line") }
        files[name] = file
        answer(["ok": true])
    }

    private func takeFiles() -> SnapshotFiles? {
        guard let memory = files.removeValue(forKey: SnapshotFolder.memory)?.take(),
            let state = files.removeValue(forKey: SnapshotFolder.state)?.take()
        else { return nil }
        return SnapshotFiles(
            memory: memory, state: state,
            base: files.removeValue(forKey: SnapshotFolder.base)?.take())
    }

    private func takeWorkingSet() -> [UInt8] {
        guard let file = files.removeValue(forKey: SnapshotFolder.workingSet)?.take() else {
            return []
        }
        return SnapshotFolder.workingSet(in: file)
    }

    private func snapshot(changesAlone: Bool) {
        guard !changesAlone || monitor.recorder != nil else {
            return refuse("changes are told to who runs with `--record-working-set`")
        }
        guard let files = takeFiles() else {
            return refuse("no `memory` and `state` were passed")
        }
        monitor.save(to: files, changesAlone: changesAlone) { [weak self] result in
            do throws(SnapshotError) {
                let snapshot = try result.get()
                self?.answer([
                    "ok": true, "pages": JSONValue(snapshot.storedPages),
                    "memory_bytes": JSONValue(snapshot.configuration.memoryBytes),
                    "untold_registers": JSONValue(
                        snapshot.untoldRegisters.map { String($0, radix: 16) }),
                ])
            } catch {
                self?.refuse("\(error)")
            }
        }
    }

    private func recordWorkingSet() {
        guard monitor.recorder != nil,
            let file = files.removeValue(forKey: SnapshotFolder.workingSet)?.take()
        else { return refuse("it needs `--record-working-set`, and a `working-set` passed") }
        monitor.recordWorkingSet(to: file) { [weak self] result in
            do throws(SystemCallError) {
                self?.answer(["ok": true, "pieces": JSONValue(try result.get())])
            } catch {
                self?.refuse("\(error)")
            }
        }
    }

    /// What the devices take.
    private func refuseUnlessDevices(_ word: String, _ request: JSONValue) {
        do throws(ControlError) {
            try monitor.devices.perform(word, request)
            answer(["ok": true])
        } catch {
            refuse(error.reason)
        }
    }

    /// The guest's own are asked for; a guest that does not answer is left out.
    private func tellStatistics() {
        let monitor = monitor
        guard !monitor.isPaused, monitor.isReady else { return answer(monitor.statistics(nil)) }
        var isTold = false
        let tell = { [weak self] (guest: GuestStatistics?) in
            guard !isTold else { return }
            isTold = true
            self?.answer(monitor.statistics(guest))
        }
        let timer = monitor.loop.schedule(after: Self.statisticsTime) { tell(nil) }
        monitor.askStatistics { guest in
            monitor.loop.cancel(timer)
            tell(guest)
        }
    }
}

/// A file that came by the control socket.
private final class PassedFile {
    static let names = [
        SnapshotFolder.memory, SnapshotFolder.state, SnapshotFolder.workingSet,
        SnapshotFolder.base,
    ]
    private var file: Descriptor?

    init(_ file: consuming Descriptor) {
        self.file = .some(file)
    }

    func take() -> Descriptor? { file.take() }
}

/// Why something was not done.
struct ControlError: Error {
    let reason: String
}
