/// What is reserved on a node, and whether more fits. Nothing is ever reserved beyond what is
/// allocatable: the sum is known here, and changed and compared in one step.
///
/// Pure and not shared: its owner asks before anything starts, on one thread.
public struct Admission: Sendable {
    /// A resource of which there is too little.
    public struct Shortage: Hashable, Sendable {
        public let kind: Resources.Kind
        /// What was asked for, the overhead included.
        public let requested: UInt64
        /// What is free for it.
        public let available: UInt64

        public init(kind: Resources.Kind, requested: UInt64, available: UInt64) {
            self.kind = kind
            self.requested = requested
            self.available = available
        }
    }

    public enum Decision: Hashable, Sendable {
        case admitted
        /// What is short, in the order of ``Resources/Kind``. Nothing has changed.
        case refused([Shortage])
    }

    /// What sandboxes may reserve altogether.
    public private(set) var allocatable: Resources
    /// What they have reserved. More than is allocatable only where that shrank afterwards.
    public private(set) var reserved = Resources.none
    private var reservations: [String: Resources] = [:]

    public init(allocatable: Resources) {
        self.allocatable = allocatable
    }

    /// - Parameters:
    ///   - total: what the node has.
    ///   - keptBack: what the operator keeps for everything else.
    public init(total: Resources, keptBack: Resources, overCommit: OverCommit) {
        self.init(
            allocatable: Self.allocatable(
                total: total, keptBack: keptBack, overCommit: overCommit))
    }

    /// The total less what is kept back, and of cpu and memory as many times as they may be
    /// reserved.
    public static func allocatable(
        total: Resources, keptBack: Resources, overCommit: OverCommit
    ) -> Resources {
        var result = total.subtracting(keptBack)
        result.milliCPUs = result.milliCPUs.saturatingPermille(UInt64(overCommit.cpuPermille))
        result.memoryBytes = result.memoryBytes.saturatingPermille(
            UInt64(overCommit.memoryPermille))
        return result
    }

    /// How many have a reservation.
    public var count: Int { reservations.count }

    /// What is free.
    public var available: Resources { allocatable.subtracting(reserved) }

    public func reservation(of id: String) -> Resources? { reservations[id] }

    /// Reserves for an id, in the place of what it had: whole or not at all.
    ///
    /// What is no more than it had is given even where the node has less than is reserved.
    public mutating func reserve(_ resources: Resources, for id: String) -> Decision {
        let before = reservations[id] ?? .none
        let others = reserved.subtracting(before)
        let free = allocatable.subtracting(others)
        let shortages = Resources.Kind.allCases.compactMap { kind -> Shortage? in
            if resources[kind] <= free[kind] || resources[kind] <= before[kind] { return nil }
            return Shortage(kind: kind, requested: resources[kind], available: free[kind])
        }
        guard shortages.isEmpty else { return .refused(shortages) }
        reservations[id] = resources
        reserved = others.adding(resources)
        return .admitted
    }

    /// Reserves for one that runs already, whether there is room or not: after a start of the agent
    /// with less to give than before. Refused only where the sum is more than a number can hold,
    /// which no sum of admitted ones is.
    public mutating func adopt(_ resources: Resources, for id: String) -> Decision {
        let others = reserved.subtracting(reservations[id] ?? .none)
        let shortages = Resources.Kind.allCases.compactMap { kind -> Shortage? in
            let most = UInt64.max - others[kind]
            guard resources[kind] > most else { return nil }
            return Shortage(kind: kind, requested: resources[kind], available: most)
        }
        guard shortages.isEmpty else { return .refused(shortages) }
        reservations[id] = resources
        reserved = others.adding(resources)
        return .admitted
    }

    /// Gives back what an id had. False when it had nothing.
    @discardableResult
    public mutating func release(_ id: String) -> Bool {
        guard let resources = reservations.removeValue(forKey: id) else { return false }
        reserved = reserved.subtracting(resources)
        return true
    }

    /// The node has more or less to give from now on. Reservations stay.
    public mutating func resize(to allocatable: Resources) {
        self.allocatable = allocatable
    }
}

extension Admission.Shortage: CustomStringConvertible {
    /// `memory: 2 GiB asked for, 1.5 GiB free`
    public var description: String {
        "\(kind.rawValue): \(Resources.text(requested, of: kind)) asked for, "
            + "\(Resources.text(available, of: kind)) free"
    }
}
