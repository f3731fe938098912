import Foundation
import Jail
import LinuxKernel
import SandboxModel
import TestSupport
import Testing

/// Starts sandboxes that last, with cgroups and folders of this object's own, which go with it.
final class LastingDriver {
    let host: SandboxHost
    let folder: TemporaryFolder
    let image: String
    private var count = 0
    /// Children of this process: each is reaped, since those who wait for any child would find it.
    private var started: [LastingSandbox] = []

    init(image: String? = nil) throws {
        self.image = try image ?? TestImage.shared()
        folder = try TemporaryFolder()
        host = try SandboxHost(
            initProgram: InitProgram.path(), limits: [],
            cgroupParent: "alcove-tests-\(getpid())-\(UUID().uuidString)")
    }

    deinit {
        for sandbox in started where (try? sandbox.kill()) != nil { _ = try? sandbox.untilOver() }
        for name in cgroups { try? host.removeCgroup(named: name) }
        try? Files.removeDirectory(host.cgroupPath ?? "")
    }

    var cgroups: [String] { (try? host.lastingCgroups()) ?? [] }

    func spec(_ command: [String]) -> SandboxSpec { SandboxSpec(image: image, command: command) }

    func newFolder() throws -> SandboxFolder {
        count += 1
        let new = SandboxFolder("\(folder.path)/\(count)")
        try new.make()
        return new
    }

    func start(
        _ command: [String], logBytes: UInt64 = 1 << 20, in folder: SandboxFolder? = nil,
        change: (inout SandboxSpec) -> Void = { _ in }
    ) throws -> LastingSandbox {
        var spec = spec(command)
        change(&spec)
        let folder = try folder ?? newFolder()
        let prepared = try PreparedSandbox(
            spec, image: .open(image), on: host, lasting: Lasting(logBytes: logBytes))
        return try start(prepared, in: folder)
    }

    func start(
        _ prepared: PreparedSandbox, in folder: SandboxFolder, network: Int32? = nil
    ) throws -> LastingSandbox {
        let sandbox = try prepared.startLasting(
            in: folder, cgroup: "test-\(count)", network: network)
        started.append(sandbox)
        return sandbox
    }

    func shell(
        _ script: String, logBytes: UInt64 = 1 << 20,
        change: (inout SandboxSpec) -> Void = { _ in }
    ) throws -> LastingSandbox {
        try start(["sh", "-c", script], logBytes: logBytes, change: change)
    }

    /// The processes in a sandbox, as the host sees them.
    func processes(of sandbox: LastingSandbox) throws -> Set<Int32> {
        let path = try #require(host.cgroupPath)
        let text = try Files.read("\(path)/\(sandbox.cgroupName)/cgroup.procs")
        return Set(text.split(separator: "\n").compactMap { Int32($0) })
    }

    /// Lets go of the sandboxes so far, which have ended.
    func forgetEnded() { started = [] }

    func adopt(_ sandbox: LastingSandbox) throws -> LastingSandbox.Adoption {
        try LastingSandbox.adopt(
            sandbox.spec, limits: sandbox.limits, folder: sandbox.folder,
            cgroup: sandbox.cgroupName, on: host)
    }

    func adoptRunning(_ sandbox: LastingSandbox) throws -> LastingSandbox {
        guard case .running(let adopted) = try adopt(sandbox) else {
            throw Lost(what: "a running sandbox")
        }
        return adopted
    }

    /// What another process would find out of how it ended, now or later.
    func outcomeByAdoption(_ sandbox: LastingSandbox) throws -> SandboxOutcome {
        switch try adopt(sandbox) {
        case .running(let adopted): return try adopted.untilOver()
        case .ended(let outcome): return outcome
        case .neverStarted: throw Lost(what: "a sandbox that was started")
        }
    }

    struct Lost: Error { let what: String }
}

extension LastingSandbox {
    /// Waits until it has ended.
    func untilOver() throws -> SandboxOutcome {
        while true {
            var interests = [Readiness.Interest(processDescriptor)]
            try Patience.wait(for: &interests)
            if let outcome = try finish() { return outcome }
        }
    }

    /// Waits until its workload runs or never will.
    func untilStarted() throws {
        collect()
        while progress == .settingUp, let report = reportDescriptor {
            var interests = [Readiness.Interest(report), Readiness.Interest(processDescriptor)]
            try Patience.wait(for: &interests)
            collect()
            if interests[1].isReady { return }
        }
    }

    /// All of its logs, as lines without their ends; `>` before those of the error output.
    func logLines() throws -> [String] {
        let reader = try LogReader(folder)
        var lines: [LogLine] = []
        while let line = reader.next() { lines.append(line) }
        lines += reader.takeUnfinished(isOver: true)
        return lines.map {
            ($0.stream == .error ? ">" : "")
                + String(decoding: $0.data, as: UTF8.self)
                .trimmingCharacters(in: .newlines)
        }
    }

    /// Waits until its output has a line.
    func untilLogged(_ text: String) throws {
        let watcher = try LogWatcher()
        _ = try watcher.watch(folder)
        let reader = try LogReader(folder)
        while true {
            while let line = reader.next() {
                if String(decoding: line.data, as: UTF8.self).contains(text) { return }
            }
            var interests = [
                Readiness.Interest(watcher.descriptor), Readiness.Interest(processDescriptor),
            ]
            try Patience.wait(for: &interests)
            _ = watcher.takeChanged()
            if interests[1].isReady, !interests[0].isReady {
                throw LastingDriver.Lost(what: "`\(text)` in \(try logLines())")
            }
        }
    }
}

/// Waiting that ends: what takes a minute hangs.
enum Patience {
    static func wait(for interests: inout [Readiness.Interest]) throws {
        let timer = try LinuxKernel.Timer()
        try timer.start(.seconds(60))
        interests.append(Readiness.Interest(timer.descriptor.rawValue))
        try Readiness.wait(for: &interests)
        guard interests.removeLast().isReady else { return }
        throw LastingDriver.Lost(what: "an event within a minute")
    }
}

/// A process of somebody else, to wait for its end.
final class ProcessHandle {
    private let process: LinuxKernel.ChildProcess

    init(_ pid: Int32) throws {
        process = try LinuxKernel.ChildProcess.open(pid)
    }

    func untilOver() throws {
        var interests = [Readiness.Interest(process.pidfd.rawValue)]
        try Patience.wait(for: &interests)
    }
}
