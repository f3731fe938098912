internal import CLinux

/// How a file is opened; close-on-exec always.
public struct OpenMode: OptionSet, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    public static let readOnly: OpenMode = []
    public static let writeOnly = OpenMode(rawValue: 0o1)
    public static let readWrite = OpenMode(rawValue: 0o2)
    /// `O_PATH`: names a file without opening its content.
    public static let path = OpenMode(rawValue: 0o10_000_000)
    public static let directory = OpenMode(rawValue: 0o200_000)
    public static let noFollow = OpenMode(rawValue: 0o400_000)
    public static let nonBlocking = OpenMode(rawValue: 0o4000)
    public static let create = OpenMode(rawValue: 0o100)
    public static let truncate = OpenMode(rawValue: 0o1000)
    public static let append = OpenMode(rawValue: 0o2000)
    /// `O_TMPFILE`: a file without a name in the directory that is named.
    public static let unnamed = OpenMode(rawValue: 0o20_200_000)

    static let closeOnExec = OpenMode(rawValue: 0o2_000_000)
}

/// How `openat2` resolves a path.
public struct PathResolution: OptionSet, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// `RESOLVE_BENEATH`: refuses what would leave the directory.
    public static let beneath = PathResolution(rawValue: 0x08)
    /// `RESOLVE_IN_ROOT`: the directory is `/` for the whole resolution.
    public static let inRoot = PathResolution(rawValue: 0x10)
    /// `RESOLVE_NO_MAGICLINKS`
    public static let noMagicLinks = PathResolution(rawValue: 0x02)
}

/// What a name stands for.
public struct FileStatus: Sendable {
    public enum Kind: Sendable {
        case regular, directory, symbolicLink, socket, fifo, characterDevice, blockDevice
    }

    public let kind: Kind
    public let mode: UInt32
    public let user: UInt32
    /// The group that owns it.
    public let group: UInt32
    /// Its number within the device.
    public let inode: UInt64
    /// The device that holds it, as major and minor.
    public let device: (major: UInt32, minor: UInt32)
    public let size: UInt64
    /// How many names it has.
    public let links: UInt32
    /// What a device's node stands for.
    public let special: (major: UInt32, minor: UInt32)
    /// When its content, and when anything of it, changed last: since 1970.
    public let modified: (seconds: Int64, nanoseconds: UInt32)
    public let changed: (seconds: Int64, nanoseconds: UInt32)

    public var isExecutable: Bool { kind == .regular && mode & 0o111 != 0 }
}

/// Files by path. What fails throws the call, the path and the reason.
public enum Files {
    /// `AT_FDCWD`
    static let here: Int32 = -100

    public static func open(
        _ path: String, _ mode: OpenMode, permissions: UInt32 = 0o644
    ) throws(SystemCallError) -> Descriptor {
        try open(path, at: here, mode, permissions: permissions)
    }

    public static func open(
        _ path: String, at directory: borrowing Descriptor, _ mode: OpenMode,
        permissions: UInt32 = 0o644
    ) throws(SystemCallError) -> Descriptor {
        try open(path, at: directory.rawValue, mode, permissions: permissions)
    }

    private static func open(
        _ path: String, at directory: Int32, _ mode: OpenMode, permissions: UInt32
    ) throws(SystemCallError) -> Descriptor {
        let flags = mode.union(.closeOnExec).rawValue
        let result = withAddress(of: path) {
            systemCall(
                __NR_openat, UInt64(argument: directory), $0, flags, UInt64(permissions))
        }
        return Descriptor(owning: Int32(try checked(result, "open", path)))
    }

    /// Opens a path below a directory, resolved as asked for.
    public static func open(
        _ path: String, at directory: borrowing Descriptor, _ mode: OpenMode,
        resolving: PathResolution
    ) throws(SystemCallError) -> Descriptor {
        var how = open_how(
            flags: mode.union(.closeOnExec).rawValue, mode: 0, resolve: resolving.rawValue)
        let number = directory.rawValue
        // While others mount and rename, the kernel cannot tell whether `..` leads out, and says
        // so: then it is asked again.
        for attempt in 1...Self.mostResolutions {
            let result = withAddress(of: path) { path in
                withAddress(of: &how) { how in
                    systemCall(
                        __NR_openat2, UInt64(argument: number), path, how,
                        UInt64(MemoryLayout<open_how>.size))
                }
            }
            let isRace = result == -Int64(ErrorNumber.wouldBlock.rawValue)
            if isRace, attempt < Self.mostResolutions { continue }
            return Descriptor(owning: Int32(try checked(result, "open", path)))
        }
        preconditionFailure("the last attempt gives a result")
    }

    private static let mostResolutions = 1000

    public static func status(
        of path: String, at directory: borrowing Descriptor, followingLinks: Bool = true
    ) throws(SystemCallError) -> FileStatus {
        try status(path, at: directory.rawValue, flags: followingLinks ? 0 : 0x100)
    }

    public static func status(of path: String) throws(SystemCallError) -> FileStatus {
        try status(path, at: here, flags: 0)
    }

    public static func status(of descriptor: borrowing Descriptor) throws(SystemCallError)
        -> FileStatus
    {
        try status("", at: descriptor.rawValue, flags: 0x1000)
    }

    private static func status(
        _ path: String, at directory: Int32, flags: UInt64
    ) throws(SystemCallError) -> FileStatus {
        var status = statx()
        // STATX_BASIC_STATS
        let result = withAddress(of: path) { path in
            withAddress(of: &status) { status in
                systemCall(__NR_statx, UInt64(argument: directory), path, flags, 0x7ff, status)
            }
        }
        try checked(result, "stat", path)
        let mode = UInt32(status.stx_mode)
        let kind: FileStatus.Kind =
            switch mode & 0o170_000 {
            case 0o100_000: .regular
            case 0o040_000: .directory
            case 0o120_000: .symbolicLink
            case 0o140_000: .socket
            case 0o020_000: .characterDevice
            case 0o060_000: .blockDevice
            default: .fifo
            }
        return FileStatus(
            kind: kind, mode: mode & 0o7777, user: status.stx_uid, group: status.stx_gid,
            inode: status.stx_ino, device: (status.stx_dev_major, status.stx_dev_minor),
            size: status.stx_size, links: status.stx_nlink,
            special: (status.stx_rdev_major, status.stx_rdev_minor),
            modified: (status.stx_mtime.tv_sec, status.stx_mtime.tv_nsec),
            changed: (status.stx_ctime.tv_sec, status.stx_ctime.tv_nsec))
    }

    public static func exists(_ path: String) -> Bool {
        withAddress(of: path) {
            systemCall(__NR_faccessat, UInt64(argument: here), $0, 0)
        } == 0
    }

    public static func exists(_ name: String, at directory: borrowing Descriptor) -> Bool {
        let number = directory.rawValue
        return withAddress(of: name) {
            systemCall(__NR_faccessat, UInt64(argument: number), $0, 0)
        } == 0
    }

    /// The target of a symbolic link below a directory; nothing for what is no link.
    public static func linkTarget(_ path: String, atDescriptor directory: Int32) -> String? {
        try? linkTarget(path, at: directory)
    }

    /// The target of a symbolic link.
    public static func linkTarget(_ path: String) throws(SystemCallError) -> String {
        try linkTarget(path, at: here)
    }

    private static func linkTarget(
        _ path: String, at directory: Int32
    ) throws(SystemCallError) -> String {
        let target = bytes(capacity: 4096) { buffer in
            withAddress(of: path) {
                systemCall(__NR_readlinkat, UInt64(argument: directory), $0, buffer, 4096)
            }
        }
        switch target {
        case .success(let bytes): return String(decoding: bytes, as: UTF8.self)
        case .failure(let number):
            throw SystemCallError(call: "readlink", subject: path, errorNumber: number)
        }
    }

    /// The content of a small file, at most `limit` bytes of it.
    public static func read(_ path: String, limit: Int = 65536) throws(SystemCallError) -> String {
        let file = try open(path, .readOnly)
        return try read(file, limit: limit, subject: path)
    }

    public static func read(
        _ path: String, at directory: borrowing Descriptor, limit: Int = 65536
    ) throws(SystemCallError) -> String {
        let file = try open(path, at: directory, .readOnly)
        return try read(file, limit: limit, subject: path)
    }

    /// The rest of an open file, at most `limit` bytes of it.
    public static func read(
        _ file: borrowing Descriptor, limit: Int, subject: String
    ) throws(SystemCallError) -> String {
        var content: [UInt8] = []
        while content.count < limit {
            let more = try file.read(atMost: min(16384, limit - content.count), subject: subject)
            if more.isEmpty { break }
            content += more
        }
        return String(decoding: content, as: UTF8.self)
    }

    public static func write(
        _ text: String, to path: String, at directory: borrowing Descriptor
    ) throws(SystemCallError) {
        let file = try open(path, at: directory, .writeOnly)
        try file.write(text, subject: path)
    }

    public static func write(_ text: String, to path: String) throws(SystemCallError) {
        let file = try open(path, [.writeOnly])
        try file.write(text, subject: path)
    }

    public static func makeDirectory(
        _ name: String, at directory: borrowing Descriptor, permissions: UInt32 = 0o755
    ) throws(SystemCallError) {
        let number = directory.rawValue
        try checked(
            withAddress(of: name) {
                systemCall(__NR_mkdirat, UInt64(argument: number), $0, UInt64(permissions))
            }, "mkdir", name)
    }

    public static func removeDirectory(
        _ name: String, at directory: borrowing Descriptor
    ) throws(SystemCallError) {
        let number = directory.rawValue
        // AT_REMOVEDIR
        try checked(
            withAddress(of: name) {
                systemCall(__NR_unlinkat, UInt64(argument: number), $0, 0x200)
            }, "rmdir", name)
    }

    /// `f_type` of the file system that holds a path.
    public static func fileSystemType(of path: String) throws(SystemCallError) -> UInt64 {
        // struct statfs: 120 bytes on x86-64, of which the first word is the type.
        var buffer = InlineArray<15, UInt64>(repeating: 0)
        try checked(
            withAddress(of: path) { path in
                withAddress(of: &buffer) { systemCall(__NR_statfs, path, $0) }
            }, "statfs", path)
        return buffer[0]
    }
}

extension Descriptor {
    /// At most `count` bytes; none at the end of the file.
    public borrowing func read(atMost count: Int, subject: String? = nil) throws(SystemCallError)
        -> [UInt8]
    {
        let number = rawValue
        while true {
            let result = bytes(capacity: count) {
                systemCall(__NR_read, UInt64(argument: number), $0, UInt64(count))
            }
            switch result {
            case .success(let bytes): return bytes
            case .failure(.interrupted): continue
            case .failure(let number):
                throw SystemCallError(call: "read", subject: subject, errorNumber: number)
            }
        }
    }

    /// At most `count` bytes from an offset of a file on; none at its end.
    public borrowing func read(
        atMost count: Int, at offset: UInt64, subject: String? = nil
    ) throws(SystemCallError) -> [UInt8] {
        let number = rawValue
        let result = bytes(capacity: count) {
            systemCall(__NR_pread64, UInt64(argument: number), $0, UInt64(count), offset)
        }
        switch result {
        case .success(let bytes): return bytes
        case .failure(let number):
            throw SystemCallError(call: "read", subject: subject, errorNumber: number)
        }
    }

    /// Writes a text in one call, as the kernel's control files want it.
    public borrowing func write(_ text: String, subject: String? = nil) throws(SystemCallError) {
        let length = UInt64(text.utf8.count)
        let number = rawValue
        try checked(
            withAddress(of: text) {
                systemCall(__NR_write, UInt64(argument: number), $0, length)
            }, "write", subject)
    }

    /// Writes all the bytes, in as many calls as that takes.
    public borrowing func writeAll(_ bytes: [UInt8]) throws(SystemCallError) {
        let number = rawValue
        var done: UInt64 = 0
        while done < bytes.count {
            let result = withAddress(of: bytes) { address, count in
                systemCall(__NR_write, UInt64(argument: number), address + done, count - done)
            }
            if result == -4 { continue }
            done += UInt64(try checked(result, "write"))
        }
    }

    /// Writes as many of the bytes as are taken now, and gives how many: none when it would wait.
    public borrowing func writeSome(_ bytes: [UInt8]) throws(SystemCallError) -> Int {
        let number = rawValue
        let result = withAddress(of: bytes) { address, count in
            systemCall(__NR_write, UInt64(argument: number), address, count)
        }
        if result == -Int64(ErrorNumber.wouldBlock.rawValue) { return 0 }
        return Int(try checked(result, "write"))
    }

    public borrowing func makeNonBlocking() throws(SystemCallError) {
        // F_SETFL, O_NONBLOCK
        try checked(systemCall(__NR_fcntl, UInt64(argument: rawValue), 4, 0o4000), "fcntl")
    }

    /// Takes an advisory lock that ends with the open file. False when another holds it.
    public borrowing func lock() throws(SystemCallError) -> Bool {
        // LOCK_EX | LOCK_NB
        let result = systemCall(__NR_flock, UInt64(argument: rawValue), 2 | 4)
        if result == -Int64(ErrorNumber.wouldBlock.rawValue) { return false }
        try checked(result, "flock")
        return true
    }
}

extension Descriptor {
    /// Takes an advisory lock that ends with this process, at its death at the latest: unlike that
    /// of `lock`, a child between its clone and its exec does not hold it on. It ends as well when
    /// this process closes any descriptor of the file. False when another process holds it.
    public borrowing func lockForProcess() throws(SystemCallError) -> Bool {
        // struct flock of 64-bit systems: the type F_WRLCK and SEEK_SET in the first word, then
        // start and length, 0 for the whole file, and a pid.
        var lock = InlineArray<4, UInt64>(repeating: 0)
        lock[0] = 1
        let number = rawValue
        // F_SETLK
        let result = withAddress(of: &lock) {
            systemCall(__NR_fcntl, UInt64(argument: number), 6, $0)
        }
        if result == -Int64(ErrorNumber.wouldBlock.rawValue)
            || result == -Int64(ErrorNumber.permissionDenied.rawValue)
        {
            return false
        }
        try checked(result, "fcntl")
        return true
    }
}

/// Two connected descriptors, close-on-exec. Whoever makes one owns both numbers.
public struct Pipe: Sendable {
    public let reader: Int32
    public let writer: Int32

    public static func make(nonBlocking: Bool = false) throws(SystemCallError) -> Pipe {
        var numbers: (Int32, Int32) = (-1, -1)
        // O_CLOEXEC, O_NONBLOCK
        let flags: UInt64 = nonBlocking ? 0o2_004_000 : 0o2_000_000
        try checked(withAddress(of: &numbers) { systemCall(__NR_pipe2, $0, flags) }, "pipe")
        return Pipe(reader: numbers.0, writer: numbers.1)
    }
}

/// How much a file system holds.
public struct FileSystemSpace: Hashable, Sendable {
    public let totalBytes: UInt64
    /// For programs without privileges.
    public let freeBytes: UInt64
}

extension Files {
    /// Of the file system that holds a path.
    public static func space(below path: String) throws(SystemCallError) -> FileSystemSpace {
        // struct statfs: type, block size, blocks, free blocks, those for everyone.
        var buffer = InlineArray<15, UInt64>(repeating: 0)
        try checked(
            withAddress(of: path) { path in
                withAddress(of: &buffer) { systemCall(__NR_statfs, path, $0) }
            }, "statfs", path)
        return FileSystemSpace(
            totalBytes: buffer[2] &* buffer[1], freeBytes: buffer[4] &* buffer[1])
    }

    /// Makes a directory and those above it that are not there.
    public static func makeDirectories(
        _ path: String, permissions: UInt32 = 0o755
    ) throws(SystemCallError) {
        guard !exists(path) else { return }
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) ?? path.startIndex
        let above = slash == path.startIndex ? "/" : String(path[..<slash])
        try makeDirectories(above)
        let directory = try open(above, [.path, .directory])
        let name = String(path[path.utf8.index(after: slash)...])
        do throws(SystemCallError) {
            try makeDirectory(name, at: directory, permissions: permissions)
        } catch {
            // Somebody else made it at the same time.
            if error.errorNumber != .exists { throw error }
        }
    }
}
