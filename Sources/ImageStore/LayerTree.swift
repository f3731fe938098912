/// What a layer is allowed to hold.
public struct LayerPolicy: Equatable, Sendable {
    public enum Devices: String, Sendable {
        /// A layer with a device node is not imported.
        case refuse
        /// Device nodes are kept. A sandbox's mounts do not open them, whatever the layer says.
        case keep
    }

    public var devices: Devices = .refuse

    public init() {}
}

/// How a layer's file keeps the content of files.
public enum LayerPacking: String, CaseIterable, Sendable {
    /// As it is: nothing stands between a page and the disk.
    case none
    /// In blocks of LZ4, where these are fewer: less to read from a slow disk, and to store.
    case lz4
}

/// The tree of one layer, held in memory: what the entries of its archive say, checked, with
/// whiteouts in overlayfs's form. Nothing is looked up in a real file system, so that no path and
/// no link of an archive can lead anywhere.
struct LayerTree {
    /// Numbered as in the entries of a directory.
    enum Kind: UInt8 {
        case regular = 1
        case directory
        case characterDevice
        case blockDevice
        case fifo
        case symbolicLink = 7

        /// As in `st_mode`.
        var fileType: UInt16 {
            switch self {
            case .regular: 0o100_000
            case .directory: 0o040_000
            case .characterDevice: 0o020_000
            case .blockDevice: 0o060_000
            case .fifo: 0o010_000
            case .symbolicLink: 0o120_000
            }
        }
    }

    struct Metadata: Equatable {
        var permissions: UInt16 = 0o755
        var user: UInt32 = 0
        var group: UInt32 = 0
        var seconds: Int64 = 0
        var nanoseconds: UInt32 = 0
    }

    struct Node {
        var kind: Kind
        var metadata = Metadata()
        var attributes: [LayerEntry.Attribute] = []
        /// A directory that no entry told of, only paths through it.
        var isImplicit = false
        var isOpaque = false
        var isWhiteout = false
        /// Names that lead to it; 0 for one that another has taken the place of.
        var links: UInt32 = 1
        var size: UInt64 = 0
        var device: UInt32 = 0
        /// Of a symbolic link.
        var target: [UInt8] = []
        /// Of a directory: its place in `directories`.
        var directory: Int32 = -1
        var content = Content()
    }

    /// Where a file's content lies.
    struct Content {
        /// The first block of all that is not in the tail.
        var start: UInt32 = 0
        /// Where the tail, or the index of packed blocks, waits until it is written behind the
        /// inode.
        var tailOffset: UInt64 = 0
        var tailCount: UInt32 = 0
        var packedBlocks: UInt32 = 0
    }

    typealias Name = [UInt8]

    private(set) var nodes: [Node]
    private(set) var directories: [[Name: Int32]]
    private let policy: LayerPolicy
    private let limits: ImageLimits
    private(set) var deviceCount = 0
    private(set) var whiteoutCount = 0
    /// Attributes that mean nothing on this host, and were left out.
    private(set) var droppedAttributes = 0
    /// The directory that the last entry was in: the next one's is mostly the same.
    private var lastParent: (path: Name, node: Int32) = ([], 0)

    init(policy: LayerPolicy, limits: ImageLimits) {
        self.policy = policy
        self.limits = limits
        nodes = [Node(kind: .directory, isImplicit: true, links: 2, directory: 0)]
        directories = [[:]]
    }

    /// Takes an entry in. Gives the node whose content comes next, for a file that has one.
    mutating func add(_ entry: LayerEntry) throws(ImageError) -> Int32? {
        do throws(ImageError) {
            return try take(entry)
        } catch {
            throw error.at("entry \(entry.shownPath)")
        }
    }

    private mutating func take(_ entry: LayerEntry) throws(ImageError) -> Int32? {
        let path = try LayerPath(entry.path, limits: limits)
        guard let name = path.name else {
            guard entry.fileType == 0o040_000 else {
                throw ImageError(.refused, "the root of a layer is a directory")
            }
            try describe(0, entry)
            return nil
        }
        let parent = try directory(at: path.parent)
        if name.starts(with: LayerPath.whiteoutPrefix) {
            try addWhiteout(name, in: parent, entry)
            return nil
        }
        if let target = entry.hardLink {
            try addHardLink(name, in: parent, to: target, entry)
            return nil
        }
        let kind = try kind(of: entry)
        let node = try place(name, in: parent, kind)
        try describe(node, entry)
        try setContent(of: node, kind, entry)
        return kind == .regular && nodes[Int(node)].size > 0 ? node : nil
    }

    private func kind(of entry: LayerEntry) throws(ImageError) -> Kind {
        if entry.symbolicLink != nil { return .symbolicLink }
        switch entry.fileType {
        case 0o100_000: return .regular
        case 0o040_000: return .directory
        case 0o010_000: return .fifo
        case 0o020_000: return .characterDevice
        case 0o060_000: return .blockDevice
        default: throw ImageError(.refused, "a file of an unknown kind")
        }
    }

    private mutating func append(_ node: Node) throws(ImageError) -> Int32 {
        guard nodes.count < limits.entries else {
            throw ImageError(
                .limitExceeded, "the layer has more than \(limits.entries) files and directories")
        }
        nodes.append(node)
        return Int32(nodes.count - 1)
    }

    private mutating func appendDirectory(implicit: Bool, opaque: Bool) throws(ImageError) -> Int32
    {
        directories.append([:])
        return try append(
            Node(
                kind: .directory, isImplicit: implicit, isOpaque: opaque, links: 2,
                directory: Int32(directories.count - 1)))
    }

    /// The directory at a path, made where there is none.
    private mutating func directory(at path: Name) throws(ImageError) -> Int32 {
        if path == lastParent.path { return lastParent.node }
        var place: Int32 = 0
        for component in path.split(separator: UInt8(ascii: "/")) {
            place = try directory(named: Array(component), in: place)
        }
        lastParent = (path, place)
        return place
    }

    private mutating func directory(
        named name: Name, in parent: Int32
    ) throws(ImageError) -> Int32 {
        guard !name.starts(with: LayerPath.whiteoutPrefix) else {
            throw ImageError(.refused, "a path through a whiteout")
        }
        guard let found = child(name, of: parent) else {
            let made = try appendDirectory(implicit: true, opaque: false)
            link(made, as: name, in: parent)
            return made
        }
        let node = nodes[Int(found)]
        if node.kind == .directory { return found }
        guard node.isWhiteout else {
            let what = node.kind == .symbolicLink ? "a symbolic link" : "something"
            throw ImageError(
                .refused,
                "the path leads through \(LayerEntry.shown(name)),"
                    + " which is \(what) and no directory in this layer")
        }
        becomeOpaqueDirectory(found, in: parent, implicit: true)
        return found
    }

    /// What was removed and made anew as a directory hides all that was in it.
    private mutating func becomeOpaqueDirectory(
        _ node: Int32, in parent: Int32, implicit: Bool
    ) {
        directories.append([:])
        nodes[Int(node)] = Node(
            kind: .directory, isImplicit: implicit, isOpaque: true, links: 2,
            directory: Int32(directories.count - 1))
        nodes[Int(parent)].links += 1
        whiteoutCount -= 1
    }

    private func child(_ name: Name, of parent: Int32) -> Int32? {
        directories[Int(nodes[Int(parent)].directory)][name]
    }

    private mutating func link(_ node: Int32, as name: Name, in parent: Int32) {
        directories[Int(nodes[Int(parent)].directory)][name] = node
        if nodes[Int(node)].kind == .directory { nodes[Int(parent)].links += 1 }
    }

    /// The node for an entry: a new one, or what is there where that may be described anew.
    private mutating func place(
        _ name: Name, in parent: Int32, _ kind: Kind
    ) throws(ImageError) -> Int32 {
        guard let found = child(name, of: parent) else {
            let made =
                kind == .directory
                ? try appendDirectory(implicit: false, opaque: false)
                : try append(Node(kind: kind))
            link(made, as: name, in: parent)
            return made
        }
        if nodes[Int(found)].isWhiteout {
            if kind == .directory {
                becomeOpaqueDirectory(found, in: parent, implicit: false)
            } else {
                nodes[Int(found)] = Node(kind: kind)
                whiteoutCount -= 1
            }
            return found
        }
        guard kind == .directory, nodes[Int(found)].kind == .directory else {
            throw ImageError(.refused, "the path occurs twice in the layer")
        }
        return found
    }

    private mutating func setContent(
        of node: Int32, _ kind: Kind, _ entry: LayerEntry
    ) throws(ImageError) {
        switch kind {
        case .regular:
            guard let size = entry.size, size >= 0 else {
                throw ImageError(.malformed, "a file without a length")
            }
            guard UInt64(size) <= limits.fileBytes else {
                throw ImageError(
                    .limitExceeded,
                    "\(size) bytes are more than the \(limits.fileBytes) allowed for a file")
            }
            nodes[Int(node)].size = UInt64(size)
        case .symbolicLink:
            let target = entry.symbolicLink ?? []
            guard (1...4095).contains(target.count) else {
                throw ImageError(.refused, "a symbolic link with a target of \(target.count) bytes")
            }
            nodes[Int(node)].target = target
            // Nobody asks for it, and every other file system says so.
            nodes[Int(node)].metadata.permissions = 0o777
            nodes[Int(node)].size = UInt64(target.count)
        case .characterDevice, .blockDevice:
            nodes[Int(node)].device = try device(kind, entry)
            deviceCount += 1
        case .directory, .fifo: break
        }
    }

    private func device(_ kind: Kind, _ entry: LayerEntry) throws(ImageError) -> UInt32 {
        let (major, minor) = (entry.deviceMajor, entry.deviceMinor)
        guard policy.devices == .keep else {
            throw ImageError(
                .refused, "a device node (\(major):\(minor))",
                hint: "allow devices in the import if the image needs them")
        }
        // Such a node would hide what the layers below have, unannounced.
        guard major != 0 || minor != 0 else {
            throw ImageError(.refused, "a device node 0:0, which overlays take for a removal")
        }
        guard major < 1 << 12, minor < 1 << 20 else {
            throw ImageError(.refused, "a device node beyond the kernel's numbers")
        }
        return UInt32(minor & 0xff | major << 8 | (minor & ~0xff) << 12)
    }

    private mutating func addHardLink(
        _ name: Name, in parent: Int32, to target: Name, _ entry: LayerEntry
    ) throws(ImageError) {
        guard (entry.size ?? 0) == 0 else {
            throw ImageError(.malformed, "a hard link with content of its own")
        }
        let shown = LayerEntry.shown(target)
        let path: LayerPath
        do throws(ImageError) {
            path = try LayerPath(target, limits: limits)
        } catch {
            throw error.at("the target \(shown) of a hard link")
        }
        guard let found = find(path), !nodes[Int(found)].isWhiteout else {
            throw ImageError(
                .refused, "a hard link to \(shown), which is not in the layer before it")
        }
        guard nodes[Int(found)].kind != .directory else {
            throw ImageError(.refused, "a hard link to the directory \(shown)")
        }
        if let present = child(name, of: parent) {
            guard nodes[Int(present)].isWhiteout else {
                throw ImageError(.refused, "the path occurs twice in the layer")
            }
            whiteoutCount -= 1
            nodes[Int(present)].links = 0
        }
        nodes[Int(found)].links += 1
        link(found, as: name, in: parent)
    }

    private func find(_ path: LayerPath) -> Int32? {
        var place: Int32 = 0
        for component in path.parent.split(separator: UInt8(ascii: "/")) {
            guard let next = child(Array(component), of: place),
                nodes[Int(next)].kind == .directory
            else { return nil }
            place = next
        }
        guard let name = path.name else { return place }
        return child(name, of: place)
    }

    /// `.wh.name` removes what the layers below have under that name, `.wh..wh..opq` all that they
    /// have in the directory. Other names with `.wh..wh.` are AUFS's own.
    private mutating func addWhiteout(
        _ marker: Name, in parent: Int32, _ entry: LayerEntry
    ) throws(ImageError) {
        guard entry.fileType == 0o100_000, (entry.size ?? 0) == 0 || entry.hardLink != nil else {
            throw ImageError(.refused, "a whiteout that is no empty file")
        }
        if marker == LayerPath.opaqueMarker {
            nodes[Int(parent)].isOpaque = true
            return
        }
        let name = Name(marker.dropFirst(LayerPath.whiteoutPrefix.count))
        if name.starts(with: LayerPath.whiteoutPrefix) { return }
        guard !name.isEmpty, name != Array(".".utf8), name != Array("..".utf8) else {
            throw ImageError(.refused, "a whiteout of nothing")
        }
        if let present = child(name, of: parent) {
            if nodes[Int(present)].kind == .directory { nodes[Int(present)].isOpaque = true }
            return
        }
        let metadata = Metadata(permissions: 0)
        let node = try append(Node(kind: .characterDevice, metadata: metadata, isWhiteout: true))
        link(node, as: name, in: parent)
        whiteoutCount += 1
    }

    private mutating func describe(_ node: Int32, _ entry: LayerEntry) throws(ImageError) {
        let identifiers = 0..<Int64(UInt32.max)
        guard identifiers.contains(entry.user), identifiers.contains(entry.group) else {
            throw ImageError(.refused, "a user or group beyond the kernel's numbers")
        }
        let isFraction = (0..<1_000_000_000).contains(entry.nanoseconds)
        nodes[Int(node)].metadata = Metadata(
            permissions: UInt16(entry.permissions & 0o7777), user: UInt32(entry.user),
            group: UInt32(entry.group), seconds: entry.seconds,
            nanoseconds: isFraction ? UInt32(entry.nanoseconds) : 0)
        nodes[Int(node)].isImplicit = false
        nodes[Int(node)].attributes = []
        guard !entry.attributes.isEmpty else { return }
        let (kept, dropped) = try LayerAttributes.sorted(entry.attributes, limits: limits)
        nodes[Int(node)].attributes = kept
        droppedAttributes += dropped
    }

    /// Says where a file's content lies.
    mutating func set(_ content: Content, of node: Int32) {
        nodes[Int(node)].content = content
    }

    /// The paths of the directories that no entry described, sorted; without those in which the
    /// layers below do not show.
    var implicitDirectories: [Name] {
        var result: [Name] = []
        var pending: [(node: Int32, path: Name)] = [(0, [])]
        while let (place, path) = pending.popLast() {
            let node = nodes[Int(place)]
            if node.isOpaque { continue }
            if node.isImplicit { result.append(path.isEmpty ? [0x2F] : path) }
            for (name, child) in directories[Int(node.directory)]
            where nodes[Int(child)].kind == .directory {
                pending.append((child, path + [0x2F] + name))
            }
        }
        return result.sorted { $0.lexicographicallyPrecedes($1) }
    }
}
