internal import LinuxKernel

/// Layers on top of one another, as one tree.
enum LayerStack {
    private static let attributes: MountAttributes = [.readOnly, .noSetUserID, .noDevices]

    /// - Parameter layers: the topmost first.
    static func mount(_ layers: [MountedLayer]) throws(ImageError) -> Descriptor {
        do throws(SystemCallError) {
            let mended = try mend(layers)
            let lowest = layers[layers.count - 1]
            if layers.count == 1, !mended.isNeeded, lowest.record.whiteouts == 0 {
                return try Mounts.detachedClone(of: lowest.tree, attributes, subject: "layer")
            }
            return try overlay(layers[...], under: mended)
        } catch {
            throw ImageError(error, doing: "stack the layers of an image")
        }
    }

    /// Whether the kernel lets a sandbox's own layer lie on top of a tree.
    static func bears(_ tree: borrowing Descriptor) -> Bool {
        do throws(SystemCallError) {
            let clone = try Mounts.detachedClone(of: tree, attributes, subject: "image")
            let top = try MendedDirectories().tree()
            let options = [top.rawValue, clone.rawValue].map {
                FileSystemOption.descriptor(name: "lowerdir+", number: $0)
            }
            _ = try Mounts.make("overlay", options: options, attributes: attributes)
            return true
        } catch {
            return false
        }
    }

    /// What overlayfs shows of these layers, with the directories of `top` above them.
    private static func overlay(
        _ layers: ArraySlice<MountedLayer>, under top: borrowing MendedDirectories
    ) throws(SystemCallError) -> Descriptor {
        // Overlayfs takes a layer from a mount that is attached nowhere, and each mount once.
        var clones: [Clone] = []
        if top.isNeeded { clones.append(try Clone(of: top.tree())) }
        for layer in layers { clones.append(try Clone(of: layer.tree)) }
        // It wants two: something empty will do, below, since the topmost has the root's mode.
        if clones.count == 1 { clones.append(try Clone(of: MendedDirectories().tree())) }
        let options = clones.map {
            FileSystemOption.descriptor(name: "lowerdir+", number: $0.descriptor.rawValue)
        }
        defer { withExtendedLifetime(clones) {} }
        return try Mounts.make("overlay", options: options, attributes: attributes)
    }

    private final class Clone {
        let descriptor: Descriptor

        init(of tree: borrowing Descriptor) throws(SystemCallError) {
            descriptor = try Mounts.detachedClone(of: tree, attributes, subject: "layer")
        }
    }

    // Directories that a layer's archive only goes through.

    /// An archive may go through a directory without an entry for it: its author meant the one of
    /// the layers below, owner and mode and all. Overlayfs shows those of the topmost layer, which
    /// has none to show. Such directories are put above all layers, as they are below.
    private static func mend(
        _ layers: [MountedLayer]
    ) throws(SystemCallError) -> MendedDirectories {
        var meant: [String: DirectoryAccess] = [:]
        var settled: Set<String> = []
        for (place, layer) in layers.enumerated() where place + 1 < layers.count {
            let implicit = layer.record.implicitDirectories.filter { path in
                !settled.contains(path) && !isDescribed(path, above: place, in: layers)
            }
            if implicit.isEmpty { continue }
            let below = try overlay(layers[(place + 1)...], under: MendedDirectories())
            for path in implicit {
                // Where the next that has it only goes through it too, one further down has a say.
                let next = layers[(place + 1)...].first { has(path, $0) }
                guard let next, !next.record.implicitDirectories.contains(path),
                    let access = DirectoryAccess(of: path, at: below)
                else { continue }
                settled.insert(path)
                if access != .standard { meant[path] = access }
            }
        }
        var top = MendedDirectories()
        if meant.isEmpty { return top }
        let whole = try overlay(layers[...], under: MendedDirectories())
        for path in meant.keys.sorted() { try top.add(path, meant, like: whole) }
        return top
    }

    /// Whether a layer above has an entry for the directory.
    private static func isDescribed(
        _ path: String, above place: Int, in layers: [MountedLayer]
    ) -> Bool {
        layers[..<place].contains { layer in
            !layer.record.implicitDirectories.contains(path) && has(path, layer)
        }
    }

    private static func has(_ path: String, _ layer: MountedLayer) -> Bool {
        Files.exists(path == "/" ? "." : String(path.dropFirst()), at: layer.tree)
    }
}

/// Directories in memory that come above all layers of an image; with nothing in them.
struct MendedDirectories: ~Copyable {
    private var made: Descriptor?

    var isNeeded: Bool {
        switch made {
        case .some: true
        case .none: false
        }
    }

    /// The tree, or an empty one.
    borrowing func tree() throws(SystemCallError) -> Descriptor {
        switch made {
        case .some(let made): return try made.duplicate()
        case .none: return try Self.make()
        }
    }

    private static func make() throws(SystemCallError) -> Descriptor {
        try Mounts.make(
            "tmpfs",
            options: [
                .text(name: "size", value: "1m"), .text(name: "mode", value: "0755"),
            ], attributes: [])
    }

    /// Adds a directory as it is meant, and those that lead to it as they are meant or are in
    /// `whole`.
    mutating func add(
        _ path: String, _ meant: [String: DirectoryAccess], like whole: borrowing Descriptor
    ) throws(SystemCallError) {
        if !isNeeded { made = try Self.make() }
        let tree = try self.tree()
        var place = ""
        for part in path.split(separator: "/") {
            place += "/" + part
            let name = String(place.dropFirst())
            if Files.exists(name, at: tree) { continue }
            try Files.makeDirectory(name, at: tree)
            try (meant[place] ?? DirectoryAccess(of: place, at: whole))?.set(name, at: tree)
        }
        let root = meant["/"] ?? DirectoryAccess(of: "/", at: whole)
        try root?.set(".", at: tree)
    }
}

/// Who owns a directory, and what they and others may do with it.
struct DirectoryAccess: Equatable {
    let mode: UInt32
    let user: UInt32
    let group: UInt32

    /// As a directory is that no entry described.
    static let standard = DirectoryAccess(mode: 0o755, user: 0, group: 0)

    private init(mode: UInt32, user: UInt32, group: UInt32) {
        self.mode = mode
        self.user = user
        self.group = group
    }

    /// That of a directory below a tree; nothing if there is none.
    init?(of path: String, at tree: borrowing Descriptor) {
        let name = path == "/" ? "." : String(path.dropFirst())
        guard let status = try? Files.status(of: name, at: tree, followingLinks: false),
            status.kind == .directory
        else { return nil }
        self.init(mode: status.mode, user: status.user, group: status.group)
    }

    func set(_ name: String, at tree: borrowing Descriptor) throws(SystemCallError) {
        try Files.setOwners(of: name, at: tree, user: user, group: group)
        try Files.setPermissions(of: name, at: tree, mode)
    }
}
