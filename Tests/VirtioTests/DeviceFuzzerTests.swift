import Foundation
import TestSupport
import Testing

/// A short run of what `scripts/fuzz` does at length. `FUZZ_INPUTS` makes it longer.
@Suite struct DeviceFuzzerTests {
    static let devices = [
        "balloon", "block", "console", "entropy", "network", "read-only-block", "socket",
    ]
    private static let inputs = ProcessInfo.processInfo.environment["FUZZ_INPUTS"] ?? "4000"

    @Test("every device that can be fuzzed is, here")
    func list() throws {
        let result = try run(Products.toolPath("DeviceFuzzer"), arguments: ["list"])
        #expect(result.output.split(separator: "\n").map(String.init) == Self.devices)
    }

    @Test(
        "no input of the corpus, nor any made of it, traps, leaks or keeps a device from rest",
        arguments: devices)
    func short(device: String) throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("fuzz-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let current = folder.appendingPathComponent("current")
        let result = try run(
            Products.toolPath("DeviceFuzzer"),
            arguments: [
                "mutate", device, Self.inputs, "1",
                PackageRoot.path("Tests/DeviceFuzzer/Corpus/\(device).hex"), current.path,
            ],
            directory: folder.path, timeout: .seconds(900))
        let input = try Data(contentsOf: current).map { String(format: "%02x", $0) }.joined()
        #expect(
            result.ending == .exited(code: 0),
            "`scripts/fuzz --device \(device) FILE` with this line in FILE: \(input)")
    }
}
