internal import CLinux

extension Files {
    /// Gives a path another owner or group; what is nil stays.
    public static func changeOwner(
        of path: String, user: UInt32? = nil, group: UInt32? = nil
    ) throws(SystemCallError) {
        // AT_SYMLINK_NOFOLLOW
        try checked(
            withAddress(of: path) {
                systemCall(
                    __NR_fchownat, UInt64(argument: here), $0, UInt64(user ?? .max),
                    UInt64(group ?? .max), 0x100)
            }, "chown", path)
    }

    public static func changeMode(
        of path: String, to mode: UInt32
    ) throws(SystemCallError) {
        try checked(
            withAddress(of: path) {
                systemCall(__NR_fchmodat, UInt64(argument: here), $0, UInt64(mode))
            }, "chmod", path)
    }

    /// Removes a name that is no directory.
    public static func remove(_ path: String) throws(SystemCallError) {
        try checked(
            withAddress(of: path) {
                systemCall(__NR_unlinkat, UInt64(argument: here), $0, 0)
            }, "unlink", path)
    }

    /// Gives a name below a directory another one; what has that already is replaced.
    public static func rename(
        _ name: String, to other: String, at directory: borrowing Descriptor
    ) throws(SystemCallError) {
        let number = directory.rawValue
        try checked(
            withAddress(of: name) { name in
                withAddress(of: other) {
                    systemCall(
                        __NR_renameat2, UInt64(argument: number), name, UInt64(argument: number),
                        $0)
                }
            }, "rename", name)
    }

    public static func remove(
        _ name: String, at directory: borrowing Descriptor
    ) throws(SystemCallError) {
        let number = directory.rawValue
        try checked(
            withAddress(of: name) { systemCall(__NR_unlinkat, UInt64(argument: number), $0, 0) },
            "unlink", name)
    }

    public static func makeDirectory(
        _ path: String, permissions: UInt32
    ) throws(SystemCallError) {
        try checked(
            withAddress(of: path) {
                systemCall(__NR_mkdirat, UInt64(argument: here), $0, UInt64(permissions))
            }, "mkdir", path)
    }

    public static func removeDirectory(_ path: String) throws(SystemCallError) {
        // AT_REMOVEDIR
        try checked(
            withAddress(of: path) {
                systemCall(__NR_unlinkat, UInt64(argument: here), $0, 0x200)
            }, "rmdir", path)
    }
}
