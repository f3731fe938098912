internal import CLinux

/// A socket that clients connect to; non-blocking.
public final class ListeningSocket: Sendable {
    public let descriptor: Descriptor
    private let path: String?
    private let inode: UInt64

    /// Makes one of the Unix family at a path. A socket that is there already is replaced if nobody
    /// listens on it; if somebody does, or it is no socket, that is an error.
    ///
    /// The mode and the group hold before the first client can connect.
    public init(
        path: String, mode: UInt32 = 0o660, group: UInt32? = nil, backlog: Int32 = 512
    ) throws(SystemCallError) {
        // Two agents that start at once must not take each other's socket for a stale one.
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let lock = try Files.open(folder, [.readOnly, .directory])
        guard try lock.lock() else {
            throw SystemCallError(call: "flock", subject: folder, errorNumber: .busy)
        }
        try Self.removeStale(path)
        descriptor = try UnixSockets.make()
        // Nobody can connect before `listen`.
        try UnixSockets.bind(descriptor, to: path)
        do throws(SystemCallError) {
            if let group { try Files.changeOwner(of: path, group: group) }
            try Files.changeMode(of: path, to: mode)
            inode = try Files.status(of: path).inode
            try UnixSockets.listen(descriptor, backlog: backlog)
        } catch {
            try? Files.remove(path)
            throw error
        }
        self.path = path
    }

    /// Takes over one of the Unix family that the service manager made. Its path is the manager's
    /// and stays.
    public init(inherited: consuming Descriptor) throws(SystemCallError) {
        guard try UnixSockets.isListening(inherited) else {
            throw SystemCallError(
                call: "getsockopt", subject: "the inherited descriptor \(inherited.rawValue)",
                errorNumber: .invalid)
        }
        try UnixSockets.setNonBlocking(inherited)
        descriptor = inherited
        path = nil
        inode = 0
    }

    /// Makes one on a TCP port of 127.0.0.1, for every user of the host. Port 0 is one that is
    /// free.
    public init(loopbackPort port: UInt16, backlog: Int32 = 512) throws(SystemCallError) {
        // AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
        let number = systemCall(__NR_socket, 2, 1 | 0o4000 | 0o2_000_000, 0)
        let socket = Descriptor(owning: Int32(try checked(number, "socket")))
        let raw = socket.rawValue
        // SOL_SOCKET, SO_REUSEADDR: connections of an agent before this one may linger.
        var one: Int32 = 1
        try checked(
            withAddress(of: &one) {
                systemCall(__NR_setsockopt, UInt64(argument: raw), 1, 2, $0, 4)
            }, "setsockopt")
        // struct sockaddr_in: the family, port and address in the network's order, 8 bytes unused.
        let address: [UInt8] =
            [2, 0, UInt8(port >> 8), UInt8(port & 0xFF), 127, 0, 0, 1]
            + [UInt8](repeating: 0, count: 8)
        try checked(
            withAddress(of: address) { systemCall(__NR_bind, UInt64(argument: raw), $0, $1) },
            "bind", "127.0.0.1:\(port)")
        try UnixSockets.listen(socket, backlog: backlog)
        descriptor = socket
        path = nil
        inode = 0
    }

    /// The port of one on TCP.
    public var port: UInt16 {
        var address = (UInt32(0), UInt32(0), UInt32(0), UInt32(0))
        var size: UInt32 = 16
        let number = descriptor.rawValue
        let result = withAddress(of: &address) { address in
            withAddress(of: &size) {
                systemCall(__NR_getsockname, UInt64(argument: number), address, $0)
            }
        }
        // AF_INET in the lower half, as the machine has it; the port in the network's order.
        guard result == 0, address.0 & 0xFFFF == 2 else { return 0 }
        return UInt16(truncatingIfNeeded: address.0 >> 16).byteSwapped
    }

    private static func removeStale(_ path: String) throws(SystemCallError) {
        let status: FileStatus
        do throws(SystemCallError) {
            status = try Files.status(of: path)
        } catch {
            if error.errorNumber == .noEntry { return }
            throw error
        }
        guard status.kind == .socket else {
            throw SystemCallError(call: "bind", subject: path, errorNumber: .exists)
        }
        let probe = try UnixSockets.make()
        do throws(SystemCallError) {
            try UnixSockets.connect(probe, to: path)
        } catch {
            switch error.errorNumber {
            case .connectionRefused:
                try Files.remove(path)
                return
            // Its backlog is full: somebody is behind it.
            case .wouldBlock: break
            default: throw error
            }
        }
        throw SystemCallError(call: "bind", subject: path, errorNumber: .addressInUse)
    }

    /// Removes the path, unless another socket has taken it.
    public func removePath() {
        guard let path, let status = try? Files.status(of: path), status.inode == inode else {
            return
        }
        // What is left over is replaced at the next start.
        try? Files.remove(path)
    }
}
