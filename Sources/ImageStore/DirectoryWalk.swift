internal import LinuxKernel

/// The files of a directory tree, one after another, as those of a layer. Links are taken as they
/// are, and other file systems that are mounted in it are left out: their place is an empty
/// directory.
///
/// The tree may change meanwhile; what comes of that is a failure or an older state of a file,
/// never a path that leads out of it.
final class DirectoryWalk: LayerSource {
    /// A directory that is not through yet.
    private final class Level {
        let directory: Descriptor
        let path: [UInt8]
        /// The last one is next.
        var names: [String]

        init(_ directory: consuming Descriptor, _ path: [UInt8]) throws(SystemCallError) {
            // In an order that is the same on every host.
            names = try DirectoryListing.names(in: directory).sorted(by: >)
            self.directory = directory
            self.path = path
        }
    }

    /// The same file by any of its names.
    private struct Identity: Hashable {
        let major: UInt32
        let minor: UInt32
        let inode: UInt64

        init(_ status: FileStatus) {
            (major, minor) = status.device
            inode = status.inode
        }
    }

    private let path: String
    private let root: FileStatus
    private let limits: ImageLimits
    private let readsAttributes: Bool
    private var levels: [Level]
    private var isBegun = false
    /// Files that have several names, by the first of these.
    private var linked: [Identity: [UInt8]] = [:]
    /// The file that was told of last.
    private(set) var status: FileStatus
    private var content: (level: Level, name: String)?

    /// - Parameter readsAttributes: whether entries have their extended attributes, which take a
    ///   call of the kernel more for each file.
    init(
        _ path: String, limits: ImageLimits, readsAttributes: Bool = true
    ) throws(ImageError) {
        self.path = path
        self.readsAttributes = readsAttributes
        self.limits = limits
        let what = "read the directory `\(path)`"
        let directory = try storing(what) { () throws(SystemCallError) in
            try Files.open(path, [.readOnly, .directory])
        }
        root = try storing(what) { () throws(SystemCallError) in try Files.status(of: directory) }
        status = root
        do throws(SystemCallError) {
            levels = [try Level(directory, [])]
        } catch {
            throw ImageError(error, doing: what)
        }
    }

    func next() throws(ImageError) -> LayerEntry? {
        content = nil
        guard isBegun else {
            isBegun = true
            let name = [UInt8(ascii: ".")]
            return try reading(name) { () throws(SystemCallError) in
                try entry(name, root, at: path)
            }
        }
        while let level = levels.last {
            guard let name = level.names.popLast() else {
                levels.removeLast()
                continue
            }
            if let entry = try take(name, in: level) { return entry }
        }
        return nil
    }

    /// Nothing for what a layer cannot hold: a socket.
    private func take(_ name: String, in level: Level) throws(ImageError) -> LayerEntry? {
        let path = level.path + Array(name.utf8)
        guard !name.utf8.starts(with: LayerPath.whiteoutPrefix) else {
            throw ImageError(
                .refused,
                "\(LayerEntry.shown(path)) has the name of what a layer removes from another",
                hint: "rename it")
        }
        // A layer's paths go no further down, and each level is an open descriptor.
        guard levels.count <= limits.depth else {
            throw ImageError(
                .limitExceeded, "\(LayerEntry.shown(path)) is more than \(limits.depth) levels down"
            )
        }
        return try reading(path) { () throws(SystemCallError) in
            status = try Files.status(of: name, at: level.directory, followingLinks: false)
            switch status.kind {
            case .socket: return nil
            case .directory:
                if status.device == root.device {
                    let directory = try Files.open(
                        name, at: level.directory, [.readOnly, .directory, .noFollow])
                    levels.append(try Level(directory, path + [UInt8(ascii: "/")]))
                }
            case .regular:
                if status.links > 1 {
                    if let first = linked[Identity(status)] {
                        return LayerEntry(path: path, linkTo: first)
                    }
                    linked[Identity(status)] = path
                }
                content = (level, name)
            case .symbolicLink, .fifo, .characterDevice, .blockDevice: break
            }
            return try entry(
                path, status, at: "/proc/self/fd/\(level.directory.rawValue)/\(name)")
        }
    }

    func readPieces(
        _ body: (Span<UInt8>, UInt64) throws(ImageError) -> Void
    ) throws(ImageError) {
        guard let (level, name) = content else { return }
        let path = level.path + Array(name.utf8)
        let size = status.size
        let file = try reading(path) { () throws(SystemCallError) in
            // What has taken its place meanwhile may be something that one would wait for.
            try Files.open(name, at: level.directory, [.readOnly, .noFollow, .nonBlocking])
        }
        var done: UInt64 = 0
        while done < size {
            let piece = try reading(path) { () throws(SystemCallError) in
                try file.read(atMost: Int(min(Self.pieceBytes, size - done)))
            }
            if piece.isEmpty { break }
            try body(piece.span, done)
            done += UInt64(piece.count)
        }
    }

    private static let pieceBytes: UInt64 = 256 << 10

    private func reading<Result: ~Copyable>(
        _ path: [UInt8], _ body: () throws(SystemCallError) -> Result
    ) throws(ImageError) -> Result {
        try storing("read \(LayerEntry.shown(path)) in `\(self.path)`", body)
    }

    /// - Parameter place: its path on the host.
    private func entry(
        _ path: [UInt8], _ status: FileStatus, at place: String
    ) throws(SystemCallError) -> LayerEntry {
        let target =
            status.kind == .symbolicLink ? Array(try Files.linkTarget(place).utf8) : nil
        return LayerEntry(
            path: path, fileType: Self.fileType(status.kind), permissions: status.mode,
            user: Int64(status.user), group: Int64(status.group),
            seconds: status.modified.seconds, nanoseconds: Int(status.modified.nanoseconds),
            size: status.kind == .regular ? Int64(clamping: status.size) : nil,
            hardLink: nil, symbolicLink: target,
            deviceMajor: UInt64(status.special.major), deviceMinor: UInt64(status.special.minor),
            attributes: readsAttributes ? try Self.attributes(of: place) : [])
    }

    private static func attributes(
        of place: String
    ) throws(SystemCallError) -> [LayerEntry.Attribute] {
        try Files.attributes(of: place).map {
            LayerEntry.Attribute(name: $0.name, value: $0.value)
        }
    }

    private static func fileType(_ kind: FileStatus.Kind) -> UInt32 {
        switch kind {
        case .regular: 0o100_000
        case .directory: 0o040_000
        case .symbolicLink: 0o120_000
        case .socket: 0o140_000
        case .fifo: 0o010_000
        case .characterDevice: 0o020_000
        case .blockDevice: 0o060_000
        }
    }
}
