import Netlink
import TestSupport
import Testing

@testable import HostNetwork

struct NameMessageTests {
    private static let address = NameBytes.address("www.example.org", .init(192, 0, 2, 1))

    @Test("a question is read whatever its letters are, and nothing is read that is cut off")
    func question() throws {
        let bytes = NameBytes.question("WWW.Example.org", type: 28)
        let message = try #require(NameMessage(bytes))
        #expect(message.question.name == DomainName("www.example.ORG."))
        #expect(message.question.type == 28 && message.identifier == 77 && message.isQuery)
        #expect(message.questionEnd == bytes.count)
        for count in 0..<bytes.count { #expect(NameMessage(Array(bytes[..<count])) == nil) }
    }

    @Test("names go on where earlier ones stood, and never in a circle")
    func compression() throws {
        let question = NameBytes.question("www.example.org")
        // An address of the question's own name, by a pointer to it.
        let pointed = [0xC0, 12] + Self.address.dropFirst(17)
        let message = try #require(NameMessage(NameBytes.answer(question, [pointed])))
        #expect(message.answers.map(\.name) == [DomainName("www.example.org")])
        #expect(message.resolution().addresses.count == 1)
        let place = question.count
        for target in [place, place + 1, place + 2, 0x3FFF] {
            let circle =
                [0xC0 | UInt8(target >> 8), UInt8(target & 255)] + Self.address.dropFirst(17)
            #expect(NameMessage(NameBytes.answer(question, [circle])) == nil)
        }
    }

    @Test("a name of more than 255 bytes, a label of more than 63 and too many steps are refused")
    func bounds() {
        let label = String(repeating: "a", count: 63)
        let longest = [label, label, label, String(repeating: "a", count: 61)]
            .joined(separator: ".")
        #expect(DomainName(longest) != nil && DomainName(longest + "a") == nil)
        #expect(NameMessage(NameBytes.question(longest)) != nil)
        #expect(NameMessage(NameBytes.question(longest + "a")) == nil)
        #expect(DomainName(label + "a") == nil)
        for text in ["", ".", "a..b", "a b", "ä.test", "*.test"] {
            #expect(DomainName(text) == nil, "\(text)")
        }
        var steps = NameBytes.question("x.test")
        steps[7] = 1
        let start = steps.count
        // Each name is a step to the one before it, all within one record's content.
        let chain = (0..<40).flatMap { index in
            let target = index == 0 ? 12 : start + 11 + (index - 1) * 2
            return [0xC0 | UInt8(target >> 8), UInt8(target & 255)]
        }
        let record = [0] + NameBytes.number(16) + [0, 1, 0, 0, 0, 0] + NameBytes.number(80) + chain
        #expect(NameMessage(steps + record) != nil)
        steps[7] = 2
        let last = start + 11 + 78
        let name = [0xC0 | UInt8(last >> 8), UInt8(last & 255)]
        #expect(
            NameMessage(steps + record + name + NameBytes.number(16) + [0, 1, 0, 0, 0, 0, 0, 0])
                == nil)
    }

    @Test("an alias of an alias is followed in any order, and one in a circle ends")
    func aliases() throws {
        let question = NameBytes.question("a.test")
        let records = [
            NameBytes.address("c.test", .init(192, 0, 2, 1)),
            NameBytes.alias("b.test", of: "c.test"), NameBytes.alias("a.test", of: "b.test"),
            NameBytes.alias("c.test", of: "a.test"),
            NameBytes.address("stranger.test", .init(192, 0, 2, 2)),
        ]
        let message = try #require(NameMessage(NameBytes.answer(question, records)))
        let (names, addresses) = message.resolution()
        #expect(names.map(\.description) == ["a.test", "b.test", "c.test"])
        #expect(addresses.map(\.name.description) == ["c.test"])
    }

    @Test("whatever the bytes are, reading ends and stays within them", arguments: 0..<20)
    func noise(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let question = NameBytes.question("www.example.org")
        let good = NameBytes.answer(
            question,
            [
                NameBytes.alias("www.example.org", of: "cdn.example.org"),
                [0xC0, 12] + Self.address.dropFirst(17),
                NameBytes.address("cdn.example.org", .init(192, 0, 2, 3)),
            ])
        for _ in 0..<5000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[place] = .random(in: 0...255, using: &random)
                case 1: bytes[place] = 0xC0
                case 2: bytes.insert(.random(in: 0...255, using: &random), at: place)
                default: bytes.removeLast(min(place, bytes.count - 1))
                }
            }
            guard let message = NameMessage(bytes) else { continue }
            let (names, addresses) = message.resolution()
            #expect(names.count <= 17 && message.questionEnd <= bytes.count)
            #expect(addresses.allSatisfy { $0.content.upperBound <= bytes.count })
            #expect(NameMessage.refusal(of: bytes, message, code: 3).count <= bytes.count)
        }
    }

    @Test("patterns mean a name, or all below one and not that one, or all")
    func patterns() throws {
        let name = try #require(DomainName("a.Example.org"))
        for (text, applies) in [
            ("a.example.org", true), ("A.EXAMPLE.ORG.", true), ("example.org", false),
            ("*.example.org", true), ("*.a.example.org", false), ("*.org", true), ("*", true),
            ("*.xample.org", false), ("*.ple.org", false),
        ] {
            let pattern = try #require(NamePattern(text))
            #expect(pattern.applies(to: name) == applies, "\(text)")
        }
        for text in ["", "*.", "*a.test", "a.*.test"] { #expect(NamePattern(text) == nil) }
    }

    @Test("flows are marked by what rules say, the same each time, and not at all by denials")
    func marks() throws {
        func rule(_ action: EgressRule.Action, _ text: String) throws -> NameRule {
            NameRule(action, try #require(NamePattern(text)))
        }
        let rules = [try rule(.allow, "a.test"), try rule(.deny, "*.test")]
        #expect(rules.mark != nil && rules.mark == rules.mark)
        #expect(rules.mark != Array(rules.reversed()).mark)
        #expect(try [rule(.deny, "*")].mark == nil && [NameRule]().mark == nil)
    }
}
