import Foundation
import TestSupport
import Testing

@testable import ImageStore

/// Layers as the kernel shows them, held against what other programs unpack from them.
@Suite struct LayerTreeTests {
    /// Imports a layer, and lists its tree as mounted and as bsdtar unpacks it.
    private func listings(
        _ tar: TarBuilder, _ packing: LayerPacking
    ) throws -> (mounted: String, unpacked: String) {
        let fixture = try ImageFixture()
        let layout = try fixture.layout([tar.archive], packing: .gzip)
        var options = ImportOptions()
        options.policy.devices = .keep
        let store = try fixture.store { $0.packing = packing }
        let image = try store.importImage(from: layout, options: options).image
        let layer = store.layerPath(image.layers[0])
        try fixture.shell("fsck.erofs --extract \(layer)")
        try fixture.write(tar.archive, to: "layer.tar")
        let mounted = try fixture.shellWithMounts(
            """
            mkdir mounted
            mount -t erofs -o loop,ro \(layer) mounted
            \(ImageFixture.listing("mounted"))
            """)
        let unpacked = try fixture.shell(
            """
            mkdir unpacked
            LC_ALL=C.UTF-8 bsdtar -xpf layer.tar --numeric-owner -C unpacked
            \(ImageFixture.listing("unpacked"))
            """)
        return (mounted, unpacked)
    }

    @Test(
        "a layer has what its archive has",
        .needs(.root, .sysAdmin, .erofs, .fsckErofs, .bsdtar, .getfattr),
        arguments: LayerPacking.allCases)
    func all(packing: LayerPacking) throws {
        var tar = TarBuilder()
        tar.add("./", .directory, mode: 0o750, user: 3)
        tar.add("./bin/", .directory)
        tar.add("./bin/app", .file, "#!/bin/sh\n", mode: 0o4755)
        tar.add("./bin/same", .hardLink, link: "./bin/app")
        tar.add("./bin/link", .symbolicLink, link: "app")
        tar.add("./bin/far", .symbolicLink, link: String(repeating: "x/", count: 1500))
        tar.add("empty", .file)
        tar.add("tail", .file, String(repeating: "t", count: 2048))
        tar.add("no tail", .file, String(repeating: "n", count: 2049))
        tar.add("block", .file, String(repeating: "b", count: 4096))
        tar.add("blocks", .file, String(repeating: "c", count: 12345), user: 70000, group: 5)
        tar.add("two million", .file, String(repeating: "0123456789", count: 200_000))
        tar.add("sticky/", .directory, mode: 0o1777)
        tar.add("pipe", .fifo, mode: 0o600)
        tar.add("null", .characterDevice, mode: 0o666, device: (1, 3))
        tar.add("disk", .blockDevice, device: (259, 70000))
        tar.add("ünï", .directory)
        tar.add("ünï/cödé 🏝", .file, "x", records: [("path", Array("ünï/cödé 🏝".utf8))])
        tar.add([0x66, 0xFF, 0xFE], .file, [0x31])
        tar.add("old", .file, "1", time: 1)
        tar.add(
            "named", .file, "1",
            attributes: [
                ("user.b", Array("two".utf8)), ("user.a", Array("one".utf8)),
                (
                    "security.capability",
                    [1, 0, 0, 2, 0, 4, 0, 0] + [UInt8](repeating: 0, count: 12)
                ),
            ])
        tar.add("deep/of/nothing", .file, "1")
        let (mounted, unpacked) = try listings(tar, packing)
        let implicit = /deep(\/of)?\|d.*/
        #expect(
            difference(
                mounted.replacing(implicit, with: "implicit"),
                unpacked.replacing(implicit, with: "implicit")) == [])
        #expect(mounted.contains("deep/of|d|755|0|0|0"))
    }

    /// A layer of random directories, files and links.
    private func randomLayer(seed: UInt64, count: Int) -> TarBuilder {
        var random = SeededRandom(seed: seed)
        var tar = TarBuilder()
        var directories = [""]
        var files: [String] = []
        for number in 0..<count {
            let parent = directories[Int.random(in: 0..<directories.count, using: &random)]
            let length = Int.random(in: 1...200, using: &random)
            let name = parent + "\(number)" + String(repeating: "-", count: length)
            switch Int.random(in: 0..<10, using: &random) {
            case 0...1:
                guard name.utf8.count < 2000 else { continue }
                tar.add(name, .directory, mode: 0o700)
                directories.append(name + "/")
            case 2: tar.add(name, .symbolicLink, link: name)
            case 3:
                guard let target = files.randomElement(using: &random) else { continue }
                tar.add(name, .hardLink, link: target)
            default:
                let size =
                    Int.random(in: 0...3, using: &random) * 4096
                    + Int.random(in: 0..<4096, using: &random)
                let attributes: [(String, [UInt8])] = [
                    (
                        "user.x",
                        [UInt8](repeating: 7, count: Int.random(in: 0..<3000, using: &random))
                    )
                ]
                tar.add(
                    name, .file, String(repeating: "\(number)", count: size / 4),
                    attributes: Bool.random(using: &random) ? attributes : [])
                files.append(name)
            }
        }
        return tar
    }

    @Test(
        "random layers have what their archives have",
        .needs(.root, .sysAdmin, .erofs, .fsckErofs, .bsdtar, .getfattr),
        arguments: [1, 2, 3] as [UInt64], LayerPacking.allCases)
    func random(seed: UInt64, packing: LayerPacking) throws {
        let tar = randomLayer(seed: seed, count: 600)
        let (mounted, unpacked) = try listings(tar, packing)
        #expect(difference(mounted, unpacked) == [], "seed \(seed)")
    }

    @Test(
        "content is packed where that saves blocks, and read as it was",
        .needs(.root, .sysAdmin, .erofs, .fsckErofs, .bsdtar, .getfattr),
        arguments: [1, 2, 3] as [UInt64])
    func packed(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var tar = TarBuilder()
        let edges = [0, 1, 4095, 4096, 4097, 8191, 8192, 8193, 65535, 65536, 65537, 131_073]
        for number in 0..<60 {
            // What can be packed and what cannot, in turn, so that pieces begin anywhere.
            var content: [UInt8] = []
            let size =
                number < edges.count ? edges[number] : Int.random(in: 0..<400_000, using: &random)
            while content.count < size {
                let length = Int.random(in: 1...30_000, using: &random)
                let isRandom = Bool.random(using: &random)
                for place in 0..<length {
                    content.append(
                        isRandom
                            ? UInt8.random(in: .min ... .max, using: &random)
                            : UInt8(truncatingIfNeeded: place / 7))
                }
            }
            content.removeLast(content.count - size)
            tar.add(
                Array("f\(number)".utf8), .file, content,
                attributes: number % 3 == 0 ? [("user.x", [UInt8](repeating: 1, count: 9))] : [])
        }
        tar.add(Array("zeros".utf8), .file, [UInt8](repeating: 0, count: 5_000_000))
        let (mounted, unpacked) = try listings(tar, .lz4)
        #expect(difference(mounted, unpacked) == [], "seed \(seed)")
        let fixture = try ImageFixture()
        let layout = try fixture.layout([tar.archive])
        let image = try fixture.store { $0.packing = .lz4 }.importImage(from: layout).image
        let layer = try #require(try fixture.store().layer(image.layers[0]))
        #expect(layer.bytes < layer.contentBytes * 3 / 4)
    }

    @Test(
        "dump.erofs says of a layer what it says of the same by mkfs.erofs",
        .needs(.root, .bsdtar, .mkfsErofs, .dumpErofs), arguments: [5, 6] as [UInt64])
    func dump(seed: UInt64) throws {
        let fixture = try ImageFixture()
        let tar = randomLayer(seed: seed, count: 150)
        let store = try fixture.store()
        let image = try store.importImage(from: fixture.layout([tar.archive])).image
        try fixture.write(tar.archive, to: "layer.tar")
        let output = try fixture.shell(
            """
            mkdir unpacked
            bsdtar -xpf layer.tar --numeric-owner -C unpacked
            mkfs.erofs theirs.erofs unpacked > log 2>&1
            # How much room directories and inodes take on the disk is each program's own matter.
            say() {
                dump.erofs --path="$2" "$1" | sed -nE '
                    /directory$/ s/^Size: [0-9]+/Size:/
                    s/On-disk size: [0-9]+//
                    s/^NID: [0-9]+ +(Links: [0-9]+).*/\\1/p
                    /^(File|Size|Uid|Timestamp)/ p'
                dump.erofs --path="$2" --ls "$1" | sed -nE 's/^ +[0-9]+ +([0-9]  .*)/\\1/p'
            }
            (cd unpacked && find . -mindepth 1 | cut -c2- | sort) > paths
            while IFS= read -r path; do
                say theirs.erofs "$path" > theirs
                say \(store.layerPath(image.layers[0])) "$path" > ours
                diff theirs ours || echo "differs: $path"
            done < paths
            wc -l < paths
            """)
        let lines = output.split(separator: "\n")
        #expect(lines.count == 1, "seed \(seed): \(lines.prefix(8).joined(separator: "; "))")
        #expect(Int(lines.last ?? "") ?? 0 > 100)
    }

    @Test(
        "the same layer gives the same bytes, however it was packed",
        arguments: LayerPacking.allCases)
    func reproducible(form: LayerPacking) throws {
        var tar = TarBuilder()
        for number in 0..<300 { tar.add("d\(number % 7)/f\(number)", .file, "\(number)") }
        tar.add("large", .file, String(repeating: "0123456789", count: 100_000))
        var digests: Set<Digest> = []
        for packing in ImageFixture.Packing.allCases {
            let fixture = try ImageFixture()
            let store = try fixture.store { $0.packing = form }
            let image = try store.importImage(
                from: fixture.layout([tar.archive], packing: packing)
            ).image
            let layer = try #require(try store.layer(image.layers[0]))
            digests.insert(layer.body)
            digests.insert(layer.head)
        }
        #expect(digests.count == 2)
    }
}
