import Console
import Foundation
import TestSupport
import Testing

@Suite struct TimelinePictureTests {
    @Test("a picture is well-formed, names its lines, and draws nothing out of its panels")
    func drawn() throws {
        var random = SeededRandom(seed: 5)
        let values = (0..<60).map { _ in Double.random(in: 0...900, using: &random) }
        let picture = TimelinePicture(
            title: "A <title> & more", subtitle: "what was asked for", secondsOfPart: 1440,
            panels: [
                .init("first", [.init("busy", values), .init("idle", values.map { $0 / 3 })]),
                .init("second", [.init("none", []), .init("broken", [.nan, .infinity, -4, 2])]),
            ])
        let svg = picture.svg()
        #expect(svg == picture.svg())
        for word in ["A &lt;title&gt; &amp; more", "first", "busy", "idle", "broken", "24 h"] {
            #expect(svg.contains(word), "\(word)")
        }
        #expect(!svg.contains("nan") && !svg.contains("inf"))
        let points = svg.components(separatedBy: "<path d=\"M").dropFirst().flatMap { path in
            path.prefix { $0 != "\"" }.split(separator: "L").map {
                $0.split(separator: " ").compactMap { Double($0) }
            }
        }
        #expect(points.count == 60 + 60 + 4)
        for point in points {
            let inFirst = (110.0...310).contains(point[1])
            let inSecond = (374.0...574).contains(point[1])
            #expect((72.0...928).contains(point[0]) && (inFirst || inSecond))
        }
    }

    @Test("a picture of nothing is one too")
    func empty() {
        let picture = TimelinePicture(title: "", subtitle: "", secondsOfPart: 1, panels: [])
        #expect(picture.svg().hasPrefix("<svg"))
    }
}
