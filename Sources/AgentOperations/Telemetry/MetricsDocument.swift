internal import Console

/// The list of all metrics, for people.
public enum MetricsDocument {
    /// For the documentation: one table of Markdown.
    public static func markdown() -> String {
        var table = TextTable(
            header: ["Metric", "Kind", "Labels", "What it says"],
            alignments: [.left, .left, .left, .left])
        for metric in AgentMetrics(version: "", methods: []).descriptions {
            table.add([
                "`\(metric.name)`", metric.kind.rawValue,
                metric.labels.map(text).joined(separator: "; "), metric.help,
            ])
        }
        return table.markdown()
    }

    private static func text(_ label: MetricLabelDescription) -> String {
        // Those of the build, of the API and of gRPC are not for a table.
        if ["version", "method", "code"].contains(label.name) { return "`\(label.name)`" }
        return "`\(label.name)`: \(label.values.joined(separator: ", "))"
    }
}
