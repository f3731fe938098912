internal import LinuxKernel

/// The layers of one import, on their way into the store.
final class ImportRun {
    private let store: ImageStore
    private let contents: ImageContents
    private let archive: any ImageArchive
    private let options: ImportOptions
    private let tell: (ImportProgress) -> Bool
    /// Bytes that new layers may take.
    private var room: UInt64
    private var progress = ImportProgress()
    private let start = MonotonicClock.nanoseconds
    private var told: UInt64 = 0
    private static let tick: Duration = .milliseconds(100)
    private static let tickNanoseconds: UInt64 = 100_000_000
    /// Bytes of the layers before the one that is being read.
    private var bytesBefore: UInt64 = 0
    private(set) var made = 0
    private(set) var present = 0

    init(
        _ store: ImageStore, _ contents: ImageContents, _ archive: any ImageArchive,
        _ options: ImportOptions, room: UInt64, _ tell: @escaping (ImportProgress) -> Bool
    ) {
        self.store = store
        self.contents = contents
        self.archive = archive
        self.options = options
        self.room = room
        self.tell = tell
    }

    /// Makes the layers that are missing, in whatever order the archive has them.
    func makeLayers() throws(ImageError) {
        var missing: [String: LayerDescriptor] = [:]
        var seen: Set<Digest> = []
        for (layer, file) in zip(contents.layers, contents.files) {
            guard seen.insert(layer.diffID).inserted else { continue }
            if store.isSound(layer.diffID) {
                present += 1
            } else {
                missing[file] = layer
                let size = layer.blobBytes ?? 0
                progress.bytes += size > 0 ? size : try archive.size(of: file) ?? 0
            }
        }
        progress.layers = seen.count
        progress.layersDone = present
        progress.layersPresent = present
        try report()
        if !missing.isEmpty {
            let notFound = try archive.read(Set(missing.keys)) {
                (file, stream) throws(ImageError) in
                guard let layer = missing[file] else { return }
                try self.make(layer, from: stream)
            }
            if let file = notFound.min() {
                throw ImageError(
                    .malformed, "`\(archive.description)` has no file `\(file)` for a layer")
            }
        }
        try checkWhole(seen)
    }

    /// Holds all layers, also those that were there, against what this import allows.
    private func checkWhole(_ layers: Set<Digest>) throws(ImageError) {
        var bytes: UInt64 = 0
        for digest in layers.sorted() {
            guard let layer = try store.layer(digest) else {
                throw ImageError(.malformed, "the archive has no layer \(digest)")
            }
            guard layer.devices == 0 || options.policy.devices == .keep else {
                throw ImageError(
                    .refused, "layer \(digest.short) has \(layer.devices) device nodes",
                    hint: "allow devices in the import if the image needs them")
            }
            bytes += layer.bytes
        }
        guard bytes <= store.options.limits.imageBytes else {
            throw ImageError(
                .limitExceeded,
                "the image's layers take \(bytes) bytes, more than the"
                    + " \(store.options.limits.imageBytes) allowed")
        }
    }

    private func report() throws(ImageError) {
        told = MonotonicClock.nanoseconds
        progress.nanoseconds = told - start
        guard tell(progress) else { throw ImageError(.cancelled, "the import was cancelled") }
    }

    /// Makes a layer, unless somebody else just did.
    private func make(
        _ layer: LayerDescriptor, from stream: any ByteStream
    ) throws(ImageError) {
        let lock = try waitForLock(of: layer.diffID)
        if store.isSound(layer.diffID) {
            present += 1
            progress.layersPresent += 1
        } else {
            do throws(ImageError) {
                try makeAlone(layer, from: stream)
            } catch {
                throw error.at("layer \(layer.diffID.short)")
            }
            made += 1
        }
        _ = consume lock
        bytesBefore += layer.blobBytes ?? 0
        progress.layersDone += 1
        progress.bytesDone = max(progress.bytesDone, bytesBefore)
        try report()
    }

    /// Whoever else imports the same layer waits here, and then finds it made.
    private func waitForLock(of layer: Digest) throws(ImageError) -> Descriptor {
        let folders = store.folders
        let name = String(layer.hexadecimal.prefix(2))
        let file = try folders.openLock(name, at: folders.locks)
        if try tryLock(file) { return file }
        progress.isWaiting = true
        // Its holder gives it back by closing the file.
        let what = "wait for another import"
        let watch = try storing(what) { () throws(SystemCallError) in
            let watch = try FileWatch()
            _ = try watch.add("\(folders.path)/locks/\(name)", for: .closing)
            return watch
        }
        let timer = try storing(what) { () throws(SystemCallError) in try Timer() }
        while try !tryLock(file) {
            try report()
            try storing(what) { () throws(SystemCallError) in
                try timer.start(Self.tick)
                var interests = [
                    Readiness.Interest(watch.descriptor.rawValue),
                    Readiness.Interest(timer.descriptor.rawValue),
                ]
                try Readiness.wait(for: &interests)
            }
            _ = watch.takeChanged()
        }
        progress.isWaiting = false
        return file
    }

    private func tryLock(_ file: borrowing Descriptor) throws(ImageError) -> Bool {
        do throws(SystemCallError) {
            return try file.lock()
        } catch {
            throw ImageError(error, doing: "lock the image store")
        }
    }

    private func makeAlone(
        _ layer: LayerDescriptor, from stream: any ByteStream
    ) throws(ImageError) {
        let staged = try StagedLayer(in: store.folders)
        let start = progress.bytesDone
        let job = LayerImport(
            limits: store.options.limits, policy: options.policy,
            packing: store.options.packing, room: room
        ) {
            (count) throws(ImageError) in
            self.progress.bytesDone = start + count
            guard MonotonicClock.nanoseconds - self.told >= Self.tickNanoseconds else { return }
            try self.report()
        }
        do throws(ImageError) {
            let result = try staged.fill { (file, directory) throws(ImageError) in
                try job.run(stream, as: layer, to: file, directory: directory)
            }
            try staged.publish(LayerRecord(result, of: layer.diffID))
            room -= min(room, result.file.bytes)
        } catch {
            staged.discard()
            throw error
        }
    }
}

/// A layer in the making: a directory that nobody else looks at, until it takes its place at once.
final class StagedLayer {
    private let folders: StoreFolders
    private let name: String
    private let directory: Descriptor

    init(in folders: StoreFolders) throws(ImageError) {
        self.folders = folders
        let name = folders.uniqueName()
        self.name = name
        let box = try folders.locked { () throws(ImageError) in
            do throws(SystemCallError) {
                try Files.makeDirectory(name, at: folders.staging, permissions: 0o700)
                let directory = try Files.open(
                    name, at: folders.staging, [.readOnly, .directory])
                try directory.lockWaiting()
                return Box(directory)
            } catch {
                throw ImageError(error, doing: "make a layer")
            }
        }
        guard let directory = box.directory.take() else {
            preconditionFailure("the box was filled one line above")
        }
        self.directory = directory
    }

    private final class Box {
        var directory: Descriptor?

        init(_ directory: consuming Descriptor) { self.directory = consume directory }
    }

    func fill(
        _ body: (consuming Descriptor, borrowing Descriptor) throws(ImageError)
            -> LayerImport.Result
    ) throws(ImageError) -> LayerImport.Result {
        let file: Descriptor
        do throws(SystemCallError) {
            file = try Files.open(
                "layer.erofs", at: directory, [.readWrite, .create, .truncate])
        } catch {
            throw ImageError(error, doing: "make a layer")
        }
        return try body(file, directory)
    }

    /// Gives the layer its place. From then on it is there, whatever happens.
    func publish(_ record: LayerRecord) throws(ImageError) {
        try folders.replace(
            "record.json", at: directory, with: ImageStore.text(record.json))
        let place = record.diffID.hexadecimal
        let old = folders.uniqueName()
        defer { folders.removeStaged(old) }
        try folders.locked { () throws(ImageError) in
            do throws(SystemCallError) {
                // One that is there is damaged. Mounts of it keep what they have.
                if Files.exists(place, at: folders.layers) {
                    try Files.rename(place, at: folders.layers, to: old, at: folders.staging)
                }
                try Files.rename(name, at: folders.staging, to: place, at: folders.layers)
                try folders.layers.synchronize()
            } catch {
                throw ImageError(error, doing: "put a layer in its place")
            }
        }
    }

    func discard() {
        folders.removeStaged(name)
    }
}
