internal import CLinux

/// A network namespace that was made ahead of time, with its loopback up and nothing else in it.
///
/// It lasts as long as something holds it: this object, then the sandbox that joined it. It is
/// used once: what a sandbox left in it (counters, closing connections) is nobody else's to see.
public final class NetworkNamespace: Sendable {
    private let handle: Descriptor

    public var descriptor: Int32 { handle.rawValue }

    private init(_ handle: consuming Descriptor) {
        self.handle = handle
    }

    /// Makes some. The calling thread leaves its own network namespace for the time.
    public static func make(count: Int) throws(SystemCallError) -> [NetworkNamespace] {
        let path = "/proc/thread-self/ns/net"
        let own = try Files.open(path, .readOnly)
        var made: [NetworkNamespace] = []
        var failure: SystemCallError?
        do throws(SystemCallError) {
            for _ in 0..<count {
                try checked(
                    systemCall(__NR_unshare, Namespaces.network.rawValue), "unshare", "network")
                try raiseLoopback()
                made.append(NetworkNamespace(try Files.open(path, .readOnly)))
            }
        } catch {
            failure = error
        }
        try join(own.rawValue)
        if let failure { throw failure }
        return made
    }

    /// Does something on the calling thread, which is in this namespace for the time.
    public func enter<Result: ~Copyable>(
        _ body: () throws(SystemCallError) -> Result
    ) throws(SystemCallError) -> Result {
        let own = try Files.open("/proc/thread-self/ns/net", .readOnly)
        try Self.join(descriptor)
        let result: Result
        do throws(SystemCallError) {
            result = try body()
        } catch {
            try? Self.join(own.rawValue)
            throw error
        }
        try Self.join(own.rawValue)
        return result
    }

    private static func join(_ number: Int32) throws(SystemCallError) {
        try checked(
            systemCall(__NR_setns, UInt64(argument: number), Namespaces.network.rawValue),
            "setns", "network")
    }

    private static func raiseLoopback() throws(SystemCallError) {
        // AF_INET, SOCK_DGRAM | SOCK_CLOEXEC
        let socket = Descriptor(
            owning: Int32(try checked(systemCall(__NR_socket, 2, 0o2_000_002), "socket")))
        let number = socket.rawValue
        // SIOCSIFFLAGS
        try checked(
            withAddress(of: CallProgram.loopbackUp) { address, _ in
                systemCall(__NR_ioctl, UInt64(argument: number), 0x8914, address)
            }, "ioctl", "lo")
    }
}
