import Foundation
import TestSupport
import Testing

extension SandboxTests {
    /// What is refused: one line that says what to do, an exit code of its own, nothing left.
    @Suite struct BadInput {
        struct Refusal: Sendable, CustomTestStringConvertible {
            let code: Int32
            let line: String
            let flags: [String]
            let command: [String]

            init(_ code: Int32, _ line: String, _ flags: [String] = [], _ command: String...) {
                self.code = code
                self.line = line
                self.flags = flags
                self.command = command.isEmpty ? ["true"] : command
            }

            var testDescription: String { line }
        }

        private func expect(
            _ refusal: Refusal, image: String? = nil,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let cgroups = try PrivateCgroups()
            let words = try Sandboxed.words(refusal.command, refusal.flags, image: image)
            let result = try cgroups.run(words)
            #expect(result.ending == .exited(code: refusal.code), sourceLocation: sourceLocation)
            #expect(result.output.isEmpty, "\(result)", sourceLocation: sourceLocation)
            #expect(
                result.errorOutput == "alcove: \(refusal.line)\n", sourceLocation: sourceLocation)
            #expect(cgroups.sandboxes == [], sourceLocation: sourceLocation)
        }

        private static let inside = "(paths are seen from inside, with the image as `/`)"

        @Test(
            "what is not in the image is refused",
            arguments: [
                Refusal(
                    127,
                    "command `no-such` is not in the image (its PATH is /usr/local/sbin:"
                        + "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)", [], "no-such"),
                Refusal(
                    127, "command `sh` is not in the image (its PATH is /tmp)",
                    ["--env", "PATH=/tmp"], "sh"),
                Refusal(127, "command `/bin/no` is not in the image \(inside)", [], "/bin/no"),
                Refusal(127, "command `/bin/sh/x` is not in the image \(inside)", [], "/bin/sh/x"),
                Refusal(126, "command `/bin` cannot be executed (it is a directory)", [], "/bin"),
                Refusal(
                    65, "command `/../bin/sh` leaves the image by `..` \(inside)", [],
                    "/../bin/sh"),
                Refusal(
                    65, "command `/bin/../../bin/sh` leaves the image by `..` \(inside)", [],
                    "/bin/../../bin/sh"),
                Refusal(
                    74, "working directory `/none` is not in the image \(inside)",
                    ["--workdir", "/none"]),
                Refusal(
                    74, "working directory `/bin/busybox` is not a directory",
                    ["--workdir", "/bin/busybox"]),
                Refusal(
                    65, "working directory `/..` leaves the image by `..` \(inside)",
                    ["--workdir", "/.."]),
                Refusal(
                    79,
                    "the image has no user `nobody-x` (give USER or USER:GROUP as numbers, or a"
                        + " name in the image's /etc/passwd)", ["--user", "nobody-x"]),
                Refusal(
                    64,
                    "the working directory `bin` is not absolute"
                        + " (write it as it is seen inside, from `/`)", ["--workdir", "bin"]),
            ])
        func notInImage(refusal: Refusal) throws {
            try expect(refusal)
        }

        @Test(
            "a flag that is not known names the nearest one",
            arguments: [
                ("--read-onyl", "`--read-only`"), ("--hostnam", "`--hostname`"),
                ("--evn", "`--env`"),
                ("--timout", "`--timeout`"),
            ])
        func unknownFlag(flag: String, nearest: String) throws {
            let result = try Sandboxed.run(["true"], [flag])
            #expect(result.ending == .exited(code: 64), "\(result)")
            #expect(result.errorOutput.split(separator: "\n").count == 1, "\(result)")
            #expect(
                result.errorOutput.contains("`\(flag)`")
                    && result.errorOutput.contains(nearest), "\(result)")
        }

        @Test(
            "values that say nothing are refused",
            arguments: [
                ["--memory", "lots"], ["--memory", "-1"], ["--cpus", "0.0005"], ["--pids", "x"],
                ["--timeout", "soon"], ["--env", "NAME"], ["--env", "=x"], ["--user", "-1"],
                ["--user", "1:2:3"], ["--user", ""], ["--user", "4294967295"],
                ["--map-user", "0:1"], ["--map-user", "1:1:1"], ["--map-user", "0:0:0"],
                ["--rlimit", "nofile"], ["--rlimit", "files=1"], ["--rlimit", "nofile=2:1"],
                ["--denied-calls", "maybe"], ["--limits", "some"], ["--hostname", "a_b"],
                ["--hostname", ""], ["--read-only", "--read-only"],
            ])
        func badValue(flags: [String]) throws {
            let result = try Sandboxed.run(["true"], flags)
            #expect(result.ending == .exited(code: 64), "\(result)")
            #expect(result.output.isEmpty)
            #expect(result.errorOutput.hasPrefix("alcove: "), "\(result)")
            #expect(result.errorOutput.split(separator: "\n").count == 1, "\(result)")
        }

        @Test(
            "a limit that no process fits in, or that the node does not have, is refused",
            arguments: [
                ["--memory", "4KiB"], ["--memory", "1000TiB"], ["--pids", "1"],
                ["--pids", "5000000"], ["--cpus", "0.001"], ["--cpus", "900"],
                ["--io-read", "1B/s"], ["--scratch", "1"], ["--scratch", "1000TiB"],
            ], ["strict", "best-effort"])
        func limitOutOfRange(flags: [String], policy: String) throws {
            let result = try Sandboxed.run(["true"], flags + ["--limits", policy])
            #expect(result.ending == .exited(code: 78), "\(result)")
            #expect(result.errorOutput.split(separator: "\n").count == 1, "\(result)")
        }

        @Test(
            "a limit without a controller is refused by strict; best effort runs and says so",
            .enabled(if: !Host.cgroupControllers.contains("memory"), "memory can be limited here"))
        func unenforceable() throws {
            let refused = try Sandboxed.run(["true"], ["--memory", "64MiB"])
            #expect(refused.ending == .exited(code: 69), "\(refused)")
            #expect(
                refused.errorOutput.hasPrefix(
                    "alcove: the memory limit of 64 MiB cannot be enforced here: "), "\(refused)")
            let (run, result) = try Sandboxed.result(
                ["true"], ["--memory", "64MiB", "--limits", "best-effort"])
            #expect(run.ending == .exited(code: 0), "\(run)")
            #expect(
                run.errorOutput.hasPrefix(
                    "alcove: warning: the memory limit of 64 MiB does not hold: "), "\(run)")
            #expect(result.limits.map(\.kind) == ["memory"])
            #expect(result.limits.first?.holds == false)
            #expect(result.limits.first?.reason?.contains("`memory` controller") == true)
        }

        @Test(
            "a limit that the host enforces holds, and is set", .needs(.cgroupMemory))
        func enforced() throws {
            let (run, result) = try Sandboxed.result(["true"], ["--memory", "64MiB"])
            #expect(run.succeeded && run.errorOutput.isEmpty, "\(run)")
            #expect(result.limits.map(\.holds) == [true])
        }

        @Test("an image that is not there, or is no directory, is refused")
        func badImage() throws {
            let folder = try TemporaryFolder()
            let file = try folder.write("file", "text")
            for (path, why) in [
                (folder.path + "/none", "No such file or directory"), (file, "Not a directory"),
                (file + "/x", "Not a directory"), ("", "No such file or directory"),
            ] {
                let result = try Sandboxed.run(["true"], image: path)
                #expect(result.ending == .exited(code: 66), "\(result)")
                #expect(
                    result.errorOutput.hasPrefix("alcove: image `\(path)`: \(why) ("), "\(result)")
            }
        }

        @Test("a command that cannot be executed is refused")
        func notExecutable() throws {
            let image = try TestImage()
            let folder = image.folder
            try folder.write("image/app/plain", "text", permissions: 0o644)
            try folder.write("image/app/script", "#!/no/such/shell\n", permissions: 0o755)
            try folder.write("image/app/garbage", "\u{1}\u{2}", permissions: 0o755)
            for (name, line) in [
                ("plain", "command `/app/plain` cannot be executed (its mode lacks the `x` bit)"),
                (
                    "script",
                    "execute `/app/script`: No such file or directory"
                        + " (it, its interpreter or its loader is not in the image)"
                ), ("garbage", "execute `/app/garbage`: Exec format error"),
            ] {
                try expect(Refusal(126, line, [], "/app/\(name)"), image: image.path)
            }
        }

        @Test("a link that leads out of the image is refused by name, and never followed")
        func linkOut() throws {
            let image = try TestImage()
            let folder = image.folder
            try folder.link("image/out", to: "../../../../bin/sh")
            try folder.link("image/bin/far", to: "/out")
            try folder.link("image/loop", to: "loop")
            try folder.link("image/absolute", to: "/bin/probe")
            let mend = "(mend the link in the image)"
            try expect(
                Refusal(
                    65,
                    "command `/out` leaves the image by the symbolic link `/out`"
                        + " to `../../../../bin/sh` \(mend)", [], "/out"), image: image.path)
            try expect(
                Refusal(
                    65,
                    "command `/bin/far` leaves the image by the symbolic link `/out`"
                        + " to `../../../../bin/sh` \(mend)", [], "/bin/far"), image: image.path)
            try expect(
                Refusal(65, "command `/loop` goes through too many links", [], "/loop"),
                image: image.path)
            let good = try Sandboxed.run(["/absolute", "descriptors"], image: image.path)
            #expect(good.output == "0 1 2 \n", "\(good)")
        }

        @Test(
            "a place to mount on that is a link to elsewhere is refused",
            arguments: ["proc", "dev", "tmp"], [[], ["--read-only"]])
        func linkedMountPoint(name: String, flags: [String]) throws {
            let image = try TestImage()
            try image.folder.link("image/\(name)", to: "etc")
            let result = try Sandboxed.run(["true"], flags, image: image.path)
            #expect(result.ending == .exited(code: 66), "\(result)")
            #expect(
                result.errorOutput.contains("has no directory `/\(name)` to mount on"), "\(result)")
            #expect(result.errorOutput.contains("(something else is in its place"), "\(result)")
        }

        @Test("places to mount on that are missing are made for a writable root alone")
        func missingMountPoints() throws {
            let image = try TestImage()
            for name in ["proc", "dev", "tmp"] {
                try FileManager.default.removeItem(atPath: "\(image.path)/\(name)")
            }
            #expect(
                try Sandboxed.output("ls -d /proc/1 /dev/null /tmp", image: image.path)
                    == "/dev/null\n/proc/1\n/tmp")
            let result = try Sandboxed.run(["true"], ["--read-only"], image: image.path)
            #expect(result.ending == .exited(code: 66), "\(result)")
            #expect(result.errorOutput.contains("or leave `--read-only` out"), "\(result)")
        }

        @Test("no image and no command are said to be missing")
        func missingWords() throws {
            let alcove = try Products.path("alcove")
            for words in [
                ["run"], ["run", "--", "true"], ["run", "/tmp"], ["run", "/tmp", "--"],
            ] {
                let result = try run(alcove, arguments: words)
                #expect(result.ending == .exited(code: 64), "\(words): \(result)")
                #expect(result.errorOutput.split(separator: "\n").count == 1, "\(result)")
            }
        }
    }
}
