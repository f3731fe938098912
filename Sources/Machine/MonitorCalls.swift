internal import KVM

/// A kind of thread of a monitor's.
public enum MonitorThread: String, CaseIterable, Sendable {
    /// The first one: the loop of the devices, of the control socket and of the workload's streams.
    case devices
    /// That of a virtual processor.
    case processor
    /// One that works on disks.
    case disk
}

/// A condition on an argument of a call, with what it is called by the kernel.
public enum MonitorCondition: Hashable, Sendable {
    case equals(argument: Int, UInt64, String)
    /// All of these bits are set.
    case has(argument: Int, UInt64, String)
    /// None of these bits is set.
    case lacks(argument: Int, UInt64, String)
    /// It is the number of the monitor's own process.
    case ownProcess(argument: Int)
}

/// A call that some threads of a monitor may make while its guest runs.
public struct MonitorCall: Sendable {
    public let name: String
    public let threads: [MonitorThread]
    /// All of them hold.
    public let conditions: [MonitorCondition]
    /// What it is for.
    public let purpose: String

    init(
        _ name: String, _ threads: [MonitorThread], _ conditions: [MonitorCondition] = [],
        for purpose: String
    ) {
        self.name = name
        self.threads = threads
        self.conditions = conditions
        self.purpose = purpose
    }
}

/// All that the threads of a monitor may ask of the kernel once its guest runs. Anything else ends
/// the monitor.
///
/// From it the filters are made, and the table in `docs/microvm-jail.md`. A test runs a monitor
/// through what it does and holds that each row is used, but for those that it names.
public enum MonitorCalls {
    private static let every = MonitorThread.allCases
    /// AF_UNIX; SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
    private static let unixStream: [MonitorCondition] = [
        .equals(argument: 0, 1, "AF_UNIX"),
        .equals(argument: 1, 1 | 0o4000 | 0o2_000_000, "SOCK_STREAM"),
    ]

    public static let table: [MonitorCall] = memory + waiting + processor + disk + devices

    private static let memory = [
        MonitorCall("brk", every, for: "the heap grows or shrinks"),
        MonitorCall(
            "mmap", every,
            [
                .lacks(argument: 2, 0x4, "PROT_EXEC"), .has(argument: 3, 0x20, "MAP_ANONYMOUS"),
            ], for: "large pieces of the heap, which hold no code"),
        MonitorCall("munmap", every, for: "such a piece is given back"),
    ]

    private static let waiting = [
        MonitorCall("futex", every, for: "locks between threads"),
        MonitorCall("write", every, for: "counters that wake the loop or the guest; streams"),
        MonitorCall(
            "ppoll", [.devices, .processor], for: "whether a stream takes what is written"),
        MonitorCall(
            "clock_gettime", every, for: "the time, where the kernel's page does not tell it"),
        MonitorCall("gettid", every, for: "a value is made on first use, by one thread for all"),
        MonitorCall("restart_syscall", every, for: "a wait goes on after the process was stopped"),
    ]

    private static let processor =
        ProcessorRequest.allCases.map {
            MonitorCall(
                "ioctl", [.processor], [.equals(argument: 1, $0.number, $0.rawValue)],
                for: purpose(of: $0))
        } + [
            MonitorCall(
                "tgkill", [.devices, .processor],
                [.ownProcess(argument: 0), .equals(argument: 2, 10, "SIGUSR1")],
                for: "a processor leaves its guest"),
            MonitorCall("getpid", [.devices, .processor], for: "before a signal is sent"),
            MonitorCall("rt_sigtimedwait", [.processor], for: "takes the signal that ended a run"),
            MonitorCall("rt_sigprocmask", [.processor], for: "the thread ends"),
            MonitorCall(
                "madvise", [.processor], [.equals(argument: 2, 4, "MADV_DONTNEED")],
                for: "the thread ends and gives its stack back"),
            MonitorCall("exit", [.processor], for: "the thread ends"),
        ]

    private static func purpose(of request: ProcessorRequest) -> String {
        switch request {
        case .run: "the guest runs"
        case .tellOfPause: "the guest's clock learns of a pause"
        case .registers: "where a guest is: one that could not go on, or that is saved"
        case .runState: "whether a processor that is saved runs"
        case .specialRegisters: "segments and control registers of one that is saved"
        case .extendedState: "its floating point and vectors"
        case .largeExtendedState: "the same, where it is a large one"
        case .extendedControl: "which of that the guest uses"
        case .debugRegisters: "its debug registers"
        case .localInterrupts: "its local interrupt controller"
        case .events: "what is about to be delivered to it"
        case .modelRegisters: "its model-specific registers"
        case .counterRate: "how fast its time stamp counter counts"
        case .interruptController: "the interrupt controllers of a machine that is saved"
        case .intervalTimer: "its interval timer"
        case .clock: "its clock"
        }
    }

    private static let disk = [
        MonitorCall("preadv2", [.disk, .devices], for: "a disk is read"),
        MonitorCall("pwritev2", [.disk], for: "a disk, or a snapshot's memory, is written"),
        MonitorCall(
            "pwrite64", [.disk],
            for: "a snapshot's state; zeroes, on file systems that cannot clear a part"),
        MonitorCall(
            "fallocate", [.disk], [.has(argument: 1, 0x1, "FALLOC_FL_KEEP_SIZE")],
            for: "a part of a disk is given back or cleared"),
        MonitorCall("fdatasync", [.disk], for: "a disk, or a snapshot, is flushed"),
        MonitorCall("close", [.disk, .devices], for: "a connection ends; a snapshot's file"),
    ]

    private static let devices: [MonitorCall] =
        [
            ("epoll_pwait", "the loop waits"),
            ("epoll_ctl", "what the loop waits for"),
            ("timerfd_settime", "until when it waits"),
            ("read", "counters, signals, streams, sockets"),
            ("getrandom", "random numbers for the guest"),
            ("accept4", "programs connect to the guest or to the control socket"),
            ("connect", "the guest connects to a program's socket"),
            ("recvfrom", "to which port a program wants; what a guest that is saved is to get"),
            ("recvmsg", "what is asked on the control socket, and files that come with it"),
            ("sendto", "answers on sockets"),
            ("sendmsg", "what the guest sends"),
            ("readv", "what the guest is sent"),
            ("writev", "what the guest sends by its link"),
            ("shutdown", "one side of a connection ends"),
            ("rt_sigaction", "ends as the workload did, by a signal"),
            ("rt_sigprocmask", "ends as the workload did, by a signal"),
            ("exit_group", "the monitor ends"),
        ].map { MonitorCall($0.0, [.devices], for: $0.1) } + [
            MonitorCall(
                "socket", [.devices], unixStream, for: "the guest connects to a program's socket"),
            MonitorCall(
                "socketpair", [.devices], unixStream, for: "the guest's link to the monitor"),
            MonitorCall(
                "kill", [.devices], [.ownProcess(argument: 0)],
                for: "ends as the workload did, by a signal"),
            MonitorCall(
                "madvise", [.devices], [.equals(argument: 2, 9, "MADV_REMOVE")],
                for: "memory that the guest gives back"),
            MonitorCall(
                "madvise", [.devices], [.equals(argument: 2, 4, "MADV_DONTNEED")],
                for: "the same, where the memory is no file"),
            MonitorCall(
                "ioctl", [.devices], [.equals(argument: 1, 0x4004_54d0, "TUNSETOFFLOAD")],
                for: "what the guest's driver takes from its link"),
            MonitorCall(
                "ioctl", [.devices], [.equals(argument: 1, 0x5413, "TIOCGWINSZ")],
                for: "the size of the workload's terminal"),
            MonitorCall(
                "ioctl", [.devices], [.equals(argument: 1, 0x5402, "TCSETS")],
                for: "the terminal is put back as it was"),
        ]
}
