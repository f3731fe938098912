public import LinuxKernel
public import SandboxModel

extension PreparedSandbox {
    /// Starts a sandbox that was prepared with ``Lasting``.
    ///
    /// - Parameters:
    ///   - folder: made before, not in use by another sandbox. What an earlier start left in it
    ///     goes away.
    ///   - name: of its cgroup, which must not be there yet.
    ///   - network: the descriptor of a pooled network namespace, for a plan that joins one.
    public func startLasting(
        in folder: SandboxFolder, cgroup name: String, network: Int32? = nil
    ) throws(SandboxError) -> LastingSandbox {
        let requested = MonotonicClock.nanoseconds
        let ground = try layGround(in: folder, cgroup: name)
        return try startLasting(on: ground, requested: requested, network: network)
    }

    /// Makes, ahead of its start, what the sandbox needs besides its process: its cgroup with its
    /// limits, and what stands in its folder. What is not used goes away with the ground.
    ///
    /// - Parameter scratch: the root of a file system that is attached nowhere, for a sandbox with
    ///   scratch space on the disk.
    public func layGround(
        in folder: SandboxFolder, cgroup name: String, scratch: consuming Descriptor? = nil
    ) throws(SandboxError) -> LastingGround {
        guard lasting != nil else {
            preconditionFailure("a sandbox that is to last is prepared for it")
        }
        let ground = LastingGround(folder: folder, cgroup: name, host: host)
        ground.scratch = scratch
        guard (ground.scratch.number >= 0) == (spec.scratchPlace == .disk) else {
            preconditionFailure("scratch space on the disk is made before")
        }
        ground.cgroup = try perform(.createCgroup(path: host.cgroupPath ?? "")) {
            () throws(SystemCallError) in try host.makeLastingCgroup(name)
        }
        try limit(ground.cgroup)
        ground.content = try Self.makeContent(of: folder, requested: MonotonicClock.nanoseconds)
        return ground
    }

    /// Starts the sandbox on what was laid for it.
    ///
    /// - Parameters:
    ///   - requested: when it was asked for, by the monotonic clock.
    ///   - link: the descriptor of the link of a microVM's guest, which stays the caller's.
    public func startLasting(
        on ground: LastingGround, requested: UInt64, network: Int32? = nil, link: Int32? = nil
    ) throws(SandboxError) -> LastingSandbox {
        guard let content = ground.content.take() else {
            preconditionFailure("one sandbox starts on a ground")
        }
        // The child has its own from its first moment.
        defer { ground.scratch = nil }
        let resources = try makeResources()
        let null = try perform(creation) { () throws(SystemCallError) in try host.null() }
        let run = try makeRun(
            resources, streams: (null, null, null), network: network,
            scratch: ground.scratch.number, link: link ?? -1)
        if let slots = lowered.slots.lasting {
            run.set(slots.reportFile, to: content.report.rawValue)
            run.set(slots.control, to: content.control.rawValue)
            run.set(slots.log, to: content.log.rawValue)
            run.set(slots.otherLog, to: content.otherLog.rawValue)
        }
        let prepared = MonotonicClock.nanoseconds
        let child = try startChild(
            run, cgroup: ground.cgroup, resources, file: content.report.rawValue)
        guard let cgroup = ground.cgroup.take() else {
            preconditionFailure("a lasting sandbox has a cgroup")
        }
        return LastingSandbox(
            spec, limits: limits, folder: ground.folder, child: child, cgroup: cgroup,
            source: .pipe(resources.reportReader),
            starting: LastingSandbox.Starting(
                sandbox: self, run: run,
                times: RunningSandbox.StartTimes(requested: requested, prepared: prepared)),
            host: host)
    }

    private static func makeContent(
        of folder: SandboxFolder, requested: UInt64
    ) throws(SandboxError) -> SandboxFolder.Content {
        do throws(SystemCallError) {
            return try folder.makeContent(requested: requested)
        } catch {
            throw SandboxError(
                setUp: "make the files of the sandbox in `\(folder.path)`: \(error)",
                error.errorNumber)
        }
    }
}

/// What a lasting sandbox needs besides its process, made ahead.
public final class LastingGround {
    let folder: SandboxFolder
    private let name: String
    private let host: SandboxHost
    var cgroup: Cgroup?
    var content: SandboxFolder.Content?
    var scratch: Descriptor?

    init(folder: SandboxFolder, cgroup name: String, host: SandboxHost) {
        self.folder = folder
        self.name = name
        self.host = host
    }

    deinit {
        // No process came to be in it.
        if cgroup != nil { try? host.removeEmptyCgroup(name) }
    }
}

// The cgroups of sandboxes that last.
extension SandboxHost {
    func makeLastingCgroup(_ name: String) throws(SystemCallError) -> Cgroup {
        switch cgroups {
        case .some(let parent): return try parent.createLasting(name)
        case .none: throw Self.noCgroups
        }
    }

    /// Nothing when there is none of the name.
    func openLastingCgroup(_ name: String) throws(SystemCallError) -> Cgroup? {
        switch cgroups {
        case .some(let parent):
            do throws(SystemCallError) {
                return try parent.openLasting(name)
            } catch {
                guard error.errorNumber == .noEntry else { throw error }
                return nil
            }
        case .none: throw Self.noCgroups
        }
    }

    private static let noCgroups = SystemCallError(
        call: "mkdir", subject: "cgroup2", errorNumber: .noSuchDevice)

    func removeEmptyCgroup(_ name: String) throws(SystemCallError) {
        guard let cgroup = try openLastingCgroup(name) else { return }
        try cgroup.removeNow()
    }

    /// The names of the cgroups that are there, in no order.
    public func lastingCgroups() throws(SandboxError) -> [String] {
        do throws(SystemCallError) {
            switch cgroups {
            case .some(let parent): return try parent.names()
            case .none: return []
            }
        } catch {
            throw SandboxError(.setUpFailed, "list cgroups: \(error)")
        }
    }

    /// Ends what is in a cgroup of this host, waits for that, and removes it. One that is not
    /// there is no error.
    public func removeCgroup(named name: String) throws(SandboxError) {
        do throws(SystemCallError) {
            guard let cgroup = try openLastingCgroup(name) else { return }
            try cgroup.empty()
            try cgroup.removeNow()
        } catch {
            throw SandboxError(.setUpFailed, "remove the cgroup `\(name)`: \(error)")
        }
    }
}

extension Cgroup {
    /// Kills all that is inside and waits until it is gone.
    borrowing func empty() throws(SystemCallError) {
        while true {
            let processes = try processes()
            if processes.isEmpty { return }
            try kill()
            for pid in processes {
                guard let process = try? ChildProcess.open(pid) else { continue }
                // It may be another one of the same number by now, which nobody waits for.
                guard try self.processes().contains(pid) else { continue }
                var interests = [Readiness.Interest(process.pidfd.rawValue)]
                try Readiness.wait(for: &interests)
                // It may be a child of this process.
                _ = try? process.reap()
            }
        }
    }
}
