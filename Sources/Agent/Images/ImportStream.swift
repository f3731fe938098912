internal import AgentAPI
internal import AgentOperations
internal import ImageStore
internal import Jail
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// One call of `Import`: looks at the request, has the work done on a thread of the importers, and
/// tells how far it is.
struct ImportStream {
    typealias Call = TypedCall<ImportRequest, ImportResponse>

    let request: ImportRequest
    let call: Call
    let node: NodeAgent

    func begin() throws(CallFailure) {
        switch request.source {
        case .directory(let directory)?:
            try Self.check(directory, "directory")
            try beginDirectory(directory)
        case .archive(let archive)?:
            try Self.check(archive, "archive")
            try beginArchive(archive)
        case nil:
            throw .invalid(
                "source", "is missing", hint: "give a `directory` or an `archive` of the node")
        }
    }

    private static func check(_ path: String, _ field: String) throws(CallFailure) {
        guard path.hasPrefix("/"), !path.utf8.contains(0) else {
            throw .invalid(field, "is no absolute path", hint: "give one, of the node")
        }
    }

    private func answer(
        _ image: Image, existed: Bool, layersMade: Int = 0, layersPresent: Int = 0,
        evicted: [String] = []
    ) {
        var result = ImportResponse.Result()
        result.image = image
        result.existed = existed
        result.layersMade = UInt32(clamping: layersMade)
        result.layersPresent = UInt32(clamping: layersPresent)
        result.evicted = evicted
        call.finish(with: ImportResponse(kind: .result(result)))
    }

    // MARK: - Directories

    private func beginDirectory(_ directory: String) throws(CallFailure) {
        try ImageRegistry.checkName(request.name)
        if let known = node.images[request.name] {
            guard known.directory == directory else { throw Self.isDirectory(known) }
            return answer(node.counted(known), existed: true)
        }
        try checkIsFree()
        node.offload(to: node.workers) { () throws(SandboxError) in
            // It must be one that sandboxes can be made of.
            _ = try ImageTree.open(directory)
            return try DirectorySize.measure(directory)
        } then: { result in
            do throws(CallFailure) {
                let size = try result.mapError { CallFailure($0) }.get()
                try enter(directory, size)
            } catch {
                call.finish(error)
            }
        }
    }

    private func enter(_ directory: String, _ size: DirectorySize) throws(CallFailure) {
        try checkIsFree()
        var image = Image(
            name: request.name, directory: directory, importedAtNanoseconds: WallClock.nanoseconds,
            bytes: size.bytes, files: size.files)
        image.kind = .directory
        image.names = [request.name]
        try node.journal.commit { $0.put(image) }
        node.images.insert(image)
        node.capacityChanged()
        answer(node.counted(image), existed: false)
    }

    /// Whether no image of the store has the name.
    private func checkIsFree() throws(CallFailure) {
        guard node.stored.isName(request.name) else { return }
        throw CallFailure(
            .alreadyExists, reason: "already_exists",
            "image `\(request.name)` is in the store",
            hint: "remove it first, or choose another name")
    }

    private static func isDirectory(_ image: Image) -> CallFailure {
        CallFailure(
            .alreadyExists, reason: "already_exists",
            "image `\(image.name)` is `\(image.directory)`",
            hint: "remove it first, or choose another name")
    }

    // MARK: - Archives

    private func beginArchive(_ archive: String) throws(CallFailure) {
        if !request.name.isEmpty {
            try ImageRegistry.checkName(request.name)
            if let known = node.images[request.name] { throw Self.isDirectory(known) }
        }
        let options = try options()
        let telling = Telling<ImportProgress>(on: node.loop) { [call] progress in
            // Who reads slowly is told less.
            guard call.isOpen, call.isWritable else { return }
            call.send(ImportResponse(kind: .progress(.init(progress))))
        }
        if call.isOpen { call.onCancel { _ in telling.stop() } }
        let depot = node.stored.depot
        let pins = request.pin
        let begun = MonotonicClock.nanoseconds
        node.withStore(on: depot.importers) { () throws(ImageError) in
            let result = try depot.importImage(archive, options, telling)
            if pins { try depot.store.setPinned(true, "\(result.image.identifier)") }
            return result
        } then: { result in
            node.count(import: result, nanoseconds: MonotonicClock.nanoseconds - begun)
            finish(
                result.mapError { failure in
                    // No image of the node is meant, but a file.
                    failure.code == .notFound
                        ? CallFailure(
                            .failedPrecondition, reason: SandboxError.Code.imageMissing.name,
                            failure.message, hint: failure.hint) : failure
                })
        }
    }

    private func options() throws(CallFailure) -> ImportOptions {
        var options = ImportOptions()
        if !request.name.isEmpty { options.name = request.name }
        if !request.reference.isEmpty {
            options.selection =
                Digest(request.reference).map { .digest($0) } ?? .named(request.reference)
        }
        if !request.platform.isEmpty {
            let parts = request.platform.split(separator: "/", omittingEmptySubsequences: false)
            guard (2...3).contains(parts.count), !parts.contains("") else {
                throw .invalid(
                    "platform", "is `\(request.platform.prefix(80))`, which is no platform",
                    hint: "write OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, as in linux/arm64")
            }
            options.platform = Platform(
                system: String(parts[0]), architecture: String(parts[1]),
                variant: parts.count == 3 ? String(parts[2]) : nil)
        }
        switch request.devices {
        case .refuse: options.policy.devices = .refuse
        case .keep: options.policy.devices = .keep
        case .unrecognized(let number):
            throw .invalid("devices", "is \(number)", hint: "0 is REFUSE, 1 is KEEP")
        }
        return options
    }

    private func finish(_ result: Result<ImportResult, CallFailure>) {
        let evicted = (try? result.get().evicted) ?? []
        let names = evicted.map { node.stored[$0]?.title ?? "\($0)" }
        // Also where the last step failed: there may be an image more.
        node.stored.refresh(on: node) { refreshed in
            do throws(CallFailure) {
                let result = try result.get()
                try refreshed.get()
                guard let image = node.stored[result.image.identifier] else {
                    throw CallFailure(
                        .aborted, reason: "removed", "the image was removed again by another call")
                }
                for name in names { note("an image was evicted", name) }
                note("an image was imported", image.title)
                answer(
                    Image(image, users: node.imageUsers()[image.digest] ?? []),
                    existed: result.existed, layersMade: result.layersMade,
                    layersPresent: result.layersPresent, evicted: names)
            } catch {
                call.finish(error)
            }
        }
    }

    private func note(_ what: StaticString, _ name: String) {
        node.log.info(what, ["image": .text(name)])
    }
}

extension ImageDepot {
    /// Imports an archive, on a thread that can wait.
    func importImage(
        _ path: String, _ options: ImportOptions, _ telling: Telling<ImportProgress>
    ) throws(ImageError) -> ImportResult {
        // It may have waited for others for long.
        guard telling.isWanted, isOpen else {
            throw ImageError(.cancelled, "the import was cancelled")
        }
        // Anything else may never give a byte.
        let kind = (try? Files.status(of: path))?.kind
        guard kind == nil || kind == .regular || kind == .directory else {
            throw ImageError(.unsupported, "image `\(path)` is no file and no directory")
        }
        let result = try store.importImage(from: path, options: options) { progress in
            // What is not used any more may be evicted in what comes next.
            if progress.layersDone == progress.layers { self.holds.releaseIdle() }
            return telling.note(progress) && self.isOpen
        }
        if !result.evicted.isEmpty { forgetRemoved() }
        return result
    }
}
