internal import LinuxKernel

/// Layers on top of one another, as one tree.
enum LayerStack {
    private static let attributes: MountAttributes = [.readOnly, .noSetUserID, .noDevices]

    /// - Parameter layers: the topmost first.
    static func mount(_ layers: [MountedLayer]) throws(ImageError) -> Descriptor {
        let meant = try MeantDirectories(layers.map { ($0.record, $0.path) })
        do throws(SystemCallError) {
            let mended = try MendedDirectories(meant)
            let lowest = layers[layers.count - 1]
            if layers.count == 1, !mended.isNeeded, lowest.record.whiteouts == 0 {
                return try Mounts.detachedClone(of: lowest.tree, attributes, subject: "layer")
            }
            return try overlay(layers, under: mended)
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
        _ layers: [MountedLayer], under top: borrowing MendedDirectories
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

    init(_ directories: MeantDirectories = .none) throws(SystemCallError) {
        guard !directories.isEmpty else {
            made = nil
            return
        }
        let tree = try Self.make()
        for directory in directories.directories {
            let isRoot = directory.path == "/"
            let name = isRoot ? "." : String(directory.path.dropFirst())
            if !isRoot { try Files.makeDirectory(name, at: tree) }
            try directory.access.set(name, at: tree)
        }
        made = consume tree
    }
}
