import Foundation
import Testing

@testable import SandboxModel

@Suite struct CallPolicyTests {
    let policy = CallPolicy.standard

    @Test("no call stands in two rules, and every rule gives its reason")
    func noDuplicates() {
        let names = policy.rules.flatMap(\.names)
        #expect(names.count == Set(names).count)
        #expect(policy.rules.allSatisfy { !$0.names.isEmpty && !$0.reason.isEmpty })
        #expect(policy.rule(for: policy.newest) != nil)
    }

    @Test(
        "what leads out of a sandbox is denied",
        arguments: [
            "mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "open_tree",
            "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "bpf",
            "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
            "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd",
            "open_by_handle_at", "acct", "quotactl", "quotactl_fd", "swapon", "swapoff", "reboot",
            "iopl", "ioperm",
        ])
    func denied(name: String) {
        #expect(policy.outcome(of: name) == .deny)
    }

    @Test(
        "what innocent programs try is refused in a way that they know",
        arguments: [
            ("clone3", 38), ("io_uring_setup", 38), ("io_uring_enter", 38),
            ("io_uring_register", 38), ("get_mempolicy", 38), ("mbind", 38),
            ("name_to_handle_at", 95), ("userfaultfd", 1), ("perf_event_open", 1), ("kcmp", 1),
            ("keyctl", 1), ("add_key", 1), ("request_key", 1), ("settimeofday", 1),
            ("clock_settime", 1),
        ] as [(String, Int32)])
    func answered(name: String, number: Int32) {
        #expect(policy.outcome(of: name) == .errno(number))
    }

    @Test("a call that no rule names is denied")
    func unlisted() {
        #expect(policy.outcome(of: "no_such_call") == .deny)
    }

    @Test("another denial changes nothing else")
    func withDenial() {
        let other = policy.with(denial: .errno)
        #expect(policy.denial == .kill)
        #expect(other.denial == .errno)
        #expect(other.rules == policy.rules)
        #expect(other.with(denial: .kill) == policy)
    }

    @Test(
        "clone makes no namespace, whichever flag asks and whatever stands in the high half",
        arguments: [17, 25, 26, 27, 28, 29, 30])
    func cloneFlags(bit: UInt64) {
        #expect(policy.outcome(of: "clone", arguments: [1 << bit | 17]) == .deny)
        #expect(policy.outcome(of: "clone", arguments: [1 << bit | 1 << 40]) == .deny)
    }

    @Test("threads and forks are clones without such flags")
    func cloneAllowed() {
        #expect(policy.outcome(of: "clone", arguments: [0x3d0f00]) == .allow)
        #expect(policy.outcome(of: "clone", arguments: [0x1200011]) == .allow)
    }

    @Test("an int's high half neither opens nor closes anything")
    func highHalves() {
        let junk: UInt64 = 0xdead_beef_0000_0000
        for request: UInt64 in [0x5412, 0x541c, 0x5423] {
            #expect(policy.outcome(of: "ioctl", arguments: [0, request]) == .errno(1))
            #expect(policy.outcome(of: "ioctl", arguments: [0, request | junk]) == .errno(1))
        }
        #expect(policy.outcome(of: "ioctl", arguments: [0, 0x5413 | junk]) == .allow)
        #expect(policy.outcome(of: "socket", arguments: [40 | junk]) == .errno(97))
        #expect(policy.outcome(of: "socket", arguments: [2 | junk]) == .allow)
    }

    @Test("only four families of sockets exist, and of netlink only routes")
    func socketFamilies() {
        for family: UInt64 in 0..<64 {
            let expected: CallPolicy.Outcome =
                [1, 2, 10, 16].contains(family) ? .allow : .errno(97)
            #expect(policy.outcome(of: "socket", arguments: [family, 1, 0]) == expected)
            #expect(
                policy.outcome(of: "socketpair", arguments: [family, 1, 0])
                    == (family == 1 ? .allow : .errno(97)))
        }
        for family: UInt64 in 1..<24 {
            #expect(policy.outcome(of: "socket", arguments: [16, 3, family]) == .errno(97))
        }
    }

    @Test("mknod makes FIFOs, sockets and files, but no devices")
    func devices() {
        for (type, outcome) in [
            (0o010000, .allow), (0o140000, .allow), (0o100000, .allow), (0, .allow),
            (0o020000, .errno(1)), (0o060000, .errno(1)),
        ] as [(UInt64, CallPolicy.Outcome)] {
            #expect(policy.outcome(of: "mknod", arguments: [0, type | 0o644]) == outcome)
            #expect(policy.outcome(of: "mknodat", arguments: [0, 0, type | 0o644]) == outcome)
        }
    }

    @Test("a program may filter itself, but not with a listener of its own")
    func listeners() {
        #expect(policy.outcome(of: "seccomp", arguments: [1, 0]) == .allow)
        #expect(policy.outcome(of: "seccomp", arguments: [1, 1]) == .allow)
        #expect(policy.outcome(of: "seccomp", arguments: [1, 8]) == .errno(16))
        #expect(policy.outcome(of: "seccomp", arguments: [1, 0x39]) == .errno(16))
    }
}
