internal import AgentAPI
internal import AgentOperations
internal import ImageStore
internal import LinuxKernel
internal import RPC
internal import SandboxModel

/// The calls of `alcove.v1.Images`: images of the store, and names for directory trees.
struct ImagesService {
    let node: NodeAgent

    var endpoints: [Endpoint] {
        [
            .serverStream(ImagesMethods.import) { request, call in
                do throws(CallFailure) {
                    try ImportStream(request: request, call: call, node: node).begin()
                } catch {
                    call.finish(error)
                }
            },
            .unary(ImagesMethods.list, isReadOnly: true, handler: list),
            .unary(ImagesMethods.remove, handler: remove),
            .unary(ImagesMethods.prune, handler: prune),
            .unary(ImagesMethods.pin, handler: pin),
            .serverStream(ImagesMethods.check) { request, call in
                CheckStream(request: request, call: call, node: node).begin()
            },
        ]
    }

    /// Ends a call with what comes of its last step.
    private func finish<Request, Response>(
        _ call: TypedCall<Request, Response>, _ body: () throws(CallFailure) -> Response
    ) {
        do throws(CallFailure) {
            call.finish(with: try body())
        } catch {
            call.finish(error)
        }
    }

    // MARK: - Looking

    private func list(
        _ request: ListImagesRequest, _ call: TypedCall<ListImagesRequest, ListImagesResponse>
    ) {
        node.stored.refresh(on: node) { refreshed in
            finish(call) { () throws(CallFailure) in
                try refreshed.get()
                var response = ListImagesResponse()
                response.images = try images(named: request.name)
                response.store = node.stored.contents.usage
                return response
            }
        }
    }

    /// All, or the one of a name.
    private func images(named name: String) throws(CallFailure) -> [Image] {
        let users = node.imageUsers()
        guard name.isEmpty else {
            if let directory = node.images[name] { return [node.counted(directory)] }
            guard let image = try node.stored.find(name) else { throw .noImage(name) }
            return [Image(image, users: users[image.digest] ?? [])]
        }
        let stored = node.stored.contents.images.map { image in
            Image(image, users: users[image.digest] ?? [])
        }
        let all = node.images.all.map { node.counted($0) } + stored
        return all.sorted { left, right in
            left.name.isEmpty || right.name.isEmpty
                ? !left.name.isEmpty || right.name.isEmpty && left.digest < right.digest
                : left.name < right.name
        }
    }

    // MARK: - Changes

    private func remove(
        _ request: RemoveRequest, _ call: TypedCall<RemoveRequest, RemoveResponse>
    ) {
        do throws(CallFailure) {
            if let directory = node.images[request.name] {
                let users = node.users(ofDirectory: directory)
                guard users.isEmpty else { throw .imageInUse(directory.name, users) }
                try forget([directory])
                return call.finish(with: RemoveResponse())
            }
            guard let image = try node.stored.find(request.name) else {
                throw .noImage(request.name)
            }
            let isName = image.names.contains(request.name)
            // With one name of several the image stays.
            if !(isName && image.names.count > 1), let users = node.imageUsers()[image.digest] {
                throw .imageInUse(request.name, users)
            }
            remove(isName ? request.name : "\(image.digest)", call)
        } catch {
            call.finish(error)
        }
    }

    private func remove(_ reference: String, _ call: TypedCall<RemoveRequest, RemoveResponse>) {
        let depot = node.stored.depot
        node.withStore { () throws(ImageError) in
            depot.holds.releaseIdle()
            let report = try depot.store.remove(reference)
            depot.forgetRemoved()
            return report
        } then: { result in
            node.metrics.imageRemovals.add(Self.count(result), .removed)
            node.stored.refresh(on: node) { _ in
                finish(call) { () throws(CallFailure) in
                    let report = try result.get()
                    var response = RemoveResponse()
                    response.digests = report.images.map { "\($0)" }
                    response.layers = report.layers.map { "\($0)" }
                    response.bytes = report.bytes
                    return response
                }
            }
        }
    }

    private func prune(_ request: PruneRequest, _ call: TypedCall<PruneRequest, PruneResponse>) {
        let depot = node.stored.depot
        node.withStore { () throws(ImageError) in
            depot.holds.releaseIdle()
            let report = try depot.store.prune(
                includingNamed: request.named, dryRun: request.dryRun)
            if !request.dryRun { depot.forgetRemoved() }
            return report
        } then: { result in
            if !request.dryRun { node.metrics.imageRemovals.add(Self.count(result), .pruned) }
            let names = (try? result.get().images)?.map { node.stored[$0]?.title ?? "\($0)" } ?? []
            node.stored.refresh(on: node) { _ in
                finish(call) { () throws(CallFailure) in
                    let report = try result.get()
                    var response = PruneResponse()
                    response.removed = (names + (try pruneDirectories(request))).sorted()
                    response.layers = report.layers.map { "\($0)" }
                    response.bytes = report.bytes
                    return response
                }
            }
        }
    }

    private static func count(_ result: Result<PruneReport, CallFailure>) -> UInt64 {
        UInt64((try? result.get().images.count) ?? 0)
    }

    private func pruneDirectories(_ request: PruneRequest) throws(CallFailure) -> [String] {
        guard request.named else { return [] }
        let unused = node.images.all.filter { node.users(ofDirectory: $0).isEmpty }
        if !request.dryRun, !unused.isEmpty { try forget(unused) }
        return unused.map(\.name)
    }

    private func forget(_ images: [Image]) throws(CallFailure) {
        try node.journal.commit { draft in
            for image in images { draft.removeImage(image.name) }
        }
        for image in images { node.images.remove(image.name) }
        node.capacityChanged()
    }

    private func pin(_ request: PinRequest, _ call: TypedCall<PinRequest, PinResponse>) {
        let image: StoredImage
        do throws(CallFailure) {
            if node.images[request.name] != nil {
                throw CallFailure(
                    .failedPrecondition, reason: "not_stored",
                    "image `\(request.name)` is a directory, which nothing evicts",
                    hint: "images of the store are pinned")
            }
            guard let found = try node.stored.find(request.name) else {
                throw .noImage(request.name)
            }
            image = found
        } catch {
            return call.finish(error)
        }
        let depot = node.stored.depot
        let digest = image.digest
        node.withStore { () throws(ImageError) in
            try depot.store.setPinned(request.pinned, "\(digest)")
        } then: { result in
            node.stored.refresh(on: node) { refreshed in
                finish(call) { () throws(CallFailure) in
                    try result.get()
                    try refreshed.get()
                    guard let image = node.stored[digest] else { throw .noImage(request.name) }
                    return PinResponse(
                        image: Image(image, users: node.imageUsers()[digest] ?? []))
                }
            }
        }
    }
}

extension NodeAgent {
    /// Ids of the sandboxes that are made of a directory tree by its name, in order.
    func users(ofDirectory image: Image) -> [String] {
        registry.all.filter { $0.source == nil && $0.sandbox.spec?.image == image.name }.map(\.id)
    }

    /// A directory tree with those who use it.
    func counted(_ image: Image) -> Image { image.counted(users(ofDirectory: image)) }
}
