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

    /// The one that the calling thread is in.
    public static func current() throws(SystemCallError) -> NetworkNamespace {
        NetworkNamespace(try Files.open("/proc/thread-self/ns/net", .readOnly))
    }

    /// One that was pinned to a file. Nothing when there is no namespace at that path.
    public static func pinned(at path: String) throws(SystemCallError) -> NetworkNamespace? {
        // NSFS_MAGIC
        guard Files.exists(path), try Files.fileSystemType(of: path) == 0x6e73_6673 else {
            return nil
        }
        return NetworkNamespace(try Files.open(path, .readOnly))
    }

    /// Lets it last until it is unpinned, though nobody is in it. The file is made.
    public func pin(at path: String) throws(SystemCallError) {
        _ = try Files.open(path, [.writeOnly, .create])
        let source = "/proc/thread-self/fd/\(descriptor)"
        // MS_BIND
        try checked(
            withAddress(of: source) { source in
                withAddress(of: path) { systemCall(__NR_mount, source, $0, 0, 4096, 0) }
            }, "mount", path)
    }

    /// Takes away what `pin` made. What is not there is no error.
    public static func unpin(_ path: String) throws(SystemCallError) {
        while try pinned(at: path) != nil { try Mounts.detach(path) }
        guard Files.exists(path) else { return }
        try checked(
            withAddress(of: path) { systemCall(__NR_unlinkat, UInt64(argument: -100), $0, 0) },
            "unlink", path)
    }

    /// Sets values of the network's below `/proc/sys/net`.
    public func write(_ values: [(path: String, value: String)]) throws(SystemCallError) {
        try enter { () throws(SystemCallError) in
            for (path, value) in values { try Files.write(value, to: "/proc/sys/net/\(path)") }
        }
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
