internal import CLinux

/// Attributes of a mount. Corresponds to `MOUNT_ATTR_…`.
public struct MountAttributes: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    public static let readOnly = MountAttributes(rawValue: 0x1)
    public static let noSetUserID = MountAttributes(rawValue: 0x2)
    public static let noDevices = MountAttributes(rawValue: 0x4)
    public static let noExecution = MountAttributes(rawValue: 0x8)
}

/// A limit of `prlimit`. Corresponds to `RLIMIT_…`.
public enum ProcessLimit: Int32, CaseIterable, Sendable {
    case cpuSeconds = 0
    case fileSize = 1
    case stack = 3
    case core = 4
    case processes = 6
    case openFiles = 7
    case lockedMemory = 8
    case addressSpace = 9
    case messageQueues = 12
    case realTimePriority = 14
}

// The calls that a program is made of, by the kernel's names.

// Mounts.
extension CallProgram {
    private static let closeOnExec: Int32 = 0o2_000_000
    /// `AT_FDCWD`
    private static let here = CallArgument.number(-100)
    /// `AT_EMPTY_PATH`
    private static let emptyPath: UInt64 = 0x1000
    /// `OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC`
    private static let cloneTree: UInt64 = 1 | 0o2_000_000

    /// Makes every mount below `/` private: nothing that happens here is seen outside.
    public func makeMountsPrivate() {
        // AT_RECURSIVE; propagation MS_PRIVATE
        let attributes = mount_attr(attr_set: 0, attr_clr: 0, propagation: 1 << 18, userns_fd: 0)
        append(
            __NR_mount_setattr, "mount_setattr",
            [
                Self.here, .text("/"), .literal(0x8000), .literal(address(of: [attributes])),
                .literal(UInt64(MemoryLayout<mount_attr>.size)),
            ])
    }

    /// A new file system of a type, with its options, as a mount that is nowhere attached yet.
    public func newFileSystem(
        _ type: String, options: [(name: String, value: String)], flags: [String] = [],
        attributes: MountAttributes, into slot: Slot
    ) {
        let context = makeSlot()
        // FSOPEN_CLOEXEC
        append(__NR_fsopen, "fsopen", [.text(type), .literal(1)], result: context)
        for (name, value) in options {
            // FSCONFIG_SET_STRING
            append(
                __NR_fsconfig, "fsconfig",
                [.slot(context), .literal(1), .text(name), .text(value), .literal(0)])
        }
        for name in flags {
            // FSCONFIG_SET_FLAG
            append(
                __NR_fsconfig, "fsconfig",
                [.slot(context), .literal(0), .text(name), .literal(0), .literal(0)])
        }
        // FSCONFIG_CMD_CREATE
        append(
            __NR_fsconfig, "fsconfig",
            [.slot(context), .literal(6), .literal(0), .literal(0), .literal(0)])
        // FSMOUNT_CLOEXEC
        append(
            __NR_fsmount, "fsmount",
            [.slot(context), .literal(1), .literal(attributes.rawValue)], result: slot)
    }

    /// A copy of the mount at a path, nowhere attached yet.
    public func cloneTree(at path: String, into slot: Slot) {
        append(
            __NR_open_tree, "open_tree", [Self.here, .text(path), .literal(Self.cloneTree)],
            result: slot)
    }

    /// Changes a mount before it is seen.
    public func setAttributes(_ attributes: MountAttributes, of mount: Slot) {
        setAttributes(attributes, directory: .slot(mount), path: "", flags: Self.emptyPath)
    }

    public func setAttributes(_ attributes: MountAttributes, ofMountAt path: String) {
        setAttributes(attributes, directory: Self.here, path: path, flags: 0)
    }

    private func setAttributes(
        _ attributes: MountAttributes, directory: CallArgument, path: String, flags: UInt64
    ) {
        let change = mount_attr(
            attr_set: attributes.rawValue, attr_clr: 0, propagation: 0, userns_fd: 0)
        append(
            __NR_mount_setattr, "mount_setattr",
            [
                directory, .text(path), .literal(flags), .literal(address(of: [change])),
                .literal(UInt64(MemoryLayout<mount_attr>.size)),
            ])
    }

    /// Attaches a mount at a path. The path's last component is not followed.
    public func attach(_ mount: Slot, at path: String) {
        // MOVE_MOUNT_F_EMPTY_PATH
        append(
            __NR_move_mount, "move_mount",
            [.slot(mount), .text(""), Self.here, .text(path), .literal(4)])
    }

    /// Shows what is at one path at another one too; nothing happens when `target` is missing.
    public func bind(_ source: String, at target: String) {
        // MS_BIND
        append(
            __NR_mount, "mount",
            [.text(source), .text(target), .literal(0), .literal(4096), .literal(0)],
            tolerating: .noEntry)
    }

    /// Makes the mount in the slot the root of this mount namespace and lets go of the old one.
    public func pivot(to mount: Slot) {
        append(__NR_fchdir, "fchdir", [.slot(mount)])
        append(__NR_pivot_root, "pivot_root", [.text("."), .text(".")])
        // MNT_DETACH
        append(__NR_umount2, "umount2", [.text("."), .literal(2)])
    }
}

// Files.
extension CallProgram {
    public func makeDirectory(_ name: String, in directory: Slot, permissions: UInt32) {
        append(
            __NR_mkdirat, "mkdirat",
            [.slot(directory), .text(name), .literal(UInt64(permissions))])
    }

    /// Makes a directory that may be there already.
    public func makeDirectory(_ path: String, permissions: UInt32) {
        append(
            __NR_mkdirat, "mkdirat", [Self.here, .text(path), .literal(UInt64(permissions))],
            tolerating: .exists)
    }

    /// A character device.
    public func makeDevice(_ name: String, in directory: Slot, major: UInt32, minor: UInt32) {
        let number = UInt64(minor & 0xff) | UInt64(major) << 8
        append(
            __NR_mknodat, "mknodat",
            [.slot(directory), .text(name), .literal(0o020_666), .literal(number)])
    }

    /// An empty file, for a mount to stand on.
    public func makeFile(_ name: String, in directory: Slot) {
        append(
            __NR_mknodat, "mknodat",
            [.slot(directory), .text(name), .literal(0o100_666), .literal(0)])
    }

    /// The same where something may be there already.
    public func makeFile(_ path: String) {
        append(
            __NR_mknodat, "mknodat",
            [Self.here, .text(path), .literal(0o100_644), .literal(0)], tolerating: .exists)
    }

    public func makeLink(_ name: String, to target: String, in directory: Slot) {
        append(__NR_symlinkat, "symlinkat", [.text(target), .slot(directory), .text(name)])
    }

    /// Follows no magic link: `/proc/self/fd` of this child still leads to the host's directories,
    /// and a link of the image may lead there.
    public func changeDirectory(to path: String) {
        let directory = makeSlot()
        // O_PATH | O_DIRECTORY | O_CLOEXEC; RESOLVE_NO_MAGICLINKS | RESOLVE_IN_ROOT
        let how = open_how(flags: 0o12_200_000, mode: 0, resolve: 0x02 | 0x10)
        append(
            __NR_openat2, "openat2",
            [
                Self.here, .text(path), .literal(address(of: [how])),
                .literal(UInt64(MemoryLayout<open_how>.size)),
            ], result: directory)
        append(__NR_fchdir, "fchdir", [.slot(directory)])
    }

    public func setFileCreationMask(_ mask: UInt32) {
        append(__NR_umask, "umask", [.literal(UInt64(mask))])
    }

    public func open(_ path: String, readWrite: Bool, into slot: Slot) {
        // O_RDWR | O_NOCTTY
        append(
            __NR_openat, "openat",
            [
                Self.here, .text(path),
                .literal(UInt64(Self.closeOnExec) | (readWrite ? 0o402 : 0)), .literal(0),
            ], result: slot)
    }
}

// Descriptors.
extension CallProgram {
    /// Moves a descriptor to a fixed number, kept open over `exec`.
    public func duplicate(_ slot: Slot, to number: Int32) {
        append(__NR_dup2, "dup2", [.slot(slot), .number(number)])
    }

    /// The same open file under a number of at least `minimum`, close-on-exec.
    public func raise(_ slot: Slot, toAtLeast minimum: Int32, into raised: Slot) {
        // F_DUPFD_CLOEXEC
        append(
            __NR_fcntl, "fcntl", [.slot(slot), .literal(1030), .number(minimum)], result: raised)
    }

    /// Makes a number free, whether or not it is in use: the next descriptor that is opened comes
    /// there, if none below is free.
    public func free(_ number: Int32) {
        append(
            __NR_close_range, "close_range", [.number(number), .number(number), .literal(0)])
    }

    /// The descriptor stays open when the child executes.
    public func keepOnExec(_ slot: Slot) {
        // F_SETFD
        append(__NR_fcntl, "fcntl", [.slot(slot), .literal(2), .literal(0)])
    }

    /// Every descriptor from `first` on closes when the child executes.
    public func closeOnExec(from first: Int32) {
        // CLOSE_RANGE_CLOEXEC
        append(
            __NR_close_range, "close_range",
            [.number(first), .literal(UInt64(UInt32.max)), .literal(4)])
    }

    /// Waits for one byte from the host, and fails when the host is gone. The child's own copy of
    /// the writing end is closed first: it would keep the pipe open.
    public func awaitByte(from reader: Slot, writer: Slot) {
        append(__NR_close, "close", [.slot(writer)])
        append(UInt32(ALCOVE_CALL_AWAIT_BYTE), "read", [.slot(reader)])
    }

    /// Hands a descriptor to the host over a socket.
    public func send(_ descriptor: Slot, over socket: Slot) {
        append(
            UInt32(ALCOVE_CALL_SEND_DESCRIPTOR), "sendmsg", [.slot(socket), .slot(descriptor)])
    }

    /// A pseudo-terminal of the `/dev/pts` that the child sees: the controlling side and the one
    /// for the workload.
    public func openTerminal(controller: Slot, workload: Slot) {
        open("/dev/pts/ptmx", readWrite: true, into: controller)
        let zero = address(of: [Int32(0)])
        append(
            __NR_ioctl, "ioctl",
            [.slot(controller), .literal(UInt64(alcove_ioctl_unlock_terminal)), .literal(zero)])
        // TIOCGPTPEER: no path is followed. O_RDWR | O_NOCTTY | O_CLOEXEC
        append(
            __NR_ioctl, "ioctl",
            [
                .slot(controller), .literal(UInt64(alcove_ioctl_open_terminal_peer)),
                .literal(0o2_000_402),
            ], result: workload)
    }
}

// Namespaces and the network.
extension CallProgram {
    public func unshare(_ namespaces: Namespaces) {
        append(__NR_unshare, "unshare", [.literal(namespaces.rawValue)])
    }

    /// Joins a namespace that was made ahead of time.
    public func join(_ namespace: Slot, _ kind: Namespaces) {
        append(__NR_setns, "setns", [.slot(namespace), .literal(kind.rawValue)])
    }

    /// Joins the namespace of this process's ``NetworkMaker``, once that is done, and lets it end.
    public func joinBegun(_ maker: Slot) {
        append(UInt32(ALCOVE_CALL_AWAIT), "futex", [.literal(NetworkMaker.stateAddress)])
        join(maker, .network)
        append(UInt32(ALCOVE_CALL_TELL), "futex", [.literal(NetworkMaker.releaseAddress)])
    }

    public func setHostname(_ name: String) {
        append(
            __NR_sethostname, "sethostname",
            [.text(name), .literal(UInt64(name.utf8.count))])
    }

    /// Brings up the loopback link of the network namespace.
    public func raiseLoopback() {
        let socket = makeSlot()
        // AF_INET, SOCK_DGRAM | SOCK_CLOEXEC
        append(
            __NR_socket, "socket", [.literal(2), .literal(0o2_000_002), .literal(0)], result: socket
        )
        append(
            __NR_ioctl, "ioctl",
            [.slot(socket), .literal(0x8914), .bytes(Self.loopbackUp)])
    }

    /// `struct ifreq` for `SIOCSIFFLAGS`: the name `lo`, then `IFF_UP | IFF_RUNNING`.
    static let loopbackUp: [UInt8] =
        Array("lo".utf8) + [UInt8](repeating: 0, count: 14) + [0x41, 0]
        + [UInt8](repeating: 0, count: 22)
}

// Identity and privilege.
extension CallProgram {
    public func setLimit(_ limit: ProcessLimit, soft: UInt64, hard: UInt64) {
        append(
            __NR_prlimit64, "prlimit64",
            [
                .literal(0), .number(limit.rawValue), .literal(address(of: [soft, hard])),
                .literal(0),
            ])
    }

    /// Takes the capability out of what any later `exec` could give.
    public func dropFromBoundingSet(_ capability: Int32) {
        append(__NR_prctl, "prctl", [.number(PR_CAPBSET_DROP), .number(capability)])
    }

    /// Leaves the child without a supplementary group.
    public func dropGroups() {
        append(__NR_setgroups, "setgroups", [.literal(0), .literal(0)])
    }

    public func setGroup(_ group: UInt32) {
        let group = CallArgument.literal(UInt64(group))
        append(__NR_setresgid, "setresgid", [group, group, group])
    }

    public func setUser(_ user: UInt32) {
        let user = CallArgument.literal(UInt64(user))
        append(__NR_setresuid, "setresuid", [user, user, user])
    }

    /// Empties the ambient set, then the effective, permitted and inheritable ones.
    public func dropCapabilities() {
        append(
            __NR_prctl, "prctl",
            [.number(PR_CAP_AMBIENT), .number(PR_CAP_AMBIENT_CLEAR_ALL), .literal(0)])
        // struct __user_cap_header_struct of version 3, for oneself; then two empty data structs.
        append(
            __NR_capset, "capset",
            [
                .literal(address(of: [UInt32(0x2008_0522), 0])),
                .literal(address(of: [UInt32](repeating: 0, count: 6))),
            ])
    }

    public func setNoNewPrivileges() {
        append(
            __NR_prctl, "prctl",
            [.number(PR_SET_NO_NEW_PRIVS), .literal(1), .literal(0), .literal(0), .literal(0)])
    }

    /// Loads a filter of system calls. With a listener, the calls that the filter hands over are
    /// told to whoever holds the descriptor in the slot.
    public func loadFilter(instructions: [UInt8], listener: Slot?) {
        let code = address(of: instructions)
        // struct sock_fprog: a count of 16 bits, padding, a pointer.
        let count = UInt64(instructions.count / 8)
        // SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER
        append(
            __NR_seccomp, "seccomp",
            [
                .literal(1), .literal(listener == nil ? 0 : 8),
                .literal(address(of: [count, code])),
            ], result: listener)
    }

    /// Executes the program behind a descriptor.
    public func execute(_ program: Slot, arguments: [String], environment: [String]) {
        append(
            __NR_execveat, "execveat",
            [
                .slot(program), .text(""), .texts(arguments), .texts(environment),
                .literal(Self.emptyPath),
            ])
    }
}
