import Foundation
import SandboxModel
import TestSupport
import Testing

/// A folder that goes with the test.
private final class Workplace {
    let url = FileManager.default.temporaryDirectory
        .appendingPathComponent("alcove-base-\(UUID().uuidString)")

    init() throws {
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func path(_ name: String) -> String { url.appendingPathComponent(name).path }

    var names: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []).sorted()
    }
}

@Suite("The base image", .needs(.root))
struct BaseImageTests {
    private let workplace: Workplace

    init() throws { workplace = try Workplace() }

    private func run(_ words: [String]) throws -> (code: Int32, text: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = words
        let pipe = Foundation.Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }

    private func build(_ name: String, initPath: String? = nil) throws -> (
        code: Int32, text: String
    ) {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        return try run([
            root.appendingPathComponent("rootfs/build-base").path, "--init",
            initPath ?? InitProcess.program.path, workplace.path(name),
        ])
    }

    /// Every byte, mode, owner and time of a tree.
    private func digest(_ name: String) throws -> String {
        try run([
            "bash", "-c", "tar --sort=name -C \"$0\" -cf - . | sha256sum", workplace.path(name),
        ]).text
    }

    @Test("The same inputs give the same tree, and nothing beside it")
    func reproducible() throws {
        for name in ["a", "b", "a"] {
            let built = try build(name)
            #expect(built.code == 0, "\(built.text)")
        }
        #expect(try digest("a") == digest("b"))
        #expect(workplace.names == ["a", "b"])
    }

    @Test("It has every busybox command, its mount points and sane modes")
    func contents() throws {
        #expect(try build("base").code == 0)
        let commands = try run(["busybox", "--list-full"]).text.split(separator: "\n")
        #expect(commands.count > 100)
        for command in commands where command != "linuxrc" {
            let path = workplace.path("base/\(command)")
            #expect(
                URL(fileURLWithPath: path).resolvingSymlinksInPath().path
                    == URL(fileURLWithPath: workplace.path("base/bin/busybox"))
                    .resolvingSymlinksInPath().path)
        }
        let modes = [
            "dev": 0o755, "home": 0o755, "run": 0o755, "proc": 0o555, "sys": 0o555, "root": 0o700,
            "tmp": 0o1777, "var/tmp": 0o1777, "etc/passwd": 0o644, "etc/resolv.conf": 0o644,
            "sbin/alcove-init": 0o755,
        ]
        for (name, mode) in modes {
            let attributes = try FileManager.default.attributesOfItem(
                atPath: workplace.path("base/\(name)"))
            #expect(attributes[.posixPermissions] as? Int == mode, "\(name)")
        }
        let special = try run([
            "find", workplace.path("base"), "(", "-perm", "/6000", "-o", "-type", "f", "-perm",
            "/022", "-o", "-lname", "/*", ")",
        ])
        #expect(special.text.isEmpty)
    }

    @Test("A program runs in it below its own init")
    func runs() throws {
        #expect(try build("base").code == 0)
        let ran = try run([
            "chroot", workplace.path("base"), "/sbin/alcove-init", "-", "-", "-", "/bin/sh", "sh",
            "-c", "id -un; exit 3",
        ])
        #expect(ran.code == 3)
        #expect(ran.text == "root\n")
    }

    @Test("A failed build leaves the old image, and nothing beside it")
    func failed() throws {
        #expect(try build("base").code == 0)
        let before = try digest("base")
        let missing = try build("base", initPath: workplace.path("nothing"))
        #expect(missing.code != 0 && missing.text.contains("nothing"))
        let large = workplace.path("large")
        let size = PromisedNumbers.baseImageKilobytes * 1024
        #expect(FileManager.default.createFile(atPath: large, contents: Data(count: size)))
        let refused = try build("base", initPath: large)
        #expect(refused.code != 0)
        #expect(refused.text.contains("more than \(PromisedNumbers.baseImageKilobytes) KiB"))
        #expect(try digest("base") == before)
        #expect(workplace.names == ["base", "large"])
    }

    @Test("A directory that is no base image is not replaced")
    func foreign() throws {
        try FileManager.default.createDirectory(
            atPath: workplace.path("home/me"), withIntermediateDirectories: true)
        let built = try build("home")
        #expect(built.code != 0 && built.text.contains("is not a base image"))
        #expect(FileManager.default.fileExists(atPath: workplace.path("home/me")))
        #expect(workplace.names == ["home"])
    }
}
