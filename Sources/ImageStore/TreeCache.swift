internal import LinuxKernel

/// Directory trees as file systems in files: what a guest gets of an image that is a directory. One
/// is packed when it is first used, and kept for as long as nothing in the directory changes.
public struct TreeCache: Sendable {
    /// So many trees are kept, those that were used last, and all that were used within a time.
    public static let mostTrees = 8
    public static let leastAge = Duration.seconds(3600)

    private let path: String
    private let leastAge: Duration

    /// - Parameters:
    ///   - path: of the folder that has the files. It is made when it is needed.
    ///   - leastAge: whoever asked for a file has so long to open or to mount it.
    public init(_ path: String, leastAge: Duration = Self.leastAge) {
        self.path = path
        self.leastAge = leastAge
    }

    /// The file of a directory tree. Removed some time after its last use.
    ///
    /// - Parameter packs: told when the tree has to be packed, which takes a while.
    public func file(
        of directory: String, packs: () -> Void = {}
    ) throws(ImageError) -> String {
        try file(known: Self.fingerprint(of: directory)) {
            (image) throws(ImageError) in
            packs()
            do throws(ImageError) {
                try image.fill(from: DirectoryWalk(directory, limits: Self.limits))
            } catch {
                throw error.at("pack `\(directory)`")
            }
        }
    }

    /// The file of directories that have to stand above the layers of an image.
    public func file(of meant: MeantDirectories) throws(ImageError) -> String {
        let text = meant.directories.map { "\($0.path.utf8.count) \($0.path) \($0.access)\n" }
        return try file(known: SHA256.digest(of: Array(text.joined().utf8))) {
            (image) throws(ImageError) in
            try image.fill(from: MeantSource(meant))
        }
    }

    private static let limits = ImageLimits()

    private func file(
        known fingerprint: Digest, fill: (LayerFile) throws(ImageError) -> Void
    ) throws(ImageError) -> String {
        let folder = try storing("open `\(path)`") { () throws(SystemCallError) in
            try Files.makeDirectories(path, permissions: 0o700)
            return try Files.open(path, [.readOnly, .directory])
        }
        let name = fingerprint.hexadecimal + Self.suffix
        if Files.exists(name, at: folder) {
            // Which of them were used last.
            _ = try? Files.touch(name, at: folder)
        } else {
            try pack(fingerprint, as: name, in: folder, fill)
        }
        return path + "/" + name
    }

    private static let suffix = ".erofs"
    private static let unfinished = "unfinished"

    /// What tells a tree from another, and from itself once anything in it has changed: content
    /// and attributes of its files change the times that the kernel keeps of them.
    private static func fingerprint(of directory: String) throws(ImageError) -> Digest {
        let walk = try DirectoryWalk(directory, limits: limits, readsAttributes: false)
        var hash = SHA256()
        while let entry = try walk.next() {
            let status = walk.status
            let line =
                "\(status.device.major):\(status.device.minor) \(status.inode) \(entry.fileType)"
                + " \(status.mode) \(status.user) \(status.group) \(status.size)"
                + " \(status.modified) \(status.changed) \(entry.path.count) "
            hash.update((Array(line.utf8) + entry.path + (entry.symbolicLink ?? [])).span)
        }
        return hash.finish()
    }

    private func pack(
        _ fingerprint: Digest, as name: String, in folder: borrowing Descriptor,
        _ fill: (LayerFile) throws(ImageError) -> Void
    ) throws(ImageError) {
        // One at a time: what another one has not finished is left by one that was killed.
        let lock = try storing("pack into `\(path)`") { () throws(SystemCallError) in
            let lock = try Files.open(
                "lock", at: folder, [.readWrite, .create], permissions: 0o600)
            try lock.lockWaiting()
            return lock
        }
        defer { withExtendedLifetime(lock) {} }
        if Files.exists(name, at: folder) { return }
        let file = try storing("pack into `\(path)`") { () throws(SystemCallError) in
            try Files.open(
                Self.unfinished, at: folder, [.readWrite, .create, .truncate], permissions: 0o444)
        }
        let room = (try? Files.freeBytes(of: folder)) ?? .max
        var policy = LayerPolicy()
        policy.devices = .keep
        let image = try LayerFile(
            file, directory: folder, policy: policy, limits: Self.limits, packing: .none,
            room: room)
        try fill(image)
        _ = try image.finish(identifier: fingerprint.identifier)
        try storing("pack into `\(path)`") { () throws(SystemCallError) in
            try Files.rename(Self.unfinished, at: folder, to: name, at: folder)
        }
        removeOldest(in: folder)
    }

    private func removeOldest(in folder: borrowing Descriptor) {
        let names = (try? DirectoryListing.names(in: folder)) ?? []
        var trees: [(name: String, used: Int64)] = []
        for name in names where name.hasSuffix(Self.suffix) {
            guard let time = try? Files.changeTime(of: name, at: folder) else { continue }
            trees.append((name, time))
        }
        trees.sort { $0.used > $1.used }
        let (seconds, rest) = leastAge.components
        let last = RealClock.nanoseconds - seconds * 1_000_000_000 - rest / 1_000_000_000
        for tree in trees.dropFirst(Self.mostTrees) where tree.used <= last {
            try? Files.removeFile(tree.name, at: folder)
        }
    }
}

/// Directories alone, with nothing in them but one another.
private final class MeantSource: LayerSource {
    private var rest: ArraySlice<MeantDirectories.Directory>

    init(_ meant: MeantDirectories) {
        rest = meant.directories[...]
    }

    func next() throws(ImageError) -> LayerEntry? {
        rest.popFirst().map { directory in
            LayerEntry(
                path: Array(("." + directory.path).utf8), fileType: 0o040_000,
                permissions: directory.access.mode, user: Int64(directory.access.user),
                group: Int64(directory.access.group), seconds: 0, nanoseconds: 0, size: nil,
                hardLink: nil, symbolicLink: nil, deviceMajor: 0, deviceMinor: 0, attributes: [])
        }
    }

    func readPieces(
        _ body: (Span<UInt8>, UInt64) throws(ImageError) -> Void
    ) throws(ImageError) {}
}
