internal import CLinux

/// An address and a port of version 4 of the Internet Protocol.
public struct InternetAddress: Hashable, Sendable {
    /// The first byte is the highest.
    public var address: UInt32
    public var port: UInt16

    public init(_ address: UInt32, port: UInt16) {
        self.address = address
        self.port = port
    }

    /// struct sockaddr_in: the family, port and address in the network's order, 8 bytes unused.
    fileprivate var bytes: [UInt8] {
        [2, 0, UInt8(port >> 8), UInt8(port & 0xFF)]
            + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: address >> $0) }
            + [UInt8](repeating: 0, count: 8)
    }

    fileprivate init(_ name: (UInt64, UInt64)) {
        port = UInt16(truncatingIfNeeded: name.0 >> 16).byteSwapped
        address = UInt32(truncatingIfNeeded: name.0 >> 32).byteSwapped
    }
}

/// A socket of version 4 of the Internet Protocol, in one network namespace: close-on-exec and
/// non-blocking.
public final class InternetSocket: Sendable {
    public enum Kind: Sendable {
        case stream
        case datagrams
        /// Requests for echoes, and the answers to this socket's alone: messages of ICMP from their
        /// headers on, of which the kernel writes the sum and the number of the sender. Whoever may
        /// make one is said by `ipv4/ping_group_range` of the namespace.
        case echoes

        /// `SOCK_STREAM` or `SOCK_DGRAM`, and `IPPROTO_ICMP`.
        fileprivate var numbers: (type: UInt64, transport: UInt64) {
            switch self {
            case .stream: (1, 0)
            case .datagrams: (2, 0)
            case .echoes: (2, 1)
            }
        }
    }

    private let handle: Descriptor
    public var descriptor: Int32 { handle.rawValue }
    private var number: UInt64 { UInt64(argument: handle.rawValue) }

    /// The calling thread is in the namespace for the time.
    public init(_ kind: Kind, in namespace: NetworkNamespace) throws(SystemCallError) {
        handle = try namespace.enter { () throws(SystemCallError) in try Self.make(kind) }
    }

    /// In the namespace of the calling thread.
    public init(_ kind: Kind) throws(SystemCallError) {
        handle = try Self.make(kind)
    }

    private static func make(_ kind: Kind) throws(SystemCallError) -> Descriptor {
        // AF_INET, SOCK_NONBLOCK | SOCK_CLOEXEC
        let made = systemCall(
            __NR_socket, 2, kind.numbers.type | 0o4000 | 0o2_000_000, kind.numbers.transport)
        return Descriptor(owning: Int32(try checked(made, "socket")))
    }

    private init(_ handle: consuming Descriptor) {
        self.handle = handle
    }

    /// Connections that ended on the same port and linger are no hindrance from now on.
    public func overlookLingering() throws(SystemCallError) {
        var one: Int32 = 1
        // SOL_SOCKET, SO_REUSEADDR
        try checked(
            withAddress(of: &one) { systemCall(__NR_setsockopt, number, 1, 2, $0, 4) },
            "setsockopt")
    }

    /// What it sends goes out by that link from now on, and what it receives came by it.
    public func bind(toLink index: UInt32) throws(SystemCallError) {
        var index = index
        // SOL_SOCKET, SO_BINDTOIFINDEX
        try checked(
            withAddress(of: &index) { systemCall(__NR_setsockopt, number, 1, 62, $0, 4) },
            "setsockopt", "link \(index)")
    }

    public func bind(to address: InternetAddress) throws(SystemCallError) {
        try checked(
            withAddress(of: address.bytes) { systemCall(__NR_bind, number, $0, $1) }, "bind",
            "port \(address.port)")
    }

    /// Begins a connection, which may be complete later: then the socket is writable. Datagrams go
    /// to that address from now on, and come from it alone.
    public func connect(to address: InternetAddress) throws(SystemCallError) {
        let result = withAddress(of: address.bytes) { systemCall(__NR_connect, number, $0, $1) }
        // EINPROGRESS
        if result == -115 { return }
        try checked(result, "connect")
    }

    public func listen(backlog: Int32) throws(SystemCallError) {
        try UnixSockets.listen(handle, backlog: backlog)
    }

    /// The next connection, and who made it; nothing when there is none.
    public func accept() throws(SystemCallError) -> (InternetSocket, InternetAddress)? {
        guard let made = try UnixSockets.accept(handle) else { return nil }
        let socket = InternetSocket(made)
        var name: (UInt64, UInt64) = (0, 0)
        var size: UInt32 = 16
        let result = withAddress(of: &name) { name in
            withAddress(of: &size) { systemCall(__NR_getpeername, socket.number, name, $0) }
        }
        // One that has ended already has no other side.
        return result == 0 ? (socket, InternetAddress(name)) : nil
    }

    /// Sends a message whole, or not at all.
    public func send(_ message: [UInt8], to address: InternetAddress) -> UnixSockets.Transfer {
        withAddress(of: message) { message, length in
            withAddress(of: address.bytes) { address, addressLength in
                // MSG_NOSIGNAL
                UnixSockets.Transfer(
                    systemCall(
                        __NR_sendto, number, message, length, 0x4000, address, addressLength))
            }
        }
    }

    /// The next message, and who sent it; nothing when there is none. One of more than `limit`
    /// bytes is cut off behind the first that is too much.
    public func receive(limit: Int) throws(SystemCallError) -> ([UInt8], InternetAddress)? {
        var name: (UInt64, UInt64) = (0, 0)
        var size: UInt32 = 16
        let received = bytes(capacity: limit + 1) { address in
            withAddress(of: &name) { name in
                withAddress(of: &size) {
                    systemCall(
                        __NR_recvfrom, number, address, UInt64(limit + 1), 0, name, $0)
                }
            }
        }
        switch received {
        case .success(let bytes): return (bytes, InternetAddress(name))
        case .failure(.wouldBlock), .failure(.interrupted): return nil
        case .failure(let error):
            throw SystemCallError(call: "recvfrom", errorNumber: error)
        }
    }
}
