import TestSupport
import Testing

extension SandboxTests {
    /// Calls that a workload must not make, made in a real sandbox by `Probes/sandbox-probe.c`.
    @Suite struct DeniedCalls {
        /// A case of the probe, and the call that it makes.
        static let denied: [(name: String, call: String)] = [
            ("mount", "mount"), ("remount", "mount"), ("bind", "mount"), ("umount", "umount2"),
            ("pivot_root", "pivot_root"), ("chroot", "chroot"), ("open_tree", "open_tree"),
            ("move_mount", "move_mount"), ("fsopen", "fsopen"),
            ("mount_setattr", "mount_setattr"), ("unshare-user", "unshare"),
            ("unshare-net", "unshare"), ("unshare-files", "unshare"), ("setns", "setns"),
            ("clone-user", "clone"), ("clone-mount", "clone"), ("clone-pid", "clone"),
            ("trace-init", "ptrace"), ("trace-self", "ptrace"),
            ("read-memory", "process_vm_readv"), ("get-descriptor", "pidfd_getfd"),
            ("open-handle", "open_by_handle_at"), ("bpf", "bpf"), ("init_module", "init_module"),
            ("finit_module", "finit_module"), ("delete_module", "delete_module"),
            ("kexec", "kexec_load"), ("reboot", "reboot"), ("iopl", "iopl"),
            ("swapoff", "swapoff"), ("acct", "acct"), ("quotactl", "quotactl"),
        ]

        @Test(
            "a denied call kills its process and is named, on the error output and in the result",
            .needs(.cc), arguments: denied)
        func kills(name: String, call: String) throws {
            let (run, result) = try Sandboxed.result(
                ["probe", "call", name], image: TestImage.shared())
            #expect(run.ending == .exited(code: 137), "\(run)")
            #expect(run.output.isEmpty)
            #expect(
                run.errorOutput == """
                    alcove: a process was killed: it made the denied call `\(call)` \
                    (`--denied-calls errno` makes such calls fail instead)

                    """)
            #expect(result.ending == "denied")
            #expect(result.exitCode == 137)
            #expect(result.deniedCall == call)
            #expect(result.deniedCalls == 1)
        }

        @Test(
            "with `--denied-calls errno` a denied call fails, and nothing is reported",
            .needs(.cc), arguments: denied)
        func fails(name: String, call: String) throws {
            let (run, result) = try Sandboxed.result(
                ["probe", "call", name], ["--denied-calls", "errno"], image: TestImage.shared())
            #expect(run.output == "EPERM\n" && run.errorOutput.isEmpty, "\(run)")
            #expect(result.ending == "exited" && result.exitCode == 0)
            #expect(result.deniedCall == nil)
        }

        @Test(
            "what innocent programs try is answered with an error",
            .needs(.cc),
            arguments: [
                ("char-device", "EPERM"), ("block-device", "EPERM"), ("dev-device", "EPERM"),
                ("type", "EPERM"), ("linux-terminal", "EPERM"), ("keyctl", "EPERM"),
                ("add_key", "EPERM"), ("io_uring", "ENOSYS"), ("clone3", "ENOSYS"),
                ("perf", "EPERM"), ("userfaultfd", "EPERM"), ("sethostname", "EPERM"),
                ("settimeofday", "EPERM"), ("vsock", "EAFNOSUPPORT"), ("packet", "EAFNOSUPPORT"),
                ("alg", "EAFNOSUPPORT"), ("raw", "EPERM"), ("syslog", "EPERM"),
                ("nice", "EPERM"), ("listener", "EBUSY"), ("make-handle", "EOPNOTSUPP"),
                ("raise-limit", "EPERM"), ("fifo", "ok"),
            ])
        func answered(name: String, error: String) throws {
            #expect(try Probe.answer("call", name) == error)
        }

        @Test("of many denied calls each kills its process, and they are counted", .needs(.cc))
        func many() throws {
            let script = "for i in 1 2 3; do probe call mount; done; echo went on; exit 5"
            let (run, result) = try Sandboxed.result(
                ["sh", "-c", script], image: TestImage.shared())
            #expect(run.output == "went on\n", "\(run)")
            #expect(run.ending == .exited(code: 5))
            #expect(run.errorOutput.contains("denied call `mount`, and 2 more"), "\(run)")
            #expect(result.ending == "denied" && result.deniedCalls == 3)
        }
    }
}
