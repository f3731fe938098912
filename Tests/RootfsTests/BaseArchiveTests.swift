import Foundation
import SandboxModel
import TestSupport
import Testing

@Suite("The base image as an archive", .needs(.root, .bash, .jq, .busybox))
struct BaseArchiveTests {
    private let workplace: Workplace

    init() throws { workplace = try Workplace() }

    private func build(_ options: [String]) throws -> RunResult {
        try run(
            PackageRoot.path("rootfs/build-base"),
            arguments: ["--init", try Products.path("alcove-init")] + options + [workplace("base")])
    }

    @Test("The archive holds the tree, runs a shell, and is as small as promised")
    func archive() throws {
        let built = try build(["--oci"])
        #expect(built.succeeded, "\(built)")
        let path = workplace("base.oci.tar")
        let size = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int
        #expect(try #require(size) <= PromisedNumbers.baseImageKilobytes * 1024)
        let archive = try ImageArchive(path, in: workplace("opened"))
        #expect(archive.manifest.layers.count == 1)
        #expect(archive.image.config.cmd == ["/bin/sh"])
        #expect(archive.image.config.entrypoint == nil)
        try archive.unpack(into: workplace("unpacked"))
        try succeed(
            "diff", ["-r", "--no-dereference", workplace("base"), workplace("unpacked")])
        let ran = try succeed(
            "chroot", [workplace("unpacked"), "/bin/sh", "-c", "echo $((6 * 7))"])
        #expect(ran == "42\n")
        #expect(workplace.names == ["base", "base.oci.tar", "opened", "unpacked"])
    }

    @Test("Built twice it is the same, byte for byte")
    func reproducible() throws {
        var digests: Set<String> = []
        for _ in 1...2 {
            let built = try build(["--oci"])
            #expect(built.succeeded, "\(built)")
            digests.insert(try succeed("sha256sum", [workplace("base.oci.tar")]))
        }
        #expect(digests.count == 1)
    }

    @Test("Without being asked for, no archive is written")
    func unasked() throws {
        #expect(try build([]).succeeded)
        #expect(workplace.names == ["base"])
    }
}
