import TestSupport
import Testing

@testable import JSON

@Suite struct JSONTests {
    static let document = """
        {"name":"alcove é 🏝","n":[0,-1,18446744073709551615,1.5,-0.0,1e-07],"deep":{"a":[[],{}]},\
        "text":"q\\" b\\\\ n\\n u\\u0001 \\u007f","yes":true,"no":false,"nothing":null}
        """

    @Test("What was read is written the same, in both styles")
    func roundTrip() throws {
        let value = try JSONReader.read(Self.document)
        #expect(JSONWriter.text(value) == Self.document)
        let pretty = JSONWriter.text(value, style: .pretty)
        #expect(try JSONReader.read(pretty) == value)
        #expect(value["deep"]?["a"]?.array?.count == 2)
        #expect(value["n"]?.array?[2].uint64 == UInt64.max)
        #expect(
            JSONWriter.text(["a": [1, true], "b": [:]], style: .pretty) == """
                {
                  "a": [
                    1,
                    true
                  ],
                  "b": {}
                }
                """)
    }

    @Test("Values of Swift become values of JSON")
    func values() {
        #expect(JSONValue(Double.nan) == .null)
        #expect(JSONValue(UInt64(5)) == 5)
        #expect(JSONWriter.text(JSONValue(UInt64.max)) == "18446744073709551615")
        #expect(JSONWriter.text(JSONValue(Int64.min)) == "-9223372036854775808")
        #expect(JSONWriter.text(JSONValue(0.1)) == "0.1")
        #expect(JSONWriter.text("\u{2028}\u{9b}\u{0}") == #""\u2028\u009b\u0000""#)
        var object = JSONObject()
        object["b"] = 1
        object["a"] = 2
        object["b"] = 3
        object["c"] = nil
        #expect(JSONWriter.text(.object(object)) == #"{"b":3,"a":2}"#)
        object["b"] = nil
        #expect(object.keys == ["a"])
    }

    @Test(
        "Valid texts are read",
        arguments: [
            "0", "-0", "-1", "1e5", "1E+5", "0.5e-3", " [ ] ", "[1 , 2]", "\"\"", #""\/""#,
            #""\uD83C\uDFDD""#, "{\"a\":1}\n", "\t\r\n null", "1e-999", "\"\u{7f}\"", "[[[[]]]]",
            "9223372036854775807", "-9223372036854775808", #"{"":0}"#, #""\u0000""#,
        ])
    func accepted(text: String) throws {
        let value = try JSONReader.read(text)
        #expect(try JSONReader.read(JSONWriter.text(value)) == value)
    }

    @Test(
        "Invalid texts are refused",
        arguments: [
            "", " ", "01", "-", "+1", ".5", "1.", "1e", "1e+", "0x1", "NaN", "Infinity", "tru",
            "nulL",
            "[1,]", "[,1]", "[1 2]", "[", "]", "{", "{]", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#,
            #"{a:1}"#, #"{1:1}"#, "'a'", "\"", "\"\n\"", "\"\t\"", #""\x""#, #""\u12""#,
            #""\u12G4""#,
            #""\uD800""#, #""\uDC00""#, #""\uD800\u0041""#, #""\uD800\uD800""#, "1 2", "{}[]",
            "[1]x",
            "\u{FEFF}1", "// c\n1", "1e999", "18446744073709551616", "-9223372036854775809",
            #"{"a":1,"a":2}"#, #"{"a":1,"\u0061":2}"#, "\"\\", "\u{a0}1", "1.e5", "-a",
        ])
    func rejected(text: String) {
        #expect(throws: JSONError.self) { try JSONReader.read(text) }
    }

    @Test("Errors say where")
    func places() {
        #expect(throws: JSONError(message: "expected `,` or `}`", line: 2, column: 9)) {
            try JSONReader.read("{\n \"é\": 1 2}")
        }
        #expect(throws: JSONError(message: "key `a` occurs twice", line: 1, column: 8)) {
            try JSONReader.read(#"{"a":1,"a":2}"#)
        }
        #expect(throws: JSONError(message: "invalid UTF-8", line: 1, column: 3)) {
            try JSONReader.read([0x5B, 0x22, 0xFF, 0x22, 0x5D])
        }
    }

    @Test("Size and depth are bounded")
    func bounds() throws {
        let deep = String(repeating: "[", count: 32) + String(repeating: "]", count: 32)
        _ = try JSONReader.read(deep)
        #expect(throws: JSONError.self) { try JSONReader.read("[\(deep)]") }
        #expect(throws: JSONError.self) {
            try JSONReader.read(String(repeating: "[", count: 1_000_000))
        }
        #expect(throws: JSONError.self) {
            try JSONReader.read("[1,2]", limits: JSONLimits(size: 4))
        }
    }

    @Test("Every truncation is refused")
    func truncated() {
        let bytes = Array(Self.document.utf8)
        for count in 0..<bytes.count {
            #expect(throws: JSONError.self) { try JSONReader.read(Array(bytes.prefix(count))) }
        }
    }

    @Test("Mutations never trap, and what is read is written as it was read", arguments: 1...8)
    func mutated(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let tokens =
            Array("{}[]\",:\\u0eE+-.tfn \u{0}\u{7f}".utf8) + [0x80, 0xC3, 0xED, 0xF0, 0xFF]
        for _ in 0..<2000 {
            var bytes = Array(Self.document.utf8)
            for _ in 0...Int.random(in: 0..<4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                let token = tokens[Int.random(in: 0..<tokens.count, using: &random)]
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[place] = token
                case 1: bytes.insert(token, at: place)
                case 2: bytes.remove(at: place)
                default:
                    let end = Int.random(in: place..<bytes.count, using: &random)
                    bytes.insert(contentsOf: bytes[place...end].prefix(40), at: place)
                }
            }
            guard let value = try? JSONReader.read(bytes) else { continue }
            #expect(try JSONReader.read(JSONWriter.text(value)) == value, "seed \(seed)")
            #expect(try JSONReader.read(JSONWriter.text(value, style: .pretty)) == value)
        }
    }
}
