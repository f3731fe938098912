/// A path in a layer, taken apart: relative to its root, without `.` and empty parts.
struct LayerPath: Equatable {
    static let whiteoutPrefix = Array(".wh.".utf8)
    static let opaqueMarker = Array(".wh..wh..opq".utf8)

    /// The path of the directory, parts divided by one slash; empty for the root.
    let parent: [UInt8]
    /// Nothing for the root itself.
    let name: [UInt8]?

    /// Refuses what climbs, and what the kernel could not open. A path from `/` on means the root
    /// of the layer.
    init(_ path: [UInt8], limits: ImageLimits) throws(ImageError) {
        guard path.count <= limits.pathBytes else {
            throw ImageError(.limitExceeded, "a path of \(path.count) bytes")
        }
        var parent: [UInt8] = []
        parent.reserveCapacity(path.count)
        var last: ArraySlice<UInt8>?
        var depth = 0
        for part in path.split(separator: UInt8(ascii: "/")) where part != [0x2E] {
            guard part != [0x2E, 0x2E] else {
                throw ImageError(.refused, "the path leads out by `..`")
            }
            guard part.count <= 255 else {
                throw ImageError(.limitExceeded, "a name of \(part.count) bytes")
            }
            if let last {
                if !parent.isEmpty { parent.append(UInt8(ascii: "/")) }
                parent += last
            }
            last = part
            depth += 1
        }
        guard depth <= limits.depth else {
            throw ImageError(.limitExceeded, "a path of \(depth) directories")
        }
        guard !path.isEmpty else { throw ImageError(.malformed, "an empty path") }
        self.parent = parent
        name = last.map { [UInt8]($0) }
    }
}

/// The extended attributes of a file in a layer.
enum LayerAttributes {
    /// Those that are kept, in a fixed order, and how many are not.
    ///
    /// Kept are what belongs to users and capabilities of files. What steers overlayfs is refused:
    /// it could show, in place of a file, another one. The rest means something only to a host
    /// with the labels of the one that the layer was made on.
    static func sorted(
        _ attributes: [LayerEntry.Attribute], limits: ImageLimits
    ) throws(ImageError) -> (kept: [LayerEntry.Attribute], dropped: Int) {
        var kept: [LayerEntry.Attribute] = []
        var bytes = 0
        for attribute in attributes {
            let name = attribute.name
            let overlay = ["trusted.overlay.", "user.overlay."]
            guard !overlay.contains(where: { name.starts(with: $0.utf8) }) else {
                throw ImageError(.refused, "the attribute \(LayerEntry.shown(name))")
            }
            let isKept =
                name.starts(with: "user.".utf8) || name == Array("security.capability".utf8)
            guard isKept, name.count > 5 else { continue }
            bytes += name.count + attribute.value.count
            guard name.count <= 255, !kept.contains(where: { $0.name == name }) else {
                throw ImageError(.refused, "the attribute \(LayerEntry.shown(name))")
            }
            kept.append(attribute)
        }
        guard kept.count <= limits.attributes, bytes <= limits.attributeBytes else {
            throw ImageError(
                .limitExceeded, "\(kept.count) extended attributes of \(bytes) bytes")
        }
        kept.sort { $0.name.lexicographicallyPrecedes($1.name) }
        return (kept, attributes.count - kept.count)
    }
}
