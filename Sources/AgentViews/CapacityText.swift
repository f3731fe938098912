public import AgentAPI
internal import Console

/// What a node can still take, for people.
public enum CapacityText {
    /// A bar for each resource, then what else a scheduler looks at.
    public static func text(_ capacity: Capacity, width: Int = 80) -> String {
        var table = TextTable(
            header: ["", "", "RESERVED", "ALLOCATABLE", "IN USE", "TOTAL"],
            alignments: [.left, .left, .right, .right, .right, .right])
        let barWidth = min(40, max(10, width - 58))
        for resource in NodeResource.allCases {
            let amounts = Amounts(resource, capacity)
            table.add(
                [resource.label, amounts.bar(width: barWidth)]
                    + [amounts.reserved, amounts.allocatable, amounts.inUse, amounts.total]
                    .map(resource.text))
        }
        return table.render()
            + "\(Self.full) in use  \(Self.held) reserved  \(Self.free) free"
            + "  \(Self.kept) kept back\n\n" + details(capacity, width: width)
    }

    static let full: Character = "█"
    static let held: Character = "▒"
    static let free: Character = "░"
    static let kept: Character = "·"

    /// The amounts of one resource.
    struct Amounts {
        let total: UInt64
        let allocatable: UInt64
        let reserved: UInt64
        let inUse: UInt64

        init(_ resource: NodeResource, _ capacity: Capacity) {
            total = resource.amount(in: capacity.total)
            allocatable = resource.amount(in: capacity.allocatable)
            reserved = resource.amount(in: capacity.reserved)
            inUse = resource.amount(in: capacity.inUse)
        }

        /// In use, reserved, free and kept back, one after the other. What is in use beyond what
        /// is reserved hides the reservation, so that nothing in use is ever shown as free.
        func bar(width: Int) -> String {
            let whole = max(total, allocatable, reserved, inUse)
            guard whole > 0 else { return String(repeating: kept, count: width) }
            // What there is of a thing has a mark of its own, however little it is.
            func marks(_ amount: UInt64) -> Int {
                amount == 0 ? 0 : max(1, Int(Double(amount) / Double(whole) * Double(width)))
            }
            let used = marks(inUse)
            let held = max(used, marks(reserved))
            let offered = max(held, marks(allocatable))
            return String(repeating: full, count: used)
                + String(repeating: CapacityText.held, count: held - used)
                + String(repeating: free, count: offered - held)
                + String(repeating: kept, count: max(0, width - offered))
        }
    }

    private static func details(_ capacity: Capacity, width: Int) -> String {
        var rows: [(String, String)] = []
        rows.append(
            (
                "starts",
                "\(capacity.startsInFlight) of \(capacity.startsLimit) in flight,"
                    + " \(capacity.startsQueued) waiting"
            ))
        if let pressure = pressure(capacity) { rows.append(("pressure", pressure)) }
        if let over = capacity.overCommit {
            rows.append(
                (
                    "over-commit",
                    "cpu ×\(NumberText.short(Double(over.cpuPermille) / 1000)),"
                        + " memory ×\(NumberText.short(Double(over.memoryPermille) / 1000))"
                ))
        }
        for overhead in capacity.overheads {
            rows.append(("overhead", Self.overhead(overhead)))
        }
        if let request = capacity.defaultRequest {
            rows.append(("default", "a sandbox without limits reserves \(amounts(request))"))
        }
        for condition in capacity.conditions {
            rows.append(("condition", Self.condition(condition)))
        }
        rows.append(
            (
                "images",
                capacity.images.isEmpty ? "none" : capacity.images.joined(separator: " ")
            ))
        rows.append(
            ("version", "\(capacity.version), \(TimeText.utc(capacity.atNanoseconds))"))
        let margin = String(repeating: " ", count: 13)
        return rows.map { name, text in
            let lines = PlainText.wrapped(PlainText.escaped(text), width: max(20, width - 13))
            return name + String(repeating: " ", count: max(1, 13 - name.count))
                + lines.joined(separator: "\n" + margin) + "\n"
        }.joined()
    }

    /// Parts of the last ten seconds that were lost waiting; nothing where the kernel tells none.
    static func pressure(_ capacity: Capacity) -> String? {
        let parts = [
            ("cpu", capacity.cpuPressure), ("memory", capacity.memoryPressure),
            ("io", capacity.ioPressure),
        ].compactMap { name, pressure in
            pressure?.some.map { "\(name) \(NumberText.short($0.average10))%" }
        }
        return parts.isEmpty ? nil : parts.joined(separator: ", ")
    }

    private static func overhead(_ overhead: Overhead) -> String {
        let perCPU =
            overhead.milliCPUsPerCPU == 0
            ? ""
            : " and \(AmountText.cpus(UInt64(overhead.milliCPUsPerCPU))) CPU for each one"
        let origin =
            overhead.measuredAtNanoseconds == 0
            ? "built in"
            : "measured \(amounts(overhead.measured)) at "
                + "\(TimeText.utc(overhead.measuredAtNanoseconds)): \(overhead.source)"
        return "\(overhead.isolation.label): \(amounts(overhead.fixed))\(perCPU) (\(origin))"
    }

    private static func amounts(_ resources: Resources?) -> String {
        let parts = NodeResource.allCases.filter { $0 != .sandboxes }.compactMap {
            let amount = $0.amount(in: resources)
            return amount == 0 ? nil : "\($0.label) \($0.text(amount))"
        }
        return parts.isEmpty ? "nothing" : parts.joined(separator: ", ")
    }

    static func condition(_ condition: Condition) -> String {
        let name =
            switch condition.kind {
            case .unspecified: "unknown"
            case .draining: "draining"
            case .drained: "drained"
            case .diskPressure: "disk pressure"
            case .memoryPressure: "memory pressure"
            case .pidPressure: "pid pressure"
            case .storeFailed: "store failed"
            case .limitsMissing: "limits missing"
            case .unrecognized(let number): "condition \(number)"
            }
        return condition.message.isEmpty ? name : "\(name): \(condition.message)"
    }
}
