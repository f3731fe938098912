import Foundation
import LinuxKernel
import TestSupport
import Testing

@testable import ImageStore

/// Images as sandboxes see them: layers on top of one another.
@Suite(.needs(.root, .sysAdmin, .erofs, .overlay)) struct ImageMountsTests {
    /// The path by which another process sees a tree that is attached nowhere.
    private func path(of image: MountedImage) -> String {
        "/proc/\(ProcessInfo.processInfo.processIdentifier)/fd/\(image.tree.rawValue)"
    }

    private func layers() -> [[UInt8]] {
        var base = TarBuilder()
        base.add("./", .directory)
        base.add("tmp", .directory, mode: 0o1777)
        base.add("home", .directory, mode: 0o711, user: 5, group: 6)
        base.add("home/user", .directory, mode: 0o700, user: 7, group: 8)
        base.add("opaque", .directory)
        base.add("again", .directory)
        for name in ["gone", "kept", "opaque/a", "opaque/b", "again/old", "home/user/old"] {
            base.add(name, .file, "base of \(name)")
        }
        var middle = TarBuilder()
        middle.add(".wh.gone", .file)
        middle.add("opaque", .directory)
        middle.add("opaque/.wh..wh..opq", .file)
        middle.add("opaque/c", .file, "c")
        middle.add(".wh.again", .file)
        middle.add("again", .directory)
        middle.add("again/new", .file, "new")
        middle.add("home/user/new", .file, "new", user: 7)
        middle.add("tmp/x/y", .file, "y")
        var top = TarBuilder()
        top.add("kept", .file, "of the top")
        top.add("link", .symbolicLink, link: "kept")
        top.add("home/user/.wh.old", .file)
        return [base.archive, middle.archive, top.archive]
    }

    @Test(
        "whiteouts, opaque directories and untold directories are as umoci unpacks them",
        .needs(.umoci, .getfattr))
    func layered() throws {
        let fixture = try ImageFixture()
        let layout = try fixture.layout(layers(), packing: .gzip, name: "latest")
        try fixture.shell("umoci raw unpack --image layout:latest unpacked")
        let store = try fixture.store()
        let image = try store.importImage(from: layout).image
        let tree = try ImageMounts(store).tree(of: image.identifier)
        let mounted = try fixture.shell(ImageFixture.listing(path(of: tree)))
        let unpacked = try fixture.shell(ImageFixture.listing("unpacked"))
        #expect(
            difference(withoutTimesOfDirectories(mounted), withoutTimesOfDirectories(unpacked))
                == [])
        #expect(mounted.contains("tmp|d|1777|0|0"))
        #expect(mounted.contains("home/user|d|700|7|8"))
    }

    @Test("a guest, which mounts the files of the layers itself, sees the same tree")
    func inGuests() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let image = try store.importImage(from: fixture.layout(layers())).image
        let mounts = ImageMounts(store)
        let digests = try mounts.layers(of: image.identifier)
        let meant = try mounts.meantDirectories(of: digests)
        #expect(meant.directories.map(\.path) == ["/", "/home", "/home/user", "/tmp"])
        let top = try TreeCache(fixture.path + "/trees").file(of: meant)
        let files = [top] + digests.map(store.layerPath)
        let guest = try fixture.shellWithMounts(
            """
            mkdir root
            lower=
            for file in \(files.joined(separator: " ")); do
                place=layer-${#lower}
                mkdir "$place"
                mount -t erofs -o loop,ro "$file" "$place"
                lower+=${lower:+:}$place
            done
            mount -t overlay -o "ro,lowerdir=$lower" overlay root
            \(ImageFixture.listing("root"))
            """)
        let tree = try mounts.tree(of: image.identifier)
        let mounted = try fixture.shell(ImageFixture.listing(path(of: tree)))
        #expect(
            difference(withoutTimesOfDirectories(mounted), withoutTimesOfDirectories(guest)) == [])
        #expect(try mounts.meantDirectories(of: digests).directories == meant.directories)
    }

    @Test("a layer is mounted once, whatever images have it, and goes with the last")
    func shared() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let all = layers()
        let one = try store.importImage(from: fixture.layout(all, into: "one")).image
        let two = try store.importImage(
            from: fixture.layout(Array(all.prefix(2)), into: "two")
        ).image
        let mounts = ImageMounts(store)
        let first = try mounts.tree(of: one.identifier)
        let second = try mounts.tree(of: two.identifier)
        #expect(try mounts.tree(of: one.identifier) === first)
        #expect(mounts.mountedLayers.count == 3)
        mounts.forget(one.identifier)
        #expect(mounts.mountedLayers == Set(two.layers))
        mounts.forget(two.identifier)
        #expect(mounts.mountedLayers.isEmpty)
        // Nobody takes from under a sandbox what it holds.
        #expect(try store.prune(includingNamed: true).layers.count == 3)
        #expect(try Files.read("kept", at: first.tree) == "of the top")
        #expect(try Files.read("kept", at: second.tree) == "base of kept")
    }

    @Test("shared layers come above an image")
    func above() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        var library = TarBuilder()
        library.add("opt/lib", .file, "shared")
        library.add("kept", .file, "of the library")
        let image = try store.importImage(from: fixture.layout(layers(), into: "one")).image
        let shared = try store.importImage(
            from: fixture.layout([library.archive], into: "two")
        ).image
        let mounts = ImageMounts(store)
        let tree = try mounts.tree(of: image.identifier, under: [shared.identifier])
        #expect(try Files.read("opt/lib", at: tree.tree) == "shared")
        #expect(try Files.read("kept", at: tree.tree) == "of the library")
        #expect(try Files.read("home/user/new", at: tree.tree) == "new")
        #expect(tree.record.identifier == image.identifier)
    }

    @Test("a single layer comes above an image, by its digest")
    func aboveByLayer() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        var library = TarBuilder()
        library.add("kept", .file, "of the library")
        var other = TarBuilder()
        other.add("kept", .file, "of the other")
        let image = try store.importImage(from: fixture.layout(layers(), into: "one")).image
        let shared = try store.importImage(
            from: fixture.layout([library.archive, other.archive], name: "lib:1", into: "two")
        ).image
        let mounts = ImageMounts(store)
        let layer = try store.resolveShared("\(shared.layers[0])")
        let tree = try mounts.tree(of: image.identifier, under: [layer])
        #expect(try Files.read("kept", at: tree.tree) == "of the library")
        let named = try store.resolveShared("lib:1")
        let both = try mounts.tree(of: image.identifier, under: [layer, named])
        #expect(try Files.read("kept", at: both.tree) == "of the other")
        #expect(mounts.mountedLayers.count == 5)
        _ = try store.remove("lib:1")
        try mounts.forgetRemoved()
        #expect(mounts.mountedLayers.isEmpty)
        let missing = SHA256.digest(of: [])
        let error = #expect(throws: ImageError.self) {
            try mounts.tree(of: image.identifier, under: [missing])
        }
        #expect(error?.code == .notFound)
    }

    @Test("a tree is asked whether a sandbox's layer can lie on it")
    func bears() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let image = try store.importImage(from: fixture.layout(layers())).image
        let tree = try ImageMounts(store, method: .best).tree(of: image.identifier)
        let isBorne = LayerStack.bears(tree.tree)
        #expect(isBorne)
        // The kernel stacks two levels and no more.
        let empty = try MendedDirectories().tree()
        let second = try Mounts.make(
            "overlay",
            options: [tree.tree.rawValue, empty.rawValue].map {
                .descriptor(name: "lowerdir+", number: $0)
            }, attributes: [.readOnly])
        let isBorneAgain = LayerStack.bears(second)
        #expect(!isBorneAgain)
    }

    @Test("a layer that an image has twice counts where it is higher")
    func twice() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        var first = TarBuilder()
        first.add("a", .file, "first")
        var second = TarBuilder()
        second.add("a", .file, "second")
        let image = try store.importImage(
            from: fixture.layout([first.archive, second.archive, first.archive])
        ).image
        let tree = try ImageMounts(store).tree(of: image.identifier)
        #expect(try Files.read("a", at: tree.tree) == "first")
    }

    @Test("one layer is an image, with whiteouts of nothing too", arguments: [true, false])
    func single(hasWhiteout: Bool) throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        var tar = TarBuilder()
        tar.add("./", .directory, mode: 0o711, user: 3, group: 4)
        tar.add("a", .file, "a")
        if hasWhiteout { tar.add(".wh.b", .file) }
        let image = try store.importImage(from: fixture.layout([tar.archive])).image
        let tree = try ImageMounts(store).tree(of: image.identifier)
        let output = try fixture.shell("cd \(path(of: tree))/; ls -A; stat -c %a:%u:%g .")
        #expect(output == "a\n711:3:4\n")
    }

    @Test("layers are mounted by loop devices where files cannot be", .needs(.loopDevices))
    func loop() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let image = try store.importImage(from: fixture.layout(layers())).image
        let tree = try ImageMounts(store, method: .loop).tree(of: image.identifier)
        #expect(try Files.read("kept", at: tree.tree) == "of the top")
    }

    @Test("nothing in an image can be written, nor its devices opened")
    func readOnly() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        var tar = TarBuilder()
        tar.add("null", .characterDevice, mode: 0o666, device: (1, 3))
        tar.add("file", .file, "1", mode: 0o4755)
        var options = ImportOptions()
        options.policy.devices = .keep
        let image = try store.importImage(
            from: fixture.layout([tar.archive]), options: options
        ).image
        let mounted = try ImageMounts(store).tree(of: image.identifier)
        let tree = path(of: mounted)
        for attempt in ["touch \(tree)/new", "echo > \(tree)/file", "cat \(tree)/null"] {
            #expect(throws: ImageFixture.ShellFailure.self) { try fixture.shell(attempt) }
        }
        // Whoever does not allow devices does not get them from another's import.
        let error = #expect(throws: ImageError.self) {
            try store.importImage(from: fixture.path + "/layout")
        }
        #expect(error?.code == .refused)
    }

    @Test("what was found damaged while it was mounted is mounted anew once it was made anew")
    func damagedWhileMounted() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let layout = try fixture.layout(layers(), name: "app")
        let image = try store.importImage(from: layout).image
        let mounts = ImageMounts(store)
        let first = try mounts.tree(of: image.identifier)
        #expect(try mounts.tree(of: image.identifier) === first)
        let path = "store/layers/\(image.layers[2].hexadecimal)/layer.erofs"
        var bytes = try fixture.read(path)
        bytes[1100] ^= 1
        try fixture.write(bytes, to: path)
        #expect(try !store.check().isSound)
        let error = #expect(throws: ImageError.self) { try mounts.tree(of: image.identifier) }
        #expect(error?.code == .damaged)
        #expect(try store.importImage(from: layout).layersMade == 1)
        let second = try mounts.tree(of: image.identifier)
        #expect(second !== first)
        #expect(try Files.read("kept", at: second.tree) == "of the top")
        #expect(mounts.mountedLayers.count == 3)
    }

    @Test("a damaged layer is not mounted, and is once it was made anew")
    func damaged() throws {
        let fixture = try ImageFixture()
        let store = try fixture.store()
        let layout = try fixture.layout(layers(), name: "app")
        let image = try store.importImage(from: layout).image
        let middle = image.layers[1].hexadecimal
        try fixture.shell("truncate -s 4096 store/layers/\(middle)/layer.erofs")
        let mounts = ImageMounts(store)
        let error = #expect(throws: ImageError.self) { try mounts.tree(of: image.identifier) }
        #expect(error?.code == .damaged)
        #expect(error?.message.contains("\(image.layers[1])") == true)
        #expect(try store.importImage(from: layout).layersMade == 1)
        #expect(try Files.read("kept", at: mounts.tree(of: image.identifier).tree) == "of the top")
    }
}

/// What sandboxes change of an image.
@Suite(.needs(.root, .sysAdmin, .erofs, .overlay)) struct ScratchTests {
    private func image(_ fixture: ImageFixture) throws -> (ImageMounts, Digest) {
        let store = try fixture.store()
        var low = TarBuilder()
        low.add("./", .directory, mode: 0o711, user: 3, group: 4)
        low.add("file", .file, "of the image")
        low.add("gone", .file, "of the image")
        var high = TarBuilder()
        high.add("dir/file", .file, "of the image")
        let image = try store.importImage(from: fixture.layout([low.archive, high.archive])).image
        return (ImageMounts(store), image.identifier)
    }

    private func expectLimited(_ fixture: ImageFixture, _ root: borrowing Descriptor) throws {
        let path = "/proc/\(ProcessInfo.processInfo.processIdentifier)/fd/\(root.rawValue)"
        let output = try fixture.shell(
            """
            cd \(path)/
            echo changed > file
            rm gone
            echo more >> dir/file
            if head -c 9M /dev/zero > large 2> /dev/null; then echo not limited; fi
            test $(stat -c %s large) -le 8388608
            rm large
            head -c 3M /dev/zero > large
            stat -c %a:%u:%g .
            ls
            cat file dir/file
            """)
        #expect(output == "711:3:4\ndir\nfile\nlarge\nchanged\nof the imagemore\n")
    }

    @Test("changes go to memory, within their limit, and not to the image")
    func memory() throws {
        let fixture = try ImageFixture()
        let (mounts, image) = try image(fixture)
        for _ in 0..<2 {
            let root = try mounts.writableTree(of: image, scratch: .memory(bytes: 8 << 20))
            try expectLimited(fixture, root)
        }
        #expect(try Files.read("file", at: mounts.tree(of: image).tree) == "of the image")
    }

    @Test(
        "changes go to the disk, within their limit, and nothing is left of them",
        .needs(.loopDevices, .mkfsExt4))
    func disk() throws {
        let fixture = try ImageFixture()
        let (mounts, image) = try image(fixture)
        try fixture.shell("mkdir scratch")
        for _ in 0..<2 {
            let root = try mounts.writableTree(
                of: image, scratch: .disk(in: fixture.path + "/scratch", bytes: 8 << 20))
            try expectLimited(fixture, root)
        }
        #expect(try fixture.shell("ls -A scratch") == "")
        let error = #expect(throws: ImageError.self) {
            _ = try Scratch.disk(in: fixture.path + "/scratch", bytes: 4096)
        }
        #expect(error?.code == .storage)
    }
}

/// Tools that unpack layers onto each other do not agree on them.
func withoutTimesOfDirectories(_ listing: String) -> String {
    listing.replacing(/\|d\|(\d+\|\d+\|\d+)\|[\d.]+\|/) { "|d|\($0.1)|" }
}
