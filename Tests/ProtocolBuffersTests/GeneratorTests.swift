import Foundation
import TestSupport
import Testing

@Suite struct GeneratorTests {
    @Test("the generated Swift is what the definitions give", .needs(.protoc))
    func upToDate() throws {
        let plugin = try Products.toolPath("protoc-gen-alcove-swift")
        let result = try run(
            PackageRoot.path("scripts/generate"), arguments: ["--check", "--plugin", plugin])
        #expect(result.succeeded, "\(result)")
    }

    struct Refusal: Sendable, CustomTestStringConvertible {
        let definition: String
        let words: String

        init(_ words: String, _ definition: String) {
            self.definition = definition
            self.words = words
        }

        var testDescription: String { words }
    }

    static let refusals = [
        Refusal("is not of `syntax = \"proto3\"`", "syntax = \"proto2\"; message A {}"),
        Refusal(
            "`A` holds itself: make a field repeated", "syntax = \"proto3\"; message A { A a = 1; }"
        ),
        Refusal(
            "holds itself",
            "syntax = \"proto3\"; message A { B b = 1; } message B { oneof c { A a = 1; } }"),
        Refusal(
            "two names in `p.A` are the same in Swift",
            "syntax = \"proto3\"; package p; message A { message B {} oneof b { int32 c = 1; } }"),
        Refusal(
            "two values of `E` are the same in Swift",
            "syntax = \"proto3\"; enum E { option allow_alias = true; A = 0; B = 0; }"),
    ]

    @Test(
        "what has no translation is refused with the reason", .needs(.protoc), arguments: refusals)
    func refused(_ refusal: Refusal) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try refusal.definition.write(
            to: folder.appending(path: "a.proto"), atomically: true, encoding: .utf8)
        let plugin = try Products.toolPath("protoc-gen-alcove-swift")
        let result = try run(
            "protoc",
            arguments: [
                "--plugin=protoc-gen-alcove-swift=\(plugin)", "--alcove-swift_out=\(folder.path)",
                "-I", folder.path, "a.proto",
            ])
        #expect(!result.succeeded)
        #expect(result.errorOutput.contains(refusal.words), "\(result.errorOutput)")
    }

    @Test("what is no request is an error, not a trap")
    func noRequest() throws {
        let plugin = try Products.toolPath("protoc-gen-alcove-swift")
        let result = try run(plugin, input: "\u{8}")
        #expect(result.code == 1)
        #expect(result.errorOutput.contains("field 1 is encoded as varint"))
    }
}
