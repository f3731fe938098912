internal import CLinux

/// Which part of the kernel a netlink socket speaks to.
public enum NetlinkFamily: UInt64, Sendable {
    /// Links, addresses, routes, rules, neighbours. Corresponds to `NETLINK_ROUTE`.
    case route = 0
    /// Packet filters and connection tracking. Corresponds to `NETLINK_NETFILTER`.
    case netfilter = 12
}

/// A socket to the kernel, and to nobody else. It stays in the network namespace in which it was
/// made, wherever its user goes. Close-on-exec and non-blocking: the kernel answers a request
/// while it is sent, so that there is nothing to wait for.
public struct NetlinkEndpoint: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// - Parameter namespace: where it is to be; otherwise where the calling thread is.
    public init(
        _ family: NetlinkFamily, in namespace: NetworkNamespace? = nil
    ) throws(SystemCallError) {
        if let namespace {
            descriptor = try namespace.enter { () throws(SystemCallError) in
                try Self.make(family)
            }
        } else {
            descriptor = try Self.make(family)
        }
    }

    private static func make(_ family: NetlinkFamily) throws(SystemCallError) -> Descriptor {
        // AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC
        let made = systemCall(__NR_socket, 16, 3 | 0o4000 | 0o2_000_000, family.rawValue)
        let socket = Descriptor(owning: Int32(try checked(made, "socket", "netlink")))
        let number = UInt64(argument: socket.rawValue)
        // SOL_SOCKET: SO_SNDBUFFORCE and SO_RCVBUFFORCE. A batch is sent in one piece.
        try set(number, 1, 32, 4 << 20)
        try set(number, 1, 33, 4 << 20)
        // SOL_NETLINK: NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK: short answers,
        // with words, and dumps that heed what they are asked for.
        try set(number, 270, 10, 1)
        try set(number, 270, 11, 1)
        try set(number, 270, 12, 1)
        // struct sockaddr_nl of the kernel. Nobody else can send to a socket that is connected.
        let kernel: [UInt8] = [16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        try checked(
            withAddress(of: kernel) { systemCall(__NR_connect, number, $0, $1) }, "connect",
            "netlink")
        return socket
    }

    private static func set(
        _ number: UInt64, _ level: UInt64, _ option: UInt64, _ value: Int32
    ) throws(SystemCallError) {
        var value = value
        try checked(
            withAddress(of: &value) {
                systemCall(__NR_setsockopt, number, level, option, $0, 4)
            }, "setsockopt", "netlink")
    }

    /// Sends messages in one piece, which the kernel has handled when this gives back.
    public borrowing func send(_ bytes: [UInt8]) throws(SystemCallError) {
        let number = descriptor.rawValue
        try checked(
            withAddress(of: bytes) {
                systemCall(__NR_sendto, UInt64(argument: number), $0, $1, 0, 0, 0)
            }, "send", "netlink")
    }

    /// What the kernel has said, a piece of it. Nothing when there is no more.
    ///
    /// A piece of more than `limit` bytes is an error.
    public borrowing func receive(limit: Int) throws(SystemCallError) -> [UInt8]? {
        let number = descriptor.rawValue
        var length: Int64 = 0
        let received = bytes(capacity: limit) { address in
            // MSG_TRUNC: the length of the whole piece.
            length = systemCall(
                __NR_recvfrom, UInt64(argument: number), address, UInt64(limit), 0x20, 0, 0)
            return length
        }
        switch received {
        case .success(let bytes):
            guard length <= Int64(limit) else {
                throw SystemCallError(
                    call: "recv", subject: "netlink", errorNumber: .messageTooLong)
            }
            return bytes
        case .failure(.wouldBlock): return nil
        case .failure(.interrupted): return try receive(limit: limit)
        case .failure(let error):
            throw SystemCallError(call: "recv", subject: "netlink", errorNumber: error)
        }
    }
}
