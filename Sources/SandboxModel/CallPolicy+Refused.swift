// The second half of the table: calls that are answered with an error, and calls that are denied.

extension CallPolicy {
    static let answered: [Rule] = [
        Rule(
            .notImplemented, "clone3",
            because: "its flags are in memory, where a filter cannot see them; C libraries fall "
                + "back to clone on ENOSYS, and on nothing else"),
        Rule(
            .notImplemented, "io_uring_setup io_uring_enter io_uring_register",
            because: "its operations pass by every filter; libuv and others try it first"),
        Rule(
            .notImplemented,
            """
            mbind get_mempolicy set_mempolicy set_mempolicy_home_node migrate_pages move_pages
            """,
            because: "placement on NUMA nodes is the host's; libnuma (JVM, databases) takes "
                + "ENOSYS for a machine without NUMA, while its older versions stumble on EPERM"),
        Rule(
            .notImplemented, "memfd_secret cachestat",
            because: "memory that the host can never take back, and other tenants' use of the page "
                + "cache; new enough that every caller has another way"),
        Rule(
            .notImplemented,
            """
            _sysctl uselib sysfs ustat modify_ldt epoll_ctl_old epoll_wait_old
            create_module query_module get_kernel_syms nfsservctl afs_syscall tuxcall security
            vserver getpmsg putpmsg lookup_dcookie
            """,
            because: "removed or about to be: a new kernel gives the same answer"),
        Rule(
            .notSupported, "name_to_handle_at",
            because: "handles are half of a way around mounts, see open_by_handle_at; callers know "
                + "EOPNOTSUPP from file systems without handles"),
        Rule(
            .notPermitted, "userfaultfd",
            because: "stretches races in the kernel at will; the usual answer to the unprivileged"),
        Rule(
            .notPermitted, "perf_event_open",
            because: "profilers inside runtimes try it, and hosts commonly refuse it"),
        Rule(
            .notPermitted, "kcmp process_madvise",
            because: "graphics and memory libraries try them; they look at other processes"),
        Rule(
            .notPermitted, "add_key request_key keyctl",
            because: "keyrings are not divided by namespaces; Kerberos and PAM go on without"),
        Rule(
            .notPermitted, "fanotify_init fanotify_mark",
            because: "watchers of whole mounts try it, then take inotify"),
        Rule(
            .notPermitted, "syslog sethostname setdomainname vhangup",
            because: "the kernel refuses these without capabilities, and programs such as dmesg "
                + "and hostname print that"),
        Rule(
            .notPermitted, "settimeofday clock_settime",
            because: "the clock is the host's; date and time daemons print the refusal"),
    ]

    static let denied: [Rule] = [
        Rule(
            .deny,
            """
            mount umount2 pivot_root chroot
            open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr
            """,
            because: "the sandbox's tree is laid before it starts and never changes"),
        Rule(
            .deny, "unshare setns",
            because: "no new namespaces and no other's: see clone"),
        Rule(
            .deny, "open_by_handle_at",
            because: "opens any file of a file system by number, past every mount and chroot"),
        Rule(
            .deny, "ptrace process_vm_readv process_vm_writev pidfd_getfd",
            because: "memory and descriptors of other processes. Within a sandbox they are its "
                + "own, yet pid 1 is among them: it must report the truth about its workload "
                + "and holds the filter's listener. And this code is a steady source of holes. "
                + "Debuggers belong outside"),
        Rule(
            .deny, "bpf",
            because: "programs inside the kernel"),
        Rule(
            .deny, "init_module finit_module delete_module kexec_load kexec_file_load reboot",
            because: "replacing the kernel or parts of it"),
        Rule(
            .deny, "iopl ioperm",
            because: "ports of the machine"),
        Rule(
            .deny, "swapon swapoff acct quotactl quotactl_fd",
            because: "administration of the node"),
    ]
}
