public import LinuxKernel

/// What a sandbox changes of its root goes here: so many bytes, and no more. Nothing is left of it
/// when the last mount that has it is gone, also after a crash.
public struct Scratch: ~Copyable, Sendable {
    /// Attached nowhere, it lasts as long as this.
    private let tree: Descriptor
    let upper: Descriptor
    let work: Descriptor
    private static let smallest: UInt64 = 1 << 20

    /// In memory. Ready at once.
    public static func memory(bytes: UInt64) throws(ImageError) -> Scratch {
        try storing("make scratch memory") { () throws(SystemCallError) in
            try Scratch(
                on: Mounts.make(
                    "tmpfs",
                    options: [
                        .text(name: "size", value: "\(bytes)"),
                        .text(name: "nr_inodes", value: "\(max(1024, bytes / 4096))"),
                    ], attributes: []))
        }
    }

    /// On the disk, in a file system of its own in a file without a name, which takes as much of
    /// the disk as is in it. Made ahead, since this takes tens of milliseconds.
    ///
    /// Needs `mkfs.ext4` and loop devices; no quotas of the file system below, which kernels and
    /// nodes have or not.
    ///
    /// - Parameters:
    ///   - directory: where the file is.
    ///   - bytes: the size of the file system, some of which it needs itself.
    public static func disk(
        in directory: String, bytes: UInt64
    ) throws(ImageError) -> Scratch {
        guard bytes >= smallest else {
            throw ImageError(
                .unsupported, "\(bytes) bytes are too few for scratch space on the disk",
                hint: "give at least \(smallest)")
        }
        let what = "make scratch space in `\(directory)`"
        let file = try storing(what) { () throws(SystemCallError) in
            // O_TMPFILE
            let file = try Files.open(
                directory, [.readWrite, .directory, OpenMode(rawValue: 0o20_000_000)])
            try file.setSize(bytes / 4096 * 4096)
            return file
        }
        try Formatting.run(
            "mkfs.ext4",
            [
                "-q", "-F", "-b", "4096", "-m", "0", "-O", "^has_journal,^resize_inode", "-E",
                "nodiscard,lazy_itable_init=0,assume_storage_prezeroed=1",
                "/proc/\(ThisProcess.identifier)/fd/\(file.rawValue)",
            ])
        return try storing(what) { () throws(SystemCallError) in
            let (device, open) = try LoopDevice.attach(file, isWritable: true)
            defer { withExtendedLifetime(open) {} }
            return try Scratch(
                on: Mounts.make(
                    "ext4",
                    options: [
                        .text(name: "source", value: device), .flag(name: "discard"),
                    ], attributes: []))
        }
    }

    private init(on tree: consuming Descriptor) throws(SystemCallError) {
        for name in ["upper", "work"] { try Files.makeDirectory(name, at: tree) }
        let upper = try Files.open("upper", at: tree, [.path, .directory])
        let work = try Files.open("work", at: tree, [.path, .directory])
        self.tree = tree
        self.upper = upper
        self.work = work
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
            // The root of what is seen is the upper one.
            try DirectoryAccess(of: "/", at: lower.tree)?.set(".", at: scratch.upper)
            let clone = try Mounts.detachedClone(of: lower.tree, [.readOnly], subject: "image")
            return try Mounts.make(
                "overlay",
                options: [
                    .descriptor(name: "lowerdir+", number: clone.rawValue),
                    .descriptor(name: "upperdir", number: scratch.upper.rawValue),
                    .descriptor(name: "workdir", number: scratch.work.rawValue),
                ], attributes: [.noSetUserID, .noDevices])
        }
    }
}
