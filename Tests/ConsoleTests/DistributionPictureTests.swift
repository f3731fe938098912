import Foundation
import TestSupport
import Testing

@testable import Console

@Suite struct DistributionPictureTests {
    @Test("Pictures are drawn of one and of several series")
    func drawn() throws {
        let start = try samples(median: 1.05e6, count: 1000, seed: 1)
        let one = try #require(
            DistributionPicture(
                title: "Cold start", subtitle: "alcove bench cold-start, n = 1,000, 1 in flight",
                series: [.init("alcove", start)]))
        try keep(one, "one")
        let peers = [
            ("alcove", 1.9e6), ("C floor", 1.6e6), ("bubblewrap", 6.4e6), ("crun", 37e6),
            ("runc", 74e6),
        ]
        var series: [DistributionPicture.Series] = []
        for (place, peer) in peers.enumerated() {
            series.append(
                .init(peer.0, try samples(median: peer.1, count: 100, seed: UInt64(place))))
        }
        let several = try #require(
            DistributionPicture(
                title: "One command in a sandbox", subtitle: "100 runs each, interleaved, 2 cores",
                series: series))
        try keep(several, "several")
        let new = try samples(median: 9.2e5, count: 2000, seed: 7)
        let pooled = try samples(median: 6.1e5, count: 2000, seed: 8)
        let two = try #require(
            DistributionPicture(
                title: "Everything new, and pooled <namespaces>",
                subtitle: "n = 2,000 each, 1 in flight, /bin/true, kernel 6.18, 2 cores",
                series: [
                    .init("everything new", new), .init("pooled", pooled),
                ]))
        try keep(two, "two")
        let same = try #require(Distribution([5e3, 5e3]))
        let equal = try #require(DistributionPicture(title: "Equal", series: [.init("x", same)]))
        try keep(equal, "equal")
    }

    @Test("No two labels touch, and none leaves the picture", arguments: 1...60)
    func labels(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var series: [DistributionPicture.Series] = []
        for place in 0..<Int.random(in: 1...7, using: &random) {
            let power = Logarithm.power2(Double.random(in: 0...34, using: &random))
            let count = Int.random(in: 1...300, using: &random)
            series.append(
                .init(
                    place == 0 ? String(repeating: "long ", count: 40) : "series \(place)",
                    try samples(median: power, count: count, seed: seed &+ UInt64(place))))
        }
        let scales: [ValueScale?] = [nil, .linear, .logarithmic]
        let picture = try #require(
            DistributionPicture(
                title: "T", subtitle: String(repeating: "word ", count: 60), series: series,
                scale: scales[Int.random(in: 0..<3, using: &random)]))
        let boxes = picture.svg().split(separator: "\n").compactMap(LabelBox.init)
        #expect(boxes.count > 20)
        for (place, box) in boxes.enumerated() {
            #expect(box.left >= 0 && box.right <= 960, "seed \(seed): \(box.text)")
            for other in boxes[..<place] where box.touches(other) {
                Issue.record("seed \(seed): `\(box.text)` touches `\(other.text)`")
            }
        }
    }

    @Test("Too many series and none are no picture, and text is escaped")
    func edges() throws {
        let one = DistributionPicture.Series("<&\u{1b}>", try #require(Distribution([0, 1])))
        #expect(DistributionPicture(title: "", series: []) == nil)
        let eight = [DistributionPicture.Series](repeating: one, count: 8)
        #expect(DistributionPicture(title: "", series: eight) == nil)
        let picture = try #require(DistributionPicture(title: "\"'", series: [one]))
        #expect(picture.svg().contains("&lt;&amp;\u{FFFD}&gt;"))
        #expect(picture.svg().contains("<title>&quot;&#39;</title>"))
        #expect(picture.svg() == picture.svg())
        #expect(XMLCheck().isWellFormed(picture.svg()))
    }

    /// Where `ALCOVE_PICTURES` names a directory, the pictures are written there to be looked at.
    private func keep(_ picture: DistributionPicture, _ name: String) throws {
        let text = picture.svg()
        #expect(text.hasPrefix("<svg "))
        #expect(text.hasSuffix("</svg>\n"))
        let parser = XMLCheck()
        #expect(parser.isWellFormed(text))
        if let directory = ProcessInfo.processInfo.environment["ALCOVE_PICTURES"] {
            try text.write(
                toFile: "\(directory)/\(name).svg", atomically: false, encoding: .utf8)
        }
    }

    /// Right-skewed, with a rare outlier, as starts are.
    private func samples(median: Double, count: Int, seed: UInt64) throws -> Distribution {
        var random = SeededRandom(seed: seed)
        let values = (0..<count).map { _ in
            let noise = (0..<6).map { _ in Double.random(in: 0..<1, using: &random) }.reduce(0, +)
            let rare = Double.random(in: 0..<1, using: &random) < 0.004 ? 6.0 : 1
            let tail = Double.random(in: 0..<1, using: &random)
            return median * (0.85 + noise / 20 + tail * tail * tail * tail * 0.7) * rare
        }
        return try #require(Distribution(values))
    }
}

/// About where a level label is, read from its line of SVG.
struct LabelBox {
    let text: Substring
    let left: Double
    let right: Double
    let baseline: Double

    init?(_ line: Substring) {
        guard line.hasPrefix("<text"), !line.contains("rotate"),
            let x = Self.attribute("x", line).flatMap({ Double($0) }),
            let y = Self.attribute("y", line).flatMap({ Double($0) }),
            let size = Self.attribute("font-size", line).flatMap({ Double($0) }),
            let start = line.firstIndex(of: ">")
        else { return nil }
        text = line[line.index(after: start)...].prefix { $0 != "<" }
        let width = Double(text.count) * size * 0.5
        let shift =
            switch Self.attribute("text-anchor", line) {
            case "middle": width / 2
            case "end": width
            default: 0.0
            }
        left = x - shift
        right = x - shift + width
        baseline = y
    }

    func touches(_ other: LabelBox) -> Bool {
        abs(baseline - other.baseline) < 11 && left < other.right && other.left < right
    }

    private static func attribute(_ name: String, _ line: Substring) -> Substring? {
        line.split(separator: " ").first { $0.hasPrefix("\(name)=\"") }
            .map { $0.dropFirst(name.count + 2).prefix { $0 != "\"" } }
    }
}

/// Whether tags are closed in order and nothing unescaped stands in the text.
struct XMLCheck {
    func isWellFormed(_ text: String) -> Bool {
        var open: [Substring] = []
        var rest = text[...]
        while let start = rest.firstIndex(of: "<") {
            if rest[..<start].contains(">") { return false }
            guard let end = rest[start...].firstIndex(of: ">") else { return false }
            let tag = rest[rest.index(after: start)..<end]
            if tag.contains("<") { return false }
            if tag.hasPrefix("/") {
                guard open.popLast() == tag.dropFirst() else { return false }
            } else if !tag.hasSuffix("/") {
                open.append(tag.prefix { $0 != " " })
            }
            rest = rest[rest.index(after: end)...]
        }
        return open.isEmpty
    }
}
