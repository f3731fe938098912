import Foundation
import TestSupport
import Testing

@Suite("Images from directory trees", .needs(.bash, .jq))
struct ImageArchiveTests {
    private let workplace: Workplace
    private let program = PackageRoot.path("rootfs/oci-archive")

    init() throws {
        workplace = try Workplace()
        try workplace.make(
            """
            mkdir -p lower/etc/old lower/bin lower/plain
            echo one > lower/etc/one; echo gone > lower/etc/gone; echo x > lower/etc/old/x
            echo '#!' > lower/bin/run; chmod 755 lower/bin/run; ln -s run lower/bin/link
            cp -a lower upper
            rm -r upper/etc/gone upper/etc/old upper/plain; echo file > upper/plain
            echo two > upper/etc/one; chmod 700 upper/bin/run; ln -sfn one upper/etc/alias
            mkdir -p 'upper/new/a b'; echo '\\' > 'upper/new/a b/back\\slash'
            """)
    }

    private func write(
        _ name: String, _ options: [String], environment: [String: String] = [:]
    ) throws -> ImageArchive {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let result = try run(
            program, arguments: options + [workplace(name)],
            environment: ["PATH": path].merging(environment) { $1 })
        try #require(result.succeeded, "\(result)")
        return try ImageArchive(workplace(name), in: workplace("\(name).opened"))
    }

    private func digest(_ name: String) throws -> String {
        String(try succeed("sha256sum", [workplace(name)]).prefix(64))
    }

    @Test("An image holds its layers, its configuration, and digests that are right")
    func written() throws {
        let archive = try write(
            "image",
            [
                "--tag", "example", "--entrypoint", "/bin/run", "--cmd", #"a "b" \c"#, "--cmd", "",
                "--env", "A=b=c", "--env", "B=", "--workdir", "/etc", "--user", "1000:1000",
                "--stop-signal", "SIGINT", "--label", "k=v", "--layer", "the lower",
                workplace("lower"), "--above", "the upper", workplace("lower"), workplace("upper"),
            ])
        #expect(
            archive.index.manifests[0].annotations
                == ["org.opencontainers.image.ref.name": "example"])
        #expect(archive.image.created == "1970-01-01T00:00:00Z")
        #expect(archive.image.history.map(\.createdBy) == ["the lower", "the upper"])
        let settings = archive.image.config
        #expect(settings.entrypoint == ["/bin/run"])
        #expect(settings.cmd == [#"a "b" \c"#, ""])
        #expect(settings.env == ["A=b=c", "B="])
        #expect(settings.workingDir == "/etc")
        #expect(settings.user == "1000:1000")
        #expect(settings.stopSignal == "SIGINT")
        #expect(settings.labels == ["k": "v"])
    }

    @Test("A layer above another has what is new, and whiteouts for what is gone")
    func difference() throws {
        let archive = try write(
            "image",
            [
                "--layer", "", workplace("lower"), "--above", "", workplace("lower"),
                workplace("upper"),
            ])
        #expect(
            try archive.names(1) == [
                "./", "bin/", "bin/run", "etc/", "etc/.wh.gone", "etc/.wh.old", "etc/alias",
                "etc/one", "new/", "new/a b/", #"new/a b/back\\slash"#, "plain",
            ])
        #expect(
            try archive.listing(1).allSatisfy {
                $0.contains(" 0/0 ") && $0.contains(" 1970-01-01 00:00:00 ")
            })
        #expect(try archive.listing(1).contains { $0.hasPrefix("-rwx------") })
        #expect(
            try archive.listing(1).contains { $0.hasSuffix(" etc/alias -> one") })
    }

    @Test("The same tree gives the same bytes, whenever and in whatever order it was made")
    func reproducible() throws {
        try workplace.make(
            """
            mkdir again
            (cd lower; find . | sort -r) | while read -r name; do
                [ ! -d lower/"$name" ] || mkdir -p again/"$name"
            done
            (cd lower; find . ! -type d | sort -r) | while read -r name; do
                cp -P --no-preserve=timestamps --preserve=mode lower/"$name" again/"$name"
            done
            touch -d 2001-01-01 again/etc/one
            find again -type d -exec chmod 755 {} +
            """)
        let options = ["--cmd", "/bin/run", "--layer", "text"]
        for epoch in ["0", "1000000"] {
            for tree in ["lower", "again"] {
                _ = try write(
                    "\(tree)-\(epoch)", options + [workplace(tree)],
                    environment: ["SOURCE_DATE_EPOCH": epoch, "TZ": "Asia/Tokyo"])
            }
            #expect(try digest("lower-\(epoch)") == digest("again-\(epoch)"))
        }
        #expect(try digest("lower-0") != digest("lower-1000000"))
    }

    @Test("An image begun with another one has its layers, byte for byte, and its settings")
    func begun() throws {
        let below = try write(
            "below",
            [
                "--env", "A=1", "--env", "B=2", "--entrypoint", "/bin/run", "--cmd", "x",
                "--user", "1:1", "--layer", "below", workplace("lower"),
            ])
        let above = try write(
            "above",
            [
                "--from", workplace("below"), "--env", "A=3", "--layer", "above",
                workplace("upper"),
            ])
        #expect(above.manifest.layers.count == 2)
        #expect(above.manifest.layers[0] == below.manifest.layers[0])
        #expect(above.image.rootfs.diffIdentities[0] == below.image.rootfs.diffIdentities[0])
        #expect(above.image.history.map(\.createdBy) == ["below", "above"])
        #expect(above.image.config.env == ["B=2", "A=3"])
        #expect(above.image.config.entrypoint == ["/bin/run"])
        #expect(above.image.config.cmd == ["x"])
        #expect(above.image.config.user == "1:1")
        let other = try write(
            "other", ["--from", workplace("below"), "--entrypoint", "/bin/link"])
        #expect(other.image.config.entrypoint == ["/bin/link"] && other.image.config.cmd == nil)
    }

    @Test("Bad calls are refused, and leave the old archive and nothing beside it")
    func refused() throws {
        _ = try write("image", ["--layer", "", workplace("lower")])
        let before = try digest("image")
        try workplace.make(
            """
            echo no > noise; mkdir 'odd'; touch $'odd/line\\nbreak'
            mkdir broken; tar -xf image -C broken
            for blob in broken/blobs/sha256/*; do echo >> "$blob"; done
            tar -cf changed -C broken .
            """)
        let names = workplace.names
        let calls: [([String], code: Int32, words: String)] = [
            ([], 64, "without a layer"),
            (["--above", "text"], 64, "not enough after `--above`"),
            (["--env", "A", "--layer", "", workplace("lower")], 64, "is not NAME=VALUE"),
            (["--color", "--layer", "", workplace("lower")], 64, "unknown option `--color`"),
            (["--layer", "", workplace("nothing")], 1, "no tree"),
            (["--above", "", workplace("lower"), workplace("odd")], 1, "line break"),
            (["--from", workplace("nothing")], 1, "no archive"),
            (["--from", workplace("noise")], 1, "is no archive"),
            (["--from", workplace("changed")], 1, "no blob, or another one"),
        ]
        for call in calls {
            let result = try run(program, arguments: call.0 + [workplace("image")])
            #expect(result.code == call.code, "\(call.0): \(result)")
            #expect(result.errorOutput.contains(call.words), "\(call.0): \(result)")
        }
        #expect(try digest("image") == before)
        #expect(workplace.names == names)
    }

    @Test("skopeo reads an image's configuration and copies it", .needs(.skopeo))
    func skopeo() throws {
        let archive = try write(
            "image",
            [
                "--tag", "one", "--cmd", "/bin/run", "--layer", "", workplace("lower"), "--above",
                "", workplace("lower"), workplace("upper"),
            ])
        let said = try succeed(
            "skopeo",
            ["inspect", "--format", "{{.Digest}}", "oci-archive:\(workplace("image"))"])
        #expect(said == archive.index.manifests[0].digest + "\n")
        try succeed(
            "skopeo",
            [
                "--insecure-policy", "copy", "-q", "oci-archive:\(workplace("image")):one",
                "dir:\(workplace("copy"))",
            ])
    }

    @Test("umoci unpacks the tree that the layers were made of", .needs(.umoci, .root))
    func umoci() throws {
        _ = try write(
            "image",
            [
                "--tag", "one", "--layer", "", workplace("lower"), "--above", "",
                workplace("lower"), workplace("upper"),
            ])
        try succeed(
            "umoci",
            [
                "unpack", "--image", "\(workplace("image.opened")):one",
                workplace("bundle"),
            ])
        try succeed(
            "diff",
            [
                "-r", "--no-dereference", workplace("upper"),
                workplace("bundle/rootfs"),
            ])
    }
}
