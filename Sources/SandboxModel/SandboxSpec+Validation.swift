extension SandboxSpec {
    /// Whether the sandbox makes sense on this node, before anything is made. What limits come to
    /// is in the answer.
    public func validate(on node: NodeCapabilities) throws(SandboxError) -> [LimitStatus] {
        try validateTexts()
        try validateIdentity()
        try validateLimits(on: node)
        try validateHardLimits(on: node)
        let statuses = limitStatuses(on: node)
        try accept(statuses)
        return statuses
    }

    /// Refuses a limit that does not hold where the policy is strict.
    public func accept(_ statuses: [LimitStatus]) throws(SandboxError) {
        if limitPolicy == .strict, let first = statuses.first(where: { !$0.holds }) {
            throw SandboxError(
                .unavailable,
                "the \(first.kind.rawValue) limit of \(first.request) cannot be enforced here:"
                    + " \(first.reason ?? "")",
                hint: "`--limits best-effort` runs without it; `alcove doctor` says what is there")
        }
    }

    private func validateTexts() throws(SandboxError) {
        guard let program = command.first, !program.isEmpty else {
            throw SandboxError(.usage, "no command", hint: "give it after `--`")
        }
        for text in command + environment + [workingDirectory, image, hostname]
        where text.utf8.contains(0) {
            throw SandboxError(.usage, "a text holds a zero byte")
        }
        guard command.count <= 4096, environment.count <= 4096 else {
            throw SandboxError(.usage, "more than 4096 arguments or variables")
        }
        for entry in environment where entry.hasPrefix("=") || !entry.contains("=") {
            throw SandboxError(
                .usage, "`\(entry)` is no environment variable", hint: "write NAME=VALUE")
        }
        guard workingDirectory.hasPrefix("/") else {
            throw SandboxError(
                .usage, "the working directory `\(workingDirectory)` is not absolute",
                hint: "write it as it is seen inside, from `/`")
        }
        try validateHostname()
    }

    private func validateHostname() throws(SandboxError) {
        let labels = hostname.split(separator: ".", omittingEmptySubsequences: false)
        let isGood = labels.allSatisfy { label in
            !label.isEmpty && label.utf8.count <= 63
                && !label.hasPrefix("-") && !label.hasSuffix("-")
                && label.utf8.allSatisfy { byte in
                    (97...122).contains(byte) || (65...90).contains(byte)
                        || (48...57).contains(byte) || byte == 45
                }
        }
        guard isGood, hostname.utf8.count <= 64 else {
            throw SandboxError(
                .usage, "`\(hostname)` is no hostname",
                hint: "letters, digits, `-` and `.`, at most 64")
        }
    }

    private func validateIdentity() throws(SandboxError) {
        guard identityMaps.count <= 340 else {
            throw SandboxError(.usage, "more than 340 identity maps")
        }
        for map in identityMaps {
            guard map.count > 0, map.inside.addingReportingOverflow(map.count).overflow == false,
                map.outside.addingReportingOverflow(map.count).overflow == false
            else {
                throw SandboxError(
                    .usage,
                    "the identity map \(map.inside):\(map.outside):\(map.count) is empty"
                        + " or overflows")
            }
        }
        if !identityMaps.isEmpty {
            for number in [0, user.user, user.group]
            where !identityMaps.contains(where: { $0.covers(number) }) {
                throw SandboxError(
                    .usage, "no identity map covers \(number) inside",
                    hint: "root and the workload's user need a number outside")
            }
        }
        guard user.user != .max, user.group != .max else {
            throw SandboxError(.usage, "\(UInt32.max) is no user or group")
        }
    }

    private func validateLimits(on node: NodeCapabilities) throws(SandboxError) {
        if let memory = limits.memoryBytes {
            try Self.check(
                memory,
                in: Limits
                    .smallestMemoryBytes...max(
                        node.memoryBytes, Limits.smallestMemoryBytes),
                "memory limit", say: Limits.bytes, has: Limits.roundedBytes)
        }
        if let cpus = limits.milliCPUs {
            try Self.check(
                UInt64(cpus),
                in: UInt64(
                    Limits.smallestMilliCPUs)...UInt64(
                        max(node.milliCPUs, Limits.smallestMilliCPUs)),
                "CPU limit", say: Limits.cpus, has: Limits.cpus)
        }
        if let pids = limits.pids {
            try Self.check(
                UInt64(pids), in: UInt64(Limits.smallestPids)...4_194_304, "pids limit",
                say: { "\($0)" }, has: { "\($0)" })
        }
        for rate in [limits.readBytesPerSecond, limits.writeBytesPerSecond] {
            guard let rate else { continue }
            try Self.check(
                rate, in: Limits.smallestBytesPerSecond...UInt64.max, "disk rate limit",
                say: Limits.bytes, has: Limits.bytes)
        }
        try validateScratch(on: node)
        try validateProcessLimits()
    }

    /// Whether a disk has room is a question of the moment: whoever takes the space asks it.
    private func validateScratch(on node: NodeCapabilities) throws(SandboxError) {
        switch scratchPlace {
        case .memory:
            let least = Limits.smallestScratchBytes
            try Self.check(
                scratchBytes, in: least...max(node.memoryBytes, least), "scratch size",
                say: Limits.bytes, has: Limits.roundedBytes)
        case .disk:
            guard scratchBytes <= Limits.largestDiskScratchBytes else {
                throw SandboxError(
                    .limitOutOfRange,
                    "the scratch size of \(Limits.bytes(scratchBytes)) is above the largest on a"
                        + " disk, \(Limits.bytes(Limits.largestDiskScratchBytes))")
            }
            try Self.check(
                scratchBytes, in: Limits.smallestDiskScratchBytes...UInt64.max,
                "scratch size on the disk", say: Limits.bytes, has: Limits.bytes)
        }
    }

    private func validateProcessLimits() throws(SandboxError) {
        var seen: Set<ProcessLimitSetting.Resource> = []
        for limit in processLimits {
            let name = limit.resource.rawValue
            guard seen.insert(limit.resource).inserted else {
                throw SandboxError(.usage, "the limit of \(name) is given twice")
            }
            guard limit.soft <= limit.hard else {
                throw SandboxError(.usage, "the soft limit of \(name) is above its hard one")
            }
        }
    }

    /// - Parameters:
    ///   - say: the value in words, exactly.
    ///   - has: what the node has in words.
    private static func check(
        _ value: UInt64, in range: ClosedRange<UInt64>, _ what: String,
        say: (UInt64) -> String, has: (UInt64) -> String
    ) throws(SandboxError) {
        if value < range.lowerBound {
            throw SandboxError(
                .limitOutOfRange,
                "the \(what) of \(say(value)) is below the smallest that works,"
                    + " \(say(range.lowerBound))")
        }
        if value > range.upperBound {
            throw SandboxError(
                .limitOutOfRange,
                "the \(what) of \(say(value)) is above what this node has,"
                    + " \(has(range.upperBound))")
        }
    }
}

extension SandboxSpec {
    /// The same with the standard limits of processes no larger than this node can give.
    public func fitted(to node: NodeCapabilities) -> SandboxSpec {
        var spec = self
        for place in spec.processLimits.indices where spec.processLimits[place].isStandard {
            let most = node.largestProcessLimits[spec.processLimits[place].resource] ?? .max
            spec.processLimits[place].hard = min(spec.processLimits[place].hard, most)
            spec.processLimits[place].soft = min(spec.processLimits[place].soft, most)
        }
        return spec
    }

    private func validateHardLimits(on node: NodeCapabilities) throws(SandboxError) {
        for limit in processLimits {
            guard let most = node.largestProcessLimits[limit.resource], limit.hard > most else {
                continue
            }
            let value = limit.hard == .max ? "unlimited" : "\(limit.hard)"
            throw SandboxError(
                .limitOutOfRange,
                "the hard limit \(value) of \(limit.resource.rawValue) is above what a process"
                    + " can get here, \(most)",
                hint: "ask for no more, or raise the hard limit of `alcove` itself")
        }
    }
}

extension SandboxSpec.IdentityMap {
    func covers(_ number: UInt32) -> Bool {
        number >= inside && number - inside < count
    }
}
