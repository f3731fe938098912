import LinuxKernel
import TestSupport
import Testing

@testable import ImageStore

/// What stays in a store, and what goes.
@Suite struct RetentionTests {
    private func layer(_ name: String, size: Int = 100) -> [UInt8] {
        var tar = TarBuilder()
        tar.add(name, .file, String(repeating: name, count: size))
        return tar.archive
    }

    /// Imports an image of one layer with some 80 KB.
    private func importImage(
        _ name: String, into store: ImageStore, _ fixture: ImageFixture
    ) throws -> Digest {
        let layout = try fixture.layout(
            [layer(name, size: 80000 / name.utf8.count)], name: name, into: name)
        return try store.importImage(from: layout).image.identifier
    }

    @Test("what is used or pinned is neither removed nor pruned")
    func protection() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let image = try importImage("app", into: store, fixture)
        try store.hold(image, for: "sandbox.one")
        try store.hold(image, for: "sandbox.two")
        let error = #expect(throws: ImageError.self) { try store.remove("app") }
        #expect(error?.code == .inUse && error?.message.contains("sandbox.one") == true)
        #expect(try store.prune(includingNamed: true).images == [])
        #expect(try store.images()[0].owners == ["sandbox.one", "sandbox.two"])
        try store.release("sandbox.one")
        try store.release("sandbox.two")
        try store.release("sandbox.two")
        try store.setPinned(true, "app")
        #expect(try store.prune(includingNamed: true).images == [])
        #expect(try store.images()[0].isPinned)
        let pinned = #expect(throws: ImageError.self) { try store.remove("app") }
        #expect(pinned?.code == .inUse)
        try store.setPinned(false, "app")
        #expect(try store.prune(includingNamed: true).images == [image])
        for bad in ["", ".x", "a/b", "ä", String(repeating: "n", count: 129)] {
            let error = #expect(throws: ImageError.self) { try store.hold(image, for: bad) }
            #expect(error?.code == .malformed)
        }
        let gone = #expect(throws: ImageError.self) { try store.hold(image, for: "gone") }
        #expect(gone?.code == .notFound)
    }

    @Test("an owner uses several images and layers, all or none of them noted")
    func severalHolds() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let one = try importImage("one", into: store, fixture)
        let two = try importImage("two", into: store, fixture)
        let single = try #require(try store.image("two").layers.first)
        let missing = SHA256.digest(of: [])
        try store.hold(one, for: "sandbox")
        #expect(throws: ImageError.self) { try store.hold([two, missing], for: "sandbox") }
        #expect(try store.holds() == ["sandbox": [one]])
        try store.hold([one, single], for: "sandbox")
        #expect(try store.remove("two").layers == [])
        #expect(try store.check().problems == [])
        #expect(try store.prune(includingNamed: true).images == [])
        try store.release("sandbox")
        #expect(try store.prune(includingNamed: true).layers.count == 2)
        #expect(try store.usage().bytes == 0)
    }

    @Test("a note of use of what is not there is found")
    func danglingHold() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let image = try importImage("app", into: store, fixture)
        try store.hold(image, for: "sandbox")
        try fixture.shell("rm -r store/images/* store/layers/*")
        let check = try store.check()
        #expect(check.problems.contains { $0.kind == .danglingHold && $0.subject == "sandbox" })
    }

    @Test("beyond its capacity the store evicts what was used longest ago, and says so")
    func eviction() throws {
        let fixture = try ImageFixture()
        let probe = try fixture.store()
        let images = try ["n1", "n2", "n3"].map { try importImage($0, into: probe, fixture) }
        let full = try probe.usage().bytes
        try probe.hold(images[0], for: "user")
        try probe.release("user")
        let store = try fixture.store { $0.capacityBytes = full }
        let next = try fixture.layout([layer("4", size: 70000)], name: "n4", into: "4")
        let result = try store.importImage(from: next)
        #expect(result.evicted == [images[1]])
        try store.setPinned(true, "n3")
        try store.hold(images[0], for: "user")
        let large = try fixture.layout([layer("5", size: 200_000)], name: "n5", into: "5")
        let error = #expect(throws: ImageError.self) { try store.importImage(from: large) }
        #expect(error?.code == .noSpace && error?.hint != nil)
        #expect(try store.images().flatMap(\.names) == ["n1", "n3", "n4"])
        #expect(try fixture.stored("layers").count == 3)
        #expect(try fixture.stored("staging") == [])
    }

    @Test("layers of no image make room before any image does")
    func unusedFirst() throws {
        let fixture = try ImageFixture()
        let probe = try fixture.store()
        _ = try importImage("n1", into: probe, fixture)
        let half = try fixture.layout(
            [layer("a", size: 80000), layer("b", size: 80000)], into: "half")
        let cancelled = #expect(throws: ImageError.self) {
            try probe.importImage(from: half) { $0.layersDone < 1 }
        }
        #expect(cancelled?.code == .cancelled)
        #expect(try fixture.stored("layers").count == 2)
        let full = try probe.usage().bytes
        let store = try fixture.store { $0.capacityBytes = full }
        let next = try fixture.layout([layer("c", size: 80000)], name: "n2", into: "next")
        #expect(try store.importImage(from: next).evicted == [])
        #expect(try store.images().flatMap(\.names) == ["n1", "n2"])
        #expect(try fixture.stored("layers").count == 2)
    }

    @Test("a layer that grows beyond the capacity is stopped while it is made")
    func stopped() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store { $0.capacityBytes = 100_000 }
        let layout = try fixture.layout([layer("x", size: 30_000_000)], packing: .gzip)
        let error = #expect(throws: ImageError.self) { try store.importImage(from: layout) }
        #expect(error?.code == .noSpace)
        for folder in ["layers", "images", "staging", "leases"] {
            #expect(try fixture.stored(folder) == [], "in \(folder)")
        }
    }
}

/// Imports that meet other imports.
@Suite struct WaitingTests {
    /// Takes the place of another import that makes a layer.
    private final class OtherImport {
        private var lock: Descriptor?

        init(of layer: Digest, in store: ImageStore) throws {
            lock = try store.folders.lockFile(
                String(layer.hexadecimal.prefix(2)), at: store.folders.locks)
        }

        func end() { lock = nil }
    }

    private func image(in fixture: ImageFixture) throws -> (layout: String, layer: Digest) {
        var tar = TarBuilder()
        tar.add("a", .file, "a")
        return (try fixture.layout([tar.archive]), SHA256.digest(of: tar.archive))
    }

    @Test("an import that waits for another one can be cancelled")
    func cancelled() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let (layout, layer) = try image(in: fixture)
        let other = try OtherImport(of: layer, in: store)
        let error = #expect(throws: ImageError.self) {
            try store.importImage(from: layout) { !$0.isWaiting }
        }
        #expect(error?.code == .cancelled)
        #expect(try fixture.stored("leases") == [] && fixture.stored("layers") == [])
        other.end()
    }

    @Test("an import goes on when the other one ends")
    func goesOn() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let (layout, layer) = try image(in: fixture)
        let other = try OtherImport(of: layer, in: store)
        var waited = false
        let result = try store.importImage(from: layout) { progress in
            if progress.isWaiting {
                waited = true
                other.end()
            }
            return true
        }
        #expect(waited && result.layersMade == 1)
    }
}
