/// A picture of distributions of time as SVG: a table that is the legend too, a histogram of each
/// with its median and p99, and the cumulative distributions of all above one axis.
public struct DistributionPicture: Equatable, Sendable {
    /// Samples in nanoseconds and their name.
    public struct Series: Equatable, Sendable {
        public let name: String
        public let distribution: Distribution

        public init(_ name: String, _ distribution: Distribution) {
            self.name = name
            self.distribution = distribution
        }
    }

    /// So many colours can be told apart, by those who do not see all colours too.
    public static let mostSeries = 7

    /// The colour of the series at this place.
    static func color(_ place: Int) -> String {
        PictureLayout.colors[place % PictureLayout.colors.count]
    }

    public let title: String
    /// What was measured and how: the parameters of the measurement.
    public let subtitle: String
    public let series: [Series]
    public let scale: ValueScale?

    /// Nil without series, and with more than `mostSeries`.
    ///
    /// - Parameter scale: of the axis; nil takes the logarithmic one where the samples spread to
    ///   more than four times the least.
    public init?(
        title: String, subtitle: String = "", series: [Series], scale: ValueScale? = nil
    ) {
        guard !series.isEmpty, series.count <= Self.mostSeries else { return nil }
        self.title = title
        self.subtitle = subtitle
        self.series = series
        self.scale = scale
    }

    /// The whole document; the same input gives the same text.
    public func svg() -> String {
        var layout = PictureLayout(self)
        layout.drawHeading()
        layout.drawTable()
        layout.drawHistograms()
        layout.drawCumulative()
        let names = series.map { one in
            "\(one.name): n \(one.distribution.count), "
                + "median \(layout.axis.text(one.distribution.median)), "
                + "p99 \(layout.axis.text(one.distribution.p99))"
        }
        return layout.svg.document(
            width: PictureLayout.width, height: layout.y + 20, title: title,
            description: names.joined(separator: "; "))
    }
}

/// Draws from top to bottom; `y` is how far it has come.
private struct PictureLayout {
    static let width = 960.0
    static let left = 72.0
    static let right = 928.0
    /// The colours of Okabe and Ito without yellow, which is too light on white.
    static let colors = [
        "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d",
    ]
    /// A second sign beside the colour, for lines that cross.
    static let dashes: [String?] = [nil, "9 3", "4 2", "12 3 3 3", "7 2", "15 3", "2 2"]

    let picture: DistributionPicture
    let axis: PictureAxis
    var svg = SVG()
    var y = 0.0

    init(_ picture: DistributionPicture) {
        self.picture = picture
        axis = PictureAxis(
            picture.series.map(\.distribution), scale: picture.scale, left: Self.left,
            right: Self.right)
    }

    mutating func drawHeading() {
        y = 38
        for line in PlainText.wrapped(picture.title, width: 80) {
            svg.text(line, 32, y, size: 20, bold: true)
            y += 26
        }
        y -= 2
        guard !picture.subtitle.isEmpty else { return }
        for line in PlainText.wrapped(picture.subtitle, width: 130) {
            svg.text(line, 32, y, color: SVG.faint)
            y += 19
        }
    }

    mutating func drawTable() {
        let columns: [(title: String, value: (Distribution) -> String)] = [
            ("n", { NumberText.grouped($0.count) }), ("min", { [axis] in axis.text($0.minimum) }),
            ("median", { [axis] in axis.text($0.median) }),
            ("p90", { [axis] in axis.text($0.p90) }), ("p99", { [axis] in axis.text($0.p99) }),
            ("p99.9", { [axis] in axis.text($0.p999) }),
            ("max", { [axis] in axis.text($0.maximum) }),
        ]
        y += 16
        let places = columns.indices.map { Self.right - Double(columns.count - 1 - $0) * 86 }
        for (column, x) in zip(columns, places) {
            svg.text(column.title, x, y, size: 12, anchor: .end, color: SVG.faint)
        }
        svg.line(32, y + 7, Self.right, y + 7, color: SVG.grid)
        y += 26
        for (place, series) in picture.series.enumerated() {
            svg.rectangle(32, y - 11, 12, 12, color: Self.colors[place])
            svg.text(Self.name(series.name, 36), 52, y, bold: true)
            for (column, x) in zip(columns, places) {
                let isMain = column.title == "median"
                svg.text(
                    column.value(series.distribution), x, y, anchor: .end, bold: isMain)
            }
            y += 22
        }
    }

    mutating func drawHistograms() {
        let height = picture.series.count == 1 ? 200.0 : picture.series.count <= 3 ? 110 : 76
        y += 14
        let top = y
        let bins = axis.bins(for: picture.series.map(\.distribution))
        for place in picture.series.indices {
            drawHistogram(place, height: height, bins: bins)
        }
        svg.text(
            "share of samples", 20, (top + y) / 2, size: 12, anchor: .middle, color: SVG.faint,
            turned: true)
        drawTicks(top: nil)
    }

    private mutating func drawHistogram(_ place: Int, height: Double, bins: Int) {
        let series = picture.series[place]
        let distribution = series.distribution
        if picture.series.count > 1 {
            svg.text(Self.name(series.name, 60), Self.left, y, bold: true)
        }
        let beyond = distribution.count - distribution.countOfSamples(atMost: axis.range.upperBound)
        if beyond > 0 {
            let most = axis.text(distribution.maximum)
            svg.text(
                "\(NumberText.grouped(beyond)) beyond the axis, up to \(most) →", Self.right, y,
                size: 12, anchor: .end, color: SVG.faint)
        }
        let top = y + 30
        let bottom = top + height
        drawGrid(top, bottom)
        let histogram = Histogram(distribution, bins: bins, scale: axis.scale, range: axis.range)
        let highest = Double(histogram.bins.map(\.count).max() ?? 0) / Double(distribution.count)
        let full = max(PictureAxis.niceStep(highest * 100, [1, 1.5, 2, 3, 4, 5, 6, 8]), 0.001)
        for percent in [0, full / 2, full] {
            let level = bottom - height * percent / full
            if percent > 0 { svg.line(Self.left, level, Self.right, level, color: SVG.grid) }
            svg.text(
                PictureAxis.trimmed(percent) + "%", Self.left - 8, level + 4, size: 12,
                anchor: .end, color: SVG.faint)
        }
        var outline: [(x: Double, y: Double)] = [(axis.x(axis.range.lowerBound), bottom)]
        for bin in histogram.bins {
            let share = Double(bin.count) / Double(distribution.count) * 100
            let level = bottom - height * share / full
            outline += [(axis.x(bin.lower), level), (axis.x(bin.upper), level)]
        }
        outline.append((axis.x(axis.range.upperBound), bottom))
        svg.path(outline, stroke: nil, fill: Self.colors[place])
        svg.line(Self.left, bottom, Self.right, bottom, color: SVG.axis)
        drawMarks(distribution, top, bottom)
        y = bottom + 30
    }

    /// The lines of median and p99 with labels above, which move apart when they would touch.
    private mutating func drawMarks(_ distribution: Distribution, _ top: Double, _ bottom: Double) {
        let marks = [("median", distribution.median), ("p99", distribution.p99)]
        let texts = marks.map { "\($0.0) \(axis.text($0.1))" }
        let halves = texts.map { SVG.width(of: $0) / 2 }
        var centers = marks.map { axis.x($0.1) }
        for place in centers.indices {
            let half = halves[place]
            centers[place] = min(max(centers[place], Self.left + half), Self.right - half)
        }
        let missing = halves[0] + halves[1] + 12 - (centers[1] - centers[0])
        if missing > 0 {
            let roomLeft = centers[0] - Self.left - halves[0]
            let roomRight = Self.right - halves[1] - centers[1]
            let toRight = min(roomRight, max(missing / 2, missing - roomLeft))
            centers[1] += toRight
            centers[0] -= missing - toRight
        }
        for (place, mark) in marks.enumerated() {
            let x = axis.x(mark.1)
            let dashes = place == 0 ? nil : "4 3"
            svg.line(centers[place], top - 10, x, top - 3, color: SVG.ink)
            svg.line(x, top - 3, x, bottom, color: SVG.ink, width: 1.5, dashes: dashes)
            svg.text(texts[place], centers[place], top - 13, size: 12, anchor: .middle)
        }
    }

    mutating func drawCumulative() {
        let height = 190.0
        y += 34
        svg.text("Cumulative", Self.left, y, bold: true)
        svg.text(
            "dots: median and p99", Self.right, y, size: 12, anchor: .end, color: SVG.faint)
        let top = y + 16
        let bottom = top + height
        drawGrid(top, bottom)
        for percent in stride(from: 0.0, through: 100, by: 25) {
            let level = bottom - height * percent / 100
            svg.line(
                Self.left, level, Self.right, level, color: percent == 0 ? SVG.axis : SVG.grid)
            svg.text(
                PictureAxis.trimmed(percent) + "%", Self.left - 8, level + 4, size: 12,
                anchor: .end, color: SVG.faint)
        }
        svg.text(
            "samples at most", 20, (top + bottom) / 2, size: 12, anchor: .middle,
            color: SVG.faint, turned: true)
        for (place, series) in picture.series.enumerated() {
            var points = [(x: axis.x(series.distribution.minimum), y: bottom)]
            for x in stride(from: points[0].x, through: Self.right, by: 1) {
                let share = series.distribution.share(atMost: axis.value(at: x))
                points.append((x: x, y: bottom - height * share))
                // Nothing more to tell, and lines at the top would hide each other.
                if share == 1 { break }
            }
            svg.path(Self.corners(points), stroke: Self.colors[place], dashes: Self.dashes[place])
        }
        for (place, series) in picture.series.enumerated() {
            for (value, share) in [
                (series.distribution.median, 0.5), (series.distribution.p99, 0.99),
            ] {
                svg.circle(
                    axis.x(value), bottom - height * share, radius: 4.5, color: Self.colors[place])
            }
        }
        y = bottom + 30
        drawTicks(top: bottom)
    }

    private mutating func drawGrid(_ top: Double, _ bottom: Double) {
        for tick in axis.ticks {
            svg.line(axis.x(tick), top, axis.x(tick), bottom, color: SVG.grid)
        }
    }

    /// The labels of the axis under what was drawn last; with its title when `top` says so.
    private mutating func drawTicks(top: Double?) {
        let line = y - 30
        for tick in axis.ticks {
            let x = axis.x(tick)
            svg.line(x, line, x, line + 5, color: SVG.axis)
            svg.text(
                axis.label(tick), x, line + 19, size: 12, anchor: .middle, color: SVG.faint)
        }
        guard top != nil else { return }
        let kind = axis.scale == .logarithmic ? ", logarithmic" : ""
        svg.text(
            "time (\(axis.unit.symbol)\(kind))", (Self.left + Self.right) / 2, line + 40,
            anchor: .middle, color: SVG.faint)
        y = line + 46
    }

    private static func name(_ name: String, _ length: Int) -> String {
        name.count <= length ? name : String(name.prefix(length - 1)) + "…"
    }

    /// The points without those inside of level runs.
    private static func corners(_ points: [(x: Double, y: Double)]) -> [(x: Double, y: Double)] {
        points.indices.filter { place in
            place == 0 || place == points.count - 1 || points[place - 1].y != points[place].y
                || points[place + 1].y != points[place].y
        }.map { points[$0] }
    }
}
