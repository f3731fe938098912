import Foundation
import LinuxKernel
import Machine
import TestSupport
import Testing

/// A monitor that was taken over, as the build for development can play it: a real one makes calls
/// of a test's choice on each of its threads when its guest has ended.
@Suite struct MonitorFencesTests {
    static let threads = MonitorThread.allCases

    /// What a monitor is given: a kernel that ends at once.
    private func prepare() throws -> String {
        let path = FileManager.default.temporaryDirectory.path + "/alcove-fences-\(UUID())"
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true)
        var kernel = TinyKernel()
        kernel.guest.reset()
        try Data(kernel.file).write(to: URL(fileURLWithPath: path + "/kernel"))
        try Data([1]).write(to: URL(fileURLWithPath: path + "/files"))
        return path
    }

    private func take(
        _ thread: MonitorThread, _ call: String, _ words: [String], behind fence: String = "all"
    ) throws -> RunResult {
        let folder = try prepare()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        return try run(
            Products.toolPath("alcove-vmm"),
            arguments: [
                "taken-over", "--boot", "pvh", "--memory", "4MiB", "--kernel", "\(folder)/kernel",
                "--initial-files", "\(folder)/files", "--by", thread.rawValue, "--call", call,
                "--fence", fence, "--",
            ] + words)
    }

    /// What nobody needs who runs a guest, and anybody who wants more than that.
    static let denied: [(String, [String])] = [
        ("openat", ["-100", "/etc/shadow", "0"]), ("openat", ["-100", "/proc/1/mem", "2"]),
        ("openat", ["-100", "/dev/kvm", "2"]), ("openat", ["-100", "/dev/vda", "2"]),
        ("openat", ["-100", "/proc/self/mem", "2"]), ("openat", ["-100", "/tmp", "0"]),
        ("open", ["/etc/passwd", "0"]), ("openat2", ["-100", "/etc/passwd", "0", "24"]),
        ("open_by_handle_at", ["0", "0", "0"]), ("creat", ["/tmp/new", "384"]),
        ("unlink", ["/tmp/alcove-none"]), ("symlinkat", ["/", "-100", "/tmp/alcove-none"]),
        ("chdir", ["/"]), ("chroot", ["/"]), ("pivot_root", ["/", "/"]),
        ("memfd_create", ["code", "0"]), ("inotify_init1", ["0"]),
        ("socket", ["2", "1", "0"]), ("socket", ["10", "1", "0"]), ("socket", ["16", "3", "0"]),
        ("socket", ["17", "3", "0"]), ("socket", ["40", "1", "0"]), ("socket", ["1", "2", "0"]),
        ("bind", ["0", "unix:/tmp/alcove-none", "20"]), ("listen", ["0", "1"]),
        ("recvmmsg", ["0", "0", "0", "0", "0"]), ("sendmmsg", ["0", "0", "0", "0"]),
        ("execve", ["/bin/sh", "0", "0"]), ("execveat", ["-100", "/bin/sh", "0", "0", "0"]),
        ("fork", ["0"]), ("vfork", ["0"]), ("clone", ["17", "0"]), ("clone3", ["0", "0"]),
        ("ptrace", ["16", "1"]), ("process_vm_readv", ["1"]), ("process_vm_writev", ["1"]),
        ("pidfd_open", ["1", "0"]), ("pidfd_getfd", ["0", "0", "0"]), ("kcmp", ["1", "1", "0"]),
        ("kill", ["1", "0"]), ("kill", ["-1", "0"]), ("tgkill", ["1", "1", "0"]),
        ("tkill", ["1", "0"]), ("rt_sigqueueinfo", ["1", "0", "0"]),
        ("mount", ["none", "/", "tmpfs", "0", "0"]), ("umount2", ["/", "0"]),
        ("move_mount", ["0"]), ("open_tree", ["-100", "/", "0"]), ("fsopen", ["tmpfs", "0"]),
        ("unshare", ["268435456"]), ("setns", ["0", "0"]), ("setuid", ["0"]),
        ("capset", ["0", "0"]), ("prctl", ["4", "1"]), ("seccomp", ["0", "0", "0"]),
        ("ioctl", ["0", "44545", "0"]), ("ioctl", ["0", "1075883590", "0"]),
        ("ioctl", ["0", "21522", "0"]), ("ioctl", ["0", "44609", "0"]),
        ("mmap", ["0", "4096", "7", "34", "-1", "0"]),
        ("mmap", ["0", "4096", "5", "34", "-1", "0"]), ("mmap", ["0", "4096", "3", "2", "0", "0"]),
        ("mprotect", ["4194304", "4096", "7"]), ("pkey_mprotect", ["4194304", "4096", "7", "-1"]),
        ("mremap", ["4194304", "4096", "8192", "1"]), ("remap_file_pages", ["0"]),
        ("shmget", ["0", "4096", "896"]), ("io_uring_setup", ["1", "0"]), ("bpf", ["0", "0", "0"]),
        ("userfaultfd", ["0"]), ("keyctl", ["0"]), ("add_key", ["user", "a", "0", "0", "0"]),
        ("perf_event_open", ["0", "0", "-1", "-1", "0"]), ("init_module", ["0", "0", "0"]),
        ("finit_module", ["0", "0", "0"]), ("kexec_load", ["0"]), ("reboot", ["0"]),
        ("syslog", ["3", "0", "0"]), ("quotactl", ["0"]), ("swapon", ["/"]), ("acct", ["0"]),
        ("settimeofday", ["0", "0"]), ("iopl", ["3"]), ("ioperm", ["0", "1", "1"]),
        ("personality", ["0"]), ("modify_ldt", ["0"]), ("setrlimit", ["7", "0"]),
        ("prlimit64", ["1", "7", "0", "0"]), ("sched_setaffinity", ["1", "8", "0"]),
        ("dup2", ["0", "1"]), ("fcntl", ["0", "0", "100"]), ("sendfile", ["1", "0", "0", "1"]),
    ]

    @Test(
        "a call that no guest needs ends the monitor, whichever thread makes it",
        .needs(.kvm), arguments: threads)
    func denied(thread: MonitorThread) throws {
        for (call, words) in Self.denied {
            let result = try take(thread, call, words)
            #expect(
                result.ending == .signalled(signal: 31) && result.output == "calls\n",
                "\(thread) \(call) \(words): \(result)")
        }
    }

    @Test(
        "what one thread may do, another may not", .needs(.kvm),
        arguments: [
            (.processor, "connect", ["0", "unix:/tmp/alcove-none", "20"]),
            (.disk, "connect", ["0", "unix:/tmp/alcove-none", "20"]),
            (.processor, "socket", ["1", "526337", "0"]), (.disk, "accept4", ["0"]),
            (.disk, "ioctl", ["0", "44672", "0"]), (.devices, "ioctl", ["0", "44672", "0"]),
            (.devices, "pwritev2", ["1"]), (.processor, "fallocate", ["1", "1", "0", "1"]),
            (.processor, "kill", ["own", "9"]), (.disk, "tgkill", ["own", "own", "10"]),
        ] as [(MonitorThread, String, [String])])
    func others(thread: MonitorThread, call: String, words: [String]) throws {
        let result = try take(thread, call, words)
        #expect(result.ending == .signalled(signal: 31), "\(result)")
        #expect(result.output == "calls\n")
    }

    @Test("the fences leave what is allowed, and the taking over is real", .needs(.kvm))
    func allowed() throws {
        for thread in Self.threads {
            // An unknown futex operation.
            let result = try take(thread, "futex", ["0", "99", "0"])
            #expect(result.ending == .exited(code: 0) || thread != .devices, "\(result)")
            #expect(result.output == "calls\n-38\n", "\(result)")
        }
    }

    @Test("without the filters, Landlock alone opens no file and makes none", .needs(.kvm))
    func files() throws {
        guard let version = Landlock.version else { return }
        for thread in Self.threads {
            for path in ["/etc/passwd", "/proc/self/status", "/dev/null", "/tmp", "/"] {
                let result = try take(thread, "openat", ["-100", path, "0"], behind: "files")
                #expect(result.output == "calls\n-13\n", "\(thread) \(path): \(result)")
            }
            let made = try take(
                thread, "mkdirat", ["-100", "/tmp/alcove-fences-none", "448"], behind: "files")
            #expect(made.output == "calls\n-13\n", "\(made)")
            guard version >= 6 else { continue }
            let killed = try take(thread, "kill", ["1", "0"], behind: "files")
            #expect(killed.output == "calls\n-1\n", "\(killed)")
        }
    }

    @Test("without Landlock, the filters alone end the monitor", .needs(.kvm))
    func calls() throws {
        for thread in Self.threads {
            let result = try take(thread, "openat", ["-100", "/etc/passwd", "0"], behind: "calls")
            #expect(result.ending == .signalled(signal: 31), "\(result)")
        }
    }
}
