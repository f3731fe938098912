import Foundation
import TestSupport
import Testing

@testable import AgentOperations

/// Python's own reader judges ours: what we take, it takes and reads the same; what we refuse
/// without need, it refuses too.
@Suite struct TOMLJudgeTests {
    @Test(
        "random files mean to us what they mean to Python's reader", .needs(.python3),
        arguments: [1, 2, 3, 4] as [UInt64])
    func agrees(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let files = (0..<1500).map { _ in TOMLSample.mutated(using: &random) }
        let input = files.map { $0.map { String(format: "%02x", $0) }.joined() + "\n" }.joined()
        let result = try run(
            "python3",
            arguments: ["-B", PackageRoot.path("Tests/AgentOperationsTests/Python/toml_judge.py")],
            input: input, timeout: .seconds(120))
        let verdicts = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        try #require(result.succeeded && verdicts.count == files.count + 1, "\(result.errorOutput)")
        var accepted = 0
        for (file, verdict) in zip(files, verdicts) {
            let subject: Comment = "seed \(seed), file `\(String(decoding: file, as: UTF8.self))`"
            do throws(TOMLError) {
                let document = try TOMLParser.parse(file)
                accepted += 1
                #expect(TOMLSample.canonical(document) == String(verdict), subject)
            } catch {
                guard !TOMLSample.isOfSubset(error.message) else { continue }
                #expect(verdict == "refused", "\(subject), refused for `\(error.message)`")
            }
        }
        // Else nothing was compared.
        #expect(accepted > 150)
    }
}

enum TOMLSample {
    /// Pieces that files are made of; most fit together.
    private static let keys = ["a", "b", "c-d", "\"e f\"", "'g'", "1", "a.b", "b . c", "\"\""]
    private static let values = [
        "1", "-17", "0x1F", "0o660", "1_000", "true", "false", "\"text\"", "'it'",
        "\"\\u00e9 \\\\ \\n\"", "[1, 2]", "[ 'a',\n 'b', # c\n]", "[]", "\"\"", "''", "1.5",
        "2024-01-01", "9223372036854775808", "01", "{ a = 1 }", "[[1]]", "\"\"\"\nx\"\"\"",
    ]

    static func mutated(using random: inout SeededRandom) -> [UInt8] {
        var text = ""
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            switch Int.random(in: 0..<10, using: &random) {
            case 0...5:
                text += "\(pick(keys, &random)) = \(pick(values, &random))\n"
            case 6, 7: text += "[\(pick(keys, &random))]\n"
            case 8: text += "[\(pick(keys, &random)).\(pick(keys, &random))]  # comment\r\n"
            default: text += "\n"
            }
        }
        var bytes = Array(text.utf8)
        for _ in 0..<Int.random(in: 0...2, using: &random) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0: bytes.remove(at: place)
            case 1: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 2: bytes.insert(pick(Array("=[]\"'\\#.,\n\r\t _-+0x\0".utf8), &random), at: place)
            default:
                let other = Int.random(in: 0..<bytes.count, using: &random)
                bytes.swapAt(place, other)
            }
        }
        return bytes
    }

    private static func pick<Element>(_ list: [Element], _ random: inout SeededRandom) -> Element {
        list[Int.random(in: 0..<list.count, using: &random)]
    }

    /// What Python would read and we do not: all of it is said in these words.
    static func isOfSubset(_ message: String) -> Bool {
        [
            "no key here takes", "is no value", "too large", "in an array", "a zero byte",
            "in use further up", "more than",
        ].contains { message.contains($0) }
    }

    /// Sorted lines, each a path and a value in hexadecimal UTF-8, as the judge writes them.
    static func canonical(_ document: TOMLDocument) -> String {
        document.entries.map { entry in
            entry.path.map(hex).joined(separator: ".") + "=" + canonical(entry.item.value)
        }.sorted().joined(separator: ";")
    }

    private static func canonical(_ value: TOMLValue) -> String {
        switch value {
        case .string(let text): "s" + hex(text)
        case .integer(let number): "i\(number)"
        case .boolean(let isOn): "b\(isOn ? 1 : 0)"
        case .array(let items): "[" + items.map { canonical($0.value) }.joined(separator: ",") + "]"
        }
    }

    private static func hex(_ text: String) -> String {
        text.utf8.map { String(format: "%02x", $0) }.joined()
    }
}
