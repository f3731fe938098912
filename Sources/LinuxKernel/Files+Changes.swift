internal import CLinux

// What changes a directory: by name below an open directory, never by a path that could lead
// elsewhere.
extension Files {
    /// Gives a file another name, and takes the place of what has that name unless told not to.
    public static func rename(
        _ name: String, at directory: borrowing Descriptor, to newName: String,
        at newDirectory: borrowing Descriptor, replacing: Bool = true
    ) throws(SystemCallError) {
        let (old, new) = (directory.rawValue, newDirectory.rawValue)
        // RENAME_NOREPLACE
        let flags: UInt64 = replacing ? 0 : 1
        try checked(
            withAddress(of: name) { name in
                withAddress(of: newName) {
                    systemCall(
                        __NR_renameat2, UInt64(argument: old), name, UInt64(argument: new), $0,
                        flags)
                }
            }, "rename", newName)
    }

    public static func removeFile(
        _ name: String, at directory: borrowing Descriptor
    ) throws(SystemCallError) {
        let number = directory.rawValue
        try checked(
            withAddress(of: name) {
                systemCall(__NR_unlinkat, UInt64(argument: number), $0, 0)
            }, "unlink", name)
    }

    /// Sets the times of a file to now.
    public static func touch(
        _ name: String, at directory: borrowing Descriptor
    ) throws(SystemCallError) {
        let number = directory.rawValue
        try checked(
            withAddress(of: name) {
                systemCall(__NR_utimensat, UInt64(argument: number), $0, 0, 0)
            }, "utimensat", name)
    }

    /// When a file was last changed, in nanoseconds since 1970.
    public static func changeTime(
        of name: String, at directory: borrowing Descriptor
    ) throws(SystemCallError) -> Int64 {
        var status = statx()
        let number = directory.rawValue
        // STATX_MTIME
        try checked(
            withAddress(of: name) { name in
                withAddress(of: &status) {
                    systemCall(__NR_statx, UInt64(argument: number), name, 0, 0x40, $0)
                }
            }, "stat", name)
        return status.stx_mtime.tv_sec * 1_000_000_000 + Int64(status.stx_mtime.tv_nsec)
    }

    /// Bytes that whoever is not root could still write to the file system of an open file.
    public static func freeBytes(of file: borrowing Descriptor) throws(SystemCallError) -> UInt64 {
        // struct statfs: 120 bytes on x86-64, of which the words 1 and 4 are f_bsize and f_bavail.
        var buffer = InlineArray<15, UInt64>(repeating: 0)
        let number = file.rawValue
        try checked(
            withAddress(of: &buffer) { systemCall(__NR_fstatfs, UInt64(argument: number), $0) },
            "statfs")
        return buffer[1] * buffer[4]
    }
}

extension DirectoryListing {
    /// The names in an open directory, without `.` and `..`.
    public static func names(
        in directory: borrowing Descriptor
    ) throws(SystemCallError) -> [String] {
        try names(in: "/proc/self/fd/\(directory.rawValue)")
    }
}

extension Descriptor {
    /// Waits until content and size are on the disk.
    public borrowing func synchronize(subject: String? = nil) throws(SystemCallError) {
        try checked(systemCall(__NR_fsync, UInt64(argument: rawValue)), "fsync", subject)
    }

    /// Has the kernel begin to write a part of a file to the disk.
    public borrowing func startWriting(at offset: UInt64, count: UInt64) {
        // SYNC_FILE_RANGE_WRITE. A file system that cannot writes it later.
        _ = systemCall(__NR_sync_file_range, UInt64(argument: rawValue), offset, count, 2)
    }

    /// Has the kernel forget the content of a file that it has in memory, as far as that is on the
    /// disk.
    public borrowing func forgetContent() {
        // POSIX_FADV_DONTNEED. It is advice.
        _ = systemCall(__NR_fadvise64, UInt64(argument: rawValue), 0, 0, 4)
    }

    public borrowing func setSize(_ size: UInt64) throws(SystemCallError) {
        try checked(systemCall(__NR_ftruncate, UInt64(argument: rawValue), size), "ftruncate")
    }

    /// The same for a larger size, with the space for it taken at once, so that no later write
    /// finds the disk full. Where the file system cannot take space ahead, later writes may.
    public borrowing func setSizeTakingSpace(_ size: UInt64) throws(SystemCallError) {
        do throws(SystemCallError) {
            try checked(
                systemCall(__NR_fallocate, UInt64(argument: rawValue), 0, 0, size), "fallocate")
        } catch {
            guard error.errorNumber == .notSupported else { throw error }
            try setSize(size)
        }
    }

    public borrowing func setOwners(user: UInt32, group: UInt32) throws(SystemCallError) {
        try checked(
            systemCall(__NR_fchown, UInt64(argument: rawValue), UInt64(user), UInt64(group)),
            "fchown")
    }

    /// Goes on by `count` bytes without reading them.
    public borrowing func skip(_ count: Int64) throws(SystemCallError) {
        // SEEK_CUR
        try checked(
            systemCall(__NR_lseek, UInt64(argument: rawValue), UInt64(bitPattern: count), 1),
            "lseek")
    }

    /// Waits for an advisory lock that ends with the open file.
    public borrowing func lockWaiting(shared: Bool = false) throws(SystemCallError) {
        while true {
            // LOCK_SH or LOCK_EX
            let result = systemCall(__NR_flock, UInt64(argument: rawValue), shared ? 1 : 2)
            if result == -Int64(ErrorNumber.interrupted.rawValue) { continue }
            try checked(result, "flock")
            return
        }
    }
}

extension Files {
    public static func setOwners(
        of name: String, at directory: borrowing Descriptor, user: UInt32, group: UInt32
    ) throws(SystemCallError) {
        let number = directory.rawValue
        // AT_SYMLINK_NOFOLLOW
        try checked(
            withAddress(of: name) {
                systemCall(
                    __NR_fchownat, UInt64(argument: number), $0, UInt64(user), UInt64(group), 0x100)
            }, "chown", name)
    }

    public static func setPermissions(
        of name: String, at directory: borrowing Descriptor, _ permissions: UInt32
    ) throws(SystemCallError) {
        let number = directory.rawValue
        try checked(
            withAddress(of: name) {
                systemCall(
                    __NR_fchmodat, UInt64(argument: number), $0, UInt64(permissions))
            }, "chmod", name)
    }
}
