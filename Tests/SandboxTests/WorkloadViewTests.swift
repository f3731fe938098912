import LinuxKernel
import SandboxModel
import TestSupport
import Testing

extension SandboxTests {
    /// What a workload sees of itself and of the world.
    @Suite struct WorkloadView {
        @Test("the workload is process 2, under alcove-init as process 1, and there is no third")
        func processes() throws {
            let found = try Sandboxed.output(
                "echo $$; cat /proc/1/comm; exec echo /proc/[0-9]*")
            #expect(found == "2\nalcove-init\n/proc/1 /proc/2")
        }

        @Test("the hostname is `sandbox`, or the one that was asked for")
        func hostname() throws {
            #expect(try Sandboxed.output("hostname") == "sandbox")
            #expect(try Sandboxed.output("hostname", ["--hostname", "web-1.x"]) == "web-1.x")
        }

        /// Mount point, options and type of every mount.
        private func mounts(_ flags: [String] = []) throws -> [String] {
            let text = try Sandboxed.output("cat /proc/self/mountinfo", flags)
            return text.split(separator: "\n").map { line in
                let fields = line.split(separator: " ")
                let type = fields.drop { $0 != "-" }.dropFirst().first ?? ""
                return "\(fields[4]) \(fields[5]) \(type)"
            }.sorted()
        }

        /// The mounts that hide and protect, for what this kernel has.
        private var overProc: [String] {
            let options = "nosuid,nodev,noexec,relatime"
            let masked = MaskedPath.candidates.filter { Files.exists($0.path) }.map {
                $0.kind == .directory
                    ? "\($0.path) ro,\(options) tmpfs"
                    : "\($0.path) rw,nosuid,noexec,relatime tmpfs"
            }
            let protected = MaskedPath.readOnlyCandidates.filter { Files.exists($0) }
            return masked + protected.map { "\($0) ro,\(options) proc" }
        }

        private let ownMounts = [
            "/dev rw,nosuid,noexec,relatime tmpfs", "/dev/pts rw,nosuid,noexec,relatime devpts",
            "/proc rw,nosuid,nodev,noexec,relatime proc", "/tmp rw,nosuid,nodev,relatime tmpfs",
        ]

        @Test("these mounts are there, and no other: with a writable root")
        func writableMounts() throws {
            #expect(
                try mounts()
                    == (ownMounts + overProc + ["/ rw,nosuid,nodev,relatime overlay"])
                    .sorted())
        }

        @Test("these mounts are there, and no other: with a read-only root")
        func readOnlyMounts() throws {
            let found = try mounts(["--read-only"])
            let root = try #require(found.first { $0.hasPrefix("/ ") })
            #expect(root.hasPrefix("/ ro,nosuid,nodev"))
            #expect(found.filter { $0 != root } == (ownMounts + overProc).sorted())
        }

        @Test("of links there is `lo` alone, and it is up; there is no route")
        func network() throws {
            #expect(
                try Sandboxed.output("ls /sys /proc/sys/net/ipv4/conf") == """
                    /proc/sys/net/ipv4/conf:
                    all
                    default
                    lo

                    /sys:
                    """)
            let flags = try Sandboxed.output("ip -o link; ip route")
            #expect(flags.split(separator: "\n").count == 1)
            #expect(flags.contains("lo: <LOOPBACK,UP,LOWER_UP>"))
        }

        @Test(
            "all five sets of capabilities are empty, whoever the user is",
            arguments: [
                [], ["--user", "1000"], ["--map-user", "0:100000:65536"],
                ["--map-user", "0:0:1", "--map-user", "1:100000:9", "--user", "5:5"],
            ])
        func capabilities(flags: [String]) throws {
            let found = try Sandboxed.output("grep ^Cap /proc/self/status", flags)
            let zero = "\t0000000000000000"
            #expect(
                found
                    == ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map { $0 + ":" + zero }
                    .joined(separator: "\n"))
        }

        @Test("new privileges are forbidden and a filter is loaded", arguments: ["kill", "errno"])
        func privileges(denial: String) throws {
            let found = try Sandboxed.output(
                "grep -E '^(NoNewPrivs|Seccomp|Seccomp_filters):' /proc/self/status",
                ["--denied-calls", denial])
            #expect(found == "NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1")
        }

        @Test("nothing of the environment is inherited")
        func environment() throws {
            let result = try Sandboxed.run(
                ["env"], ["--env", "A=1 2", "-e", "HOME=/root", "-e", "EMPTY="],
                environment: ["SECRET": "x", "ALCOVE_INIT": try InitProgram.path()])
            #expect(
                result.output.split(separator: "\n").sorted() == [
                    "A=1 2", "EMPTY=", "HOME=/root",
                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                ])
        }

        @Test("the working directory is `/`, or the one that was asked for")
        func directory() throws {
            #expect(try Sandboxed.output("pwd") == "/")
            #expect(try Sandboxed.output("pwd", ["--workdir", "/bin"]) == "/bin")
            #expect(try Sandboxed.output("pwd", ["-w", "/tmp"]) == "/tmp")
        }

        @Test("user and group are root's, or those that were asked for, without further groups")
        func identity() throws {
            #expect(try Probe.answer("identity") == "0 0 0 0 0 0, 0 groups")
            #expect(
                try Probe.answer("identity", flags: ["--user", "7:8"]) == "7 7 7 8 8 8, 0 groups")
            #expect(
                try Probe.answer("identity", flags: ["-u", "1000"])
                    == "1000 1000 1000 1000 1000 1000, 0 groups")
        }

        @Test("its cgroup is the root of what it sees")
        func cgroup() throws {
            let found = try Sandboxed.output("cat /proc/self/cgroup")
            #expect(found.split(separator: "\n").allSatisfy { $0.hasSuffix(":/") }, "\(found)")
            #expect(found.contains("0::/"))
        }

        @Test("descriptors 0, 1 and 2 are open, and no other", arguments: ["kill", "errno"])
        func descriptors(denial: String) throws {
            #expect(
                try Probe.answer("descriptors", flags: ["--denied-calls", denial]) == "0 1 2 ")
        }

        @Test("the workload leads a session of its own, with every signal at its default")
        func session() throws {
            let fields = "^(NSpgid|NSsid|SigBlk|SigIgn|SigCgt):"
            let found = try Sandboxed.run(["grep", "-E", fields, "/proc/self/status"]).output
            let zero = "\t0000000000000000\n"
            #expect(found == "NSpgid:\t2\nNSsid:\t2\nSigBlk:\(zero)SigIgn:\(zero)SigCgt:\(zero)")
        }

        @Test("the mask for new files is 022")
        func umask() throws {
            #expect(try Sandboxed.output("umask") == "0022")
        }

        @Test("limits of a process are the standard ones, or those that were asked for")
        func processLimits() throws {
            let script = "ulimit -c; ulimit -Hc; ulimit -n; ulimit -Hn; ulimit -r"
            #expect(try Sandboxed.output(script) == "0\n0\n1024\n4096\n0")
            #expect(
                try Sandboxed.output(
                    script + "; ulimit -s",
                    ["--rlimit", "nofile=64:128", "--rlimit", "stack=65536"]
                ) == "0\n0\n64\n128\n0\n64")
        }

        @Test("this is in `/dev`, and nothing else")
        func devices() throws {
            let found = try Sandboxed.output(
                "cd /dev && stat -c '%A %t:%T %N' * && ls -A pts shm")
            #expect(
                found == """
                    lrwxrwxrwx 0:0 'fd' -> '/proc/self/fd'
                    crw-rw-rw- 1:7 full
                    crw-rw-rw- 1:3 null
                    lrwxrwxrwx 0:0 'ptmx' -> 'pts/ptmx'
                    drwxr-xr-x 0:0 pts
                    crw-rw-rw- 1:8 random
                    drwxrwxrwt 0:0 shm
                    lrwxrwxrwx 0:0 'stderr' -> '/proc/self/fd/2'
                    lrwxrwxrwx 0:0 'stdin' -> '/proc/self/fd/0'
                    lrwxrwxrwx 0:0 'stdout' -> '/proc/self/fd/1'
                    crw-rw-rw- 5:0 tty
                    crw-rw-rw- 1:9 urandom
                    crw-rw-rw- 1:5 zero
                    pts:
                    ptmx

                    shm:
                    """)
        }

        @Test("the devices work")
        func workingDevices() throws {
            let script = """
                echo x > /dev/null && head -c 3 /dev/zero | od -An -tx1 && head -c 9 /dev/urandom \
                | wc -c && (echo x > /dev/full) 2>&1
                """
            let result = try Sandboxed.shell(script)
            #expect(result.output.hasPrefix(" 00 00 00\n9\n"), "\(result)")
            #expect(result.output.contains("No space left"), "\(result)")
        }

        @Test("what is masked below `/proc` holds nothing")
        func masked() throws {
            let directories = MaskedPath.candidates.filter { $0.kind == .directory }.map(\.path)
            let files = MaskedPath.candidates.filter { $0.kind == .file }.map(\.path)
            let script = """
                for name in \(directories.joined(separator: " ")); do
                    test ! -e $name || test -z "$(ls -A $name)" || echo $name
                done
                for name in \(files.joined(separator: " ")); do
                    test ! -e $name || test -z "$(head -c 1 $name)" || echo $name
                done
                """
            #expect(try Sandboxed.output(script) == "")
        }
    }

    /// Small programs that need what a sandbox has.
    @Suite struct OrdinaryWork {
        @Test("a pipeline, files, links, FIFOs, jobs and the loopback work")
        func ordinary() throws {
            let script = """
                set -e
                mkdir /data && cd /data && echo one > a && ln -s a b && cat b | tr a-z A-Z
                mkfifo pipe && (cat pipe > got &) && echo two > pipe && wait
                (echo three | nc -l -p 4444 > /dev/null &)
                while ! nc 127.0.0.1 4444 < /dev/null 2> /dev/null; do :; done
                """
            #expect(try Sandboxed.output(script) == "ONE\nthree")
        }
    }
}
