import AgentAPI
import AgentViews
import Testing

/// Images and imports, as people read of them.
@Suite struct ImageTextTests {
    private static let now: Int64 = 1_700_000_000_000_000_000
    private static let second: Int64 = 1_000_000_000
    private static let digest = "sha256:" + String(repeating: "0123456789abcdef", count: 4)

    private static var stored: Image {
        var image = Image(
            name: "app:1", importedAtNanoseconds: now - 90 * second, bytes: 12 << 20, files: 40,
            sandboxes: 3)
        image.kind = .stored
        image.names = ["app:1", "latest"]
        image.digest = digest
        image.layers = [ImageLayer(digest: digest, bytes: 12 << 20)]
        image.sharedBytes = 5 << 20
        image.pinned = true
        image.users = ["a", "b"]
        var config = ImageConfig()
        config.entrypoint = ["/bin/app"]
        config.command = ["--port", "80"]
        config.user = "app"
        image.config = config
        return image
    }

    @Test("images are listed by all their names, with what the store takes")
    func list() {
        var directory = Image(
            name: "base", directory: "/srv/base", importedAtNanoseconds: Self.now - Self.second,
            bytes: 5 << 20, files: 312, sandboxes: 2)
        directory.kind = .directory
        directory.names = ["base"]
        var bare = Self.stored
        (bare.name, bare.names, bare.pinned, bare.sandboxes) = ("", [], false, 0)
        bare.damagedLayers = [Self.digest]
        let store = StoreUsage(images: 2, layers: 1, bytes: 12 << 20, capacityBytes: 1 << 30)
        #expect(
            ImageText.list([Self.stored, directory, bare], store, now: Self.now) == """
                NAME    DIGEST          SIZE  SHARED  SANDBOXES     AGE
                app:1   0123456789ab  12 MiB   5 MiB          3  1m 30s  pinned
                latest  0123456789ab  12 MiB   5 MiB          3  1m 30s  pinned
                base                   5 MiB                  2      1s  /srv/base
                -       0123456789ab  12 MiB   5 MiB          0  1m 30s  damaged
                2 images of 1 layer, 12 MiB of 1 GiB

                """)
    }

    @Test("all that is known of an image is told, but nothing of what it does not have")
    func image() {
        #expect(
            ImageText.image(Self.stored, now: Self.now) == """
                names       app:1 latest
                digest      \(Self.digest)
                size        12 MiB, 5 MiB shared
                files       40
                imported    2023-11-14T22:11:50Z
                pinned      yes
                sandboxes   a b and 1 more
                entrypoint  /bin/app
                command     --port 80
                user        app
                layers      0123456789ab 12 MiB

                """)
    }

    @Test("the bar of an import grows with its bytes")
    func progress() {
        #expect(
            ProgressText.line(
                done: 12 << 20, of: 36 << 20, layers: (1, 3), elapsed: .milliseconds(500))
                == "[########----------------] 12 MiB of 36 MiB, 1 of 3 layers, 24 MiB/s")
        #expect(
            ProgressText.line(done: 0, of: 0, layers: (2, 2), elapsed: .zero)
                == "[########################] 0 B of 0 B, 2 of 2 layers")
        // More than was announced.
        #expect(
            ProgressText.line(done: 3 << 20, of: 1 << 20, elapsed: .seconds(3))
                == "[########################] 3 MiB of 3 MiB, 1 MiB/s")
    }

    @Test("what a check found is told in lines, the worst said last")
    func checked() {
        var result = CheckResponse.Result()
        result.layers = 2
        result.bytes = 3 << 20
        result.sound = true
        #expect(ImageText.checked(result) == "sound: 2 layers, 3 MiB\n")
        result.sound = false
        result.problems = [
            CheckResponse.Problem(
                kind: "damaged_layer", subject: "x", images: ["app"], message: "layer x differs")
        ]
        #expect(
            ImageText.checked(result) == "layer x differs, of `app`\ndamaged: 2 layers, 3 MiB\n")
        #expect(
            ImageText.pruned(PruneResponse(removed: ["a"], layers: ["x"], bytes: 1024))
                == "a\n1 layer, 1 KiB\n")
    }
}
