internal import CLinux

/// The kernel's name spaces that a child gets of its own. Corresponds to `CLONE_NEW…`.
public struct Namespaces: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    public static let mount = Namespaces(rawValue: 0x0002_0000)
    public static let cgroup = Namespaces(rawValue: 0x0200_0000)
    public static let uts = Namespaces(rawValue: 0x0400_0000)
    public static let ipc = Namespaces(rawValue: 0x0800_0000)
    public static let user = Namespaces(rawValue: 0x1000_0000)
    public static let pid = Namespaces(rawValue: 0x2000_0000)
    public static let network = Namespaces(rawValue: 0x4000_0000)
}

/// How a child ended, and what it and its own children used.
public struct ChildEnding: Hashable, Sendable {
    public enum Cause: Hashable, Sendable {
        case exited(code: Int32)
        case signaled(Signal)
    }

    public let cause: Cause
    public let userMicroseconds: UInt64
    public let systemMicroseconds: UInt64
    public let peakResidentKilobytes: UInt64
}

/// A child process, held by its pidfd: its number cannot come to mean another process.
public struct ChildProcess: ~Copyable {
    public let pid: Int32
    public let pidfd: Descriptor

    /// Sends a signal. A child that is gone already is no error.
    public borrowing func send(_ signal: Signal) throws(SystemCallError) {
        let result = systemCall(
            __NR_pidfd_send_signal, UInt64(argument: pidfd.rawValue),
            UInt64(argument: signal.rawValue))
        if result == -Int64(ErrorNumber.noProcess.rawValue) { return }
        try checked(result, "pidfd_send_signal", "\(pid)")
    }

    /// Reaps the child if it has ended; nothing while it runs. Never waits: the pidfd becomes
    /// readable when there is something to reap.
    public borrowing func reap() throws(SystemCallError) -> ChildEnding? {
        var ending = alcove_ending()
        // SAFETY: `ending` is written before the call gives back and not kept.
        let result = unsafe alcove_reap(pidfd.rawValue, &ending)
        if result == 1 { return nil }
        try checked(result, "waitid", "\(pid)")
        return ChildEnding(
            cause: ending.signaled != 0
                ? .signaled(Signal(rawValue: ending.status)) : .exited(code: ending.status),
            userMicroseconds: ending.user_microseconds,
            systemMicroseconds: ending.system_microseconds,
            peakResidentKilobytes: ending.peak_resident_kilobytes)
    }
}

/// Passing descriptors over a Unix socket.
public enum DescriptorPassing {
    /// Two connected sockets, close-on-exec.
    public static func makePair() throws(SystemCallError) -> Pipe {
        var numbers: (Int32, Int32) = (-1, -1)
        // AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC
        try checked(
            withAddress(of: &numbers) { systemCall(__NR_socketpair, 1, 5 | 0o2_000_000, 0, $0) },
            "socketpair")
        return Pipe(reader: numbers.0, writer: numbers.1)
    }

    /// Receives one descriptor, close-on-exec.
    public static func receive(from socket: borrowing Descriptor) throws(SystemCallError)
        -> Descriptor
    {
        Descriptor(
            owning: Int32(try checked(alcove_receive_descriptor(socket.rawValue), "recvmsg")))
    }
}
