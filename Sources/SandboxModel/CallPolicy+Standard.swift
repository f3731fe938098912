// The table of system calls. Names are the kernel's; a call stands in one rule only. The tests
// hold that every call known to libseccomp for x86-64 is here, so that each was decided about.

/// Error numbers of Linux, as the policy answers them.
extension CallPolicy.Outcome {
    /// `EPERM`: refused for want of a privilege.
    static let notPermitted = errno(1)
    /// `EBUSY`: somebody else has it.
    static let busy = errno(16)
    /// `ENOSYS`: this kernel has no such call.
    static let notImplemented = errno(38)
    /// `EOPNOTSUPP`: this file system cannot do that.
    static let notSupported = errno(95)
    /// `EAFNOSUPPORT`: this kernel has no such family of sockets.
    static let noSuchFamily = errno(97)
}

extension CallPolicy {
    /// The policy of every sandbox.
    ///
    /// Three answers besides `allow`, chosen by who would make the call:
    /// - `ENOSYS` and its like where ordinary programs try a call and have another way: that is
    ///   the answer of a kernel built without it, and what they are tested against.
    /// - `EPERM` where ordinary programs ask for something that the kernel itself would refuse to
    ///   a process without capabilities. They print it and go on.
    /// - `deny` for all else: what is called only by a program that wants out, or that is in the
    ///   wrong place. It is killed, and the report names the call.
    public static let standard = CallPolicy(
        rules: filesAllowed + processesAllowed + communicationAllowed + conditional
            + answered + denied,
        newest: "futex_requeue",
        denial: .kill
    )

    private static let filesAllowed: [Rule] = [
        Rule(
            .allow,
            """
            read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek
            open openat openat2 creat close close_range dup dup2 dup3 fcntl flock
            sendfile copy_file_range splice tee vmsplice
            """,
            because: "reading and writing files; pipes without copies"),
        Rule(
            .allow,
            """
            stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat
            statfs fstatfs getdents getdents64 getcwd chdir fchdir umask
            rename renameat renameat2 mkdir mkdirat rmdir link linkat unlink unlinkat
            symlink symlinkat chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat
            truncate ftruncate fallocate utime utimes futimesat utimensat
            """,
            because: "the tree of files; permissions are the kernel's business"),
        Rule(
            .allow,
            """
            getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
            setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr
            """,
            because: "attributes; trusted ones need a capability"),
        Rule(
            .allow,
            "fsync fdatasync sync syncfs sync_file_range fadvise64 readahead",
            because: "making data durable, and hints"),
        Rule(
            .allow,
            """
            poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait
            epoll_pwait2 eventfd eventfd2 signalfd signalfd4 inotify_init inotify_init1
            inotify_add_watch inotify_rm_watch timerfd_create timerfd_settime timerfd_gettime
            """,
            because: "waiting for descriptors"),
        Rule(
            .allow,
            "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents",
            because: "the older asynchronous input and output, which databases use"),
        Rule(
            .allow,
            "landlock_create_ruleset landlock_add_rule landlock_restrict_self",
            because: "a program may only take rights from itself by it"),
    ]

    private static let processesAllowed: [Rule] = [
        Rule(
            .allow,
            """
            mmap munmap mremap mprotect madvise msync mincore brk mlock mlock2 mlockall munlock
            munlockall memfd_create remap_file_pages pkey_alloc pkey_free pkey_mprotect
            map_shadow_stack membarrier
            """,
            because: "memory of its own; locked memory has a limit"),
        Rule(
            .allow,
            """
            execve execveat exit exit_group fork vfork wait4 waitid restart_syscall
            kill tkill tgkill pidfd_open pidfd_send_signal process_mrelease
            getpid getppid gettid getpgid setpgid getpgrp getsid setsid
            """,
            because: "processes; the pid namespace bounds whom a signal can reach"),
        Rule(
            .allow,
            """
            rt_sigaction rt_sigprocmask rt_sigpending rt_sigreturn rt_sigsuspend rt_sigtimedwait
            rt_sigqueueinfo rt_tgsigqueueinfo sigaltstack pause alarm
            """,
            because: "signals"),
        Rule(
            .allow,
            """
            arch_prctl prctl set_tid_address set_robust_list get_robust_list rseq
            futex futex_waitv futex_wake futex_wait futex_requeue getcpu
            set_thread_area get_thread_area
            """,
            because: "threads; the kernel itself answers ENOSYS to the last two on x86-64"),
        Rule(
            .allow,
            """
            sched_yield sched_getaffinity sched_getparam sched_getscheduler
            sched_get_priority_max sched_get_priority_min sched_rr_get_interval sched_getattr
            getpriority setpriority ioprio_get ioprio_set
            """,
            because: "scheduling; raising a priority needs a capability, the cgroup bounds the rest"
        ),
        Rule(
            .allow,
            """
            getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid
            setregid setresuid setresgid setfsuid setfsgid setgroups capget capset
            getrlimit setrlimit getrusage times sysinfo uname getrandom
            """,
            because: "identity, limits and facts; without capabilities one can only give up rights"
        ),
        Rule(
            .allow,
            """
            time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep
            getitimer setitimer timer_create timer_settime timer_gettime timer_getoverrun
            timer_delete adjtimex clock_adjtime
            """,
            because: "clocks; the last two read the clock's state, setting it needs a capability"),
    ]

    private static let communicationAllowed: [Rule] = [
        Rule(
            .allow,
            """
            bind connect listen accept accept4 shutdown getsockname getpeername
            getsockopt setsockopt sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg
            pipe pipe2
            """,
            because: "sockets, once `socket` gave one"),
        Rule(
            .allow,
            """
            shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl
            mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr
            """,
            because: "System V and POSIX objects, in the sandbox's own ipc namespace"),
    ]

    private static let conditional: [Rule] = [
        Rule(
            .deny, "clone",
            cases: [Case(when: [.bits(0, newNamespaceFlags, equal: 0)], .allow)],
            because: "threads and processes, but no namespaces: each one opens kernel code that "
                + "is otherwise out of reach, and a user namespace gives its maker capabilities"),
        Rule(
            .allow, "prlimit64 sched_setaffinity sched_setparam sched_setscheduler sched_setattr",
            cases: [Case(when: [.word(0, equals: 1)], .notPermitted)],
            because: "of any process but the first: it has the workload's user, and without "
                + "descriptors or time it could not tell how the workload ended"),
        Rule(
            .noSuchFamily, "socket",
            cases: [
                Case(when: [.word(0, equals: 1)], .allow),  // AF_UNIX
                Case(when: [.word(0, equals: 2)], .allow),  // AF_INET
                Case(when: [.word(0, equals: 10)], .allow),  // AF_INET6
                // AF_NETLINK with NETLINK_ROUTE.
                Case(when: [.word(0, equals: 16), .word(2, equals: 0)], .allow),
            ],
            because: "getaddrinfo and if_nametoindex ask route netlink; the other netlink and "
                + "socket families (AF_VSOCK reaches the host, AF_ALG and AF_PACKET the depths of "
                + "the kernel) do not exist in a sandbox, which libraries that try them expect"),
        Rule(
            .noSuchFamily, "socketpair",
            cases: [Case(when: [.word(0, equals: 1)], .allow)],
            because: "only AF_UNIX makes pairs that anyone uses"),
        Rule(
            .allow, "ioctl",
            cases: [
                Case(when: [.word(1, equals: 0x5412)], .notPermitted),  // TIOCSTI
                Case(when: [.word(1, equals: 0x541c)], .notPermitted),  // TIOCLINUX
                Case(when: [.word(1, equals: 0x5423)], .notPermitted),  // TIOCSETD
            ],
            because: "TIOCSTI and TIOCLINUX type into the terminal of whoever started the "
                + "sandbox, TIOCSETD loads line disciplines into the kernel"),
        Rule(
            .notPermitted, "personality",
            cases: [0, 0x8, 0x20000, 0x20008, 0xffff_ffff].map {
                Case(when: [.word(0, equals: $0)], .allow)
            },
            because: "Linux, 32-bit Linux, their old version numbers, and asking; others weaken "
                + "address randomisation or make data executable. EPERM, as sanitizers try it"),
        Rule(
            .allow, "mknod",
            cases: [Case(when: [.bits(1, 0xb000, equal: 0x2000)], .notPermitted)],
            because: "FIFOs, sockets and files, but no device: S_IFCHR and S_IFBLK"),
        Rule(
            .allow, "mknodat",
            cases: [Case(when: [.bits(2, 0xb000, equal: 0x2000)], .notPermitted)],
            because: "as mknod"),
        Rule(
            .allow, "seccomp",
            cases: [Case(when: [.bits(1, 0x8, equal: 0x8)], .busy)],
            because: "a program may filter itself further, but not with a listener of its own "
                + "(SECCOMP_FILTER_FLAG_NEW_LISTENER): the newest of several filters that ask a "
                + "listener wins, and its listener may let the call continue. EBUSY is what the "
                + "kernel says when there is a listener already"),
    ]

    /// Every `CLONE_NEW*` that `clone` takes: cgroup, ipc, net, mount, pid, user and uts.
    /// `CLONE_NEWTIME` is not among them: `clone` reads that bit as part of the exit signal.
    private static let newNamespaceFlags: UInt64 = 0x7e02_0000
}
