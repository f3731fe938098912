internal import LinuxKernel

public struct PruneReport: Equatable, Sendable {
    public var images: [Digest] = []
    public var layers: [Digest] = []
    /// Bytes of the layers.
    public var bytes: UInt64 = 0
}

extension ImageStore {
    /// Takes a name from an image, and removes it with the last one; by its digest, removes it with
    /// all its names. Layers that no other image has go with it. Refused where somebody uses the
    /// image, and where it is pinned.
    public func remove(_ reference: String) throws(ImageError) -> PruneReport {
        try removing { (removal) throws(ImageError) in
            let image = try resolve(reference)
            var index = try readIndex()
            if index.names[reference] == image, index.names(of: image).count > 1 {
                index.names[reference] = nil
                try write(index)
                return
            }
            let owners = try holds().filter { $0.value.contains(image) }.map(\.key).sorted()
            guard owners.isEmpty else {
                let list = owners.prefix(5).map { "`\($0)`" }.joined(separator: ", ")
                throw ImageError(
                    .inUse, "image `\(reference)` is used by \(owners.count): \(list)",
                    hint: "remove what uses it first")
            }
            guard !index.pinned.contains(image) else {
                throw ImageError(
                    .inUse, "image `\(reference)` is pinned", hint: "unpin it first")
            }
            try remove([image], &index, &removal)
        }
    }

    /// Removes images without a name that nobody uses or has pinned, or also those with one, and
    /// layers that no image has.
    public func prune(
        includingNamed: Bool = false, dryRun: Bool = false
    ) throws(ImageError) -> PruneReport {
        try removing { (removal) throws(ImageError) in
            if !dryRun { try folders.sweep() }
            var index = try readIndex()
            let held = try held()
            let images = try imageIdentifiers().filter { image in
                !held.contains(image) && !index.pinned.contains(image)
                    && (includingNamed || !index.names.values.contains(image))
            }
            if dryRun {
                removal.report = try unused(without: images)
                removal.report.images = images
            } else {
                try remove(images, &index, &removal)
            }
        }
    }

    /// Removes layers that neither an image has nor a running import counts on.
    func removeUnusedLayers() throws(ImageError) {
        _ = try removing { (removal) throws(ImageError) in
            try removeUnused(&removal)
        }
    }

    /// What was removed, and where the files of layers went, which are out of their places already.
    struct Removal {
        var report = PruneReport()
        var staged: [String] = []
    }

    /// Takes images and layers out of their places with the lock, and then, when others can go on,
    /// gives the disk's space back.
    func removing(
        _ body: (inout Removal) throws(ImageError) -> Void
    ) throws(ImageError) -> PruneReport {
        var removal = Removal()
        defer { for name in removal.staged { folders.removeStaged(name) } }
        try folders.locked { () throws(ImageError) in try body(&removal) }
        return removal.report
    }

    /// Removes images, then layers that no image has: in this order, so that no image is ever
    /// without its layers. With the lock.
    private func remove(
        _ images: [Digest], _ index: inout StoreIndex, _ removal: inout Removal
    ) throws(ImageError) {
        let before = index
        for image in images {
            index.names = index.names.filter { $0.value != image }
            index.pinned.remove(image)
        }
        if index != before { try write(index) }
        for image in images { try folders.remove(image.hexadecimal + ".json", at: folders.images) }
        if !images.isEmpty {
            try storing("remove images") { () throws(SystemCallError) in
                try folders.images.synchronize()
            }
        }
        removal.report.images += images
        try removeUnused(&removal)
    }

    /// The layers that no image but those has, nobody holds, and no running import counts on.
    private func unused(without images: [Digest]) throws(ImageError) -> PruneReport {
        var result = PruneReport()
        let gone = Set(images)
        var used = try Lease.layers(in: folders).union(try held())
        for image in try imageIdentifiers() where !gone.contains(image) {
            // A record that cannot be read might name any layer.
            used.formUnion(try readImage(image)?.layers ?? [])
        }
        for layer in try layerIdentifiers() where !used.contains(layer) {
            result.bytes += (try? self.layer(layer)?.bytes) ?? 0
            result.layers.append(layer)
        }
        return result
    }

    private func removeUnused(_ removal: inout Removal) throws(ImageError) {
        let unused = try unused(without: [])
        for layer in unused.layers {
            // Out of its place at once. Mounts of it keep what they have.
            let name = folders.uniqueName()
            do throws(SystemCallError) {
                try Files.rename(
                    layer.hexadecimal, at: folders.layers, to: name, at: folders.staging)
            } catch {
                throw ImageError(error, doing: "remove layer \(layer.short)")
            }
            removal.staged.append(name)
        }
        removal.report.layers += unused.layers
        removal.report.bytes += unused.bytes
    }

    // Capacity.

    /// Bytes of all layers.
    func usedBytes() throws(ImageError) -> UInt64 {
        var bytes: UInt64 = 0
        for layer in try layerIdentifiers() { bytes += (try? self.layer(layer)?.bytes) ?? 0 }
        return bytes
    }

    /// Images that may go, the least recently used first. With the lock.
    private func candidates(without image: Digest) throws(ImageError) -> [Digest] {
        let index = try readIndex()
        let held = try held()
        return try imageIdentifiers()
            .filter { $0 != image && !held.contains($0) && !index.pinned.contains($0) }
            .map { (image: $0, used: lastUse(of: $0)) }
            .sorted { $0.used < $1.used }
            .map(\.image)
    }

    /// Bytes that an import can add, with all evicted that may go.
    func room(for image: Digest) throws(ImageError) -> UInt64 {
        guard options.capacityBytes != .max else { return .max }
        return try folders.locked { () throws(ImageError) in
            let least = try usedBytes() - unused(without: candidates(without: image)).bytes
            return options.capacityBytes - min(least, options.capacityBytes)
        }
    }

    /// Evicts until the store is within its capacity: layers of no image, then images, the least
    /// recently used first. With the lock. Gives those that went; none go when that would not
    /// suffice.
    func makeRoom(
        keeping image: Digest, _ removal: inout Removal
    ) throws(ImageError) -> [Digest] {
        guard options.capacityBytes != .max else { return [] }
        var used = try usedBytes()
        guard used > options.capacityBytes else { return [] }
        let candidates = try candidates(without: image)
        guard try used - unused(without: candidates).bytes <= options.capacityBytes else {
            throw noRoom
        }
        var index = try readIndex()
        try removeUnused(&removal)
        var evicted: [Digest] = []
        used -= removal.report.bytes
        for candidate in candidates where used > options.capacityBytes {
            let before = removal.report.bytes
            try remove([candidate], &index, &removal)
            used -= removal.report.bytes - before
            evicted.append(candidate)
        }
        return evicted
    }

    var noRoom: ImageError {
        ImageError(
            .noSpace,
            "the images would take more than the store's \(options.capacityBytes) bytes,"
                + " and too few can be evicted",
            hint: "remove or unpin images, or raise the capacity")
    }

    func lastUse(of image: Digest) -> Int64 {
        (try? Files.changeTime(of: image.hexadecimal + ".json", at: folders.images)) ?? 0
    }
}
