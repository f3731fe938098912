internal import CLinux

/// An option of a file system that is being mounted. Corresponds to a command of `fsconfig`.
public enum FileSystemOption: Sendable {
    case flag(name: String)
    case text(name: String, value: String)
    /// A descriptor, which the file system does not take over.
    case descriptor(name: String, number: Int32)
}

extension Mounts {
    /// A new file system of a type, as a mount that is attached nowhere: it is gone when its
    /// descriptor is closed, unless somebody attached it.
    public static func make(
        _ type: String, options: [FileSystemOption], attributes: MountAttributes
    ) throws(SystemCallError) -> Descriptor {
        // FSOPEN_CLOEXEC
        let context = Descriptor(
            owning: Int32(
                try checked(
                    withAddress(of: type) { systemCall(__NR_fsopen, $0, 1) }, "fsopen", type)))
        for option in options { try configure(context, option, type) }
        // FSCONFIG_CMD_CREATE
        let created = systemCall(__NR_fsconfig, UInt64(argument: context.rawValue), 6)
        try checked(created, "fsconfig", subject(type, context))
        // FSMOUNT_CLOEXEC
        let mount = systemCall(
            __NR_fsmount, UInt64(argument: context.rawValue), 1, attributes.rawValue)
        return Descriptor(owning: Int32(try checked(mount, "fsmount", type)))
    }

    private static func configure(
        _ context: borrowing Descriptor, _ option: FileSystemOption, _ type: String
    ) throws(SystemCallError) {
        let number = UInt64(argument: context.rawValue)
        let result: Int64
        switch option {
        case .flag(let name):
            // FSCONFIG_SET_FLAG
            result = withAddress(of: name) { systemCall(__NR_fsconfig, number, 0, $0) }
        case .text(let name, let value):
            // FSCONFIG_SET_STRING
            result = withAddress(of: name) { name in
                withAddress(of: value) { systemCall(__NR_fsconfig, number, 1, name, $0) }
            }
        case .descriptor(let name, let descriptor):
            // FSCONFIG_SET_FD
            result = withAddress(of: name) {
                systemCall(__NR_fsconfig, number, 5, $0, 0, UInt64(argument: descriptor))
            }
        }
        try checked(result, "fsconfig", subject(type, context))
    }

    /// The type, and what the kernel says beside the error number.
    private static func subject(_ type: String, _ context: borrowing Descriptor) -> String {
        var words = [type]
        while words.count < 8, let line = try? context.read(atMost: 256), !line.isEmpty {
            words.append(String(decoding: line, as: UTF8.self).filter { $0 != "\n" })
        }
        return words.joined(separator: ": ")
    }

    /// Attaches a mount that is attached nowhere, or moves one, to a directory.
    public static func attach(
        _ mount: borrowing Descriptor, at path: String
    ) throws(SystemCallError) {
        let number = mount.rawValue
        // MOVE_MOUNT_F_EMPTY_PATH
        try checked(
            withAddress(of: "") { empty in
                withAddress(of: path) {
                    systemCall(
                        __NR_move_mount, UInt64(argument: number), empty,
                        UInt64(argument: Files.here), $0, 4)
                }
            }, "move_mount", path)
    }

    /// Takes the topmost mount off a directory, at once, though somebody may still use it.
    public static func detach(_ path: String) throws(SystemCallError) {
        // MNT_DETACH | UMOUNT_NOFOLLOW
        try checked(
            withAddress(of: path) { systemCall(__NR_umount2, $0, 2 | 8) }, "umount", path)
    }
}
