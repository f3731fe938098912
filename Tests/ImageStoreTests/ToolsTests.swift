import Foundation
import LinuxKernel
import TestSupport
import Testing

@testable import ImageStore

/// Images that other tools built and wrote.
@Suite(.needs(.root, .sysAdmin, .erofs, .overlay, .getfattr)) struct ToolsTests {
    /// A directory tree with what images have, and an image of two layers of it, by umoci.
    private func build(in fixture: ImageFixture) throws {
        try fixture.shell(
            """
            mkdir -p tree/usr/bin tree/usr/share/doc tree/etc tree/tmp
            chmod 1777 tree/tmp
            cp /bin/true tree/usr/bin/true
            ln tree/usr/bin/true tree/usr/bin/same
            ln -s usr/bin tree/bin
            setfattr -n user.origin -v tests tree/usr/bin/true
            for number in $(seq 300); do echo $number > tree/usr/share/doc/$number; done
            head -c 3000000 /dev/urandom > tree/etc/random
            umoci init --layout image
            umoci new --image image:app
            umoci unpack --image image:app bundle
            cp -a tree/. bundle/rootfs/
            umoci repack --image image:app bundle
            rm -r bundle
            umoci unpack --image image:app bundle
            rm -r bundle/rootfs/usr/share/doc bundle/rootfs/usr/bin/same
            mkdir bundle/rootfs/usr/share/doc
            echo new > bundle/rootfs/usr/share/doc/new
            umoci repack --image image:app bundle
            umoci config --image image:app --config.cmd /bin/true --config.user 12:34
            umoci unpack --image image:app final
            """)
    }

    private func expectSame(_ source: String, _ fixture: ImageFixture) throws {
        let store = try fixture.store()
        var options = ImportOptions()
        options.name = "app"
        let image = try store.importImage(from: source, options: options).image
        #expect(image.config.command == ["/bin/true"])
        #expect(image.config.user == "12:34")
        let mount = try ImageMounts(store).tree(of: image.identifier)
        let process = ProcessInfo.processInfo.processIdentifier
        let mounted = try fixture.shell(
            ImageFixture.listing("/proc/\(process)/fd/\(mount.tree.rawValue)"))
        let unpacked = try fixture.shell(ImageFixture.listing("final/rootfs"))
        #expect(
            difference(withoutTimesOfDirectories(mounted), withoutTimesOfDirectories(unpacked))
                == [], "of \(source)")
        #expect(try store.check().problems == [])
    }

    @Test("an image by umoci is what umoci unpacks", .needs(.umoci))
    func umoci() throws {
        let fixture = try ImageFixture()
        try build(in: fixture)
        try expectSame(fixture.path + "/image", fixture)
    }

    @Test(
        "an image is the same however skopeo copies it", .needs(.umoci, .skopeo),
        arguments: ["oci-archive", "oci", "docker-archive", "oci-zstd", "oci-plain"])
    func skopeo(transport: String) throws {
        let fixture = try ImageFixture()
        try build(in: fixture)
        let flags =
            switch transport {
            case "oci-zstd": "--dest-compress --dest-compress-format zstd"
            case "oci-plain": "--dest-decompress"
            default: ""
            }
        let target =
            switch transport {
            case "oci-archive": "oci-archive:copy:app"
            case "docker-archive": "docker-archive:copy:example/app:latest"
            default: "oci:copy:app"
            }
        try fixture.shell(
            "skopeo --insecure-policy copy --quiet \(flags) oci:image:app \(target)")
        try expectSame(fixture.path + "/copy", fixture)
    }

    @Test("an image by buildah is what buildah mounts", .needs(.buildah))
    func buildah() throws {
        let fixture = try ImageFixture()
        try fixture.write(
            Array(#"{"default":[{"type":"insecureAcceptAnything"}]}"#.utf8), to: "policy.json")
        let tool = "buildah --root $PWD/storage --runroot $PWD/run --storage-driver vfs"
        try fixture.shell(
            """
            mkdir -p tree/a/b
            echo 1 > tree/a/b/c
            ln -s b tree/a/link
            name=$(\(tool) from scratch)
            \(tool) copy --quiet $name tree /data
            \(tool) config --cmd '["/bin/true"]' --user 12:34 $name
            \(tool) commit --quiet --signature-policy policy.json $name oci-archive:copy:app
            mkdir -p final
            cp -a "$(\(tool) mount $name)" final/rootfs
            \(tool) umount $name
            \(tool) rm $name
            """)
        try expectSame(fixture.path + "/copy", fixture)
    }
}
