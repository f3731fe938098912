internal import AgentAPI
internal import ImageStore
internal import Jail
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// An image of the store, as the loop's thread knows it.
struct StoredImage: Sendable {
    let summary: ImageSummary
    let layers: [(digest: Digest, bytes: UInt64, entries: Int)]

    var digest: Digest { summary.record.identifier }
    var names: [String] { summary.names }
    /// A name, or the digest of one without.
    var title: String { names.first ?? "\(digest)" }

    init(_ summary: ImageSummary, in store: ImageStore) {
        self.summary = summary
        layers = summary.record.layers.map { layer in
            let record = try? store.layer(layer)
            return (layer, record?.bytes ?? 0, record?.entries ?? 0)
        }
    }

    var defaults: ImageDefaults {
        let config = summary.record.config
        var defaults = ImageDefaults()
        defaults.entrypoint = config.entrypoint
        defaults.command = config.command
        defaults.environment = config.environment
        defaults.workingDirectory = config.workingDirectory
        defaults.user = config.user
        return defaults
    }
}

/// What there is in the store, for answers that must not wait for a disk. It is read anew after
/// each change, so it can be a moment behind: whoever counts on an image looks into the store.
///
/// Lives on the loop's thread.
final class StoredImages: @unchecked Sendable {
    /// All that is read of the store at once.
    struct Contents: Sendable {
        let images: [StoredImage]
        let usage: AgentAPI.StoreUsage

        init(of store: ImageStore) throws(ImageError) {
            images = try store.images().map { StoredImage($0, in: store) }
            let usage = try store.usage()
            self.usage = AgentAPI.StoreUsage(
                images: UInt32(clamping: usage.images), layers: UInt32(clamping: usage.layers),
                bytes: usage.bytes,
                capacityBytes: usage.capacityBytes == .max ? 0 : usage.capacityBytes)
        }

        init() {
            images = []
            usage = AgentAPI.StoreUsage()
        }
    }

    /// A user of images by its name.
    private struct UserKey: Hashable {
        let images: [Digest]
        let text: String
    }

    let depot: ImageDepot
    private(set) var contents = Contents()
    private var places: [Digest: Int] = [:]
    private var byName: [String: Digest] = [:]
    private var layers: Set<Digest> = []
    private var users: [UserKey: SandboxModel.SandboxSpec.User] = [:]
    private static let mostUsers = 4096

    /// Those who wait for contents that are read from now on.
    private var waiting: [(Result<Void, CallFailure>) -> Void] = []
    private var isReading = false

    init(_ depot: ImageDepot) {
        self.depot = depot
    }

    /// Reads the store. Called before anything else goes on.
    func load() throws(ImageError) {
        take(try Contents(of: depot.store))
    }

    private func take(_ contents: Contents) {
        self.contents = contents
        places = [:]
        byName = [:]
        layers = Set(contents.images.flatMap(\.summary.record.layers))
        for (place, image) in contents.images.enumerated() {
            places[image.digest] = place
            for name in image.names { byName[name] = image.digest }
        }
    }

    /// Reads the store again, on one of the threads.
    func refresh(on node: NodeAgent, then done: @escaping (Result<Void, CallFailure>) -> Void) {
        waiting.append(done)
        if !isReading { read(on: node) }
    }

    private func read(on node: NodeAgent) {
        isReading = true
        let told = waiting
        waiting = []
        let depot = depot
        node.withStore(isBounded: false) { () throws(ImageError) in
            try Contents(of: depot.store)
        } then: { [self] result in
            isReading = false
            if case .success(let contents) = result {
                let before = names
                take(contents)
                if names != before { node.capacityChanged() } else { node.gaugesChanged() }
            }
            for tell in told { tell(result.map { _ in }) }
            if !waiting.isEmpty { read(on: node) }
        }
    }

    // MARK: - Questions

    var names: [String] { byName.keys.sorted() }

    subscript(image: Digest) -> StoredImage? { places[image].map { contents.images[$0] } }

    /// Whether an image has a layer.
    func hasLayer(_ layer: Digest) -> Bool { layers.contains(layer) }

    func isName(_ text: String) -> Bool { byName[text] != nil }

    /// The image of a name, a digest or the beginning of one.
    func find(_ reference: String) throws(CallFailure) -> StoredImage? {
        if let image = byName[reference] { return self[image] }
        let isWhole = reference.hasPrefix("sha256:")
        let digits = isWhole ? String(reference.dropFirst(7)) : reference
        guard digits.utf8.count >= 8, digits.allSatisfy({ $0.isHexDigit }) else { return nil }
        let found = contents.images.filter { $0.digest.hexadecimal.hasPrefix(digits) }
        guard found.count < 2 else {
            throw CallFailure(
                .invalidArgument, reason: "invalid_request",
                "`\(reference.prefix(80))` stands for \(found.count) images",
                hint: "write more of it")
        }
        if let image = found.first { return image }
        return contents.images.first { $0.summary.record.manifest?.description == reference }
    }

    // MARK: - Users

    /// The user that a text names in the tree of some images, where that was looked up before.
    func user(named text: String, in images: [Digest]) -> SandboxModel.SandboxSpec.User? {
        users[UserKey(images: images, text: text)]
    }

    func remember(
        _ user: SandboxModel.SandboxSpec.User, named text: String, in images: [Digest]
    ) {
        if users.count >= Self.mostUsers { users = [:] }
        users[UserKey(images: images, text: text)] = user
    }
}
