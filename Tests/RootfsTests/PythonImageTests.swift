import Foundation
import TestSupport
import Testing

@Suite("What the Python image is built of", .needs(.bash, .jq))
struct PythonPlanTests {
    private let workplace: Workplace
    private let program = PackageRoot.path("rootfs/build-python")

    init() throws { workplace = try Workplace() }

    /// The plan on a host whose apt has these sources and empty lists of theirs, and no others.
    private func plan(sources: [[String]], options: [String] = []) throws -> RunResult {
        try workplace.make("mkdir -p parts lists/partial; : > status")
        let architecture = try succeed("dpkg", ["--print-architecture"]).dropLast()
        var text = ""
        for source in sources {
            text += "deb http://\(source.joined(separator: " "))\n"
            let name = source[0].replacingOccurrences(of: "/", with: "_")
            for component in source.dropFirst(2) {
                let file = "\(name)_dists_\(source[1])_\(component)_binary-\(architecture)_Packages"
                try Data().write(to: URL(fileURLWithPath: workplace("lists/\(file)")))
            }
        }
        try text.write(toFile: workplace("sources.list"), atomically: true, encoding: .utf8)
        try """
        Dir::Etc::main "/dev/null";
        Dir::Etc::parts "\(workplace("parts"))";
        Dir::Etc::sourcelist "\(workplace("sources.list"))";
        Dir::Etc::sourceparts "/dev/null";
        Dir::State::lists "\(workplace("lists"))";
        Dir::State::status "\(workplace("status"))";

        """.write(toFile: workplace("apt.conf"), atomically: true, encoding: .utf8)
        return try run(
            program, arguments: ["--plan"] + options,
            environment: ["APT_CONFIG": workplace("apt.conf")])
    }

    private func suite() throws -> String {
        try succeed("bash", ["-c", ". /etc/os-release && printf %s \"$VERSION_CODENAME\""])
    }

    @Test("Debian's own suites are taken from apt's sources, others are not", .needs(.aptGet))
    func sources() throws {
        let suite = try suite()
        let result = try plan(
            sources: [
                ["mirror.invalid/debian", suite, "main", "contrib"],
                ["mirror.invalid/debian", "\(suite)-updates", "main"],
                ["guard.invalid/security", "\(suite)-security", "main"],
                ["other.invalid/debian", "\(suite)-backports", "main"],
                ["other.invalid/debian", "unstable", "main"],
                ["vendor.invalid/apt", suite, "vendor"],
            ])
        #expect(result.succeeded, "\(result)")
        let sources = result.output.split(separator: "\n").filter { $0.hasPrefix("source ") }
        #expect(
            sources == [
                "source   http://mirror.invalid/debian/ \(suite) main",
                "source   http://mirror.invalid/debian/ \(suite)-updates main",
                "source   http://guard.invalid/security/ \(suite)-security main",
            ])
    }

    @Test("Without a source of Debian it says so", .needs(.aptGet))
    func noSource() throws {
        let result = try plan(sources: [["vendor.invalid/apt", "stable", "main"]])
        #expect(result.code == 1)
        #expect(result.errorOutput.contains("apt has no list of Debian's"))
    }

    @Test("More packages go into the upper layer", .needs(.aptGet))
    func packages() throws {
        let result = try plan(
            sources: [["mirror.invalid/debian", try suite(), "main"]],
            options: ["--package", "python3-yaml", "--package", "python3-numpy"])
        #expect(result.succeeded, "\(result)")
        let upper = result.output.split(separator: "\n").first { $0.hasPrefix("upper ") }
        #expect(upper?.hasSuffix(" python3 python3-yaml python3-numpy") == true)
        for name in ["", "-x", "a b", "$(id)"] {
            let refused = try run(program, arguments: ["--plan", "--package", name])
            #expect(refused.code == 1 && refused.errorOutput.contains("after --package"))
        }
    }
}

@Suite("The Python image", .needs(.pythonImage, .root, .jq))
struct PythonImageTests {
    private let workplace: Workplace
    private let image = PackageRoot.path("build/rootfs/python.oci.tar")

    init() throws { workplace = try Workplace() }

    @Test("It is two layers, owned by root, of one time, without a set-id bit or a device")
    func layers() throws {
        let archive = try ImageArchive(image, in: workplace("opened"))
        #expect(archive.manifest.layers.count == 2)
        #expect(archive.image.config.entrypoint == ["/usr/bin/python3"])
        #expect(archive.image.config.user == "1000:1000")
        for layer in 0...1 {
            let lines = try archive.listing(layer)
            #expect(lines.allSatisfy { $0.contains(" 0/0 ") })
            #expect(lines.allSatisfy { "-dlh".contains($0.prefix(1)) })
            #expect(!lines.contains { $0.prefix(10).contains { "sS".contains($0) } })
        }
        let lower = try archive.names(0)
        #expect(lower.contains { $0.hasSuffix("/libc.so.6") })
        #expect(!lower.contains { $0.contains("python") })
        let upper = try archive.names(1)
        #expect(upper.contains("usr/bin/python3"))
        #expect(!upper.contains { $0.hasSuffix("/libc.so.6") })
    }

    @Test("What a function does not need is not in it, licences are")
    func trimmed() throws {
        let archive = try ImageArchive(image, in: workplace("opened"))
        let names = try archive.names(0) + archive.names(1)
        let gone = [
            "usr/share/man/", "usr/share/locale/", "usr/share/info/", "usr/bin/apt-get",
            "usr/bin/perl", "var/lib/dpkg/info/", "var/cache/apt/", "usr/bin/dpkg",
        ]
        for folder in gone {
            #expect(!names.contains { $0.hasPrefix(folder) }, "\(folder)")
        }
        let tests = names.filter { $0.contains("/idlelib/") || $0.contains("/unittest/test/") }
        #expect(tests.isEmpty)
        #expect(names.contains("usr/share/doc/libc6/copyright"))
        #expect(names.contains("var/lib/dpkg/status.d/libc6"))
        let report = try String(
            contentsOfFile: PackageRoot.path("build/rootfs/python.report.txt"), encoding: .utf8)
        for layer in archive.manifest.layers { #expect(report.contains(layer.digest)) }
    }

    @Test("A function's image shares its layers, and its server answers", .needs(.python3))
    func function() throws {
        let built = try run(
            PackageRoot.path("rootfs/build-function"),
            arguments: [
                "--from", image, PackageRoot.path("examples/hello-function"),
                workplace("hello.oci.tar"),
            ])
        try #require(built.succeeded, "\(built)")
        let below = try ImageArchive(image, in: workplace("below"))
        let archive = try ImageArchive(workplace("hello.oci.tar"), in: workplace("opened"))
        #expect(Array(archive.manifest.layers.prefix(2)) == below.manifest.layers)
        #expect(archive.manifest.layers.count == 3)
        #expect(archive.manifest.layers[2].size < 65536)
        #expect(archive.image.config.cmd == ["/function/handler.py"])
        #expect(archive.image.config.workingDir == "/function")
        #expect(try archive.names(2).contains { $0.hasPrefix("function/__pycache__/greeting.") })

        try archive.unpack(into: workplace("tree"))
        let server = try ChildProcess(
            "chroot",
            arguments: [
                "--userspec=1000:1000", workplace("tree"), "/usr/bin/env", "PORT=0",
                "PYTHONUNBUFFERED=1", "/usr/bin/python3", "/function/handler.py",
            ])
        try server.waitForOutput("\n")
        let port = try #require(server.output.split { $0 == " " || $0 == "\n" }.last)
        let request = """
            import sys, urllib.request
            address = "http://127.0.0.1:" + sys.argv[1] + "/there"
            print(urllib.request.urlopen(address, data=b"Ada").read().decode(), end="")
            """
        #expect(
            try succeed("python3", ["-c", request, String(port)])
                == #"{"greeting": "Hello, Ada!", "path": "/there"}"# + "\n")
        try server.send(signal: SIGTERM)
        let ended = try server.finish()
        #expect(ended.succeeded, "\(ended)")
    }
}
