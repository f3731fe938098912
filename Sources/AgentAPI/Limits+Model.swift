public import SandboxModel

extension SandboxModel.Limits {
    /// All that a message asks for. Bounds are checked where the specification is validated.
    public init(_ message: Limits) {
        self.init()
        update(with: message)
    }

    /// Changes what is set in the message; the rest stays.
    public mutating func update(with message: Limits) {
        if let value = message.memoryBytes { memoryBytes = value }
        if let value = message.milliCPUs { milliCPUs = value }
        if let value = message.pids { pids = value }
        if let value = message.readBytesPerSecond { readBytesPerSecond = value }
        if let value = message.writeBytesPerSecond { writeBytesPerSecond = value }
    }
}

extension Limits {
    public init(_ limits: SandboxModel.Limits) {
        self.init(
            memoryBytes: limits.memoryBytes, milliCPUs: limits.milliCPUs, pids: limits.pids,
            readBytesPerSecond: limits.readBytesPerSecond,
            writeBytesPerSecond: limits.writeBytesPerSecond)
    }
}

extension LimitKind {
    public init(_ kind: SandboxModel.Limits.Kind) {
        switch kind {
        case .memory: self = .memory
        case .cpu: self = .cpu
        case .pids: self = .pids
        case .io: self = .io
        }
    }

    /// Nothing for a kind of a newer peer.
    public var model: SandboxModel.Limits.Kind? {
        switch self {
        case .memory: .memory
        case .cpu: .cpu
        case .pids: .pids
        case .io: .io
        case .unspecified, .unrecognized: nil
        }
    }
}

extension LimitStatus {
    public init(_ status: SandboxModel.LimitStatus) {
        self.init(
            kind: LimitKind(status.kind), request: status.request, holds: status.holds,
            reason: status.reason ?? "")
    }

    /// Nothing for a kind of a newer peer.
    public var model: SandboxModel.LimitStatus? {
        guard let kind = kind.model else { return nil }
        return SandboxModel.LimitStatus(
            kind: kind, request: request, reason: holds ? nil : reason)
    }
}

extension LimitPolicy {
    public init(_ policy: SandboxModel.SandboxSpec.LimitPolicy) {
        switch policy {
        case .strict: self = .strict
        case .bestEffort: self = .bestEffort
        }
    }

    /// - Parameter field: where it stands in the request.
    public func model(
        field: String
    ) throws(CallFailure) -> SandboxModel.SandboxSpec.LimitPolicy {
        switch self {
        case .strict: return .strict
        case .bestEffort: return .bestEffort
        case .unrecognized(let number):
            throw .unknownNumber(number, field, "0 is STRICT, 1 is BEST_EFFORT")
        }
    }
}

extension CallFailure {
    public static func unknownNumber(_ number: Int32, _ field: String, _ known: String)
        -> CallFailure
    {
        .invalid(field, "has the number \(number), which is not known here", hint: known)
    }
}
