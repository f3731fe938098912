public import SandboxModel

extension SandboxSpec {
    /// The time between the signal that asks it to stop and its end, where none is given.
    public static let defaultStopGrace = Duration.seconds(2)

    /// The specification as the model has it, `image` as it was given. What the model itself
    /// validates is not looked at here.
    ///
    /// - Parameters:
    ///   - defaults: what holds where it is silent.
    ///   - user: the user of the image that a text names; it is called for names and for a number
    ///     without a group, not for two numbers.
    public func model(
        over defaults: ImageDefaults = ImageDefaults(),
        user resolve: (String) -> SandboxModel.SandboxSpec.User?
    ) throws(CallFailure) -> SandboxModel.SandboxSpec {
        guard !image.isEmpty else {
            throw .invalid(
                "spec.image", "is empty",
                hint: "name an imported image, or the absolute path of a directory tree")
        }
        var spec = SandboxModel.SandboxSpec(image: image, command: wholeCommand(over: defaults))
        spec.environment = try wholeEnvironment(over: defaults)
        let places = [workingDirectory, defaults.workingDirectory]
        if let place = places.first(where: { !$0.isEmpty }) { spec.workingDirectory = place }
        spec.root = readOnlyRoot ? .readOnly : .writable
        if !hostname.isEmpty { spec.hostname = hostname }
        spec.user = try modelUser(user.isEmpty ? defaults.user : user, resolve)
        spec.identityMaps = identityMaps.map {
            .init(inside: $0.inside, outside: $0.outside, count: $0.count)
        }
        if let limits { spec.limits = SandboxModel.Limits(limits) }
        spec.limitPolicy = try limitPolicy.model(field: "spec.limit_policy")
        spec.processLimits = try wholeProcessLimits()
        spec.scratchPlace = try scratchPlace.model()
        if let scratchBytes { spec.scratchBytes = scratchBytes }
        spec.terminal = terminal
        spec.deniedCalls = try deniedCalls.model()
        spec.timeout = try timeout()
        // What the model does not know is checked with the rest, for one answer to all of it.
        _ = try stopGrace()
        _ = try knownIsolation()
        return spec
    }

    public func stopGrace() throws(CallFailure) -> Duration {
        guard let stopGraceNanoseconds else { return Self.defaultStopGrace }
        return try Self.duration(stopGraceNanoseconds, "spec.stop_grace_nanoseconds")
    }

    /// The kind that was asked for, never one without a name.
    public func knownIsolation() throws(CallFailure) -> IsolationKind {
        guard case .unrecognized(let number) = isolation else { return isolation }
        throw .unknownNumber(
            number, "spec.isolation", "0 is AUTO, 1 is PROCESS, 2 is MICROVM")
    }

    private func timeout() throws(CallFailure) -> Duration? {
        guard let timeoutNanoseconds else { return nil }
        guard timeoutNanoseconds > 0 else {
            throw .invalid(
                "spec.timeout_nanoseconds", "is 0", hint: "leave it out for no timeout")
        }
        return try Self.duration(timeoutNanoseconds, "spec.timeout_nanoseconds")
    }

    private static func duration(
        _ nanoseconds: UInt64, _ field: String
    ) throws(CallFailure) -> Duration {
        guard let signed = Int64(exactly: nanoseconds) else {
            throw .invalid(
                field, "is \(nanoseconds), longer than 292 years",
                hint: "at most \(Int64.max)")
        }
        return .nanoseconds(signed)
    }

    private func modelUser(
        _ user: String, _ resolve: (String) -> SandboxModel.SandboxSpec.User?
    ) throws(CallFailure) -> SandboxModel.SandboxSpec.User {
        if let known = SandboxModel.SandboxSpec.User(numbers: user) { return known }
        if let found = resolve(user) { return found }
        guard SandboxModel.SandboxSpec.User.canBeNamed(user) else {
            throw .invalid(
                "spec.user", "is `\(user)`, which cannot be a user",
                hint: SandboxModel.SandboxSpec.User.hint)
        }
        throw CallFailure(
            SandboxError(
                .userMissing, "the image has no user `\(user)`",
                hint: SandboxModel.SandboxSpec.User.hint))
    }

    /// What is given, after those defaults that it does not replace.
    private func wholeProcessLimits() throws(CallFailure) -> [ProcessLimitSetting] {
        var given: [ProcessLimitSetting] = []
        for (index, limit) in processLimits.enumerated() {
            guard let resource = ProcessLimitSetting.Resource(rawValue: limit.resource) else {
                let names = ProcessLimitSetting.Resource.allCases.map(\.rawValue)
                throw .invalid(
                    "spec.process_limits[\(index)].resource",
                    "is `\(limit.resource)`, which is no limit of a process",
                    hint: "one of \(names.joined(separator: ", "))")
            }
            given.append(ProcessLimitSetting(resource, soft: limit.soft, hard: limit.hard))
        }
        let resources = Set(given.map(\.resource))
        return ProcessLimitSetting.standard.filter { !resources.contains($0.resource) } + given
    }
}

extension SandboxSpec {
    /// The message that asks for a specification of the model; what is at its default is left out.
    public init(_ spec: SandboxModel.SandboxSpec) {
        self.init()
        image = spec.image
        command = spec.command
        environment = Self.withoutDefaults(spec.environment)
        workingDirectory = spec.workingDirectory == "/" ? "" : spec.workingDirectory
        readOnlyRoot = spec.root == .readOnly
        hostname = spec.hostname == "sandbox" ? "" : spec.hostname
        user = spec.user == .root ? "" : "\(spec.user.user):\(spec.user.group)"
        identityMaps = spec.identityMaps.map {
            IdentityMap(inside: $0.inside, outside: $0.outside, count: $0.count)
        }
        let limits = Limits(spec.limits)
        self.limits = limits == Limits() ? nil : limits
        limitPolicy = LimitPolicy(spec.limitPolicy)
        processLimits = spec.processLimits.filter { !$0.isStandard }.map {
            ProcessLimit(resource: $0.resource.rawValue, soft: $0.soft, hard: $0.hard)
        }
        let standard = SandboxModel.SandboxSpec(image: "", command: [])
        scratchPlace = ScratchPlace(spec.scratchPlace)
        scratchBytes = spec.scratchBytes == standard.scratchBytes ? nil : spec.scratchBytes
        terminal = spec.terminal
        deniedCalls = DeniedCalls(spec.deniedCalls)
        timeoutNanoseconds = spec.timeout.map(Self.nanoseconds)
    }

    /// The defaults are left out where they come first and are not set again: then they come
    /// first again at the other end.
    private static func withoutDefaults(_ environment: [String]) -> [String] {
        let defaults = SandboxModel.SandboxSpec.defaultEnvironment
        guard environment.starts(with: defaults) else { return environment }
        let rest = environment.dropFirst(defaults.count)
        let names = Set(defaults.map { $0.prefix { $0 != "=" } })
        let setsAgain = rest.contains { names.contains($0.prefix { $0 != "=" }) }
        return setsAgain ? environment : Array(rest)
    }

    static func nanoseconds(_ duration: Duration) -> UInt64 {
        let (seconds, attoseconds) = duration.components
        let (product, overflow) = UInt64(clamping: seconds)
            .multipliedReportingOverflow(by: 1_000_000_000)
        let part = UInt64(clamping: attoseconds / 1_000_000_000)
        return overflow ? .max : product.addingReportingOverflow(part).partialValue
    }
}

extension SandboxModel.SandboxSpec.User {
    /// What needs no look into the image: `USER:GROUP` as numbers, or nothing, which is root.
    public init?(numbers text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        if text.isEmpty {
            self = .root
        } else if parts.count == 2, let user = Self.number(parts[0]),
            let group = Self.number(parts[1])
        {
            self.init(user: user, group: group)
        } else {
            return nil
        }
    }

    /// Digits alone: the standard library would take `-0` for root.
    private static func number(_ text: Substring) -> UInt32? {
        text.utf8.allSatisfy { (48...57).contains($0) } ? UInt32(text) : nil
    }
}

extension ScratchPlace {
    public init(_ place: SandboxModel.SandboxSpec.ScratchPlace) {
        switch place {
        case .memory: self = .memory
        case .disk: self = .disk
        }
    }

    func model() throws(CallFailure) -> SandboxModel.SandboxSpec.ScratchPlace {
        switch self {
        case .memory: return .memory
        case .disk: return .disk
        case .unrecognized(let number):
            throw .unknownNumber(number, "spec.scratch_place", "0 is MEMORY, 1 is DISK")
        }
    }
}

extension DeniedCalls {
    public init(_ denial: CallPolicy.Denial) {
        switch denial {
        case .kill: self = .kill
        case .errno: self = .errno
        }
    }

    func model() throws(CallFailure) -> CallPolicy.Denial {
        switch self {
        case .kill: return .kill
        case .errno: return .errno
        case .unrecognized(let number):
            throw .unknownNumber(number, "spec.denied_calls", "0 is KILL, 1 is ERRNO")
        }
    }
}
