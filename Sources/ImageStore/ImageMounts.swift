public import LinuxKernel

/// An image's tree, mounted: read-only, and attached nowhere. It lasts as long as somebody holds
/// it or a clone of it, whatever becomes of the image in the store.
public final class MountedImage: Sendable {
    public let record: ImageRecord
    /// The root of the tree: a mount of its own, which `Mounts.detachedClone` clones.
    public let tree: Descriptor

    init(_ record: ImageRecord, _ tree: consuming Descriptor) {
        self.record = record
        self.tree = tree
    }
}

/// The layers of a store as they are mounted: each once, whatever images have it, so that their
/// pages are in memory once.
public final class ImageMounts: Sendable {
    /// How the file system in a layer's file is mounted.
    public enum Method: Sendable {
        /// From the file, by way of a loop device where the kernel cannot.
        case best
        /// By way of a loop device.
        case loop
    }

    private struct State {
        var method: Method
        var isProven = false
        var layers: [Digest: MountedLayer] = [:]
        var trees: [[Digest]: Tree] = [:]
        /// A layer is what its digest says, so that this stays true.
        var meant: [[Digest]: MeantDirectories] = [:]
    }

    private struct Tree {
        let image: MountedImage
        let layers: [Digest]
    }

    private let store: ImageStore
    private let state: Locked<State>
    private let count = Locked(0)

    public init(_ store: ImageStore, method: Method = .best) {
        self.store = store
        state = Locked(State(method: method))
    }

    /// An image's tree, made ready if it is not. Blocks while another thread makes one.
    ///
    /// - Parameter shared: what comes on top, the last one topmost: images, or single layers. See
    ///   ``ImageStore/resolveShared(_:)``.
    public func tree(
        of image: Digest, under shared: [Digest] = []
    ) throws(ImageError) -> MountedImage {
        let key = [image] + shared
        return try state.with { (state) throws(ImageError) in
            defer { note(state) }
            if let present = state.trees[key] {
                if present.layers.allSatisfy({ isCurrent($0, state) }) { return present.image }
                state.trees[key] = nil
            }
            guard let record = try store.readImage(image) else { throw Self.missing(image) }
            let layers = try record.layers + layers(of: shared)
            let result = MountedImage(record, try stack(layers, &state))
            state.trees[key] = Tree(image: result, layers: layers)
            return result
        }
    }

    private static func missing(_ digest: Digest) -> ImageError {
        ImageError(
            .notFound, "there is no image \(digest)",
            hint: "`alcove image ls` lists those that are there")
    }

    /// The layers of an image and of what comes above it, each once, the topmost first: the order
    /// in which overlayfs takes them, in a guest as well.
    public func layers(
        of image: Digest, under shared: [Digest] = []
    ) throws(ImageError) -> [Digest] {
        guard let record = try store.readImage(image) else { throw Self.missing(image) }
        var seen: Set<Digest> = []
        return try (record.layers + layers(of: shared)).reversed().filter {
            seen.insert($0).inserted
        }
    }

    /// The directories that have to stand above these layers.
    ///
    /// - Parameter layers: the topmost first.
    public func meantDirectories(of layers: [Digest]) throws(ImageError) -> MeantDirectories {
        if let known = state.with({ $0.meant[layers] }) { return known }
        let meant = try MeantDirectories(
            layers.map { (digest) throws(ImageError) in
                guard let record = try store.layer(digest) else { throw Self.missing(digest) }
                return (record, store.layerPath(digest))
            })
        state.with { state in
            // Stacks are few; whatever makes many of them begins anew.
            if state.meant.count == Self.mostMeant { state.meant = [:] }
            state.meant[layers] = meant
        }
        return meant
    }

    private static let mostMeant = 256

    private func layers(of shared: [Digest]) throws(ImageError) -> [Digest] {
        var layers: [Digest] = []
        for digest in shared {
            if let record = try store.readImage(digest) {
                layers += record.layers
            } else if try store.layer(digest) != nil {
                layers.append(digest)
            } else {
                throw Self.missing(digest)
            }
        }
        return layers
    }

    private func stack(
        _ layers: [Digest], _ state: inout State
    ) throws(ImageError) -> Descriptor {
        var stack: [MountedLayer] = []
        var seen: Set<Digest> = []
        // The topmost first. A layer that occurs twice has its effect where it is higher.
        for layer in layers.reversed() where seen.insert(layer).inserted {
            stack.append(try mounted(layer, &state))
        }
        let mount = try LayerStack.mount(stack)
        guard state.method == .best, !state.isProven else { return mount }
        if LayerStack.bears(mount) {
            state.isProven = stack.count > 1
            return mount
        }
        // Some kernels count a file system that is mounted from a file as one level more, and then
        // a sandbox's own layer is one too many. By way of a device it is none.
        state.method = .loop
        state.layers = [:]
        state.trees = [:]
        return try self.stack(layers, &state)
    }

    /// Lets go of an image, and of layers that nothing else here has. What sandboxes hold stays.
    public func forget(_ image: Digest) {
        state.with { state in
            defer { note(state) }
            state.trees = state.trees.filter { !$0.key.contains(image) }
            let used = Set(state.trees.values.flatMap(\.layers))
            state.layers = state.layers.filter { used.contains($0.key) }
        }
    }

    /// Lets go of all that the store does not have any more, so that the disk's space comes back.
    public func forgetRemoved() throws(ImageError) {
        let images = Set(try store.imageIdentifiers())
        state.with { state in
            defer { note(state) }
            state.trees = state.trees.filter { key, tree in
                images.contains(key[0]) && tree.layers.allSatisfy { isCurrent($0, state) }
            }
            let used = Set(state.trees.values.flatMap(\.layers))
            state.layers = state.layers.filter { used.contains($0.key) }
        }
    }

    private func note(_ state: State) {
        let mounted = state.layers.count
        count.with { $0 = mounted }
    }

    /// How many layers are mounted. Waits for nobody who mounts one.
    public var mountedCount: Int { count.with { $0 } }

    /// The layers that are mounted now.
    public var mountedLayers: Set<Digest> { Set(state.with { $0.layers.keys }) }

    private func mounted(
        _ layer: Digest, _ state: inout State
    ) throws(ImageError) -> MountedLayer {
        if let present = state.layers[layer], isCurrent(layer, state) { return present }
        guard store.isSound(layer), let record = try store.layer(layer) else {
            throw ImageError(
                .damaged, "layer \(layer) is missing or damaged",
                hint: "import the image again, which makes it anew")
        }
        let result = try MountedLayer(
            record, path: store.layerPath(layer), method: state.method)
        state.layers[layer] = result
        return result
    }

    /// Whether what is mounted is what the store has now, and nothing is known against it: a layer
    /// that was found damaged is another file once it was made anew.
    private func isCurrent(_ layer: Digest, _ state: State) -> Bool {
        guard let mounted = state.layers[layer], let file = store.soundFile(of: layer) else {
            return false
        }
        return mounted.file == file
    }
}

/// One layer's file system, mounted and attached nowhere.
final class MountedLayer: Sendable {
    let record: LayerRecord
    let path: String
    /// The number of the file that it was mounted from.
    let file: UInt64
    let tree: Descriptor

    init(_ record: LayerRecord, path: String, method: ImageMounts.Method) throws(ImageError) {
        self.record = record
        self.path = path
        do throws(SystemCallError) {
            file = try Files.status(of: path).inode
            tree = try Self.mount(path, method)
        } catch {
            throw ImageError(error, doing: "mount layer \(record.diffID.short)")
        }
    }

    /// With `directio` the kernel reads past the page cache of the file, which would hold the same
    /// pages a second time.
    private static func mount(
        _ path: String, _ method: ImageMounts.Method
    ) throws(SystemCallError) -> Descriptor {
        if method == .best {
            for options in [["directio"], []] {
                if let mount = try? erofs(path, options) { return mount }
            }
        }
        let file = try Files.open(path, .readOnly)
        let (device, open) = try LoopDevice.attach(file)
        // The device is kept until it is mounted.
        defer { withExtendedLifetime(open) {} }
        return try erofs(device, [])
    }

    private static func erofs(
        _ source: String, _ flags: [String]
    ) throws(SystemCallError) -> Descriptor {
        let options =
            [FileSystemOption.text(name: "source", value: source)]
            + (["ro"] + flags).map { FileSystemOption.flag(name: $0) }
        return try Mounts.make(
            "erofs", options: options, attributes: [.readOnly, .noSetUserID, .noDevices])
    }
}
