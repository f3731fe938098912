internal import CLinux

/// Who is at the other end of a socket, as the kernel says. Corresponds to `struct ucred`.
public struct PeerCredentials: Hashable, Sendable {
    public let pid: Int32
    public let uid: UInt32
    public let gid: UInt32
}

/// Stream sockets of the Unix family: close-on-exec and non-blocking all of them.
public enum UnixSockets {
    /// The longest path that fits into an address with the zero byte at its end.
    public static let longestPath = 107

    /// SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
    private static let kind: UInt64 = 1 | 0o4000 | 0o2_000_000

    public static func make() throws(SystemCallError) -> Descriptor {
        Descriptor(owning: Int32(try checked(systemCall(__NR_socket, 1, kind, 0), "socket")))
    }

    /// Two connected sockets. Whoever makes them owns both numbers.
    public static func makePair() throws(SystemCallError) -> (Int32, Int32) {
        var numbers: (Int32, Int32) = (-1, -1)
        try checked(
            withAddress(of: &numbers) { systemCall(__NR_socketpair, 1, kind, 0, $0) }, "socketpair")
        return numbers
    }

    public static func connect(
        _ socket: borrowing Descriptor, to path: String
    ) throws(SystemCallError) {
        try call(__NR_connect, "connect", socket, path)
    }

    public static func bind(
        _ socket: borrowing Descriptor, to path: String
    ) throws(SystemCallError) {
        try call(__NR_bind, "bind", socket, path)
    }

    private static func call(
        _ number: Int32, _ name: StaticString, _ socket: borrowing Descriptor, _ path: String
    ) throws(SystemCallError) {
        guard !path.isEmpty, path.utf8.count <= longestPath, !path.utf8.contains(0) else {
            throw SystemCallError(call: "\(name)", subject: path, errorNumber: .invalid)
        }
        // struct sockaddr_un: AF_UNIX in two bytes, then the path.
        let address = [1, 0] + Array(path.utf8) + [0]
        let socket = socket.rawValue
        try checked(
            withAddress(of: address) { systemCall(number, UInt64(argument: socket), $0, $1) },
            name, path)
    }

    public static func listen(
        _ socket: borrowing Descriptor, backlog: Int32
    ) throws(SystemCallError) {
        try checked(
            systemCall(
                __NR_listen, UInt64(argument: socket.rawValue), UInt64(argument: backlog)),
            "listen")
    }

    /// The next connection of a listening socket; nothing when there is none.
    public static func accept(_ socket: borrowing Descriptor) throws(SystemCallError) -> Descriptor?
    {
        let result = systemCall(
            __NR_accept4, UInt64(argument: socket.rawValue), 0, 0, 0o4000 | 0o2_000_000)
        // Also what ended before it was taken: ECONNABORTED.
        if [ErrorNumber.wouldBlock.rawValue, ErrorNumber.interrupted.rawValue, 103]
            .contains(Int32(truncatingIfNeeded: -result))
        {
            return nil
        }
        return Descriptor(owning: Int32(try checked(result, "accept")))
    }

    public static func peer(
        of socket: borrowing Descriptor
    ) throws(SystemCallError) -> PeerCredentials {
        var credentials: (Int32, UInt32, UInt32) = (0, 0, 0)
        // SO_PEERCRED
        try option(17, of: socket, &credentials)
        return PeerCredentials(pid: credentials.0, uid: credentials.1, gid: credentials.2)
    }

    /// Whether it is a stream socket of the Unix family that listens.
    public static func isListening(_ socket: borrowing Descriptor) throws(SystemCallError) -> Bool {
        // SO_DOMAIN, SO_TYPE, SO_ACCEPTCONN
        for (name, wanted) in [(39, 1), (3, 1), (30, 1)] as [(UInt64, Int32)] {
            var value: Int32 = 0
            try option(name, of: socket, &value)
            if value != wanted { return false }
        }
        return true
    }

    private static func option<Value: BitwiseCopyable>(
        _ name: UInt64, of socket: borrowing Descriptor, _ value: inout Value
    ) throws(SystemCallError) {
        var size = UInt32(MemoryLayout<Value>.size)
        let number = socket.rawValue
        // SOL_SOCKET
        try checked(
            withAddress(of: &value) { value in
                withAddress(of: &size) { size in
                    systemCall(__NR_getsockopt, UInt64(argument: number), 1, name, value, size)
                }
            }, "getsockopt")
    }

    /// Makes accepting and reading give back at once, for a socket that another program made.
    public static func setNonBlocking(_ socket: borrowing Descriptor) throws(SystemCallError) {
        // F_SETFL, O_NONBLOCK; F_SETFD, FD_CLOEXEC
        try checked(
            systemCall(__NR_fcntl, UInt64(argument: socket.rawValue), 4, 0o4000), "fcntl")
        try checked(systemCall(__NR_fcntl, UInt64(argument: socket.rawValue), 2, 1), "fcntl")
    }

    /// What a transfer came to.
    public enum Transfer: Sendable {
        /// None at the end of the other side's data.
        case bytes(Int)
        case wouldBlock
        case failed(ErrorNumber)

        init(_ result: Int64) {
            switch result {
            case 0...: self = .bytes(Int(result))
            case -Int64(ErrorNumber.wouldBlock.rawValue),
                -Int64(ErrorNumber.interrupted.rawValue):
                self = .wouldBlock
            default: self = .failed(ErrorNumber(rawValue: Int32(truncatingIfNeeded: -result)))
            }
        }
    }

    /// Receives into the buffer, at most its count.
    public static func receive(_ number: Int32, into buffer: inout [UInt8]) -> Transfer {
        // SAFETY: the kernel writes within the buffer, which lives until the call is over.
        return unsafe buffer.withUnsafeMutableBytes { bytes in
            Transfer(
                systemCall(
                    __NR_read, UInt64(argument: number),
                    UInt64(UInt(bitPattern: bytes.baseAddress)), UInt64(bytes.count)))
        }
    }

    /// Receives into the buffer what stays to be received again. Corresponds to `MSG_PEEK`.
    public static func peek(_ number: Int32, into buffer: inout [UInt8]) -> Transfer {
        // SAFETY: the kernel writes within the buffer, which lives until the call is over.
        return unsafe buffer.withUnsafeMutableBytes { bytes in
            Transfer(
                systemCall(
                    __NR_recvfrom, UInt64(argument: number),
                    UInt64(UInt(bitPattern: bytes.baseAddress)), UInt64(bytes.count), 2))
        }
    }

    /// Sends the parts, in order. A closed peer gives an error and no signal. Corresponds to
    /// `sendmsg`.
    public static func send(_ parts: [MemoryPart], to number: Int32) -> Transfer {
        precondition(parts.count <= Descriptor.mostParts, "no more parts than the kernel takes")
        // SAFETY: the array lives until the call is over; its parts are kept by whoever made them.
        return unsafe parts.withUnsafeBytes { bytes in
            // struct msghdr: a name and its size, parts and their number, ancillary data and its
            // size, flags.
            var message: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (
                0, 0, UInt64(UInt(bitPattern: bytes.baseAddress)), UInt64(parts.count), 0, 0, 0
            )
            return withAddress(of: &message) {
                // MSG_NOSIGNAL
                Transfer(systemCall(__NR_sendmsg, UInt64(argument: number), $0, 0x4000))
            }
        }
    }

    /// A half of a connection, as one side sees it. Corresponds to `SHUT_RD` and `SHUT_WR`.
    public enum Half: UInt64, Sendable {
        case receiving = 0
        case sending = 1
    }

    /// Ends a half of a connection: what is sent on it fails, or what is received comes to an end.
    public static func shutDown(_ half: Half, of number: Int32) {
        // It fails for a connection that has ended alone.
        _ = systemCall(__NR_shutdown, UInt64(argument: number), half.rawValue)
    }

    /// Sends what follows the first `start` bytes. A closed peer gives an error and no signal.
    public static func send(_ bytes: [UInt8], from start: Int, to number: Int32) -> Transfer {
        precondition(start >= 0 && start <= bytes.count, "a start within the bytes")
        // MSG_NOSIGNAL
        return withAddress(of: bytes) { address, count in
            Transfer(
                systemCall(
                    __NR_sendto, UInt64(argument: number), address + UInt64(start),
                    count - UInt64(start), 0x4000))
        }
    }
}
