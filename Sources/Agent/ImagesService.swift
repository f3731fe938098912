internal import AgentAPI
internal import Jail
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// The calls of `alcove.v1.Images`: names for directory trees.
struct ImagesService {
    let node: NodeAgent

    var endpoints: [Endpoint] {
        [
            .unary(ImagesMethods.import, handler: importImage),
            .answer(ImagesMethods.list, isReadOnly: true, handler: list),
            .answer(ImagesMethods.remove, handler: remove),
            .answer(ImagesMethods.prune, handler: prune),
        ]
    }

    private func importImage(
        _ request: ImportRequest, _ call: TypedCall<ImportRequest, ImportResponse>
    ) {
        do throws(CallFailure) {
            try ImageRegistry.checkName(request.name)
            guard case .directory(let directory)? = request.source, directory.hasPrefix("/") else {
                throw .invalid("directory", "is no absolute path", hint: "give one, of the node")
            }
            if let known = node.images[request.name] {
                guard known.directory == directory else {
                    throw CallFailure(
                        .alreadyExists, reason: "already_exists",
                        "image `\(known.name)` is `\(known.directory)`",
                        hint: "remove it first, or choose another name")
                }
                return call.finish(with: ImportResponse(image: counted(known), existed: true))
            }
            measure(request.name, directory, call)
        } catch {
            call.finish(error)
        }
    }

    private func measure(
        _ name: String, _ directory: String, _ call: TypedCall<ImportRequest, ImportResponse>
    ) {
        node.offload(to: node.workers) { () throws(SandboxError) in
            // It must be one that sandboxes can be made of.
            _ = try ImageTree.open(directory)
            return try DirectorySize.measure(directory)
        } then: { result in
            do throws(CallFailure) {
                let size: DirectorySize
                switch result {
                case .success(let measured): size = measured
                case .failure(let error): throw CallFailure(error)
                }
                let image = Image(
                    name: name, directory: directory, importedAtNanoseconds: WallClock.nanoseconds,
                    bytes: size.bytes, files: size.files)
                try node.journal.commit { $0.put(image) }
                node.images.insert(image)
                node.capacityChanged()
                call.finish(with: ImportResponse(image: counted(image)))
            } catch {
                call.finish(error)
            }
        }
    }

    private func list(_ request: ListImagesRequest) throws(CallFailure) -> ListImagesResponse {
        ListImagesResponse(images: node.images.all.map(counted))
    }

    private func remove(_ request: RemoveRequest) throws(CallFailure) -> RemoveResponse {
        guard let image = node.images[request.name] else {
            throw CallFailure(
                .notFound, reason: "not_found", "there is no image `\(request.name.prefix(128))`",
                hint: "`alcove image ls` lists them")
        }
        let users = users(of: image)
        guard users == 0 else {
            throw CallFailure(
                .failedPrecondition, reason: "in_use",
                "image `\(image.name)` has \(users) sandboxes made of it",
                hint: "delete them first; `alcove ps --all` lists them")
        }
        try forget([image])
        return RemoveResponse()
    }

    private func prune(_ request: PruneRequest) throws(CallFailure) -> PruneResponse {
        let unused = node.images.all.filter { users(of: $0) == 0 }
        if !request.dryRun, !unused.isEmpty { try forget(unused) }
        return PruneResponse(removed: unused.map(\.name))
    }

    private func forget(_ images: [Image]) throws(CallFailure) {
        try node.journal.commit { draft in
            for image in images { draft.removeImage(image.name) }
        }
        for image in images { node.images.remove(image.name) }
        node.capacityChanged()
    }

    private func users(of image: Image) -> Int {
        node.registry.all.count { $0.sandbox.spec?.image == image.name }
    }

    private func counted(_ image: Image) -> Image {
        var image = image
        image.sandboxes = UInt32(clamping: users(of: image))
        return image
    }
}
