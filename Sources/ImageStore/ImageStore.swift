internal import JSON
internal import LinuxKernel

/// The images of a node, in one directory: layers by digest, each once, whatever images have it.
///
/// Safe to use from several threads and processes at once. What is imported is there whole and for
/// good, or not at all, wherever an import was killed.
public final class ImageStore: Sendable {
    public struct Options: Sendable {
        public var limits = ImageLimits()
        /// How the content of layers that are made from now on is kept.
        public var packing = LayerPacking.none
        /// The most bytes that all layers may take. Beyond it, images that nobody uses or has
        /// pinned make room, the least recently used first.
        public var capacityBytes: UInt64 = .max

        public init() {}
    }

    public let path: String
    let options: Options
    let folders: StoreFolders

    /// Opens a store, makes it where there is none, and removes what killed imports left.
    public init(_ path: String, options: Options = Options()) throws(ImageError) {
        self.path = path
        self.options = options
        folders = try StoreFolders(path)
        let folders = folders
        try folders.locked { () throws(ImageError) in try folders.sweep() }
    }

    // Records.

    func readIndex() throws(ImageError) -> StoreIndex {
        guard let document = try readRecord("index.json", at: folders.root) else {
            return StoreIndex()
        }
        return try StoreIndex(document)
    }

    func write(_ index: StoreIndex) throws(ImageError) {
        try folders.replace("index.json", at: folders.root, with: Self.text(index.json))
    }

    static func text(_ value: JSONValue) -> String {
        JSONWriter.text(value, style: .pretty) + "\n"
    }

    private func readRecord(
        _ name: String, at directory: borrowing Descriptor
    ) throws(ImageError) -> JSONDocument? {
        let limit = 64 << 20
        guard let text = try folders.readText(name, at: directory, limit: limit) else { return nil }
        var limits = ImageLimits()
        limits.documentBytes = limit
        do throws(ImageError) {
            return try JSONDocument(Array(text.utf8), name: name, limits: limits)
        } catch {
            throw Self.damaged(name, error)
        }
    }

    private static func damaged(_ name: String, _ error: ImageError) -> ImageError {
        ImageError(
            .damaged, "the store's record \(name) cannot be read: \(error.message)",
            hint: "remove the image and import it again")
    }

    func readImage(_ identifier: Digest) throws(ImageError) -> ImageRecord? {
        let name = identifier.hexadecimal + ".json"
        guard let document = try readRecord(name, at: folders.images) else { return nil }
        do throws(ImageError) {
            return try ImageRecord(document)
        } catch {
            throw Self.damaged(name, error)
        }
    }

    /// What the store knows of a layer; nothing if it is not there.
    public func layer(_ diffID: Digest) throws(ImageError) -> LayerRecord? {
        let name = diffID.hexadecimal + "/record.json"
        guard let document = try readRecord(name, at: folders.layers) else { return nil }
        do throws(ImageError) {
            return try LayerRecord(document)
        } catch {
            throw Self.damaged(name, error)
        }
    }

    /// Whether a layer is there and nothing is known to be wrong with it.
    func isSound(_ diffID: Digest) -> Bool {
        guard let record = try? layer(diffID), record.diffID == diffID,
            let file = status(of: diffID)
        else { return false }
        return file.size == record.bytes
    }

    /// The number of a layer's file, if it is there and was not found damaged.
    func soundFile(of diffID: Digest) -> UInt64? { status(of: diffID)?.inode }

    private func status(of diffID: Digest) -> FileStatus? {
        let place = diffID.hexadecimal
        guard !Files.exists("\(place)/damaged", at: folders.layers) else { return nil }
        return try? Files.status(of: "\(place)/layer.erofs", at: folders.layers)
    }

    /// The file of a layer's file system: what a microVM gets as a disk.
    public func layerPath(_ diffID: Digest) -> String {
        "\(path)/layers/\(diffID.hexadecimal)/layer.erofs"
    }

    /// The images whose records are there, sorted.
    func imageIdentifiers() throws(ImageError) -> [Digest] {
        try folders.names(in: folders.images).compactMap { name in
            name.hasSuffix(".json") ? Digest(hexadecimal: String(name.dropLast(5))) : nil
        }.sorted()
    }

    func layerIdentifiers() throws(ImageError) -> [Digest] {
        try folders.names(in: folders.layers).compactMap { Digest(hexadecimal: $0) }.sorted()
    }

    // References.

    /// The image that a name, a digest or the beginning of one stands for.
    public func resolve(_ reference: String) throws(ImageError) -> Digest {
        let index = try readIndex()
        if let found = index.names[reference] { return found }
        let identifiers = try imageIdentifiers()
        let digits = reference.hasPrefix("sha256:") ? String(reference.dropFirst(7)) : reference
        let isDigits = digits.utf8.count >= 8 && digits.allSatisfy { $0.isHexDigit }
        let found = isDigits ? identifiers.filter { $0.hexadecimal.hasPrefix(digits) } : []
        if found.count == 1 { return found[0] }
        if found.count > 1 {
            throw ImageError(
                .notFound, "`\(reference)` stands for \(found.count) images",
                hint: "write more of it")
        }
        for identifier in identifiers where reference.hasPrefix("sha256:") {
            if try readImage(identifier)?.manifest?.description == reference { return identifier }
        }
        throw ImageError(
            .notFound, "there is no image `\(reference)`",
            hint: "`alcove image ls` lists those that are there, `alcove image import` adds one")
    }

    /// What a reference stands for that is mounted above an image: an image by its name or digest,
    /// or a layer by its digest.
    public func resolveShared(_ reference: String) throws(ImageError) -> Digest {
        if let digest = Digest(reference), try layer(digest) != nil { return digest }
        return try resolve(reference)
    }

    /// What is known of an image.
    public func image(_ reference: String) throws(ImageError) -> ImageRecord {
        let identifier = try resolve(reference)
        guard let record = try readImage(identifier) else {
            throw ImageError(.notFound, "there is no image `\(reference)`")
        }
        return record
    }

    // Names and pins.

    /// Gives an image a name; another image that had it loses it.
    public func setName(_ name: String, of reference: String) throws(ImageError) {
        try Self.check(name: name)
        try changeIndex { (index) throws(ImageError) in
            index.names[name] = try self.resolve(reference)
        }
    }

    /// Protects an image from eviction and pruning, or no longer.
    public func setPinned(_ isPinned: Bool, _ reference: String) throws(ImageError) {
        try changeIndex { (index) throws(ImageError) in
            let image = try self.resolve(reference)
            if isPinned { index.pinned.insert(image) } else { index.pinned.remove(image) }
        }
    }

    func changeIndex(
        _ body: (inout StoreIndex) throws(ImageError) -> Void
    ) throws(ImageError) {
        try folders.locked { () throws(ImageError) in
            var index = try readIndex()
            let before = index
            try body(&index)
            if index != before { try write(index) }
        }
    }

    /// 1 to 255 characters of `a-z A-Z 0-9 . _ / : @ + -`, the first a letter or a digit.
    static func check(name: String) throws(ImageError) {
        let isGood = isWord(name, signs: "._/:@+-") && isWord(String(name.prefix(1)), signs: "")
        guard isGood, name.utf8.count <= 255 else {
            throw ImageError(
                .malformed, "\(LayerEntry.shown(Array(name.utf8))) is no name for an image",
                hint: "use up to 255 letters, digits and `. _ / : @ + -`, the first no sign")
        }
        // It would stand for a digest.
        guard Digest(name) == nil, Digest(hexadecimal: name) == nil else {
            throw ImageError(.malformed, "`\(name)` is a digest and no name")
        }
    }
}
