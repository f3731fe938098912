import Foundation
import TestSupport
import Testing

@testable import ImageStore

/// Imports and removals that are killed, and such that run at the same time.
@Suite struct CrashTests {
    private func image(in fixture: ImageFixture) throws -> String {
        var layers: [[UInt8]] = []
        for number in 0..<3 {
            var tar = TarBuilder()
            for file in 0..<20 {
                tar.add("d\(number)/f\(file)", .file, String(repeating: "\(file)", count: 3000))
            }
            layers.append(tar.archive)
        }
        return try fixture.layout(layers, packing: .gzip, name: "app")
    }

    /// Runs the probe up to its `call`th system call, and kills it there.
    private func kill(_ fixture: ImageFixture, at call: Int, _ command: [String]) throws {
        let probe = try Products.toolPath("ImageStoreProbe")
        _ = try run(
            "strace",
            arguments: [
                "-f", "-o", "/dev/null", "-e", "trace=all", "-e",
                "inject=all:signal=KILL:when=\(call)", probe, fixture.storePath,
            ] + command)
    }

    /// How many system calls a command makes.
    private func calls(_ fixture: ImageFixture, _ command: [String]) throws -> Int {
        let probe = try Products.toolPath("ImageStoreProbe")
        let result = try run(
            "strace",
            arguments: ["-f", "-o", "\(fixture.path)/calls", probe, fixture.storePath] + command)
        #expect(result.succeeded, "\(result)")
        return String(decoding: try fixture.read("calls"), as: UTF8.self)
            .split(separator: "\n").count
    }

    @Test(
        "an import that is killed leaves the image or nothing, and is done anew",
        .needs(.strace), arguments: [1, 2, 3] as [UInt64])
    func importKilled(seed: UInt64) throws {
        let fixture = try ImageFixture()
        let layout = try image(in: fixture)
        let total = try calls(fixture, ["import", layout])
        #expect(total > 100)
        var random = SeededRandom(seed: seed)
        for _ in 0..<20 {
            try fixture.shell("rm -rf store")
            let call = Int.random(in: 1...total, using: &random)
            try kill(fixture, at: call, ["import", layout])
            let store = try fixture.store()
            let place: Comment = "seed \(seed), call \(call)"
            #expect(try fixture.stored("staging") == [], place)
            #expect(try fixture.stored("leases") == [], place)
            #expect(try store.check().isSound, place)
            for image in try store.images() { #expect(image.damagedLayers == [], place) }
            let made = try store.importImage(from: layout)
            #expect(made.layersMade + made.layersPresent == 3, place)
            #expect(try store.check().problems == [], place)
            #expect(try store.resolve("app") == made.image.identifier, place)
        }
    }

    @Test(
        "a removal that is killed leaves nothing broken, and is finished by the next",
        .needs(.strace), arguments: [1, 2] as [UInt64])
    func pruneKilled(seed: UInt64) throws {
        let fixture = try ImageFixture()
        let layout = try image(in: fixture)
        _ = try fixture.store().importImage(from: layout)
        let total = try calls(fixture, ["prune"])
        var random = SeededRandom(seed: seed)
        for _ in 0..<15 {
            _ = try fixture.store().importImage(from: layout)
            let call = Int.random(in: 1...total, using: &random)
            try kill(fixture, at: call, ["prune"])
            let store = try fixture.store()
            let place: Comment = "seed \(seed), call \(call)"
            #expect(try store.check().isSound, place)
            for image in try store.images() { #expect(image.damagedLayers == [], place) }
            _ = try store.prune(includingNamed: true)
            #expect(try fixture.stored("layers") == [], place)
            #expect(try fixture.stored("images") == [], place)
            #expect(try fixture.stored("staging") == [], place)
        }
    }

    @Test("imports of one image at once make each layer once")
    func concurrent() throws {
        let fixture = try ImageFixture()
        let layout = try image(in: fixture)
        let probe = try Products.toolPath("ImageStoreProbe")
        let imports = try (0..<6).map { _ in
            try ChildProcess(probe, arguments: [fixture.storePath, "import", layout])
        }
        var made = 0
        for child in imports {
            let result = try child.finish(timeout: .seconds(60))
            #expect(result.succeeded, "\(result)")
            let words = result.output.split(separator: " ")
            made += words.count > 2 ? Int(words[2]) ?? 0 : 0
        }
        #expect(made == 3)
        #expect(try fixture.store().check().problems == [])
    }

    @Test("a store stays sound while images come and go", arguments: [1, 2] as [UInt64])
    func churn(seed: UInt64) throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let layout = try image(in: fixture)
        let probe = try Products.toolPath("ImageStoreProbe")
        var random = SeededRandom(seed: seed)
        for _ in 0..<6 {
            let children = try (0..<4).map { _ in
                let command = Bool.random(using: &random) ? ["import", layout] : ["prune"]
                return try ChildProcess(probe, arguments: [fixture.storePath] + command)
            }
            for child in children {
                let result = try child.finish(timeout: .seconds(60))
                #expect(result.succeeded, "seed \(seed): \(result)")
            }
            #expect(try store.check().isSound, "seed \(seed)")
        }
    }
}
