/// A picture of values over time as SVG: panels above one axis of time, each with its lines.
public struct TimelinePicture: Equatable, Sendable {
    /// One value for each part of the time.
    public struct Series: Equatable, Sendable {
        public let name: String
        public let values: [Double]

        public init(_ name: String, _ values: [Double]) {
            self.name = name
            self.values = values
        }
    }

    /// Lines to one scale, which begins at 0.
    public struct Panel: Equatable, Sendable {
        public let name: String
        public let series: [Series]

        public init(_ name: String, _ series: [Series]) {
            self.name = name
            self.series = series
        }
    }

    public let title: String
    public let subtitle: String
    public let secondsOfPart: Double
    public let panels: [Panel]

    private static let left = 72.0
    private static let right = 928.0
    private static let height = 200.0

    /// - Parameter secondsOfPart: above 0.
    public init(title: String, subtitle: String, secondsOfPart: Double, panels: [Panel]) {
        precondition(secondsOfPart > 0, "a part lasts")
        self.title = title
        self.subtitle = subtitle
        self.secondsOfPart = secondsOfPart
        self.panels = panels
    }

    /// The whole document; the same input gives the same text.
    public func svg() -> String {
        var svg = SVG()
        svg.text(title, 32, 38, size: 20, bold: true)
        svg.text(subtitle, 32, 62, color: SVG.faint)
        var top = 110.0
        for panel in panels {
            draw(panel, top: top, in: &svg)
            top += Self.height + 64
        }
        drawTimes(at: top - 48, in: &svg)
        let names = panels.map { panel in
            "\(panel.name): " + panel.series.map(\.name).joined(separator: ", ")
        }
        return svg.document(
            width: 960, height: top, title: title, description: names.joined(separator: "; "))
    }

    private func draw(_ panel: Panel, top: Double, in svg: inout SVG) {
        let bottom = top + Self.height
        let most = panel.series.flatMap(\.values).filter(\.isFinite).max() ?? 0
        let full = max(PictureAxis.niceStep(most, [1, 1.5, 2, 3, 4, 5, 6, 8]), 1e-9)
        for share in [0, 0.5, 1.0] {
            let level = bottom - Self.height * share
            svg.line(
                Self.left, level, Self.right, level, color: share == 0 ? SVG.axis : SVG.grid)
            svg.text(
                PictureAxis.trimmed(full * share), Self.left - 8, level + 4, size: 12,
                anchor: .end, color: SVG.faint)
        }
        svg.text(panel.name, Self.left, top - 14, bold: true)
        var x = Self.right
        for (place, series) in panel.series.enumerated().reversed() {
            let color = DistributionPicture.color(place)
            x -= SVG.width(of: series.name, size: 12)
            svg.text(series.name, x, top - 14, size: 12)
            svg.rectangle(x - 16, top - 24, 10, 10, color: color)
            x -= 32
            let points = series.values.enumerated().map { index, value in
                let share = min(max(value.isFinite ? value / full : 0, 0), 1)
                return (x: self.x(Double(index) + 0.5), y: bottom - Self.height * share)
            }
            if !points.isEmpty { svg.path(points, stroke: color) }
        }
    }

    private func x(_ part: Double) -> Double {
        let parts = panels.flatMap(\.series).map(\.values.count).max() ?? 0
        return Self.left + (Self.right - Self.left) * part / Double(max(parts, 1))
    }

    private func drawTimes(at y: Double, in svg: inout SVG) {
        let parts = panels.flatMap(\.series).map(\.values.count).max() ?? 0
        let seconds = Double(parts) * secondsOfPart
        let (unit, name) = seconds >= 7200 ? (3600.0, "h") : seconds >= 120 ? (60, "min") : (1, "s")
        let step = PictureAxis.niceStep(seconds / unit / 12, [1, 2, 3, 6])
        for mark in stride(from: 0, through: seconds / unit, by: step) {
            let text = PictureAxis.trimmed(mark) + (mark == 0 ? "" : " \(name)")
            svg.text(
                text, x(mark * unit / secondsOfPart), y, size: 12, anchor: .middle,
                color: SVG.faint)
        }
    }
}
