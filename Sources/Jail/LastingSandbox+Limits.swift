internal import LinuxKernel
public import SandboxModel

extension Limits {
    /// These, and of others what is not set here.
    public func over(_ others: Limits) -> Limits {
        var limits = others
        limits.memoryBytes = memoryBytes ?? others.memoryBytes
        limits.milliCPUs = milliCPUs ?? others.milliCPUs
        limits.pids = pids ?? others.pids
        limits.readBytesPerSecond = readBytesPerSecond ?? others.readBytesPerSecond
        limits.writeBytesPerSecond = writeBytesPerSecond ?? others.writeBytesPerSecond
        return limits
    }
}

extension LastingSandbox {
    /// Changes limits: what is set in `changes`; the rest stays. All of them change or none.
    ///
    /// - Returns: which limits hold from now on, those that did not change among them.
    @discardableResult
    public func update(
        _ changes: Limits, policy: SandboxSpec.LimitPolicy
    ) throws(SandboxError) -> [LimitStatus] {
        let node = NodeCapabilities.detect(
            hierarchy: hierarchy, image: try? Files.status(of: places.image(of: spec)),
            scratch: places.scratchStatus(of: spec))
        var changed = spec
        changed.limits = changes.over(spec.limits)
        changed.limitPolicy = policy
        let statuses = try changed.validate(on: node)
        let files = Set(changes.kinds.map { $0.rawValue + "." })
        let settings = changed.cgroupSettings(on: node).filter { setting in
            files.contains { setting.file.hasPrefix($0) }
        }
        try makeRoom(for: changes, node)
        try apply(settings)
        spec.limits = changed.limits
        spec.limitPolicy = policy
        limits = statuses
        return statuses
    }

    /// The kernel would end the sandbox to get below a limit. Files that it only keeps for the next
    /// reader give way first.
    private func makeRoom(
        for changes: Limits, _ node: NodeCapabilities
    ) throws(SandboxError) {
        guard let wanted = changes.memoryBytes, node.limitKinds.contains(.memory),
            var used = memoryInUse
        else { return }
        // Whoever reads meanwhile fills it up again.
        for _ in 0..<4 where used > wanted {
            // Fails where less can be had, and before Linux 5.19: what is in use then tells.
            try? cgroup.write("\(used - wanted + wanted / 16)", to: "memory.reclaim")
            used = memoryInUse ?? used
        }
        guard used > wanted else { return }
        throw SandboxError(
            .limitOutOfRange,
            "the sandbox uses \(used) bytes of memory, more than the limit of \(wanted)",
            hint: "end what it does first: the kernel would end the whole sandbox")
    }

    private var memoryInUse: UInt64? {
        (try? cgroup.read("memory.current")).flatMap { UInt64($0.prefix { $0 != "\n" }) }
    }

    private func apply(_ settings: [(file: String, value: String)]) throws(SandboxError) {
        var done: [(file: String, value: String)] = []
        for (file, value) in settings {
            let before = try? cgroup.read(file)
            do throws(SystemCallError) {
                try cgroup.write(value, to: file)
            } catch {
                // A kernel without swap has no limit of it either.
                if file == "memory.swap.max", error.errorNumber == .noEntry { continue }
                for (file, value) in done.reversed() { try? cgroup.write(value, to: file) }
                throw SandboxError(
                    .unavailable,
                    "\(PlanStep.limitCgroup(file: file, value: value)):"
                        + " \(error.errorNumber)")
            }
            if let before { done.append((file, Self.settable(before, of: file, as: value))) }
        }
    }

    /// What was read of a file, as it is written. `io.max` lists disks with a limit alone.
    private static func settable(
        _ text: String, of file: String, as new: String
    ) -> String {
        guard file == "io.max" else { return String(text.prefix { $0 != "\n" }) }
        let disk = new.prefix { $0 != " " }
        let line = text.split(separator: "\n").first { $0.hasPrefix(disk + " ") }
        return line.map(String.init) ?? "\(disk) rbps=max wbps=max"
    }
}
