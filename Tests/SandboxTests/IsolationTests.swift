import Foundation
import TestSupport
import Testing

extension SandboxTests {
    /// What a workload cannot reach, one sentence each.
    @Suite struct Isolation {
        /// A file of the host that nobody inside may see, and a text that stands nowhere else.
        private final class Secret {
            let folder: TemporaryFolder
            let text = "secret-\(UUID().uuidString)"
            var path: String { folder.path + "/file" }

            init() throws {
                folder = try TemporaryFolder()
                try folder.write("file", text)
            }
        }

        private func expectHidden(
            _ secret: Secret, _ script: String, _ flags: [String] = [], image: String? = nil,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let result = try Sandboxed.shell(
                "{ \(script) ; } 2>&1; echo end", flags, image: image)
            #expect(!result.output.contains(secret.text), sourceLocation: sourceLocation)
            #expect(result.output.hasSuffix("end\n"), "\(result)", sourceLocation: sourceLocation)
        }

        @Test("a file of the host is not there", arguments: [[], ["--read-only"]])
        func hostFile(flags: [String]) throws {
            let secret = try Secret()
            try expectHidden(secret, "cat \(secret.path)", flags)
            try expectHidden(secret, "cat /../../..\(secret.path)", flags)
        }

        @Test("a file of the host is behind no process, root, directory or descriptor of `/proc`")
        func hostFileThroughProc() throws {
            let secret = try Secret()
            try expectHidden(
                secret,
                """
                for place in /proc/[0-9]*/root /proc/[0-9]*/cwd /proc/[0-9]*/fd/* \
                    /proc/[0-9]*/task/*/root /proc/[0-9]*/map_files/*; do
                    cat $place\(secret.path) $place/../../../..\(secret.path) $place/file
                    test ! -f $place || cat $place
                done
                """)
        }

        @Test("the old root is gone: no mount leads to it")
        func oldRoot() throws {
            let found = try Sandboxed.output("cat /proc/self/mountinfo")
            #expect(!found.contains("/.") && !found.contains("//deleted"))
            let points = found.split(separator: "\n").map { $0.split(separator: " ")[4] }
            #expect(points.filter { $0 == "/" }.count == 1)
        }

        @Test("a file of the host that is open elsewhere is reached by no inherited descriptor")
        func inheritedDescriptor() throws {
            let secret = try Secret()
            let words = try Sandboxed.words(
                ["sh", "-c", "ls /proc/self/fd; cat /proc/self/fd/7/file <&7; cat /dev/fd/8"])
            let result = try run(
                "sh",
                arguments: ["-c", "exec \"$@\" 7< \(secret.folder.path) 8< \(secret.path)"]
                    + ["sh"] + words)
            // The listing has the directory itself open.
            #expect(result.output == "0\n1\n2\n3\n", "\(result)")
            #expect(!result.errorOutput.contains(secret.text))
        }

        @Test(
            "a working directory that the image links to a descriptor of the host is refused",
            arguments: [[], ["--read-only"], ["--map-user", "0:100000:65536"]])
        func workingDirectoryThroughProc(flags: [String]) throws {
            let secret = try Secret()
            let image = try TestImage()
            let climb = String(repeating: "../", count: 16)
            for number in 3..<16 {
                // Found when the image is checked: what is there is the image's own directory.
                try image.folder.makeFolder("image/proc/self/fd/\(number)")
                try image.folder.link("image/way\(number)", to: "/proc/self/fd/\(number)")
                for place in ["/way\(number)", "/proc/self/fd/\(number)"] {
                    let result = try Sandboxed.shell(
                        "cat \(climb)\(secret.path)", flags + ["--workdir", place],
                        image: image.path)
                    #expect(!result.output.contains(secret.text), "\(place)")
                    #expect(result.code == 71 || result.code == 1, "\(place): \(result)")
                }
            }
        }

        @Test("streams that are closed do not become the sandbox's own descriptors", .needs(.cc))
        func closedStreams() throws {
            let words = try Sandboxed.words(
                ["sh", "-c", "probe descriptors > /proc/1/none; readlink /proc/self/fd/0"],
                image: TestImage.shared())
            let result = try run(
                "sh", arguments: ["-c", "exec \"$@\" <&- 2>&-", "sh"] + words)
            #expect(result.output == "/dev/null\n", "\(result)")
        }

        @Test("a process of the host is not seen, and no signal reaches it")
        func hostProcess() throws {
            let other = try ChildProcess("cat")
            let pid = other.pid
            let result = try Sandboxed.shell(
                "ls -d /proc/\(pid); kill -0 \(pid); kill -9 \(pid); kill -9 -\(pid); ps")
            #expect(!result.output.contains("/proc/\(pid)\n") && !result.output.contains(" cat"))
            #expect(result.errorOutput.contains("No such process"), "\(result)")
            other.write("alive\n")
            try other.waitForOutput("alive\n")
        }

        @Test("a listener on the host's loopback is not reached", .needs(.cc))
        func hostLoopback() throws {
            let listener = try ChildProcess(
                try Probe.path(), arguments: ["listen", "tcp", "0"])
            try listener.waitForOutput(".\n")
            let port = String(listener.output.dropFirst("at ".count).dropLast(2))
            #expect(try Probe.hostAnswer("connect", "tcp", port) == "ok")
            #expect(try Probe.answer("connect", "tcp", port) == "ECONNREFUSED")
        }

        @Test("an abstract Unix socket of the host is not reached", .needs(.cc))
        func abstractSocket() throws {
            let name = "alcove-test-\(UUID().uuidString)"
            let listener = try ChildProcess(
                try Probe.path(), arguments: ["listen", "abstract", name])
            try listener.waitForOutput(".\n")
            #expect(try Probe.hostAnswer("connect", "abstract", name) == "ok")
            #expect(try Probe.answer("connect", "abstract", name) == "ECONNREFUSED")
        }

        @Test("an address that is not its own has no way out")
        func outside() throws {
            let result = try Sandboxed.shell("nc -w 1 192.0.2.1 80; ping -c 1 -W 1 192.0.2.1")
            #expect(result.errorOutput.contains("Network is unreachable"), "\(result)")
        }

        @Test(
            "of alcove-init nothing can be opened, read or followed",
            arguments: [
                "ls /proc/1/root/", "ls /proc/1/cwd/", "cat /proc/1/exe", "cat /proc/1/fd/3",
                "readlink /proc/1/exe", "readlink /proc/1/root", "cat /proc/1/environ",
                "cat /proc/1/mem", "cat /proc/1/maps", "cat /proc/1/auxv",
                "readlink /proc/1/ns/pid", "cat /proc/1/syscall", "cat /proc/1/stack",
                "echo x > /proc/1/mem", "echo -500 > /proc/1/oom_score_adj",
                "readlink /proc/1/fd/4",
                "cat /proc/1/task/1/fd/4",
            ], [[], ["--user", "1000"]])
        func processOne(script: String, flags: [String]) throws {
            let result = try Sandboxed.shell(script, flags)
            #expect(result.ending == .exited(code: 1) && result.output.isEmpty, "\(result)")
            #expect(!result.errorOutput.contains("alcove:"), "\(result)")
        }

        @Test("alcove-init survives every signal from inside")
        func signalsToInit() throws {
            // What may be caught is passed on to the workload, which ignores it here.
            let script = """
                signals='1 2 3 4 5 6 7 8 10 11 12 13 14 15 16 18 20 21 22 24 25 26 27 28 29 30 31'
                trap '' $signals
                for number in $signals 9 19; do kill -$number 1; done
                (true); cat /proc/1/comm; exit 3
                """
            let result = try Sandboxed.shell(script)
            #expect(result.output == "alcove-init\n" && result.errorOutput.isEmpty, "\(result)")
            #expect(result.ending == .exited(code: 3))
        }

        @Test("the kernel's settings and switches cannot be written")
        func kernelSettings() throws {
            let script = """
                for file in /proc/sys/kernel/hostname /proc/sys/kernel/core_pattern \
                    /proc/sys/vm/drop_caches /proc/sys/net/ipv4/ip_forward \
                    /proc/irq/1/smp_affinity \
                    /proc/bus/x /proc/fs/x; do
                    (echo 1 > $file) 2> /dev/null && echo written $file
                done
                test ! -e /proc/sysrq-trigger || (echo b > /proc/sysrq-trigger)
                (echo 1 > /proc/sys/kernel/hostname) 2>&1 | grep -o 'Read-only file system'
                """
            #expect(try Sandboxed.output(script) == "Read-only file system")
        }

        @Test("a set-user-id program gives nothing", .needs(.cc), arguments: [[], ["--read-only"]])
        func setUserID(flags: [String]) throws {
            let image = try TestImage()
            let program = image.path + "/bin/probe"
            for mode in ["4755", "2755"] {
                _ = try run("chmod", arguments: [mode, program])
                let result = try Sandboxed.run(
                    ["probe", "identity"], flags + ["--user", "1000"], image: image.path)
                #expect(result.output == "1000 1000 1000 1000 1000 1000, 0 groups\n", "\(result)")
            }
        }

        @Test("a read-only image cannot be written, by root neither")
        func readOnlyImage() throws {
            let image = try TestImage()
            let before = try fingerprint(of: image.path)
            let result = try Sandboxed.shell(
                "touch /x /bin/x; rm /bin/ls; chmod 777 /bin; mkdir /d; ln -s a /l; echo x > /a",
                ["--read-only"], image: image.path)
            #expect(
                result.errorOutput.components(separatedBy: "Read-only file system").count == 8,
                "\(result)")
            #expect(try fingerprint(of: image.path) == before)
        }

        @Test("what is written to a writable root is never in the image")
        func writableImage() throws {
            let image = try TestImage()
            let before = try fingerprint(of: image.path)
            let script = """
                set -e; echo x > /x; rm /bin/ls; mkdir /d; chmod 700 /bin; mv /etc /other
                rm -r /root; chmod 0 /sys; echo '#!/bin/sh' > /bin/new; test -e /other && cat /x
                """
            #expect(try Sandboxed.output(script, image: image.path) == "x")
            #expect(try fingerprint(of: image.path) == before)
        }

        /// Modes, owners, sizes, times and content of a tree.
        private func fingerprint(of path: String) throws -> String {
            let result = try run(
                "sh",
                arguments: [
                    "-c",
                    "cd \"$0\" && find . -printf '%p %m %U:%G %s %T@ %l\\n' | sort"
                        + " && find . -type f | sort | xargs sha256sum", path,
                ])
            #expect(result.succeeded && result.output.contains("./bin/busybox"), "\(result)")
            return result.output
        }

        @Test(
            "scratch memory ends at its bound, wherever it is written",
            .needs(.cc), arguments: ["/tmp/x", "/dev/shm/x", "/x", "/dev/x"])
        func scratch(path: String) throws {
            let answer = try Probe.answer("fill", path, flags: ["--scratch", "1MiB"])
            let words = answer.split(separator: " ")
            #expect(words.last == "ENOSPC", "\(answer)")
            let bytes = try #require(words.first.flatMap { Int($0) })
            #expect((1 << 19...1 << 20).contains(bytes), "\(answer)")
        }

        @Test("scratch memory is one bound for all its places")
        func sharedScratch() throws {
            let result = try Sandboxed.shell(
                """
                write() { dd if=/dev/zero of=$1 bs=60000 count=10; }
                write /tmp/a && write /b && echo too early
                rm /tmp/a; write /b && echo now
                """, ["--scratch", "1MiB"])
            #expect(result.output == "now\n", "\(result)")
            #expect(result.errorOutput.contains("No space left on device"), "\(result)")
        }

        @Test("so many files fit in scratch memory, and no more")
        func scratchFiles() throws {
            let result = try Sandboxed.shell(
                "cd /tmp && i=0; while true > $i; do i=$((i + 1)); done; echo $i",
                ["--scratch", "1MiB"])
            let made = try #require(Int(result.output.dropLast()))
            #expect((900...1024).contains(made), "\(result)")
        }

        @Test("children beyond the limit of processes are refused", .needs(.cc))
        func processLimit() throws {
            let answer = try Probe.answer(
                "forks", "100", "end", flags: ["--user", "54321", "--rlimit", "nproc=20"])
            // alcove-init and the probe are the first two.
            #expect(answer == "18 children, then EAGAIN")
        }

        @Test("a flood of processes that ignore SIGTERM ends with the time", .needs(.cc))
        func forkBomb() throws {
            let cgroups = try PrivateCgroups()
            let words = try Sandboxed.words(
                ["probe", "forks", "300"], ["--timeout", "200ms", "--stop-grace", "10ms"],
                image: TestImage.shared())
            let result = try cgroups.run(words)
            #expect(result.ending == .exited(code: 124), "\(result)")
            #expect(!result.outputHeldOpen)
            #expect(cgroups.sandboxes == [])
        }
    }
}
