import Foundation
import TestSupport
import Testing

/// Functions above the base image, which every run can build.
@Suite("Images of functions", .needs(.root, .bash, .jq, .busybox))
struct FunctionImageTests {
    private let workplace: Workplace
    private let program = PackageRoot.path("rootfs/build-function")

    init() throws {
        workplace = try Workplace()
        try workplace.make(
            """
            mkdir -p one/part one/.git two
            printf '#!/bin/sh\\necho one "$@"; cat /function/part/text\\n' > one/handler.sh
            chmod 700 one/handler.sh; echo text > one/part/text; chmod 600 one/part/text
            printf '#!/bin/sh\\necho two\\n' > two/start; chmod 755 two/start
            """)
        try succeed(
            PackageRoot.path("rootfs/build-base"),
            ["--init", try Products.path("alcove-init"), "--oci", workplace("base")])
    }

    private func build(_ name: String, handler: String) throws -> ImageArchive {
        try succeed(
            program,
            [
                "--from", workplace("base.oci.tar"), "--handler", handler, workplace(name),
                workplace("\(name).oci.tar"),
            ])
        return try ImageArchive(workplace("\(name).oci.tar"), in: workplace("\(name).opened"))
    }

    @Test("Two functions share the layer of the image below, and each runs its own file")
    func shared() throws {
        let base = try ImageArchive(workplace("base.oci.tar"), in: workplace("base.opened"))
        let one = try build("one", handler: "handler.sh")
        let two = try build("two", handler: "start")
        for archive in [one, two] {
            #expect(archive.manifest.layers.count == 2)
            #expect(archive.manifest.layers[0] == base.manifest.layers[0])
            #expect(archive.image.config.workingDir == "/function")
            #expect(archive.image.config.env == base.image.config.env)
        }
        #expect(one.manifest.layers[1] != two.manifest.layers[1])
        #expect(one.image.config.cmd == ["/function/handler.sh"])
        #expect(two.image.config.cmd == ["/function/start"])
        #expect(
            try one.names(1) == [
                "./", "function/", "function/handler.sh", "function/part/", "function/part/text",
            ])
        // Whoever runs it may read it.
        try one.unpack(into: workplace("tree"))
        #expect(
            try succeed(
                "chroot",
                ["--userspec=1000:1000", workplace("tree"), "/function/handler.sh", "a b"])
                == "one a b\ntext\n")
    }

    @Test("Built twice it is the same, byte for byte, whoever owns the files")
    func reproducible() throws {
        _ = try build("one", handler: "handler.sh")
        let first = try succeed("sha256sum", [workplace("one.oci.tar")])
        try workplace.make(
            "rm -rf one.opened; chown -R 1234:1234 one; touch -d 2020-02-02 one/handler.sh")
        _ = try build("one", handler: "handler.sh")
        #expect(try succeed("sha256sum", [workplace("one.oci.tar")]) == first)
    }

    @Test("What cannot be a function is refused, and nothing is left of it")
    func refused() throws {
        try workplace.make("mkfifo two/pipe; echo no > noise")
        let names = workplace.names
        let from = ["--from", workplace("base.oci.tar")]
        let calls: [([String], words: String)] = [
            (from + [workplace("nothing")], "no folder"),
            (from + [workplace("one")], "no file `handler.py`"),
            (from + ["--handler", "../noise", workplace("one")], "no file"),
            (from + ["--handler", "start", workplace("two")], "not a file: `pipe`"),
            (["--from", workplace("no"), "--handler", "handler.sh", workplace("one")], "no `"),
            (
                ["--from", workplace("noise"), "--handler", "handler.sh", workplace("one")],
                "is no OCI archive"
            ),
        ]
        for call in calls {
            let result = try run(program, arguments: call.0 + [workplace("out.oci.tar")])
            #expect(result.code == 1, "\(result)")
            #expect(result.errorOutput.contains(call.words), "\(result)")
        }
        #expect(workplace.names == names)
    }
}
