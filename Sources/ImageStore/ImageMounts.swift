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
        var layers: [Digest: MountedLayer] = [:]
        var images: [[Digest]: MountedImage] = [:]
    }

    private let store: ImageStore
    private let method: Method
    private let state = Locked(State())

    public init(_ store: ImageStore, method: Method = .best) {
        self.store = store
        self.method = method
    }

    /// An image's tree, made ready if it is not.
    ///
    /// - Parameter shared: images whose layers come on top, the last one topmost.
    public func tree(
        of image: Digest, under shared: [Digest] = []
    ) throws(ImageError) -> MountedImage {
        let key = [image] + shared
        return try state.with { (state) throws(ImageError) in
            if let present = state.images[key] { return present }
            var records: [ImageRecord] = []
            for identifier in key {
                guard let record = try store.readImage(identifier) else {
                    throw ImageError(
                        .notFound, "there is no image \(identifier)",
                        hint: "`alcove image ls` lists those that are there")
                }
                records.append(record)
            }
            var stack: [MountedLayer] = []
            var seen: Set<Digest> = []
            // The topmost first. A layer that occurs twice has its effect where it is higher.
            for layer in records.flatMap(\.layers).reversed() where seen.insert(layer).inserted {
                stack.append(try mounted(layer, &state))
            }
            let mount = try LayerStack.mount(stack)
            let result = MountedImage(records[0], mount)
            state.images[key] = result
            return result
        }
    }

    /// Lets go of an image and of layers that no other image here has. What sandboxes hold stays.
    public func forget(_ image: Digest) {
        state.with { state in
            state.images = state.images.filter { !$0.key.contains(image) }
            var used: Set<Digest> = []
            for key in state.images.keys {
                for identifier in key {
                    used.formUnion((try? store.readImage(identifier)?.layers) ?? [])
                }
            }
            state.layers = state.layers.filter { used.contains($0.key) }
        }
    }

    /// The layers that are mounted now.
    public var mountedLayers: Set<Digest> { Set(state.with { $0.layers.keys }) }

    private func mounted(
        _ layer: Digest, _ state: inout State
    ) throws(ImageError) -> MountedLayer {
        if let present = state.layers[layer] { return present }
        guard store.isSound(layer), let record = try store.layer(layer) else {
            throw ImageError(
                .damaged, "layer \(layer) is missing or damaged",
                hint: "import the image again, which makes it anew")
        }
        let result = try MountedLayer(record, path: store.layerPath(layer), method: method)
        state.layers[layer] = result
        return result
    }
}

/// One layer's file system, mounted and attached nowhere.
final class MountedLayer: Sendable {
    let record: LayerRecord
    let tree: Descriptor

    init(_ record: LayerRecord, path: String, method: ImageMounts.Method) throws(ImageError) {
        self.record = record
        do throws(SystemCallError) {
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
