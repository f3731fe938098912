import Foundation
import LinuxKernel
import SandboxModel
import TestSupport
import Testing

@testable import Jail

/// Paths inside of an image that means no good.
@Suite struct ImageTreeTests {
    /// What a path came to: the kind of a file, or the error's code and message.
    private func outcome(
        _ image: TreeFixture, _ path: String
    ) throws -> String {
        let tree = try ImageTree.open(image.path)
        do throws(SandboxError) {
            let status = try tree.resolve(path, what: "path", missing: .commandMissing)
            return "\(status.kind) \(status.size)"
        } catch {
            return "\(error.code): \(error.message)"
        }
    }

    private func fixture() throws -> TreeFixture {
        let image = try TreeFixture()
        try image.write("a/b/file", "12345")
        try image.link("a/link", to: "b/file")
        try image.link("a/absolute", to: "/a/b/file")
        try image.link("a/up", to: "../a/b/../b/file")
        try image.link("directory", to: "a/b")
        try image.link("through", to: "/directory/../link")
        try image.link("out", to: "../etc/passwd")
        try image.link("a/b/far-out", to: "../../../../etc/passwd")
        try image.link("absolute-out", to: "/../etc/passwd")
        try image.link("to-out", to: "a/../out")
        try image.link("root", to: "/")
        try image.link("dangling", to: "/none")
        try image.link("loop", to: "pool")
        try image.link("pool", to: "/loop")
        try image.link("self", to: "/proc/self/root/etc/passwd")
        return image
    }

    @Test(
        "a path that stays inside is what it is with the image as `/`",
        arguments: [
            "/a/b/file", "a/b/file", "//a//b///file", "/./a/./b/file", "/a/b/../b/file",
            "/a/link", "/a/absolute", "/a/up", "/directory/file", "/through", "/root/a/link",
            "/root/root/root/a/absolute", "/directory/../../a/b/file",
        ])
    func inside(path: String) throws {
        #expect(try outcome(fixture(), path) == "regular 5")
    }

    @Test(
        "directories are directories", arguments: ["/", "", ".", "/a", "/directory/", "/root/.."])
    func directories(path: String) throws {
        let found = try outcome(fixture(), path)
        #expect(found.hasPrefix("directory ") || path == "/root/.." && found.contains("leaves"))
    }

    @Test(
        "a path that climbs out is refused, and the link that does it is named",
        arguments: [
            ("/..", "path `/..` leaves the image by `..`"),
            ("/../a/b/file", "path `/../a/b/file` leaves the image by `..`"),
            ("a/../../a", "path `a/../../a` leaves the image by `..`"),
            ("/a/b/../../../etc", "path `/a/b/../../../etc` leaves the image by `..`"),
            (
                "/out",
                "path `/out` leaves the image by the symbolic link `/out` to `../etc/passwd`"
            ),
            (
                "/a/b/far-out",
                "path `/a/b/far-out` leaves the image by the symbolic link `/a/b/far-out`"
                    + " to `../../../../etc/passwd`"
            ),
            (
                "/absolute-out",
                "path `/absolute-out` leaves the image by the symbolic link `/absolute-out`"
                    + " to `/../etc/passwd`"
            ),
            (
                "/to-out",
                "path `/to-out` leaves the image by the symbolic link `/out` to `../etc/passwd`"
            ),
        ])
    func climbing(path: String, message: String) throws {
        #expect(try outcome(fixture(), path) == "pathLeavesImage: \(message)")
    }

    @Test(
        "what is not there is missing, wherever a link points to on the host",
        arguments: ["/none", "/dangling", "/a/b/file/x", "/a/link/x", "/self", "/etc/passwd"])
    func missing(path: String) throws {
        #expect(
            try outcome(fixture(), path) == "commandMissing: path `\(path)` is not in the image")
    }

    @Test("links in a circle are refused")
    func loops() throws {
        #expect(
            try outcome(fixture(), "/loop") == "pathLeavesImage: path `/loop` goes through too"
                + " many links")
    }

    @Test(
        "a chain of links is followed as far as the kernel does", arguments: [1, 39, 40, 41, 200])
    func chains(length: Int) throws {
        let image = try TreeFixture()
        try image.write("end", "123")
        for index in 0..<length {
            try image.link("l\(index)", to: index + 1 == length ? "/end" : "/l\(index + 1)")
        }
        let found = try outcome(image, "/l0")
        #expect(
            found
                == (length <= 40
                    ? "regular 3" : "pathLeavesImage: path `/l0` goes through too many links"))
    }

    @Test("a name or a path too long for the kernel is refused in words")
    func tooLong() throws {
        let image = try fixture()
        let name = String(repeating: "x", count: 300)
        #expect(try outcome(image, name) == "commandMissing: path `\(name)`: File name too long")
        let path = String(repeating: "/a/..", count: 2000)
        #expect(try outcome(image, path) == "commandMissing: path `\(path)`: File name too long")
    }

    @Test(
        "a path of pieces drawn at random is inside, missing or refused", arguments: [1, 2, 3, 4])
    func random(seed: UInt64) throws {
        let image = try fixture()
        var random = SeededRandom(seed: seed)
        let pieces = [
            "a", "b", "file", "..", ".", "", "link", "absolute", "up", "directory", "through",
            "out", "root", "loop", "self", "to-out", "none", "far-out",
        ]
        for _ in 0..<400 {
            let path = (0..<Int.random(in: 1...8, using: &random)).map { _ in
                pieces.randomElement(using: &random) ?? ""
            }.joined(separator: "/")
            let found = try outcome(image, path)
            // The host's own file is longer, and no directory of the host may show.
            let isFine =
                found == "regular 5" || found.hasPrefix("directory ")
                || found.hasPrefix("commandMissing: ") || found.hasPrefix("pathLeavesImage: ")
            #expect(isFine, "seed \(seed): `\(path)` is \(found)")
        }
    }

    @Test("the program is found along PATH, the first that can be executed")
    func searchPath() throws {
        let image = try TreeFixture()
        try image.write("one/app", "", permissions: 0o644)
        try image.write("two/app", "", permissions: 0o755)
        try image.makeFolder("three/app")
        let tree = try ImageTree.open(image.path)
        func found(_ path: String, _ name: String = "app") -> String {
            var spec = SandboxSpec(image: image.path, command: [name])
            spec.environment = ["PATH=/no", "PATH=\(path)"]
            do throws(SandboxError) {
                return try tree.resolveProgram(of: spec)
            } catch {
                return "\(error.code): \(error.message)"
            }
        }
        #expect(found("/one:/three:/two") == "/two/app")
        #expect(found("relative:/two::") == "/two/app")
        #expect(found("/one") == "commandNotExecutable: command `app` cannot be executed")
        #expect(found("/three") == "commandNotExecutable: command `app` cannot be executed")
        #expect(found("") == "commandMissing: command `app` is not in the image")
        #expect(found("/none:/../two") == "commandMissing: command `app` is not in the image")
        #expect(found("/none", "two/app") == "/two/app")
        #expect(found("/none", "./two/app") == "/./two/app")
    }
}

/// Users of an image whose `/etc/passwd` means no good.
@Suite struct ImageUsersTests {
    private func user(_ name: String, passwd: String) throws -> SandboxSpec.User? {
        let image = try TreeFixture()
        try image.write("etc/passwd", passwd)
        return try ImageTree.open(image.path).user(named: name)
    }

    private let usual = "root:x:0:0::/:/bin/sh\napp:x:1000:1001:App:/:/bin/sh\nlast:x:7:8"

    @Test("numbers need no file, names are looked up, the last line may lack its end")
    func usualNames() throws {
        #expect(try user("5", passwd: "") == .init(user: 5, group: 5))
        #expect(try user("5:6", passwd: "") == .init(user: 5, group: 6))
        #expect(try user("app", passwd: usual) == .init(user: 1000, group: 1001))
        #expect(try user("app:9", passwd: usual) == .init(user: 1000, group: 9))
        #expect(try user("last", passwd: usual) == .init(user: 7, group: 8))
        #expect(try user("root", passwd: usual) == .root)
    }

    @Test(
        "what names nobody gives nobody",
        arguments: [
            "", ":", "5:", ":5", "5:6:7", "none", "app:", "app:x", "-1", "4294967296", "x:0", "-0",
            "+0", "0:-0",
        ])
    func nobody(name: String) throws {
        #expect(try user(name, passwd: usual) == nil)
    }

    @Test(
        "lines that are no entries are passed over or give nobody, never root",
        arguments: [
            "app", "app:x", "app:x:1000", "app:x::", "app:x:0x0:0", "app:x:-0:0", ":x:0:0\n",
            "app:x:1:4294967296", "app\0:x:0:0", " app:x:0:0", "\n\n\n", "app :x:0:0",
        ])
    func badLines(passwd: String) throws {
        #expect(try user("app", passwd: passwd) == nil)
    }

    @Test("bytes that are no text do not hide the entries around them")
    func garbage() throws {
        let image = try TreeFixture()
        try image.write("etc/passwd", [0xff, 0xfe, 10] + Array("app:x:1:2::\n".utf8) + [0xc0])
        let tree = try ImageTree.open(image.path)
        #expect(tree.user(named: "app") == .init(user: 1, group: 2))
    }

    @Test("a huge file is read to a bound")
    func huge() throws {
        let image = try TreeFixture()
        let line = Array("other:x:1:2:::\n".utf8)
        let filler = [UInt8]((0..<80_000).flatMap { _ in line })
        try image.write("etc/passwd", filler + Array("app:x:1:2::\n".utf8))
        let tree = try ImageTree.open(image.path)
        #expect(tree.user(named: "app") == nil)
        #expect(tree.user(named: "other") != nil)
        // Sparse, and larger than memory.
        let result = try run("truncate", arguments: ["-s", "1T", image.path + "/etc/passwd"])
        #expect(result.succeeded)
        #expect(tree.user(named: "other") != nil)
    }

    @Test("a FIFO, a device, a directory and no file at all give nobody, at once")
    func otherKinds() throws {
        for command in ["mkfifo \"$0\"", "mkdir \"$0\"", "ln -s /dev/zero \"$0\"", ":"] {
            let image = try TreeFixture()
            try image.makeFolder("etc")
            let result = try run("sh", arguments: ["-c", command, image.path + "/etc/passwd"])
            #expect(result.succeeded)
            #expect(try ImageTree.open(image.path).user(named: "app") == nil)
        }
    }

    @Test("links are followed inside the image, and never to the host's file")
    func links() throws {
        let image = try TreeFixture()
        try image.makeFolder("etc")
        try image.link("etc/passwd", to: "../../../../../../etc/passwd")
        #expect(try ImageTree.open(image.path).user(named: "daemon") == nil)
        let inner = try TreeFixture()
        try inner.write("data/users", "daemon:x:77:78::")
        try inner.makeFolder("etc")
        try inner.link("etc/passwd", to: "/data/users")
        let found = try ImageTree.open(inner.path).user(named: "daemon")
        #expect(found == .init(user: 77, group: 78))
    }
}
