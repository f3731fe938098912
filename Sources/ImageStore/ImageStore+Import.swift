internal import LinuxKernel

public struct ImportOptions: Sendable {
    /// The name in the store. Without one, the image gets those that its archive gives it.
    public var name: String?
    public var selection = ImageSelection.only
    public var platform = Platform.ofThisNode
    public var policy = LayerPolicy()

    public init() {}
}

/// How far an import is.
public struct ImportProgress: Equatable, Sendable {
    /// Layers that are in the store, and all of the image.
    public var layersDone = 0
    public var layers = 0
    /// Those that were there before.
    public var layersPresent = 0
    /// Bytes of archives of layers that were read, and all that have to be.
    public var bytesDone: UInt64 = 0
    public var bytes: UInt64 = 0
    /// Since the first layer was begun.
    public var nanoseconds: UInt64 = 0
    /// Another import makes the layer that is next; this one waits for it.
    public var isWaiting = false

    /// Of archives of layers, a second on average; 0 when there is nothing to tell yet.
    public var bytesPerSecond: UInt64 {
        guard nanoseconds > 0 else { return 0 }
        let rate = Double(bytesDone) * 1e9 / Double(nanoseconds)
        return rate < 1e18 ? UInt64(rate) : 0
    }
}

public struct ImportResult: Sendable {
    public let image: ImageRecord
    public let names: [String]
    /// The image was there already.
    public let existed: Bool
    /// Layers that were made, and those that were there.
    public let layersMade: Int
    public let layersPresent: Int
    /// Images that were evicted to make room.
    public let evicted: [Digest]
}

extension ImageStore {
    /// Imports an image: an OCI layout, as a directory or an archive, or what `docker save` wrote.
    ///
    /// Blocks until it is there. Layers that are there already are not read again, also those
    /// that another import makes meanwhile.
    ///
    /// - Parameter progress: told at the beginning, with each layer, and about ten times a second
    ///   between, by the calling thread; stops the import by giving false.
    public func importImage(
        from path: String, options: ImportOptions = ImportOptions(),
        progress: @escaping (ImportProgress) -> Bool = { _ in true }
    ) throws(ImageError) -> ImportResult {
        if let name = options.name { try Self.check(name: name) }
        let names = UTF8Names()
        _ = names
        let archive = try Self.open(path, limits: self.options.limits)
        let contents = try ImageContents.read(
            archive, options.selection, platform: options.platform, limits: self.options.limits)
        do throws(ImageError) {
            return try makeImage(contents, archive, options, progress)
        } catch {
            // What was made stays for the next attempt, unless it is in the way.
            if error.code == .noSpace { try? removeUnusedLayers() }
            throw error
        }
    }

    private func makeImage(
        _ contents: ImageContents, _ archive: any ImageArchive, _ options: ImportOptions,
        _ progress: @escaping (ImportProgress) -> Bool
    ) throws(ImageError) -> ImportResult {
        let lease = try Lease(on: contents.layers.map(\.diffID), in: folders)
        defer { lease.end() }
        let run = ImportRun(
            self, contents, archive, options, room: try room(for: contents.identifier), progress)
        try run.makeLayers()
        var result: ImportResult?
        _ = try removing { (removal) throws(ImageError) in
            result = try publish(contents, run, options, &removal)
        }
        guard let result else { preconditionFailure("publishing gives a result or fails") }
        return result
    }

    private static func open(
        _ path: String, limits: ImageLimits
    ) throws(ImageError) -> any ImageArchive {
        let status: FileStatus
        do throws(SystemCallError) {
            status = try Files.status(of: path)
        } catch {
            let code: ImageError.Code =
                error.errorNumber == .noEntry || error.errorNumber == .notDirectory
                ? .notFound : .storage
            throw ImageError(code, "image `\(path)`: \(error.errorNumber)")
        }
        if status.kind == .directory { return try DirectoryArchive(path, limits: limits) }
        return try FileArchive(path, limits: limits)
    }

    /// Makes the image known, once all its layers are there. With the lock.
    private func publish(
        _ contents: ImageContents, _ run: ImportRun, _ options: ImportOptions,
        _ removal: inout Removal
    ) throws(ImageError) -> ImportResult {
        let record = ImageRecord(
            identifier: contents.identifier, manifest: contents.manifest,
            platform: contents.configuration.platform, config: contents.configuration.config,
            created: contents.configuration.created,
            importedAtNanoseconds: WallClock.nanoseconds,
            layers: contents.layers.map(\.diffID))
        let offered = options.name.map { [$0] } ?? contents.names
        for layer in record.layers where !isSound(layer) {
            throw ImageError(.storage, "layer \(layer) was removed while it was imported")
        }
        let before = try readImage(record.identifier)
        // The image's own layers are safe: its lease holds them.
        let evicted = try makeRoom(keeping: record.identifier, &removal)
        if before == nil {
            try folders.replace(
                record.identifier.hexadecimal + ".json", at: folders.images,
                with: Self.text(record.json))
        }
        var index = try readIndex()
        let known = index
        for name in offered where (try? Self.check(name: name)) != nil {
            index.names[name] = record.identifier
        }
        if index != known { try write(index) }
        try touch(record.identifier)
        return ImportResult(
            image: before ?? record, names: index.names(of: record.identifier),
            existed: before != nil, layersMade: run.made, layersPresent: run.present,
            evicted: evicted)
    }

    /// Notes that an image was used now.
    public func touch(_ image: Digest) throws(ImageError) {
        do throws(SystemCallError) {
            try Files.touch(image.hexadecimal + ".json", at: folders.images)
        } catch {
            throw ImageError(error, doing: "note the use of an image")
        }
    }
}

/// What a running import counts on: until it ends, or its process does, nobody removes these
/// layers.
final class Lease {
    private let folders: StoreFolders
    private let name: String
    private let file: Descriptor?

    init(on layers: [Digest], in folders: StoreFolders) throws(ImageError) {
        self.folders = folders
        let name = folders.uniqueName()
        self.name = name
        file = try folders.locked { () throws(ImageError) in
            let file = try folders.lockFile(name, at: folders.leases)
            let text = layers.map { $0.hexadecimal + "\n" }.joined()
            try storing("write a lease") { () throws(SystemCallError) in
                try Files.write(text, to: name, at: folders.leases)
            }
            return LeaseFile(file)
        }.file.take()
    }

    func end() {
        try? folders.remove(name, at: folders.leases)
    }

    /// A place for what cannot be copied, on its way out of a closure.
    private final class LeaseFile {
        var file: Descriptor?

        init(_ file: consuming Descriptor?) { self.file = file }
    }

    /// The layers that running imports count on. With the store's lock.
    static func layers(in folders: StoreFolders) throws(ImageError) -> Set<Digest> {
        var result: Set<Digest> = []
        for name in try folders.names(in: folders.leases) {
            let text = try folders.readText(name, at: folders.leases, limit: 1 << 20) ?? ""
            result.formUnion(
                text.split(separator: "\n").compactMap { Digest(hexadecimal: String($0)) })
        }
        return result
    }
}
