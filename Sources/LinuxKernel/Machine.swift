internal import CLinux

/// What the machine has.
public enum Machine {
    public static var memoryBytes: UInt64 {
        // struct sysinfo: 14 words on x86-64; total memory is the fifth, its unit in the last.
        var information = InlineArray<16, UInt64>(repeating: 0)
        guard withAddress(of: &information, { systemCall(__NR_sysinfo, $0) }) == 0 else { return 0 }
        let unit = information[13] & 0xffff_ffff
        return information[4] * max(unit, 1)
    }

    /// The CPUs that this process may run on.
    public static var cpuCount: Int {
        var mask = InlineArray<128, UInt64>(repeating: 0)
        let result = withAddress(of: &mask) { systemCall(__NR_sched_getaffinity, 0, 1024, $0) }
        guard result > 0 else { return 1 }
        return (0..<128).reduce(0) { $0 + mask[$1].nonzeroBitCount }
    }

    /// The running kernel's release, such as `6.1.0-13-amd64`.
    public static var kernelRelease: String { name(field: 2) }

    /// The architecture as the kernel calls it: `x86_64`.
    public static var architecture: String { name(field: 4) }

    /// A field of `struct utsname`: six texts of 65 bytes each, ended by zero.
    private static func name(field: Int) -> String {
        let names = bytes(capacity: 6 * 65) { address in
            let result = systemCall(__NR_uname, address)
            return result < 0 ? result : 6 * 65
        }
        guard case .success(let names) = names else { return "" }
        return String(
            decoding: names[(field * 65)..<((field + 1) * 65)].prefix { $0 != 0 }, as: UTF8.self)
    }
}

/// The process that this code runs in.
public enum ThisProcess {
    public static var identifier: Int32 { Int32(systemCall(__NR_getpid)) }
    public static var effectiveUser: UInt32 { UInt32(systemCall(__NR_geteuid)) }

    /// How many files it may have open: now, and after raising that itself.
    public static var openFileLimit: (soft: UInt64, hard: UInt64)? { limit(.openFiles) }

    /// A limit of this process: the one that holds, and the one up to which it may raise that.
    public static func limit(_ limit: ProcessLimit) -> (soft: UInt64, hard: UInt64)? {
        var values = (UInt64(0), UInt64(0))
        let result = withAddress(of: &values) {
            systemCall(__NR_prlimit64, 0, UInt64(argument: limit.rawValue), 0, $0)
        }
        return result == 0 ? (values.0, values.1) : nil
    }

    /// Lets this process have as many files open as it may.
    public static func raiseOpenFileLimit() {
        guard let (_, hard) = openFileLimit else { return }
        var values = (hard, hard)
        _ = withAddress(of: &values) {
            systemCall(
                __NR_prlimit64, 0, UInt64(argument: ProcessLimit.openFiles.rawValue), $0, 0)
        }
    }

    /// Whoever started this process may have had the ends of children ignored: they could not be
    /// collected then.
    public static func expectChildren() {
        // struct sigaction of the kernel, all zero: SIG_DFL.
        var action = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))
        _ = withAddress(of: &action) {
            systemCall(__NR_rt_sigaction, UInt64(argument: Signal.child.rawValue), $0, 0, 8)
        }
    }

    /// Dies as if somebody had killed it: for tests of what comes after.
    public static func killItself() -> Never {
        while true {
            _ = systemCall(
                __NR_kill, UInt64(argument: identifier), UInt64(argument: Signal.kill.rawValue))
        }
    }

    /// Ends by a signal, as if it had never been handled. Gives back where the kernel keeps this
    /// process from that, as it does the first of a namespace.
    public static func end(by signal: Signal) {
        // SIG_DFL; SIG_SETMASK of an empty mask.
        var action = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))
        _ = withAddress(of: &action) {
            systemCall(__NR_rt_sigaction, UInt64(argument: signal.rawValue), $0, 0, 8)
        }
        var mask: UInt64 = 0
        _ = withAddress(of: &mask) { systemCall(__NR_rt_sigprocmask, 2, $0, 0, 8) }
        _ = systemCall(
            __NR_kill, UInt64(argument: identifier), UInt64(argument: signal.rawValue))
    }

    /// Ends at once. Nothing is buffered that would be lost.
    public static func exit(_ code: Int32) -> Never {
        while true { _ = systemCall(__NR_exit_group, UInt64(argument: code)) }
    }
}

/// The clock of the day, as people set it.
public enum WallClock {
    /// Since 1970-01-01 00:00 UTC.
    public static var nanoseconds: Int64 {
        // CLOCK_REALTIME
        var time = (Int64(0), Int64(0))
        _ = withAddress(of: &time) { systemCall(__NR_clock_gettime, 0, $0) }
        return time.0 * 1_000_000_000 + time.1
    }

    /// When the machine was started, to the second: the same whoever asks, and whenever. 0 where
    /// the kernel does not tell.
    public static var bootNanoseconds: Int64 {
        let text = (try? Files.read("/proc/stat", limit: 1 << 20)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("btime ") }
        return (line.flatMap { Int64($0.dropFirst(6)) } ?? 0) * 1_000_000_000
    }
}
