import Foundation
import TestSupport
import Testing

@testable import ImageStore

/// Layers that mean harm, or are broken: each is refused, says why, and leaves nothing.
@Suite struct HostileLayerTests {
    struct Sample: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let code: ImageError.Code
        /// What the message says.
        let words: String
        let build: @Sendable (inout TarBuilder) -> Void

        init(
            _ description: String, _ code: ImageError.Code, _ words: String,
            _ build: @escaping @Sendable (inout TarBuilder) -> Void
        ) {
            testDescription = description
            self.code = code
            self.words = words
            self.build = build
        }
    }

    static let samples: [Sample] = [
        Sample("a path with ..", .refused, "`..`") { $0.add("../etc/passwd", .file, "x") },
        Sample("a path with .. in the middle", .refused, "`..`") {
            $0.add("a/../../etc/passwd", .file, "x")
        },
        Sample("an absolute path with ..", .refused, "`..`") { $0.add("/../x", .file, "x") },
        Sample("a directory named ..", .refused, "`..`") { $0.add("a/..", .directory) },
        Sample("a file through a link to outside", .refused, "symbolic link") {
            $0.add("out", .symbolicLink, link: "/etc")
            $0.add("out/passwd", .file, "x")
        },
        Sample("a file through a link to inside", .refused, "symbolic link") {
            $0.add("a/", .directory)
            $0.add("b", .symbolicLink, link: "a")
            $0.add("b/file", .file, "x")
        },
        Sample("a directory in place of a link", .refused, "twice") {
            $0.add("out", .symbolicLink, link: "/etc")
            $0.add("out", .directory)
        },
        Sample("a link in place of a directory", .refused, "twice") {
            $0.add("d", .directory)
            $0.add("d", .symbolicLink, link: "/etc")
        },
        Sample("a file through a file", .refused, "no directory") {
            $0.add("a", .file, "x")
            $0.add("a/b", .file, "x")
        },
        Sample("a hard link to outside", .refused, "`..`") {
            $0.add("h", .hardLink, link: "../../etc/shadow")
        },
        Sample("a hard link to an absolute path", .refused, "not in the layer") {
            $0.add("h", .hardLink, link: "/etc/shadow")
        },
        Sample("a hard link through a link", .refused, "not in the layer") {
            $0.add("out", .symbolicLink, link: "/etc")
            $0.add("h", .hardLink, link: "out/shadow")
        },
        Sample("a hard link to what comes later", .refused, "not in the layer") {
            $0.add("h", .hardLink, link: "later")
            $0.add("later", .file, "x")
        },
        Sample("a hard link to a directory", .refused, "directory") {
            $0.add("d", .directory)
            $0.add("h", .hardLink, link: "d")
        },
        Sample("a hard link to itself", .refused, "not in the layer") {
            $0.add("h", .hardLink, link: "h")
        },
        Sample("the same file twice", .refused, "twice") {
            $0.add("a", .file, "1")
            $0.add("./a", .file, "2")
        },
        Sample("a hard link in place of a file", .refused, "twice") {
            $0.add("a", .file, "1")
            $0.add("b", .file, "1")
            $0.add("b", .hardLink, link: "a")
        },
        Sample("a device", .refused, "device node (1:1)") {
            $0.add("mem", .characterDevice, device: (1, 1))
        },
        Sample("a disk", .refused, "device node (8:0)") {
            $0.add("sda", .blockDevice, device: (8, 0))
        },
        Sample("a whiteout of ..", .refused, "whiteout of nothing") { $0.add("a/.wh...", .file) },
        Sample("a whiteout of nothing", .refused, "whiteout of nothing") { $0.add(".wh.", .file) },
        Sample("a whiteout that is a directory", .refused, "whiteout that is no") {
            $0.add(".wh.x", .directory)
        },
        Sample("a whiteout with content", .refused, "whiteout that is no") {
            $0.add(".wh.x", .file, "x")
        },
        Sample("a path through a whiteout", .refused, "through a whiteout") {
            $0.add(".wh.x/y", .file)
        },
        Sample("an attribute of overlayfs", .refused, "trusted.overlay.redirect") {
            $0.add("d", .directory, attributes: [("trusted.overlay.redirect", Array("/x".utf8))])
        },
        Sample("an attribute of unprivileged overlayfs", .refused, "user.overlay.opaque") {
            $0.add("d", .directory, attributes: [("user.overlay.opaque", Array("y".utf8))])
        },
        Sample("very large attributes", .limitExceeded, "extended attributes") {
            $0.add("f", .file, attributes: [("user.x", [UInt8](repeating: 1, count: 40000))])
        },
        Sample("a name of 256 bytes", .limitExceeded, "name of 256") {
            $0.add(String(repeating: "n", count: 256), .file)
        },
        Sample("a path of 5000 bytes", .limitExceeded, "path of 5000") {
            $0.add(String(repeating: "n/", count: 2500), .file)
        },
        Sample("a path of 300 directories", .limitExceeded, "path of 301") {
            $0.add(String(repeating: "n/", count: 300) + "f", .file)
        },
        Sample("a file that is announced too large", .limitExceeded, "allowed for a file") {
            $0.add("huge", .file, records: [("size", Array("99999999999999".utf8))])
        },
        Sample("a giant sparse file", .limitExceeded, "allowed for a file") {
            $0.add(
                "sparse", .file,
                "1\n1099511627775\n1\n" + String(repeating: "\0", count: 494) + "x",
                records: [
                    ("GNU.sparse.major", [0x31]), ("GNU.sparse.minor", [0x30]),
                    ("GNU.sparse.name", Array("sparse".utf8)),
                    ("GNU.sparse.realsize", Array("1099511627776".utf8)),
                ])
        },
        Sample("a negative length", .malformed, "negative") {
            $0.add("f", .file, records: [("size", Array("-1".utf8))])
        },
        Sample("a user beyond 32 bits", .refused, "user or group") {
            $0.add("f", .file, records: [("uid", Array("4294967295".utf8))])
        },
        Sample("a truncated file", .malformed, "Truncated") { tar in
            tar.header("f", .file, announcing: 100_000)
            tar.appendRaw([UInt8](repeating: 1, count: 512))
        },
        Sample("no archive at all", .malformed, "Damaged") {
            $0.appendRaw(Array(String(repeating: "garbage ", count: 1000).utf8))
        },
        Sample("a broken header", .malformed, "Damaged") { tar in
            tar.add("f", .file, "x")
            tar.appendRaw([UInt8](repeating: 0xA5, count: 4096))
        },
        Sample("a file in place of the root", .refused, "root of a layer") {
            $0.add("/", .symbolicLink, link: "x")
        },
    ]

    @Test("a hostile layer is refused and leaves nothing", arguments: samples)
    func refused(sample: Sample) throws {
        var tar = TarBuilder()
        tar.add("before", .file, String(repeating: "before", count: 1000))
        sample.build(&tar)
        let fixture = try ImageFixture()
        let layout = try fixture.layout([tar.archive], packing: .gzip, name: "bad")
        let store = try fixture.store()
        let error = #expect(throws: ImageError.self) { try store.importImage(from: layout) }
        #expect(error?.code == sample.code, "\(String(describing: error))")
        #expect(error?.message.contains(sample.words) == true, "\(String(describing: error))")
        try expectNothing(in: fixture)
    }

    private func expectNothing(in fixture: ImageFixture) throws {
        for folder in ["layers", "images", "staging", "leases"] {
            #expect(try fixture.stored(folder) == [], "in \(folder)")
        }
    }

    /// Two small files in an archive.
    private var good: [UInt8] {
        var tar = TarBuilder()
        tar.add("a", .file, "1")
        tar.add("b", .file, String(repeating: "b", count: 70000))
        return tar.archive
    }

    @Test("wrong digests and lengths are refused", arguments: ImageFixture.Packing.allCases)
    func digests(packing: ImageFixture.Packing) throws {
        let wrong = SHA256.digest(of: Array("wrong".utf8))
        for lies in [
            ImageFixture.Lies(diffID: wrong), ImageFixture.Lies(blob: wrong),
            ImageFixture.Lies(bytes: 100), ImageFixture.Lies(bytes: 10_000_000),
        ] {
            let fixture = try ImageFixture()
            let layout = try fixture.layout([good], packing: packing, lies: lies)
            let error = #expect(throws: ImageError.self) {
                try fixture.store().importImage(from: layout)
            }
            let codes: Set<ImageError.Code> = [.digestMismatch, .limitExceeded]
            #expect(error.map { codes.contains($0.code) } == true, "\(String(describing: error))")
            try expectNothing(in: fixture)
        }
    }

    @Test("every truncation is refused", arguments: ImageFixture.Packing.allCases)
    func truncations(packing: ImageFixture.Packing) throws {
        let fixture = try ImageFixture()
        let layout = try fixture.layout([good], packing: packing)
        let whole = try fixture.pack(good, packing)
        let blob = "layout/blobs/sha256/\(SHA256.digest(of: whole).hexadecimal)"
        let store = try fixture.store()
        for length in stride(from: 0, to: whole.count, by: max(1, whole.count / 29)) {
            try fixture.write(Array(whole.prefix(length)), to: blob)
            #expect(throws: ImageError.self, "\(length) bytes") {
                try store.importImage(from: layout)
            }
            try expectNothing(in: fixture)
        }
        try fixture.write(whole, to: blob)
        #expect(try store.importImage(from: layout).layersMade == 1)
    }

    @Test("a layer that unpacks to very much more is refused")
    func bomb() throws {
        let fixture = try ImageFixture()
        try fixture.shell(
            """
            truncate -s 600M zeros
            tar --create --file=- zeros | gzip -9 | gzip -9 > bomb
            """)
        // What gzip makes of gzip is no archive at all; one layer of it is a bomb.
        let inner = try fixture.shell(
            "gunzip < bomb > inner; sha256sum < inner; gunzip < inner | sha256sum")
        let digests = inner.split(separator: "\n").compactMap {
            Digest(hexadecimal: String($0.prefix(64)))
        }
        let blob = try fixture.read("inner")
        let layout = try fixture.layout(
            [blob], lies: ImageFixture.Lies(diffID: digests[1]))
        let error = #expect(throws: ImageError.self) {
            try fixture.store { $0.limits.expansion = 100 }.importImage(from: layout)
        }
        #expect(error?.code == .limitExceeded)
        #expect(error?.message.contains("100 times") == true, "\(String(describing: error))")
        try expectNothing(in: fixture)
    }

    @Test("very many empty files are refused at the limit")
    func manyFiles() throws {
        var tar = TarBuilder()
        for number in 0..<2000 { tar.add("d/\(number)", .file) }
        let fixture = try ImageFixture()
        let layout = try fixture.layout([tar.archive], packing: .zstd)
        let error = #expect(throws: ImageError.self) {
            try fixture.store { $0.limits.entries = 1500 }.importImage(from: layout)
        }
        #expect(error?.code == .limitExceeded)
        #expect(error?.message.contains("1500 files") == true)
        try expectNothing(in: fixture)
    }

    @Test(
        "a million empty files are refused at the limit that is given by default",
        .needs(.python3))
    func million() throws {
        let fixture = try ImageFixture()
        let made = try fixture.shell(
            #"""
            python3 - <<'END'
            import gzip, hashlib
            head = b"0000644\0" + b"0000000\0" * 2 + b"00000000000\0" * 2
            tail = b"0".ljust(101, b"\0") + b"ustar\00000".ljust(255, b"\0")
            rest = sum(head) + sum(tail) + 8 * 32
            whole = hashlib.sha256()
            with gzip.GzipFile("blob", "wb", 1, mtime=0) as file:
                for start in range(0, 1_000_000, 10_000):
                    piece = bytearray()
                    for number in range(start, start + 10_000):
                        name = b"d/%07d" % number
                        piece += name + bytes(91) + head
                        piece += b"%06o\0 " % (rest + sum(name)) + tail
                    whole.update(piece)
                    file.write(piece)
                whole.update(bytes(1024))
                file.write(bytes(1024))
            print(whole.hexdigest())
            END
            """#)
        let digest = try #require(Digest(hexadecimal: String(made.prefix(64))))
        let layout = try fixture.layout([fixture.read("blob")], lies: .init(diffID: digest))
        let error = #expect(throws: ImageError.self) {
            try fixture.store().importImage(from: layout)
        }
        #expect(error?.code == .limitExceeded, "\(String(describing: error))")
        #expect(error?.message.contains("500000 files") == true, "\(String(describing: error))")
        try expectNothing(in: fixture)
    }
}
