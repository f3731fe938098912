import Foundation
import TestSupport
import Testing

@testable import ImageStore

/// Good input with random changes: nothing traps, and what is not taken whole leaves nothing.
@Suite struct MutationTests {
    private func layer(_ content: String) -> [UInt8] {
        var tar = TarBuilder()
        tar.add("d", .directory, attributes: [("user.a", [1, 2, 3])])
        tar.add("d/f", .file, String(repeating: content, count: 3000))
        tar.add("d/h", .hardLink, link: "d/f")
        tar.add("s", .symbolicLink, link: "d")
        tar.add(".wh.gone", .file)
        return tar.archive
    }

    /// Changes, removes, doubles or inserts some bytes.
    private func mutate(_ bytes: inout [UInt8], _ random: inout SeededRandom) {
        for _ in 0..<Int.random(in: 1...6, using: &random) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            let end = min(bytes.count, place + Int.random(in: 1...40, using: &random))
            switch Int.random(in: 0..<8, using: &random) {
            case 0: bytes.removeSubrange(place..<end)
            case 1: bytes.insert(contentsOf: bytes[place..<end], at: place)
            case 2: bytes.insert(UInt8.random(in: .min ... .max, using: &random), at: place)
            default: bytes[place] = UInt8.random(in: .min ... .max, using: &random)
            }
        }
    }

    /// Imports what may be anything. Gives whether it was taken.
    private func tryImport(
        _ path: String, into fixture: ImageFixture, isPacked: Bool = false, _ place: Comment
    ) throws -> Bool {
        try? FileManager.default.removeItem(atPath: fixture.storePath)
        let store = try fixture.store { options in
            // Some mutations ask for much: bounds are tested elsewhere.
            options.limits.fileBytes = 64 << 20
            options.limits.layerBytes = 128 << 20
            options.packing = isPacked ? .lz4 : .none
        }
        do {
            let image = try store.importImage(from: path).image
            #expect(try store.check().problems == [], place)
            for layer in image.layers {
                try fixture.shell("fsck.erofs \(store.layerPath(layer))")
            }
            return true
        } catch let error as ImageError {
            #expect(error.code != .storage && error.code != .damaged, "\(place): \(error)")
            #expect(error.message.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }, "\(place)")
            #expect(try fixture.stored("images") == [], place)
            #expect(try fixture.stored("staging") + fixture.stored("leases") == [], place)
            return false
        }
    }

    @Test("layers", .needs(.fsckErofs), arguments: 1...8 as ClosedRange<UInt64>)
    func layers(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let fixture = try ImageFixture()
        for round in 0..<25 {
            var archive = layer("x")
            mutate(&archive, &random)
            let layout = try fixture.layout([archive], into: "\(round)")
            _ = try tryImport(
                layout, into: fixture, isPacked: round % 2 == 0, "seed \(seed), round \(round)")
        }
    }

    @Test(
        "packed layers, whose digests fit what they are",
        .needs(.fsckErofs), arguments: [1, 2, 3] as [UInt64], [ImageFixture.Packing.gzip, .zstd])
    func packed(seed: UInt64, packing: ImageFixture.Packing) throws {
        var random = SeededRandom(seed: seed)
        let fixture = try ImageFixture()
        let content = layer("x")
        let whole = try fixture.pack(content, packing)
        for round in 0..<25 {
            var blob = whole
            mutate(&blob, &random)
            let layout = try fixture.layout(
                [blob], lies: .init(diffID: SHA256.digest(of: content)), into: "\(round)")
            _ = try tryImport(layout, into: fixture, "seed \(seed), round \(round)")
        }
    }

    @Test("archives of images", .needs(.fsckErofs), arguments: 1...6 as ClosedRange<UInt64>)
    func archives(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let fixture = try ImageFixture()
        try fixture.layout([layer("x"), layer("y")], packing: .gzip, name: "app")
        try fixture.shell("tar -C layout --sort=name -cf image.tar .")
        let whole = try fixture.read("image.tar")
        #expect(try tryImport(fixture.path + "/image.tar", into: fixture, "unchanged"))
        for round in 0..<30 {
            var archive = whole
            mutate(&archive, &random)
            try fixture.write(archive, to: "mutated.tar")
            _ = try tryImport(
                fixture.path + "/mutated.tar", into: fixture, "seed \(seed), round \(round)")
        }
    }

    /// With digests that fit, so that what is in the documents is read.
    @Test("indexes, manifests and configurations", arguments: 1...6 as ClosedRange<UInt64>)
    func documents(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let fixture = try ImageFixture()
        let layer = layer("x")
        for round in 0..<40 {
            let folder = "\(round)"
            let layout = try fixture.layout([layer], name: "app", into: folder)
            let names = try fixture.documents(of: folder)
            let target = Int.random(in: 0..<3, using: &random)
            var text = try fixture.read(names[target])
            mutate(&text, &random)
            try fixture.replaceDocument(names, target, with: text, in: folder)
            _ = try tryImport(layout, into: fixture, "seed \(seed), round \(round)")
        }
    }

    @Test("records of the store", arguments: 1...6 as ClosedRange<UInt64>)
    func records(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let fixture = try ImageFixture()
        let layout = try fixture.layout([layer("x")], name: "app")
        for round in 0..<40 {
            try? FileManager.default.removeItem(atPath: fixture.storePath)
            let image = try fixture.store().importImage(from: layout).image
            let names = [
                "store/index.json", "store/images/\(image.identifier.hexadecimal).json",
                "store/layers/\(image.layers[0].hexadecimal)/record.json",
            ]
            let name = names[Int.random(in: 0..<3, using: &random)]
            var text = try fixture.read(name)
            mutate(&text, &random)
            try fixture.write(text, to: name)
            let store = try fixture.store()
            // Each does its work or says what is damaged.
            let calls: [(ImageStore) throws -> Void] = [
                { _ = try $0.check() }, { _ = try $0.images() }, { _ = try $0.resolve("app") },
                { _ = try $0.importImage(from: layout) }, { _ = try $0.prune() },
                { _ = try $0.remove("app") },
            ]
            for call in calls {
                do {
                    try call(store)
                } catch let error as ImageError {
                    #expect(
                        [.damaged, .notFound, .malformed, .unsupported].contains(error.code),
                        "seed \(seed), round \(round): \(error)")
                }
            }
        }
    }
}
