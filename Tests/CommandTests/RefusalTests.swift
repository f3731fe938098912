import Console
import Foundation
import SandboxModel
import TestSupport
import Testing

/// What is refused before anything is started.
@Suite struct RefusalTests {
    private let image: SampleImage

    init() throws { image = try SampleImage() }

    private func alcove(_ words: [String]) throws -> RunResult {
        try run(Products.path("alcove"), arguments: words)
    }

    /// Expects the refusal as JSON on standard output, and one line on standard error.
    private func expect(
        _ code: SandboxError.Code, _ flags: [String] = [], command: [String] = ["/bin/app"],
        message: String? = nil, hint: String? = nil
    ) throws {
        let result = try alcove(
            ["run", "--local", "--json"] + flags + [image.path, "--"] + command)
        #expect(result.code == code.rawValue, "\(result)")
        #expect(result.errorOutput.hasPrefix("alcove: ") && result.errorOutput.hasSuffix("\n"))
        #expect(result.errorOutput.split(separator: "\n").count == 1, "\(result)")
        let json = try JSONReader.read(result.output)
        #expect(json["ending"] == "failed" && json["exit_code"]?.int64 == Int64(code.rawValue))
        #expect(json["error"]?["code"]?.string == code.name)
        let said = try #require(json["error"]?["message"]?.string)
        #expect(!said.isEmpty)
        if let message { #expect(said == message) }
        if let hint { #expect(json["error"]?["hint"]?.string == hint) }
        #expect(json["limits"]?.array == [] && json["timeline"]?.array == [])
    }

    @Test("a flag that is not understood is refused as JSON too, in the words of the help")
    func flags() throws {
        try expect(
            .usage, ["--env", "A"], message: "`--env`: `A` has no `=`", hint: "write NAME=VALUE")
        try expect(.usage, ["--memory", "5MB"], hint: "did you mean `5MiB`?")
    }

    @Test("a size without a unit that is too small is asked for with one")
    func units() throws {
        try expect(.limitOutOfRange, ["--memory", "128"], hint: "add a unit, as in 128MiB")
        try expect(.limitOutOfRange, ["--scratch", "64"], hint: "add a unit, as in 64MiB")
    }

    @Test("a command is called as it was typed", .needs(.root))
    func commands() throws {
        try expect(
            .commandMissing, command: ["none"], message: "command `none` is not in the image")
        try expect(
            .commandMissing, ["--workdir", "/bin"], command: ["./none"],
            message: "command `./none` is not in the image")
        try expect(
            .pathLeavesImage, command: ["../../bin/app"],
            message: "command `../../bin/app` leaves the image by `..`")
    }

    @Test("a limit that no process can get is refused before the start", .needs(.root))
    func processLimits() throws {
        try expect(
            .limitOutOfRange, ["--rlimit", "nofile=18446744073709551614"],
            hint: "ask for no more, or raise the hard limit of `alcove` itself")
    }

    @Test("a refusal is written to the file of the result", .needs(.root))
    func resultFile() throws {
        let file = image.path + "/result.json"
        let result = try alcove(["run", "--local", "--result", file, image.path, "--", "none"])
        #expect(result.code == 127 && result.output.isEmpty)
        let json = try JSONReader.read(String(contentsOfFile: file, encoding: .utf8))
        #expect(json["error"]?["code"] == "command_missing")
    }

    @Test("a result that cannot be written hides neither the refusal nor its code", .needs(.root))
    func unwritable() throws {
        let result = try alcove(["run", "--local", "--result", "/none/x", image.path, "--", "none"])
        #expect(result.code == 127)
        #expect(result.errorOutput.contains("/none/x"))
        #expect(result.errorOutput.contains("command `none` is not in the image"))
    }

    @Test("what was typed cannot steer the terminal, break the line, or fill it")
    func oneLine() throws {
        for name in ["/none\n\u{1b}[31m\u{202e}x", "/" + String(repeating: "y", count: 100_000)] {
            let result = try alcove(["run", "--local", name, "--", "true"])
            #expect(result.code == SandboxError.Code.imageMissing.rawValue)
            let lines = result.errorOutput.split(separator: "\n")
            #expect(lines.count == 1 && lines[0].count < 2100)
            #expect(!result.errorOutput.dropLast().unicodeScalars.contains { $0.value < 0x20 })
            #expect(!result.errorOutput.unicodeScalars.contains("\u{202e}"))
        }
    }
}
