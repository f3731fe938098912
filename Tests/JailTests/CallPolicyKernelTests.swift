import LinuxKernel
import SandboxModel
import Testing

@testable import Jail

/// What the kernel makes of the filter, in a real process.
@Suite struct CallPolicyKernelTests {
    @Test(
        "an allowed call reaches the kernel",
        arguments: [
            ("getppid", [], nil), ("umask", [0o22], nil), ("close", [1000], -9),
            ("personality", [0xffff_ffff], 0), ("socketpair", [1, 1, 0, 0], -14),
            ("mknod", [0, 0o010000], -14), ("clone", [0x800, 0], -22),
            ("ioctl", [1000, 0x5413], -9),
        ] as [(String, [UInt64], Int?)])
    func allowed(name: String, arguments: [UInt64], expected: Int?) throws {
        let result = try CallPolicyProbe.call(name, arguments, denyingBy: .killProcess)
        #expect(result.end == "exit 0")
        let value = try #require(Int(result.output.dropLast()))
        if let expected { #expect(value == expected) } else { #expect(value >= 0) }
    }

    @Test(
        "a call that is answered fails with its number and kills nobody",
        arguments: [
            ("clone3", [], -38), ("io_uring_setup", [], -38), ("get_mempolicy", [], -38),
            ("userfaultfd", [], -1), ("perf_event_open", [], -1), ("keyctl", [], -1),
            ("name_to_handle_at", [], -95), ("socket", [40, 1, 0], -97),
            ("socket", [16, 3, 9], -97), ("socket", [38, 5, 0], -97),
            ("socketpair", [2, 1, 0, 0], -97), ("personality", [0x40000], -1),
            // With an open terminal or none: the filter answers before the descriptor is seen.
            ("ioctl", [1000, 0x5412], -1), ("ioctl", [1000, 0x1_0000_5412], -1),
            ("mknod", [0, 0o020666, 0x103], -1), ("seccomp", [1, 8, 0], -16),
            ("clock_settime", [0, 0], -1), ("syslog", [10], -1),
        ] as [(String, [UInt64], Int)])
    func answered(name: String, arguments: [UInt64], expected: Int) throws {
        let result = try CallPolicyProbe.call(name, arguments, denyingBy: .killProcess)
        #expect(result.end == "exit 0")
        #expect(result.output == "\(expected)\n")
    }

    @Test(
        "a denied call kills, fails with EPERM, or finds no listener, as the denial says",
        arguments: [
            ("mount", []), ("umount2", []), ("pivot_root", []), ("chroot", []),
            ("unshare", [0]), ("setns", []), ("bpf", []), ("ptrace", []),
            ("process_vm_readv", []), ("pidfd_getfd", []), ("open_by_handle_at", []),
            ("kexec_load", []), ("init_module", []), ("finit_module", []),
            ("delete_module", []), ("reboot", []), ("swapon", []), ("acct", []), ("iopl", [0]),
            ("ioperm", []), ("fsopen", []), ("open_tree", []), ("move_mount", []),
            ("mount_setattr", []), ("quotactl", []),
            ("clone", [0x1000_0011]), ("clone", [0x4000_0011]),
        ] as [(String, [UInt64])])
    func denied(name: String, arguments: [UInt64]) throws {
        let killed = try CallPolicyProbe.call(name, arguments, denyingBy: .killProcess)
        #expect(killed.end == "signal 31")
        #expect(killed.output.isEmpty)
        let failed = try CallPolicyProbe.call(name, arguments, denyingBy: .errno(1))
        #expect(failed.output == "-1\n")
        let unheard = try CallPolicyProbe.call(name, arguments, denyingBy: .notify)
        #expect(unheard.output == "-38\n")
    }

    @Test("calls by i386's gate and by x32's numbers kill the process")
    func otherArchitectures() throws {
        // getpid of i386, and of x32.
        let gate = try CallPolicyProbe.run(["i386", "20"], denyingBy: .errno(1))
        #expect(gate.end == "signal 31")
        let x32 = try CallPolicyProbe.call(number: 0x4000_0027, denyingBy: .errno(1))
        #expect(x32.end == "signal 31")
    }

    @Test(
        "calls of the future do not exist", arguments: [457, 462, 467, 600, 0x3fff_ffff, .max])
    func future(number: UInt64) throws {
        let result = try CallPolicyProbe.call(number: number, denyingBy: .killProcess)
        #expect(result.end == "exit 0")
        #expect(result.output == "-38\n")
    }
}
