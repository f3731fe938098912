public import AgentAPI
internal import Console

/// One picture of `alcove top`: the node, then its sandboxes, the busiest first.
public struct TopFrame: Sendable {
    public struct Row: Sendable {
        public let sandbox: Sandbox
        public let sample: UsageSample?

        public init(sandbox: Sandbox, sample: UsageSample?) {
            self.sandbox = sandbox
            self.sample = sample
        }
    }

    private let node: InfoResponse
    private let capacity: Capacity
    private let rows: [Row]
    private let now: Int64

    public init(node: InfoResponse, capacity: Capacity, rows: [Row], now: Int64) {
        self.node = node
        self.capacity = capacity
        self.now = now
        self.rows = rows.sorted {
            let (left, right) = ($0.sample?.cpus ?? -1, $1.sample?.cpus ?? -1)
            return left == right ? $0.sandbox.id < $1.sandbox.id : left > right
        }
    }

    /// At most `height` lines of at most `width` characters.
    ///
    /// - Parameter height: nothing for all of it.
    public func lines(width: Int, height: Int? = nil) -> [String] {
        var lines = head(width) + [""]
        let table = self.table(width)
        lines += table
        if let height, lines.count > height {
            let hidden = lines.count - height + 1
            lines = Array(lines.prefix(max(0, height - 1))) + ["… \(hidden) more"]
        }
        return lines.map { PlainText.cut($0, to: width) }
    }

    private func head(_ width: Int) -> [String] {
        let states = SandboxState.known.compactMap { state in
            let count = rows.count { $0.sandbox.state == state }
            return count == 0 ? nil : "\(count) \(state.label)"
        }
        var lines = [
            "\(node.nodeName)  agent \(node.version), up "
                + NodeText.up(node.agentStartedAtNanoseconds, now) + "  "
                + TimeText.utc(now),
            "sandboxes  " + (states.isEmpty ? "none" : states.joined(separator: ", ")),
        ]
        let barWidth = min(50, max(10, width - 50))
        for resource in [NodeResource.cpus, .memory, .pids, .disk] {
            let amounts = CapacityText.Amounts(resource, capacity)
            let label = PlainText.cut(resource.label, to: 9)
            lines.append(
                label + String(repeating: " ", count: 11 - label.count)
                    + amounts.bar(width: barWidth) + "  \(resource.text(amounts.inUse)) used, "
                    + "\(resource.text(amounts.reserved)) reserved of "
                    + resource.text(amounts.allocatable))
        }
        if let pressure = CapacityText.pressure(capacity) {
            lines.append("pressure   \(pressure)")
        }
        let conditions = capacity.conditions.map(CapacityText.condition)
        if !conditions.isEmpty { lines.append("! " + conditions.joined(separator: "; ")) }
        return lines.map { PlainText.escaped($0) }
    }

    private func table(_ width: Int) -> [String] {
        var table = TextTable(
            header: ["ID", "STATE"] + StatsText.header + ["AGE", "COMMAND"],
            alignments: [.left, .left] + StatsText.header.map { _ in .right } + [.right, .left])
        for row in rows {
            let cells = row.sample.map(StatsText.cells) ?? StatsText.header.map { _ in "" }
            table.add(
                [row.sandbox.id, row.sandbox.state.label] + cells + [
                    TimeText.age(since: row.sandbox.createdAtNanoseconds, now: now),
                    SandboxText.command(row.sandbox.spec?.command ?? []),
                ])
        }
        return table.render(width: width).split(separator: "\n").map(String.init)
    }
}
