import Foundation
import JSON
import TestSupport
import Testing

@testable import ImageStore

@Suite struct ImageStoreTests {
    private func layer(_ name: String, size: Int = 100) -> [UInt8] {
        var tar = TarBuilder()
        tar.add(name, .file, String(repeating: name, count: size))
        return tar.archive
    }

    @Test(
        "an image is imported with its configuration, however its layers are packed",
        arguments: ImageFixture.Packing.allCases)
    func imports(packing: ImageFixture.Packing) throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let layout = try fixture.layout(
            [layer("a"), layer("b")], packing: packing, name: "app:1")
        var told: [ImportProgress] = []
        let result = try store.importImage(from: layout) { progress in
            told.append(progress)
            return true
        }
        #expect(result.names == ["app:1"])
        #expect((result.existed, result.layersMade, result.layersPresent) == (false, 2, 0))
        #expect(told.last?.layersDone == 2)
        #expect(told.last.map { $0.bytesDone == $0.bytes } == true)
        let config = try store.image("app:1").config
        #expect(config.arguments == ["/bin/app", "--flag"])
        #expect(config.environment == ["PATH=/bin", "A=b=c"])
        #expect(config.workingDirectory == "/srv")
        #expect((config.user, config.stopSignal) == ("1000:100", "SIGINT"))
        #expect(try store.check().problems == [])
        let again = try store.importImage(from: layout)
        #expect((again.existed, again.layersMade, again.layersPresent) == (true, 0, 2))
        #expect(again.image == result.image)
        #expect(try fixture.stored("staging") == [] && fixture.stored("leases") == [])
    }

    @Test("archives in tar, packed or not, and what `docker save` writes are read")
    func archives() throws {
        let fixture = try ImageFixture()
        try fixture.layout([layer("a"), layer("b")], packing: .gzip, name: "app:1")
        try fixture.shell(
            """
            tar -C layout -cf image.tar .
            tar -C layout -czf image.tar.gz index.json oci-layout blobs
            """)
        let saved = try savedArchive(fixture)
        var identifiers: Set<Digest> = []
        for archive in ["image.tar", "image.tar.gz", saved] {
            let other = try ImageFixture()
            let result = try other.store().importImage(from: "\(fixture.path)/\(archive)")
            #expect(result.layersMade == 2)
            #expect(result.names.first?.hasPrefix("app:") == true)
            identifiers.insert(result.image.identifier)
        }
        #expect(identifiers.count == 1)
    }

    /// The same image as `docker save` wrote it in older times: with links between layers.
    private func savedArchive(_ fixture: ImageFixture) throws -> String {
        let index = try JSONReader.read(fixture.read("layout/index.json"))
        let digest = try #require(index["manifests"]?.array?.first?["digest"]?.string)
        let blobs = "layout/blobs/sha256/"
        let manifest = try JSONReader.read(fixture.read(blobs + digest.dropFirst(7)))
        let config = try #require(manifest["config"]?["digest"]?.string).dropFirst(7)
        try fixture.write(fixture.read(blobs + config), to: "saved/\(config).json")
        try fixture.write(layer("a"), to: "saved/one/layer.tar")
        try fixture.write(layer("b"), to: "saved/two/real.tar")
        let document: JSONValue = [
            [
                "Config": .string(config + ".json"), "RepoTags": ["app:2"],
                "Layers": ["one/layer.tar", "three/layer.tar"],
            ]
        ]
        try fixture.write(Array(JSONWriter.text(document).utf8), to: "saved/manifest.json")
        try fixture.shell(
            """
            mkdir saved/three
            ln -s ../two/real.tar saved/three/layer.tar
            tar -C saved -cf saved.tar .
            """)
        return "saved.tar"
    }

    @Test("images share layers, and a layer goes with the last image that has it")
    func sharing() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let base = layer("base", size: 5000)
        for name in ["one", "two"] {
            let result = try store.importImage(
                from: fixture.layout([base, layer(name)], name: name, into: name))
            #expect(result.layersPresent == (name == "one" ? 0 : 1))
        }
        let images = try store.images()
        #expect(images.map(\.names) == [["one"], ["two"]])
        #expect(images[0].bytes > images[0].sharedBytes && images[0].sharedBytes > 0)
        #expect(try store.usage().layers == 3)
        let removed = try store.remove("one")
        #expect(removed.images.count == 1 && removed.layers.count == 1)
        #expect(try store.images()[0].sharedBytes == 0)
        #expect(try store.remove("two").layers.count == 2)
        #expect(try store.usage().bytes == 0)
    }

    @Test("names move, are taken away one by one, and stand for their image")
    func names() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let first = try store.importImage(
            from: fixture.layout([layer("1")], name: "app", into: "1")
        ).image.identifier
        let second = try store.importImage(
            from: fixture.layout([layer("2")], name: "app", into: "2")
        ).image.identifier
        #expect(try store.resolve("app") == second)
        #expect(try store.resolve(first.short) == first)
        #expect(try store.resolve("\(first)") == first)
        try store.setName("other:tag", of: "app")
        #expect(try store.remove("app").images == [])
        #expect(try store.resolve("other:tag") == second)
        #expect(try store.prune(dryRun: true).images == [first])
        #expect(try store.prune().images == [first])
        #expect(try store.remove("other:tag").images == [second])
        for bad in ["", "-x", "a b", "../x", "\(first)", String(repeating: "n", count: 256)] {
            let error = #expect(throws: ImageError.self) { try store.setName(bad, of: "app") }
            #expect(error?.code == .malformed)
        }
        let error = #expect(throws: ImageError.self) { try store.image("app") }
        #expect(error?.code == .notFound && error?.hint != nil)
    }

    @Test("a damaged layer is found and named, and made anew by an import")
    func damage() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let layout = try fixture.layout([layer("a"), layer("b", size: 9000)], name: "app")
        let image = try store.importImage(from: layout).image
        for (layer, place) in [(0, 1100), (1, 5000)] {
            let path = "store/layers/\(image.layers[layer].hexadecimal)/layer.erofs"
            var bytes = try fixture.read(path)
            bytes[place] ^= 1
            try fixture.write(bytes, to: path)
        }
        let check = try store.check()
        #expect(check.layers == 2 && !check.isSound)
        #expect(check.problems.map(\.kind) == [.damagedLayer, .damagedLayer])
        #expect(Set(check.problems.map(\.subject)) == Set(image.layers.map(\.description)))
        #expect(check.problems.allSatisfy { $0.images == ["app"] })
        #expect(try store.images()[0].damagedLayers.count == 2)
        #expect(try store.importImage(from: layout).layersMade == 2)
        #expect(try store.check().problems == [])
        try fixture.shell("rm -r store/layers/\(image.layers[0].hexadecimal)")
        #expect(try store.check().problems.map(\.kind) == [.missingLayer])
        #expect(try store.importImage(from: layout).layersMade == 1)
    }

    @Test("an image for another machine is refused, one of several platforms chosen")
    func platforms() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let foreign = try fixture.layout(
            [layer("a")], lies: .init(config: { $0["architecture"] = "s390x" }), into: "foreign")
        let error = #expect(throws: ImageError.self) { try store.importImage(from: foreign) }
        #expect(error?.code == .unsupported)
        var options = ImportOptions()
        options.platform = Platform(architecture: "s390x")
        #expect(try store.importImage(from: foreign, options: options).layersMade == 1)
    }

    @Test("documents that are wrong are refused", arguments: 0..<11)
    func documents(number: Int) throws {
        let lies: [ImageFixture.Lies] = [
            .init(config: { $0["rootfs"] = nil }),
            .init(config: { $0["rootfs"] = ["type": "layers", "diff_ids": []] }),
            .init(config: { $0["config"] = ["Env": "PATH=/bin"] }),
            .init(config: { $0["config"] = ["Env": ["=x"]] }),
            .init(config: { $0["config"] = ["WorkingDir": "srv"] }),
            .init(config: { $0["config"] = ["Cmd": ["a\u{0}b"]] }),
            .init(manifest: { $0["schemaVersion"] = 1 }),
            .init(manifest: { $0["layers"] = [] }),
            .init(manifest: { object in
                guard var config = object["config"]?.object else { return }
                config["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
                object["config"] = .object(config)
            }),
            .init(index: { $0["manifests"] = [] }),
            .init(index: { $0["manifests"] = "x" }),
        ]
        let fixture = try ImageFixture()
        let layout = try fixture.layout([layer("a")], lies: lies[number])
        let store = try fixture.store()
        let error = #expect(throws: ImageError.self) { try store.importImage(from: layout) }
        let codes: Set<ImageError.Code> = [.malformed, .unsupported, .notFound]
        #expect(error.map { codes.contains($0.code) } == true, "\(String(describing: error))")
        #expect(try fixture.stored("layers") == [])
    }

    @Test("an import that is cancelled leaves nothing")
    func cancelled() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let layout = try fixture.layout([layer("a"), layer("b")], name: "app")
        let error = #expect(throws: ImageError.self) {
            try store.importImage(from: layout) { $0.layersDone < 1 }
        }
        #expect(error?.code == .cancelled)
        #expect(try store.images() == [])
        #expect(try store.prune().layers.count == 1)
        #expect(try fixture.stored("staging") == [] && fixture.stored("leases") == [])
    }

    @Test("a store of another version is left alone")
    func version() throws {
        let fixture = try ImageFixture()
        _ = try fixture.store()
        try fixture.write(Array("alcove images 2\n".utf8), to: "store/format")
        let error = #expect(throws: ImageError.self) { try fixture.store() }
        #expect(error?.code == .unsupported)
    }
}
