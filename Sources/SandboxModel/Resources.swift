/// Amounts of everything that admission counts.
public struct Resources: Hashable, Sendable {
    public var milliCPUs: UInt64
    public var memoryBytes: UInt64
    public var pids: UInt64
    public var diskBytes: UInt64
    public var addresses: UInt64
    public var sandboxes: UInt64

    public init(
        milliCPUs: UInt64 = 0, memoryBytes: UInt64 = 0, pids: UInt64 = 0, diskBytes: UInt64 = 0,
        addresses: UInt64 = 0, sandboxes: UInt64 = 0
    ) {
        self.milliCPUs = milliCPUs
        self.memoryBytes = memoryBytes
        self.pids = pids
        self.diskBytes = diskBytes
        self.addresses = addresses
        self.sandboxes = sandboxes
    }

    public static let none = Resources()

    /// The kinds, each with the name by which a refusal speaks of it.
    public enum Kind: String, CaseIterable, Hashable, Sendable {
        case cpu
        case memory
        case pids
        case disk
        case addresses
        case sandboxes
    }

    public subscript(kind: Kind) -> UInt64 {
        get {
            switch kind {
            case .cpu: milliCPUs
            case .memory: memoryBytes
            case .pids: pids
            case .disk: diskBytes
            case .addresses: addresses
            case .sandboxes: sandboxes
            }
        }
        set {
            switch kind {
            case .cpu: milliCPUs = newValue
            case .memory: memoryBytes = newValue
            case .pids: pids = newValue
            case .disk: diskBytes = newValue
            case .addresses: addresses = newValue
            case .sandboxes: sandboxes = newValue
            }
        }
    }

    /// What a sandbox asks for: its limits, and the defaults in the place of those it has not.
    public static func requested(
        by limits: Limits, diskBytes: UInt64?, defaults: Resources
    ) -> Resources {
        var request = defaults
        if let milliCPUs = limits.milliCPUs { request.milliCPUs = UInt64(milliCPUs) }
        if let memoryBytes = limits.memoryBytes { request.memoryBytes = memoryBytes }
        if let pids = limits.pids { request.pids = UInt64(pids) }
        if let diskBytes { request.diskBytes = diskBytes }
        return request
    }

    /// The sum in each kind; the largest number there is where it would be more.
    public func adding(_ other: Resources) -> Resources {
        combined(with: other) { $0.saturatingSum($1) }
    }

    /// The difference in each kind; zero where it would be less.
    public func subtracting(_ other: Resources) -> Resources {
        combined(with: other) { $0 > $1 ? $0 - $1 : 0 }
    }

    private func combined(
        with other: Resources, by operation: (UInt64, UInt64) -> UInt64
    ) -> Resources {
        var result = Resources()
        for kind in Kind.allCases { result[kind] = operation(self[kind], other[kind]) }
        return result
    }

    /// An amount as people read it: `1.5 GiB`, `0.5 CPU`, `12`.
    public static func text(_ amount: UInt64, of kind: Kind) -> String {
        switch kind {
        case .cpu: Limits.cpus(amount)
        case .memory, .disk: Limits.bytes(amount)
        case .pids, .addresses, .sandboxes: "\(amount)"
        }
    }
}

/// What a sandbox costs the node beyond what it asks for.
public struct Overhead: Hashable, Sendable {
    /// For each sandbox.
    public var fixed: Resources
    /// Thousandths of a CPU for each CPU that it asks for.
    public var milliCPUsPerCPU: UInt32

    public init(fixed: Resources, milliCPUsPerCPU: UInt32 = 0) {
        self.fixed = fixed
        self.milliCPUsPerCPU = milliCPUsPerCPU
    }

    /// What to reserve for a request.
    public func added(to request: Resources) -> Resources {
        var sum = request.adding(fixed)
        let share = request.milliCPUs.saturatingPermille(UInt64(milliCPUsPerCPU), roundsUp: true)
        sum.milliCPUs = sum.milliCPUs.saturatingSum(share)
        return sum
    }
}

/// How many times over a resource may be reserved, in thousandths: 1000 is once.
public struct OverCommit: Hashable, Sendable {
    public var cpuPermille: UInt32
    public var memoryPermille: UInt32

    public init(cpuPermille: UInt32 = 1000, memoryPermille: UInt32 = 1000) {
        self.cpuPermille = cpuPermille
        self.memoryPermille = memoryPermille
    }

    public static let none = OverCommit()
}

extension UInt64 {
    func saturatingSum(_ other: UInt64) -> UInt64 {
        let (sum, overflows) = addingReportingOverflow(other)
        return overflows ? .max : sum
    }

    /// So many thousandths of this.
    func saturatingPermille(_ permille: UInt64, roundsUp: Bool = false) -> UInt64 {
        let product = multipliedFullWidth(by: permille)
        guard product.high < 1000 else { return .max }
        let (quotient, remainder) = UInt64(1000).dividingFullWidth(product)
        return remainder > 0 && roundsUp ? quotient.saturatingSum(1) : quotient
    }
}
