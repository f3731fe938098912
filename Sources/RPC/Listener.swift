public import LinuxKernel

/// A socket that clients connect to.
public final class Listener: Sendable {
    /// Who may connect, by the user id that the kernel tells of the other end.
    public enum Users: Hashable, Sendable {
        /// Whom the socket's mode and group let in.
        case any
        case only(Set<UInt32>)

        func contains(_ uid: UInt32) -> Bool {
            switch self {
            case .any: true
            case .only(let uids): uids.contains(uid)
            }
        }
    }

    let descriptor: Descriptor
    let users: Users
    /// Only endpoints that change nothing are offered.
    let isReadOnly: Bool
    private let path: String?
    private let inode: UInt64

    /// Makes a socket at a path. One that is there already is replaced if nobody listens on it;
    /// if somebody does, or it is no socket, that is an error.
    ///
    /// The mode and the group hold before the first client can connect.
    public init(
        path: String, mode: UInt32 = 0o660, group: UInt32? = nil, users: Users = .any,
        isReadOnly: Bool = false, backlog: Int32 = 512
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
        self.users = users
        self.isReadOnly = isReadOnly
    }

    /// Takes over a listening socket that the service manager made. Its path is the manager's and
    /// stays.
    public init(
        inherited: consuming Descriptor, users: Users = .any, isReadOnly: Bool = false
    ) throws(SystemCallError) {
        guard try UnixSockets.isListening(inherited) else {
            throw SystemCallError(
                call: "getsockopt", subject: "the inherited descriptor \(inherited.rawValue)",
                errorNumber: .invalid)
        }
        try UnixSockets.setNonBlocking(inherited)
        descriptor = inherited
        self.users = users
        self.isReadOnly = isReadOnly
        path = nil
        inode = 0
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
    func removePath() {
        guard let path, let status = try? Files.status(of: path), status.inode == inode else {
            return
        }
        // What is left over is replaced at the next start.
        try? Files.remove(path)
    }
}
