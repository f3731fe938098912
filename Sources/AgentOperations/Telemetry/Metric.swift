internal import LinuxKernel

/// What a label of a metric can say: a fixed list, never an id, so that the number of series is
/// known when the program is written.
public protocol MetricLabel: CaseIterable, Hashable, Sendable, RawRepresentable<String> {
    /// The label's name: `state`.
    static var labelName: String { get }
}

/// No label: a metric of one series.
public enum Unlabelled: String, MetricLabel {
    case none = ""

    public static var labelName: String { "" }
}

/// The description of a metric, as its documentation has it.
public struct MetricDescription: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable {
        case counter, gauge, histogram
    }

    public let name: String
    public let kind: Kind
    public let help: String
    public let labels: [MetricLabelDescription]
}

/// A label with everything that it can say.
public struct MetricLabelDescription: Hashable, Sendable {
    public let name: String
    public let values: [String]
}

/// A metric with all its series. Recording is an addition under a lock that nobody holds long; any
/// thread may.
final class MetricFamily: Sendable {
    let description: MetricDescription
    /// `{state="running"}` of each series, in the order of the labels.
    private let labels: [String]
    /// How many decimals the whole numbers have that are kept: 9 for nanoseconds as seconds.
    private let decimals: Int
    /// Series that are 0 are not shown.
    private let isSparse: Bool
    /// Of counters and gauges, one number for each series, a gauge's as its bits. Of histograms one
    /// for each bucket, the one beyond the last, and the sum.
    private let cells: Locked<[UInt64]>

    private static let cellsOfHistogram = HistogramBounds.nanoseconds.count + 2

    /// - Parameter labels: name and values of each label; the last one turns fastest.
    init(
        _ name: String, _ kind: MetricDescription.Kind, _ help: String,
        labels: [(name: String, values: [String])] = [], decimals: Int = 0, isSparse: Bool = false
    ) {
        description = MetricDescription(
            name: name, kind: kind, help: help,
            labels: labels.map { MetricLabelDescription(name: $0.name, values: $0.values) })
        self.labels = labels.reduce([""]) { series, label in
            series.flatMap { before in
                label.values.map { value in
                    let pair = "\(label.name)=\"\(MetricText.escaped(value))\""
                    return before.isEmpty ? pair : "\(before),\(pair)"
                }
            }
        }
        self.decimals = decimals
        self.isSparse = isSparse
        let size = kind == .histogram ? Self.cellsOfHistogram : 1
        cells = Locked([UInt64](repeating: 0, count: self.labels.count * size))
    }

    func add(_ count: UInt64, series: Int) {
        cells.with { $0[series] &+= count }
    }

    func set(_ value: Int64, series: Int) {
        cells.with { $0[series] = UInt64(bitPattern: value) }
    }

    func record(nanoseconds: UInt64, series: Int) {
        let first = series * Self.cellsOfHistogram
        let bucket = HistogramBounds.bucket(of: nanoseconds)
        cells.with { cells in
            cells[first + bucket] &+= 1
            cells[first + Self.cellsOfHistogram - 1] &+= nanoseconds
        }
    }

    /// Adds the lines of the text format of Prometheus, version 0.0.4.
    func append(to text: inout String) {
        let name = description.name
        text += "# HELP \(name) \(MetricText.escapedHelp(description.help))\n"
        text += "# TYPE \(name) \(description.kind.rawValue)\n"
        let cells = cells.with { $0 }
        for (series, labels) in labels.enumerated() {
            switch description.kind {
            case .counter:
                if isSparse && cells[series] == 0 { continue }
                text += name + Self.braced(labels)
                text += " \(MetricText.number(cells[series], decimals: decimals))\n"
            case .gauge:
                let value = Int64(bitPattern: cells[series])
                text += name + Self.braced(labels)
                text += (value < 0 ? " -" : " ")
                text += "\(MetricText.number(value.magnitude, decimals: decimals))\n"
            case .histogram:
                let first = series * Self.cellsOfHistogram
                appendHistogram(
                    cells[first..<(first + Self.cellsOfHistogram)], labels, to: &text)
            }
        }
    }

    private func appendHistogram(
        _ cells: ArraySlice<UInt64>, _ labels: String, to text: inout String
    ) {
        let name = description.name
        let total = cells.dropLast().reduce(0, &+)
        if isSparse && total == 0 { return }
        let before = labels.isEmpty ? "" : labels + ","
        var count: UInt64 = 0
        for (bound, cell) in zip(HistogramBounds.texts, cells) {
            count &+= cell
            text += "\(name)_bucket{\(before)le=\"\(bound)\"} \(count)\n"
        }
        text += "\(name)_bucket{\(before)le=\"+Inf\"} \(total)\n"
        let sum = MetricText.number(cells.last ?? 0, decimals: 9)
        text += "\(name)_sum\(Self.braced(labels)) \(sum)\n"
        text += "\(name)_count\(Self.braced(labels)) \(total)\n"
    }

    private static func braced(_ labels: String) -> String { labels.isEmpty ? "" : "{\(labels)}" }
}

/// Where the buckets of all histograms end: 1, 2 and 5 of each power of ten from a microsecond, and
/// a minute.
enum HistogramBounds {
    static let nanoseconds: [UInt64] =
        [1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000]
        .flatMap { [$0, $0 * 2, $0 * 5] } + [10_000_000_000, 20_000_000_000, 60_000_000_000]

    /// In seconds.
    static let texts = nanoseconds.map { MetricText.number($0, decimals: 9) }

    /// The first bucket that holds the value; the count of all for one beyond them.
    static func bucket(of value: UInt64) -> Int {
        var (low, high) = (0, nanoseconds.count)
        while low < high {
            let middle = (low + high) / 2
            if value <= nanoseconds[middle] { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

enum MetricText {
    /// A whole number with a point before its last `decimals` digits, without zeros at the end.
    static func number(_ value: UInt64, decimals: Int) -> String {
        guard decimals > 0 else { return String(value) }
        var digits = String(value)
        if digits.utf8.count <= decimals {
            digits = String(repeating: "0", count: decimals + 1 - digits.utf8.count) + digits
        }
        var part = digits.suffix(decimals)
        while part.last == "0" { part.removeLast() }
        let whole = digits.dropLast(decimals)
        return part.isEmpty ? String(whole) : "\(whole).\(part)"
    }

    /// A label's value, as it stands in quotes.
    static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    static func escapedHelp(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}

/// What only grows.
public struct Counter<Label: MetricLabel>: Sendable {
    let family: MetricFamily

    init(_ name: String, _ help: String, decimals: Int = 0) {
        family = MetricFamily(
            name, .counter, help, labels: MetricSeries.labels(Label.self), decimals: decimals)
    }

    public func add(_ count: UInt64 = 1, _ label: Label) {
        family.add(count, series: MetricSeries.index(of: label))
    }

    /// Takes over what somebody else counts.
    public func set(_ total: UInt64, _ label: Label) {
        family.set(Int64(truncatingIfNeeded: total), series: MetricSeries.index(of: label))
    }
}

extension Counter where Label == Unlabelled {
    public func add(_ count: UInt64 = 1) { add(count, .none) }
    public func set(_ total: UInt64) { set(total, .none) }
}

/// What goes up and down.
public struct Gauge<Label: MetricLabel>: Sendable {
    let family: MetricFamily

    /// - Parameter decimals: of the number that is shown: 3 when thousandths are set.
    init(_ name: String, _ help: String, decimals: Int = 0) {
        family = MetricFamily(
            name, .gauge, help, labels: MetricSeries.labels(Label.self), decimals: decimals)
    }

    public func set(_ value: some BinaryInteger, _ label: Label) {
        family.set(Int64(clamping: value), series: MetricSeries.index(of: label))
    }
}

extension Gauge where Label == Unlabelled {
    public func set(_ value: some BinaryInteger) { set(value, .none) }
    public func set(_ value: Bool) { set(value ? 1 : 0, .none) }
}

/// How long things took.
public struct Histogram<Label: MetricLabel>: Sendable {
    let family: MetricFamily

    init(_ name: String, _ help: String) {
        family = MetricFamily(
            name, .histogram, help, labels: MetricSeries.labels(Label.self), isSparse: true)
    }

    public func record(nanoseconds: UInt64, _ label: Label) {
        family.record(nanoseconds: nanoseconds, series: MetricSeries.index(of: label))
    }

    public func record(_ span: Duration, _ label: Label) {
        let (seconds, attoseconds) = span.components
        let nanoseconds = UInt64(clamping: seconds)
            .multipliedReportingOverflow(by: 1_000_000_000)
        record(
            nanoseconds: (nanoseconds.overflow ? .max / 2 : nanoseconds.partialValue)
                &+ UInt64(clamping: attoseconds / 1_000_000_000), label)
    }
}

extension Histogram where Label == Unlabelled {
    public func record(nanoseconds: UInt64) { record(nanoseconds: nanoseconds, .none) }
    public func record(_ span: Duration) { record(span, .none) }
}

enum MetricSeries {
    static func labels<Label: MetricLabel>(
        _ type: Label.Type
    ) -> [(name: String, values: [String])] {
        Label.labelName.isEmpty
            ? [] : [(Label.labelName, Label.allCases.map(\.rawValue))]
    }

    static func index<Label: MetricLabel>(of label: Label) -> Int {
        var index = 0
        for other in Label.allCases {
            if other == label { return index }
            index += 1
        }
        preconditionFailure("a label is one of its type's cases")
    }
}
