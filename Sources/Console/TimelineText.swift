/// A start as a timeline in text, for terminals.
public enum TimelineText {
    /// The most characters of a label, so that one long label leaves room for every bar.
    public static let widestLabel = 48
    /// The least of a label, and of the longest bar.
    private static let least = 8

    /// One line for each moment: when it was reached, its label, and as a bar and a number the
    /// time since the moment before.
    ///
    /// ```
    ///   0.000 ms  request
    ///   0.041 ms  ├ cgroup ready  █▏         +0.041
    ///   0.310 ms  └ namespaces    ████████▎  +0.269
    /// ```
    ///
    /// - Parameters:
    ///   - moments: in their order; nanoseconds since a common beginning. A moment that is earlier
    ///     than the one before it has no bar.
    ///   - width: the most characters in a line: labels are cut, with `…`, and bars made shorter,
    ///     to no less than eight characters each.
    ///   - barWidth: the longest bar has no more characters.
    public static func render(
        _ moments: [(label: String, nanoseconds: UInt64)], width: Int = 100, barWidth: Int = 30
    ) -> String {
        let unit: TimeUnit =
            (moments.map(\.nanoseconds).max() ?? 0) < 10_000_000_000 ? .milliseconds : .seconds
        let times = moments.map {
            NumberText.fixed(Double($0.nanoseconds) / unit.rawValue, decimals: 3)
        }
        var steps: [UInt64] = []
        for (place, moment) in moments.enumerated() {
            let before = place == 0 ? moment.nanoseconds : moments[place - 1].nanoseconds
            steps.append(moment.nanoseconds > before ? moment.nanoseconds - before : 0)
        }
        let spans = steps.map { NumberText.fixed(Double($0) / unit.rawValue, decimals: 3) }
        let timeWidth = times.map(\.count).max() ?? 0
        // What is left beside two numbers, a unit, a sign and the gaps.
        let room = width - timeWidth - (spans.map(\.count).max() ?? 0) - unit.symbol.count - 10
        let labels = moments.enumerated().map { place, moment in
            let branch = place == 0 ? "" : place == moments.count - 1 ? "└ " : "├ "
            return PlainText.cut(
                branch + PlainText.escaped(moment.label),
                to: min(widestLabel, max(least, room - least)))
        }
        let labelWidth = labels.map(\.count).max() ?? 0
        let longest = steps.max() ?? 0
        let bars = steps.map {
            bar($0, of: longest, width: min(max(least, room - labelWidth), max(1, barWidth)))
        }
        let barColumn = bars.map(\.count).max() ?? 0
        var text = ""
        for place in moments.indices {
            let fill = String(repeating: " ", count: timeWidth - times[place].count)
            text += "  \(fill)\(times[place]) \(unit.symbol)  "
            if place == 0 {
                text += labels[place] + "\n"
                continue
            }
            text += PlainText.padded(labels[place], to: labelWidth) + "  "
            text += PlainText.padded(bars[place], to: barColumn) + "  +\(spans[place])\n"
        }
        return text
    }

    /// A bar in eighths of a character; what took any time has at least one eighth.
    private static func bar(_ value: UInt64, of longest: UInt64, width: Int) -> String {
        guard value > 0, longest > 0 else { return "" }
        let share = Double(value) / Double(longest)
        let eighths = max(1, Int((share * Double(width * 8)).rounded()))
        let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
        return String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
    }
}
