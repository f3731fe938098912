internal import LinuxKernel

public struct PruneReport: Equatable, Sendable {
    public var images: [Digest] = []
    public var layers: [Digest] = []
    /// Bytes of the layers.
    public var bytes: UInt64 = 0
}

extension ImageStore {
    // Who uses an image.

    /// Notes that somebody uses an image: it is not removed, pruned or evicted until `release`.
    /// An owner uses one image; using another one releases the first.
    ///
    /// - Parameter owner: 1 to 128 characters of `a-z A-Z 0-9 . _ -`, the first no dot.
    public func hold(_ image: Digest, for owner: String) throws(ImageError) {
        try Self.check(owner: owner)
        try folders.locked { () throws(ImageError) in
            guard Files.exists(image.hexadecimal + ".json", at: folders.images) else {
                throw ImageError(.notFound, "there is no image \(image)")
            }
            // Not waited for: no user outlives a loss of power.
            let temporary = ".new-\(owner)"
            do throws(SystemCallError) {
                let file = try Files.open(
                    temporary, at: folders.holds, [.writeOnly, .create, .truncate])
                try file.write(image.hexadecimal + "\n")
                try Files.rename(temporary, at: folders.holds, to: owner, at: folders.holds)
            } catch {
                throw ImageError(error, doing: "note the use of an image")
            }
            try touch(image)
        }
    }

    /// Takes a note of use back; does nothing if there is none.
    public func release(_ owner: String) throws(ImageError) {
        try Self.check(owner: owner)
        try folders.remove(owner, at: folders.holds)
    }

    /// Who uses which image.
    public func holds() throws(ImageError) -> [String: Digest] {
        var result: [String: Digest] = [:]
        for owner in try folders.names(in: folders.holds) where !owner.hasPrefix(".") {
            let text = try folders.readText(owner, at: folders.holds, limit: 256)
            if let digest = text.flatMap({ Digest(hexadecimal: String($0.prefix(64))) }) {
                result[owner] = digest
            }
        }
        return result
    }

    private static func check(owner: String) throws(ImageError) {
        let isGood = owner.utf8.allSatisfy { byte in
            let isWord = Character(Unicode.Scalar(byte)).isLetter && byte < 0x80
            let isDigit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            return isWord || isDigit || "._-".utf8.contains(byte)
        }
        guard isGood, (1...128).contains(owner.utf8.count), !owner.hasPrefix(".") else {
            throw ImageError(
                .malformed, "\(LayerEntry.shown(Array(owner.utf8))) is no owner's name")
        }
    }

    // Removal.

    /// Takes a name from an image, and removes it with the last one; by its digest, removes it with
    /// all its names. Layers that no other image has go with it.
    public func remove(_ reference: String) throws(ImageError) -> PruneReport {
        try folders.locked { () throws(ImageError) in
            let image = try resolve(reference)
            var index = try readIndex()
            if index.names[reference] == image, index.names(of: image).count > 1 {
                index.names[reference] = nil
                try write(index)
                return PruneReport()
            }
            let owners = try holds().filter { $0.value == image }.map(\.key).sorted()
            guard owners.isEmpty else {
                let list = owners.prefix(5).map { "`\($0)`" }.joined(separator: ", ")
                throw ImageError(
                    .inUse, "image `\(reference)` is used by \(owners.count): \(list)",
                    hint: "remove what uses it first")
            }
            return try remove([image], &index)
        }
    }

    /// Removes images without a name that nobody uses or has pinned, or also those with one, and
    /// layers that no image has.
    public func prune(
        includingNamed: Bool = false, dryRun: Bool = false
    ) throws(ImageError) -> PruneReport {
        try folders.locked { () throws(ImageError) in
            if !dryRun { try folders.sweep() }
            var index = try readIndex()
            let held = Set(try holds().values)
            let images = try imageIdentifiers().filter { image in
                !held.contains(image) && !index.pinned.contains(image)
                    && (includingNamed || !index.names.values.contains(image))
            }
            if dryRun { return try report(images, removing: false) }
            return try remove(images, &index)
        }
    }

    /// Removes images, then layers that no image has: in this order, so that no image is ever
    /// without its layers. With the lock.
    private func remove(
        _ images: [Digest], _ index: inout StoreIndex
    ) throws(ImageError) -> PruneReport {
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
        var result = try report([], removing: true)
        result.images = images
        return result
    }

    /// The layers that no image but those has, nor a running import counts on.
    private func report(
        _ images: [Digest], removing: Bool
    ) throws(ImageError) -> PruneReport {
        var result = PruneReport()
        result.images = images
        var used = try Lease.layers(in: folders)
        for image in try imageIdentifiers() where !images.contains(image) {
            // A record that cannot be read might name any layer.
            used.formUnion(try readImage(image)?.layers ?? [])
        }
        for layer in try layerIdentifiers() where !used.contains(layer) {
            result.bytes += (try? self.layer(layer)?.bytes) ?? 0
            result.layers.append(layer)
            if removing { try removeLayer(layer) }
        }
        return result
    }

    /// Out of its place at once, then file by file. Mounts of it keep what they have.
    private func removeLayer(_ layer: Digest) throws(ImageError) {
        let name = folders.uniqueName()
        do throws(SystemCallError) {
            try Files.rename(
                layer.hexadecimal, at: folders.layers, to: name, at: folders.staging)
        } catch {
            throw ImageError(error, doing: "remove layer \(layer.short)")
        }
        folders.removeStaged(name)
    }

    /// Bytes of all layers.
    func usedBytes() throws(ImageError) -> UInt64 {
        var bytes: UInt64 = 0
        for layer in try layerIdentifiers() { bytes += (try? self.layer(layer)?.bytes) ?? 0 }
        return bytes
    }

    /// Evicts images, the least recently used first, until the store is within its capacity. With
    /// the lock. Gives those that went; none go when that would not suffice.
    func makeRoom(keeping image: Digest) throws(ImageError) -> [Digest] {
        guard options.capacityBytes != .max else { return [] }
        var evicted: [Digest] = []
        var index = try readIndex()
        let held = Set(try holds().values)
        var candidates: [(image: Digest, used: Int64)] = []
        for candidate in try imageIdentifiers() where candidate != image {
            guard !held.contains(candidate), !index.pinned.contains(candidate) else { continue }
            candidates.append((candidate, lastUse(of: candidate)))
        }
        candidates.sort { $0.used < $1.used }
        guard try usedBytes() > options.capacityBytes else { return [] }
        let least = try report(candidates.map(\.image), removing: false).bytes
        guard try usedBytes() - least <= options.capacityBytes else {
            throw ImageError(
                .noSpace,
                "the images would take more than the store's \(options.capacityBytes) bytes,"
                    + " and too few can be evicted",
                hint: "remove or unpin images, or raise the capacity")
        }
        for candidate in candidates where try usedBytes() > options.capacityBytes {
            _ = try remove([candidate.image], &index)
            evicted.append(candidate.image)
        }
        return evicted
    }

    func lastUse(of image: Digest) -> Int64 {
        (try? Files.changeTime(of: image.hexadecimal + ".json", at: folders.images)) ?? 0
    }
}
