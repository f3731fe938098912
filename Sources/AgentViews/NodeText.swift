public import AgentAPI
internal import Console

/// What a node is, and how it drains, for people.
public enum NodeText {
    public static func info(_ info: InfoResponse, now: Int64, width: Int = 80) -> String {
        var table = TextTable(alignments: [.left, .left])
        table.add(["node", info.nodeName])
        table.add(["id", info.nodeID])
        if !info.labels.isEmpty { table.add(["labels", labels(info.labels)]) }
        table.add(["agent", "\(info.version), up \(up(info.agentStartedAtNanoseconds, now))"])
        table.add(["kernel", "\(info.kernel) \(info.architecture)"])
        table.add(["booted", TimeText.utc(info.bootedAtNanoseconds)])
        if let cpu = info.cpu { table.add(["cpu", "\(cpu.count) × \(cpu.name)"]) }
        for offered in info.isolations {
            let state =
                offered.offered
                ? "offered" + (offered.preferred ? ", chosen by auto" : "")
                : "not offered: \(offered.reason)"
            table.add([offered.kind.label, state])
        }
        return table.render(width: width)
    }

    private static func labels(_ labels: [String: String]) -> String {
        labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ", ")
    }

    static func up(_ since: Int64, _ now: Int64) -> String { TimeText.span(now - since) }

    public static func drain(_ drain: DrainResponse) -> String {
        let left = "\(drain.remaining) \(drain.remaining == 1 ? "sandbox" : "sandboxes") left"
        guard drain.draining else { return "the node takes sandboxes (\(left))\n" }
        let until =
            drain.deadlineAtNanoseconds == 0
            ? "" : ", stopped at \(TimeText.utc(drain.deadlineAtNanoseconds))"
        return "the node takes no new sandboxes: \(left)\(until)\n"
    }
}
