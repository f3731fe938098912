/// An image as a list shows it.
public struct ImageSummary: Equatable, Sendable {
    public let record: ImageRecord
    public let names: [String]
    public let isPinned: Bool
    /// Bytes of its layers in the store, and of those among them that other images have too.
    public let bytes: UInt64
    public let sharedBytes: UInt64
    /// Layers that are missing or damaged: the image has to be imported again.
    public let damagedLayers: [Digest]
    public let lastUsedAtNanoseconds: Int64
    /// Who uses it, sorted.
    public let owners: [String]
}

/// What the store takes.
public struct StoreUsage: Equatable, Sendable {
    public let images: Int
    public let layers: Int
    public let bytes: UInt64
    public let capacityBytes: UInt64
}

extension ImageStore {
    /// The images, by their names, those without one last.
    public func images() throws(ImageError) -> [ImageSummary] {
        let index = try readIndex()
        var owners: [Digest: [String]] = [:]
        for (owner, used) in try holds() {
            for digest in Set(used) { owners[digest, default: []].append(owner) }
        }
        var records: [ImageRecord] = []
        for identifier in try imageIdentifiers() {
            // Gone since, or unreadable: `check` tells of those.
            if let record = try? readImage(identifier) { records.append(record) }
        }
        var users: [Digest: Int] = [:]
        for record in records {
            for layer in Set(record.layers) { users[layer, default: 0] += 1 }
        }
        var sizes: [Digest: UInt64] = [:]
        for layer in users.keys where isSound(layer) { sizes[layer] = try self.layer(layer)?.bytes }
        let summaries = records.map { record in
            let layers = Set(record.layers)
            return ImageSummary(
                record: record, names: index.names(of: record.identifier),
                isPinned: index.pinned.contains(record.identifier),
                bytes: layers.reduce(0) { $0 + (sizes[$1] ?? 0) },
                sharedBytes: layers.reduce(0) {
                    $0 + ((users[$1] ?? 0) > 1 ? sizes[$1] ?? 0 : 0)
                },
                damagedLayers: layers.filter { sizes[$0] == nil }.sorted(),
                lastUsedAtNanoseconds: lastUse(of: record.identifier),
                owners: (owners[record.identifier] ?? []).sorted())
        }
        return summaries.sorted { left, right in
            guard let first = left.names.first, let second = right.names.first else {
                return !left.names.isEmpty
                    || right.names.isEmpty && left.record.identifier < right.record.identifier
            }
            return first < second
        }
    }

    public func usage() throws(ImageError) -> StoreUsage {
        StoreUsage(
            images: try imageIdentifiers().count, layers: try layerIdentifiers().count,
            bytes: try usedBytes(), capacityBytes: options.capacityBytes)
    }
}
