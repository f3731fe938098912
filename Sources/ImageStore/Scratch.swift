public import LinuxKernel

/// A file system for what a sandbox changes: so many bytes, and no more. Nothing is left of it when
/// the last mount that has it is gone, also after a crash.
public struct Scratch: ~Copyable, Sendable {
    /// Its root. Attached nowhere, it lasts as long as this, or as what is mounted of it.
    public let tree: Descriptor

    /// In memory. Ready at once.
    public static func memory(bytes: UInt64) throws(ImageError) -> Scratch {
        try storing("make scratch memory") { () throws(SystemCallError) in
            Scratch(
                on: try Mounts.make(
                    "tmpfs",
                    options: [
                        .text(name: "size", value: "\(bytes)"),
                        .text(name: "nr_inodes", value: "\(max(1024, bytes / 4096))"),
                    ], attributes: []))
        }
    }

    /// On the disk, in a file system of its own in a file without a name. Made ahead, since this
    /// takes tens of milliseconds, by a thread that may start programs as root.
    ///
    /// Needs `mkfs.ext4` and loop devices; no quotas of the file system below, which kernels and
    /// nodes have or not.
    ///
    /// - Parameters:
    ///   - directory: where the file is. Its disk's space is taken at once, and so is there later.
    ///   - bytes: the size of the file system, some of which it needs itself.
    ///   - owner: of its root.
    public static func disk(
        in directory: String, bytes: UInt64, owner: (user: UInt32, group: UInt32) = (0, 0)
    ) throws(ImageError) -> Scratch {
        let what = "make scratch space in `\(directory)`"
        let file = try storing(what) { () throws(SystemCallError) in
            // O_TMPFILE
            let file = try Files.open(
                directory, [.readWrite, .directory, OpenMode(rawValue: 0o20_000_000)])
            try file.setSizeTakingSpace(bytes / 4096 * 4096)
            return file
        }
        try format(file, owner: owner)
        return try storing(what) { () throws(SystemCallError) in
            let (device, open) = try LoopDevice.attach(file, isWritable: true)
            defer { withExtendedLifetime(open) {} }
            return Scratch(
                on: try Mounts.make(
                    "ext4",
                    options: [.text(name: "source", value: device)], attributes: []))
        }
    }

    /// The same as a file of a name, for a guest, which mounts it itself. The name may be removed
    /// once the file was opened or mounted.
    ///
    /// - Parameter user: who may open it.
    public static func file(
        _ path: String, bytes: UInt64, for user: UInt32
    ) throws(ImageError) {
        let what = "make scratch space in `\(path)`"
        let file = try storing(what) { () throws(SystemCallError) in
            let file = try Files.open(
                path, [.readWrite, .create, .truncate, .noFollow], permissions: 0o600)
            try file.setSizeTakingSpace(bytes / 4096 * 4096)
            try file.setOwners(user: user, group: user)
            return file
        }
        try format(file, owner: (0, 0))
    }

    private static func format(
        _ file: borrowing Descriptor, owner: (user: UInt32, group: UInt32)
    ) throws(ImageError) {
        try Formatting.run(
            "mkfs.ext4",
            [
                "-q", "-F", "-b", "4096", "-m", "0", "-O", "^has_journal,^resize_inode", "-E",
                "nodiscard,lazy_itable_init=0,assume_storage_prezeroed=1,"
                    + "root_owner=\(owner.user):\(owner.group)",
                "/proc/\(ThisProcess.identifier)/fd/\(file.rawValue)",
            ])
    }

    /// Its root alone, which lasts as long as it would.
    public consuming func intoTree() -> Descriptor { tree }

    private init(on tree: consuming Descriptor) {
        self.tree = tree
    }
}

extension ImageMounts {
    /// A root that can be written to: an image's tree, and above it what is changed. A mount that
    /// is attached nowhere; it is all that has to be kept, and ends with its last clone.
    ///
    /// - Parameter shared: as for ``tree(of:under:)``.
    public func writableTree(
        of image: Digest, under shared: [Digest] = [], scratch: consuming Scratch
    ) throws(ImageError) -> Descriptor {
        let lower = try tree(of: image, under: shared)
        return try storing("put a writable layer on an image") { () throws(SystemCallError) in
            for name in ["upper", "work"] { try Files.makeDirectory(name, at: scratch.tree) }
            let upper = try Files.open("upper", at: scratch.tree, [.path, .directory])
            let work = try Files.open("work", at: scratch.tree, [.path, .directory])
            // The root of what is seen is the upper one.
            try DirectoryAccess(of: lower.tree).set(".", at: upper)
            let clone = try Mounts.detachedClone(of: lower.tree, [.readOnly], subject: "image")
            return try Mounts.make(
                "overlay",
                options: [
                    .descriptor(name: "lowerdir+", number: clone.rawValue),
                    .descriptor(name: "upperdir", number: upper.rawValue),
                    .descriptor(name: "workdir", number: work.rawValue),
                ], attributes: [.noSetUserID, .noDevices])
        }
    }
}
