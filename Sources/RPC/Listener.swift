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

    let socket: ListeningSocket
    let users: Users
    /// Only endpoints that change nothing are offered.
    let isReadOnly: Bool

    /// Makes a socket at a path. One that is there already is replaced if nobody listens on it;
    /// if somebody does, or it is no socket, that is an error.
    ///
    /// The mode and the group hold before the first client can connect.
    public init(
        path: String, mode: UInt32 = 0o660, group: UInt32? = nil, users: Users = .any,
        isReadOnly: Bool = false, backlog: Int32 = 512
    ) throws(SystemCallError) {
        socket = try ListeningSocket(path: path, mode: mode, group: group, backlog: backlog)
        self.users = users
        self.isReadOnly = isReadOnly
    }

    /// Takes over a listening socket that the service manager made. Its path is the manager's and
    /// stays.
    public init(
        inherited: consuming Descriptor, users: Users = .any, isReadOnly: Bool = false
    ) throws(SystemCallError) {
        socket = try ListeningSocket(inherited: inherited)
        self.users = users
        self.isReadOnly = isReadOnly
    }
}
