public import AgentAPI
internal import Console

/// What a sandbox uses, and how fast: two measurements, one after the other.
public struct UsageSample: Sendable {
    public let stats: StatsResponse
    private let before: StatsResponse?

    public init(_ stats: StatsResponse, after before: StatsResponse? = nil) {
        self.stats = stats
        self.before = before
    }

    /// CPUs in use between the two; nothing with one measurement.
    public var cpus: Double? {
        guard let now = stats.cpu, let then = before?.cpu else { return nil }
        let used = Double(Self.time(now)) - Double(Self.time(then))
        return seconds.map { max(0, used) / 1e6 / $0 }
    }

    private var seconds: Double? {
        guard let before, stats.atNanoseconds > before.atNanoseconds else { return nil }
        return Double(stats.atNanoseconds - before.atNanoseconds) / 1e9
    }

    static func time(_ cpu: StatsResponse.CPU) -> UInt64 {
        cpu.userMicroseconds &+ cpu.systemMicroseconds
    }
}

/// Measurements for people.
public enum StatsText {
    public struct Row: Sendable {
        public let id: String
        public let sample: UsageSample

        public init(id: String, sample: UsageSample) {
            self.id = id
            self.sample = sample
        }
    }

    static let header = [
        "CPU", "CPU TIME", "MEMORY", "PIDS", "READ", "WRITTEN", "RECEIVED", "SENT",
    ]

    /// A row for each. What the node cannot measure is left empty.
    public static func table(_ rows: [Row], width: Int? = nil) -> String {
        var table = TextTable(
            header: ["ID"] + header,
            alignments: [.left] + header.map { _ in .right })
        for row in rows { table.add([row.id] + cells(row.sample)) }
        return table.render(width: width)
    }

    static func cells(_ sample: UsageSample) -> [String] {
        let stats = sample.stats
        return [
            sample.cpus.map(AmountText.percent) ?? "",
            stats.cpu.map { AmountText.time(microseconds: UsageSample.time($0)) } ?? "",
            stats.memory.map(memory) ?? "",
            stats.pids.map { "\($0.current)" + ($0.limit.map { " / \($0)" } ?? "") } ?? "",
            stats.io.map { AmountText.bytes($0.readBytes) } ?? "",
            stats.io.map { AmountText.bytes($0.writeBytes) } ?? "",
            stats.network.map { AmountText.bytes($0.receivedBytes) } ?? "",
            stats.network.map { AmountText.bytes($0.sentBytes) } ?? "",
        ]
    }

    private static func memory(_ memory: StatsResponse.Memory) -> String {
        AmountText.bytes(memory.currentBytes)
            + (memory.limitBytes.map { " / \(AmountText.bytes($0))" } ?? "")
    }
}
