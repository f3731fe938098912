internal import ImageStore
internal import Jail
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// The node's store of images, with what is mounted and used of it. Its calls take time, and are
/// made on any thread but the loop's.
final class ImageDepot: Sendable {
    let store: ImageStore
    let mounts: ImageMounts
    let holds: ImageHolds
    /// Those that import and check, which can take minutes.
    let importers: Workers
    /// Those that make scratch space on the disk, so that nothing else waits behind many that are
    /// made at once.
    let formatters: Workers
    private let isClosing = Locked(false)

    /// More at once read from one disk and share few processors.
    private static let importsAtOnce = 2
    private static let importsWaiting = 64
    private static let formatsAtOnce = 2
    private static let formatsWaiting = 65536

    init(_ settings: NodeSettings) throws(AgentError) {
        var options = ImageStore.Options()
        if settings.imagesCapacity > 0 { options.capacityBytes = settings.imagesCapacity }
        if settings.packsImages { options.packing = .lz4 }
        do throws(ImageError) {
            store = try ImageStore(settings.stateDirectory + "/images", options: options)
        } catch {
            throw AgentError(error.message, hint: error.hint)
        }
        mounts = ImageMounts(store)
        holds = ImageHolds(store)
        do throws(SystemCallError) {
            importers = try Workers(
                threads: Self.importsAtOnce, queue: Self.importsWaiting, named: "importer")
            formatters = try Workers(
                threads: Self.formatsAtOnce, queue: Self.formatsWaiting, named: "formatter")
        } catch {
            throw AgentError("start threads: \(error)")
        }
    }

    /// Whether work that goes on should go on.
    var isOpen: Bool { isClosing.with { !$0 } }

    /// Stops what goes on. What imports have not brought to an end leaves nothing.
    func close() {
        isClosing.with { $0 = true }
        importers.stop(dropsWaiting: true)
        formatters.stop(dropsWaiting: true)
    }

    /// Lets go of what is mounted and no longer in the store.
    func forgetRemoved() {
        // What is not let go of now is with the next removal.
        try? mounts.forgetRemoved()
    }

    /// Notes that sandboxes of images ended now: what was used longest ago is evicted first.
    func noteUse(of images: [Digest]) {
        for image in images { try? store.touch(image) }
    }
}

/// Images of the store, as one sandbox is made of them.
struct ImageSource: Sendable {
    let image: Digest
    /// Images and single layers that come above it, the last one topmost.
    let layers: [Digest]
    /// What messages call it.
    let name: String
    let depot: ImageDepot

    var all: [Digest] { [image] + layers }

    /// The tree, mounted once for all sandboxes that are made of the same.
    func open() throws(SandboxError) -> ImageTree {
        let mounted: MountedImage
        do throws(ImageError) {
            try depot.holds.ensure(all)
            mounted = try depot.mounts.tree(of: image, under: layers)
        } catch {
            throw SandboxError(error, of: name)
        }
        return try ImageTree.open(mounted.tree, named: name)
    }
}

extension ImageSource {
    /// The files of the layers, the topmost first, for a guest's disks. Nothing is mounted.
    ///
    /// - Parameter trees: has what must stand above them, see ``MeantDirectories``.
    func layerFiles(_ trees: TreeCache) throws(SandboxError) -> [String] {
        do throws(ImageError) {
            try depot.holds.ensure(all)
            let digests = try depot.mounts.layers(of: image, under: layers)
            let meant = try depot.mounts.meantDirectories(of: digests)
            return (meant.isEmpty ? [] : [try trees.file(of: meant)])
                + digests.map(depot.store.layerPath)
        } catch {
            throw SandboxError(error, of: name)
        }
    }
}

extension SandboxError {
    /// Why no scratch space can be made on the disk.
    init(scratch error: ImageError) {
        let code: Code =
            switch error.code {
            case .noSpace: .exhausted
            case .unsupported: .unavailable
            case .notPermitted: .notPermitted
            default: .setUpFailed
            }
        self.init(
            code, error.message,
            hint: code == .exhausted
                ? "the disk of `directories.scratch` is full: make room, or keep more of it back"
                    + " by `capacity.kept_disk`" : error.hint)
    }

    /// Why no sandbox can be made of an image.
    init(_ error: ImageError, of name: String) {
        let message = "image `\(name)`: \(error.message)"
        switch error.code {
        case .notFound, .damaged, .malformed, .unsupported, .digestMismatch, .refused:
            self.init(.imageMissing, message, hint: error.hint)
        case .notPermitted: self.init(.notPermitted, message, hint: error.hint)
        case .limitExceeded, .inUse, .noSpace, .cancelled, .storage:
            self.init(.setUpFailed, message, hint: error.hint)
        }
    }
}
