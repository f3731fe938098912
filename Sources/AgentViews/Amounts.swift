public import AgentAPI
internal import Console

/// Amounts for people, short enough for a column.
enum AmountText {
    private static let units: [(symbol: String, shift: UInt64)] = [
        ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10),
    ]

    /// `1.5 GiB`: about three digits.
    static func bytes(_ count: UInt64) -> String {
        guard let unit = units.first(where: { count >> $0.shift > 0 }) else { return "\(count) B" }
        let value = Double(count) / Double(UInt64(1) << unit.shift)
        return "\(trimmed(NumberText.short(value))) \(unit.symbol)"
    }

    static func cpus(_ milliCPUs: UInt64) -> String {
        Quantity.text(milliCPUs: Int(clamping: milliCPUs))
    }

    static func percent(_ share: Double) -> String {
        NumberText.fixed(share * 100, decimals: share < 0.0995 ? 1 : 0) + "%"
    }

    /// CPU time: `12.3 s`, `4m 10s`.
    static func time(microseconds: UInt64) -> String {
        let nanoseconds = microseconds.multipliedReportingOverflow(by: 1000)
        guard !nanoseconds.overflow, microseconds >= 60_000_000 else {
            return TimeUnit.text(nanoseconds: Double(microseconds) * 1000)
        }
        return TimeText.span(Int64(clamping: nanoseconds.partialValue))
    }

    private static func trimmed(_ number: String) -> String {
        guard number.contains(".") else { return number }
        var number = number
        while number.hasSuffix("0") { number.removeLast() }
        if number.hasSuffix(".") { number.removeLast() }
        return number
    }
}

/// A resource of the node, with its amounts in words.
enum NodeResource: CaseIterable {
    case cpus, memory, pids, disk, addresses, sandboxes

    var label: String {
        switch self {
        case .cpus: "cpus"
        case .memory: "memory"
        case .pids: "pids"
        case .disk: "disk"
        case .addresses: "addresses"
        case .sandboxes: "sandboxes"
        }
    }

    func amount(in resources: Resources?) -> UInt64 {
        guard let resources else { return 0 }
        return switch self {
        case .cpus: resources.milliCPUs
        case .memory: resources.memoryBytes
        case .pids: resources.pids
        case .disk: resources.diskBytes
        case .addresses: resources.addresses
        case .sandboxes: resources.sandboxes
        }
    }

    func text(_ amount: UInt64) -> String {
        switch self {
        case .cpus: AmountText.cpus(amount)
        case .memory, .disk: AmountText.bytes(amount)
        case .pids, .addresses, .sandboxes: String(amount)
        }
    }
}

extension IsolationKind {
    public var label: String {
        switch self {
        case .auto: "auto"
        case .process: "process"
        case .microvm: "microvm"
        case .unrecognized(let number): "kind \(number)"
        }
    }
}

extension SandboxState {
    public var label: String {
        switch self {
        case .unspecified: "unknown"
        case .created: "created"
        case .starting: "starting"
        case .running: "running"
        case .paused: "paused"
        case .stopping: "stopping"
        case .stopped: "stopped"
        case .failed: "failed"
        case .unrecognized(let number): "state \(number)"
        }
    }

    /// Those with a name, in the order of a sandbox's life.
    public static let known: [SandboxState] = [
        .created, .starting, .running, .paused, .stopping, .stopped, .failed,
    ]

    /// Whether nothing of the sandbox runs any more, or ever will.
    public var isOver: Bool { self == .stopped || self == .failed }
}
