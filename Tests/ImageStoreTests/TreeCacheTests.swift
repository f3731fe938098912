import Foundation
import TestSupport
import Testing

@testable import ImageStore

/// Directories as file systems in files.
@Suite struct TreeCacheTests {
    private static let tree = """
        mkdir -p tree/bin tree/empty tree/tmp tree/deep/er
        chmod 1777 tree/tmp
        printf 'hello\\n' >tree/bin/hello
        chmod 4755 tree/bin/hello
        ln tree/bin/hello tree/bin/same
        ln tree/bin/hello tree/deep/er/third
        ln -s ../bin/hello tree/deep/link
        head -c 300000 /dev/zero | tr '\\0' x >tree/deep/large
        truncate -s 3M tree/deep/hole
        printf y | dd of=tree/deep/hole bs=1 seek=2000000 conv=notrunc status=none
        chown 70000:5 tree/deep/large
        setfattr -n user.note -v there tree/bin/hello
        mkfifo tree/pipe
        touch -d '2001-02-03 04:05:06.789' tree/empty
        """

    @Test(
        "a packed directory has what the directory has, and sockets aside nothing else",
        .needs(.root, .sysAdmin, .erofs, .fsckErofs, .getfattr))
    func all() throws {
        let fixture = try ImageFixture()
        try fixture.shell(Self.tree)
        let cache = TreeCache(fixture.path + "/cache")
        var packs = 0
        let file = try cache.file(of: fixture.path + "/tree") { packs += 1 }
        #expect(packs == 1)
        try fixture.shell("fsck.erofs --extract \(file)")
        try fixture.shell(
            "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"tree/socket\")'")
        let mounted = try fixture.shellWithMounts(
            """
            mkdir mounted
            mount -t erofs -o loop,ro \(file) mounted
            \(ImageFixture.listing("mounted"))
            """)
        try fixture.shell("rm tree/socket")
        let wanted = try fixture.shell(ImageFixture.listing("tree"))
        #expect(mounted.split(separator: "\n") == wanted.split(separator: "\n"))
    }

    @Test("a directory is packed once, and again when anything in it has changed")
    func changes() throws {
        let fixture = try ImageFixture()
        try fixture.shell("mkdir -p tree/a && echo x >tree/a/file && ln -s a tree/link")
        let cache = TreeCache(fixture.path + "/cache")
        let path = fixture.path + "/tree"
        var packs = 0
        func file() throws -> String { try cache.file(of: path) { packs += 1 } }
        let first = try file()
        #expect(try file() == first && packs == 1)
        var seen: Set<String> = [first]
        for change in [
            "echo y >tree/a/file", "chmod 600 tree/a/file", "touch tree/a/other",
            "rm tree/a/other", "ln -sfn b tree/link", "mkdir tree/c",
        ] {
            try fixture.shell(change)
            #expect(try seen.insert(file()).inserted, "\(change)")
        }
        #expect(packs == seen.count)
        #expect(try file() == file())
    }

    @Test("a tree that was asked for is not removed before it can be used")
    func age() throws {
        let fixture = try ImageFixture()
        let cache = TreeCache(fixture.path + "/cache")
        for number in 0..<(TreeCache.mostTrees + 3) {
            try fixture.shell("mkdir tree-\(number) && echo \(number) >tree-\(number)/file")
            _ = try cache.file(of: fixture.path + "/tree-\(number)")
        }
        let left = try FileManager.default.contentsOfDirectory(atPath: fixture.path + "/cache")
        #expect(left.filter { $0.hasSuffix(".erofs") }.count == TreeCache.mostTrees + 3)
    }

    @Test("the trees that were used last are kept")
    func bound() throws {
        let fixture = try ImageFixture()
        let cache = TreeCache(fixture.path + "/cache", leastAge: .zero)
        var files: [String] = []
        for number in 0..<(TreeCache.mostTrees + 3) {
            try fixture.shell("mkdir tree-\(number) && echo \(number) >tree-\(number)/file")
            files.append(try cache.file(of: fixture.path + "/tree-\(number)"))
            // The first is in use all the time.
            #expect(try cache.file(of: fixture.path + "/tree-0") == files[0])
        }
        let left = try FileManager.default.contentsOfDirectory(atPath: fixture.path + "/cache")
        #expect(left.filter { $0.hasSuffix(".erofs") }.count == TreeCache.mostTrees)
        #expect(left.count == TreeCache.mostTrees + 1, "\(left)")
        #expect(FileManager.default.fileExists(atPath: files[0]))
        #expect(!FileManager.default.fileExists(atPath: files[1]))
    }

    @Test("what cannot be packed is refused with its name, and nothing of it stays")
    func refused() throws {
        let fixture = try ImageFixture()
        try fixture.shell("mkdir -p tree/a && touch tree/a/.wh.b && touch file")
        try fixture.shell("mkdir -p deep/$(printf 'a/%.0s' {1..260})")
        let cache = TreeCache(fixture.path + "/cache")
        for (name, reason) in [
            ("tree", "`a/.wh.b` has the name of what a layer removes"),
            ("file", "Not a directory"), ("nothing", "No such file"),
            ("deep", "more than 256 levels down"),
        ] {
            let error = #expect(throws: ImageError.self) {
                _ = try cache.file(of: "\(fixture.path)/\(name)")
            }
            #expect(error?.message.contains(reason) == true, "\(String(describing: error))")
        }
        #expect(!FileManager.default.fileExists(atPath: fixture.path + "/cache"))
    }

    @Test("one that was killed while it packed leaves nothing that counts")
    func unfinished() throws {
        let fixture = try ImageFixture()
        try fixture.shell("mkdir tree cache && echo x >tree/file && echo torn >cache/unfinished")
        let cache = TreeCache(fixture.path + "/cache")
        let file = try cache.file(of: fixture.path + "/tree")
        #expect(!FileManager.default.fileExists(atPath: fixture.path + "/cache/unfinished"))
        try fixture.shell("test $(stat -c %s \(file)) -ge 4096")
    }
}
