internal import CLinux

/// The address of a socket of the Unix family.
public enum UnixAddress: Hashable, Sendable {
    case path(String)
    /// A name that stands in no directory. Other programs write it with `@` before it.
    case abstract(String)

    /// Reads a path from the root, or `@` and a name. Nothing for anything else, and for what does
    /// not fit into an address.
    public init?(_ text: String) {
        guard text.utf8.count <= UnixSockets.longestPath, !text.utf8.contains(0) else { return nil }
        if text.hasPrefix("/") {
            self = .path(text)
        } else if text.hasPrefix("@"), text.utf8.count > 1 {
            self = .abstract(String(text.dropFirst()))
        } else {
            return nil
        }
    }

    /// struct sockaddr_un: AF_UNIX in two bytes, then the path and a zero, or a zero and the name.
    var bytes: [UInt8] {
        switch self {
        case .path(let path): [1, 0] + Array(path.utf8) + [0]
        case .abstract(let name): [1, 0, 0] + Array(name.utf8)
        }
    }
}

extension UnixAddress: CustomStringConvertible {
    public var description: String {
        switch self {
        case .path(let path): path
        case .abstract(let name): "@" + name
        }
    }
}

/// A socket of the Unix family that sends single messages to any address, without a connection:
/// close-on-exec and non-blocking.
public struct DatagramSocket: ~Copyable, Sendable {
    public let descriptor: Descriptor

    public init() throws(SystemCallError) {
        // AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC
        let number = systemCall(__NR_socket, 1, 2 | 0o4000 | 0o2_000_000, 0)
        descriptor = Descriptor(owning: Int32(try checked(number, "socket")))
    }

    /// Sends one message whole, or not at all.
    public borrowing func send(_ message: [UInt8], to address: UnixAddress) -> UnixSockets.Transfer
    {
        let number = descriptor.rawValue
        let result = withAddress(of: message) { message, length in
            withAddress(of: address.bytes) { address, addressLength in
                // MSG_NOSIGNAL
                systemCall(
                    __NR_sendto, UInt64(argument: number), message, length, 0x4000, address,
                    addressLength)
            }
        }
        return UnixSockets.Transfer(result)
    }

    /// Gives it an address that others can send to.
    public borrowing func bind(to address: UnixAddress) throws(SystemCallError) {
        let number = descriptor.rawValue
        try checked(
            withAddress(of: address.bytes) {
                systemCall(__NR_bind, UInt64(argument: number), $0, $1)
            }, "bind", address.description)
    }
}

extension Descriptor {
    /// Keeps it from what this process executes. For one that somebody else has opened.
    public borrowing func setCloseOnExec() throws(SystemCallError) {
        // F_SETFD, FD_CLOEXEC
        try checked(systemCall(__NR_fcntl, UInt64(argument: rawValue), 2, 1), "fcntl")
    }
}
