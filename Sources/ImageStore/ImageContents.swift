internal import JSON

/// What an import is to take out of an archive of several images.
public enum ImageSelection: Equatable, Sendable {
    /// The only one there is.
    case only
    /// The one with this name.
    case named(String)
    /// The one whose manifest or configuration has this digest.
    case digest(Digest)
}

/// An image as an archive announces it, with the files that its layers are in.
struct ImageContents {
    let identifier: Digest
    let manifest: Digest?
    /// Names that the archive gives it.
    let names: [String]
    let configuration: ImageConfiguration
    /// From the lowest up.
    let layers: [LayerDescriptor]
    /// The file in the archive of each layer.
    let files: [String]

    static func read(
        _ archive: any ImageArchive, _ selection: ImageSelection, platform: Platform,
        limits: ImageLimits
    ) throws(ImageError) -> ImageContents {
        let reader = ContentsReader(archive: archive, platform: platform, limits: limits)
        let contents: ImageContents
        if let index = try archive.document("index.json") {
            contents = try reader.readLayout(index, selection)
        } else if let manifest = try archive.document("manifest.json") {
            contents = try reader.readSaved(manifest, selection)
        } else {
            throw ImageError(
                .unsupported,
                "`\(archive.description)` has neither `index.json` nor `manifest.json`",
                hint: "give an OCI layout, as a directory or an archive, or what"
                    + " `docker save` writes")
        }
        guard platform.accepts(contents.configuration.platform) else {
            throw ImageError(
                .unsupported,
                "the image is for \(contents.configuration.platform), not for \(platform)")
        }
        return contents
    }
}

private struct ContentsReader {
    let archive: any ImageArchive
    let platform: Platform
    let limits: ImageLimits

    private func path(of digest: Digest) -> String { "blobs/sha256/\(digest.hexadecimal)" }

    /// A document whose digest is known: it must be that.
    private func blob(_ digest: Digest, bytes: UInt64?) throws(ImageError) -> JSONDocument {
        let path = path(of: digest)
        guard let content = try archive.document(path) else {
            throw ImageError(
                .malformed, "`\(archive.description)` has no document `\(path)`",
                hint: "it must be there whole; large or foreign ones are not read")
        }
        guard SHA256.digest(of: content) == digest, bytes ?? UInt64(content.count) == content.count
        else { throw ImageError(.digestMismatch, "`\(path)` has another digest or length") }
        return try JSONDocument(content, name: "\(digest.short).json", limits: limits)
    }

    // OCI's layout.

    func readLayout(
        _ index: [UInt8], _ selection: ImageSelection
    ) throws(ImageError) -> ImageContents {
        let document = try JSONDocument(index, name: "index.json", limits: limits)
        var found: [BlobDescriptor] = []
        for element in try document.required("manifests").elements() {
            found.append(try BlobDescriptor(element))
        }
        found.removeAll { !MediaType.manifests.union(MediaType.indexes).contains($0.mediaType) }
        let chosen = try choose(found, selection)
        let manifest = try descend(chosen, depth: 0)
        return try readManifest(manifest, names: chosen.names)
    }

    private func choose(
        _ found: [BlobDescriptor], _ selection: ImageSelection
    ) throws(ImageError) -> BlobDescriptor {
        let candidates: [BlobDescriptor]
        switch selection {
        case .only: candidates = found
        case .named(let name):
            candidates = found.filter { descriptor in
                descriptor.names.contains { $0 == name || $0.hasSuffix("/" + name) }
                    || descriptor.names.contains { name.hasSuffix(":" + $0) }
            }
        case .digest(let digest):
            var matching: [BlobDescriptor] = []
            for descriptor in found {
                if descriptor.digest == digest {
                    matching.append(descriptor)
                } else if try configDigest(of: descriptor) == digest {
                    matching.append(descriptor)
                }
            }
            candidates = matching
        }
        // Entries of several platforms under one name are one image.
        let suited = candidates.filter { $0.platform.map(platform.accepts) ?? true }
        if let only = suited.first, Set(suited.map(\.digest)).count == 1 { return only }
        throw Self.choiceError(
            selection, found.flatMap { $0.names.isEmpty ? ["\($0.digest)"] : $0.names },
            isAmbiguous: !suited.isEmpty)
    }

    private func configDigest(of descriptor: BlobDescriptor) throws(ImageError) -> Digest? {
        guard MediaType.manifests.contains(descriptor.mediaType) else { return nil }
        let document = try blob(descriptor.digest, bytes: descriptor.bytes)
        return try document.member("config")?.member("digest")?.digest()
    }

    static func choiceError(
        _ selection: ImageSelection, _ present: [String], isAmbiguous: Bool
    ) -> ImageError {
        let list = present.prefix(20).map { "`\($0)`" }.joined(separator: ", ")
        let wanted =
            switch selection {
            case .only: isAmbiguous ? "more than one image" : "no image for this platform"
            case .named(let name):
                isAmbiguous ? "more than one image `\(name)`" : "no image `\(name)`"
            case .digest(let digest): "no image \(digest)"
            }
        return ImageError(
            isAmbiguous ? .malformed : .notFound, "the archive has \(wanted)",
            hint: "it has \(present.isEmpty ? "none" : list)")
    }

    /// From an index of several platforms to the manifest of this one.
    private func descend(
        _ descriptor: BlobDescriptor, depth: Int
    ) throws(ImageError) -> BlobDescriptor {
        guard MediaType.indexes.contains(descriptor.mediaType) else { return descriptor }
        guard depth < 4 else { throw ImageError(.malformed, "indexes within indexes") }
        let document = try blob(descriptor.digest, bytes: descriptor.bytes)
        for element in try document.required("manifests").elements() {
            let next = try BlobDescriptor(element)
            guard MediaType.manifests.union(MediaType.indexes).contains(next.mediaType),
                next.platform.map(platform.accepts) ?? true
            else { continue }
            return try descend(next, depth: depth + 1)
        }
        throw ImageError(.unsupported, "the image is not made for \(platform)")
    }

    private func readManifest(
        _ descriptor: BlobDescriptor, names: [String]
    ) throws(ImageError) -> ImageContents {
        let manifest = try ImageManifest(
            blob(descriptor.digest, bytes: descriptor.bytes), limits: limits)
        let configuration = try ImageConfiguration(
            blob(manifest.config.digest, bytes: manifest.config.bytes), limits: limits)
        try check(configuration.diffIDs.count, manifest.layers.count)
        let layers = zip(configuration.diffIDs, manifest.layers).map {
            LayerDescriptor(diffID: $0, blob: $1.digest, blobBytes: $1.bytes)
        }
        return ImageContents(
            identifier: manifest.config.digest, manifest: descriptor.digest, names: names,
            configuration: configuration, layers: layers,
            files: manifest.layers.map { path(of: $0.digest) })
    }

    private func check(_ diffIDs: Int, _ layers: Int) throws(ImageError) {
        guard diffIDs == layers else {
            throw ImageError(
                .malformed, "the manifest has \(layers) layers, the configuration \(diffIDs)")
        }
        guard layers > 0 else { throw ImageError(.malformed, "the image has no layer") }
    }

    // The layout of `docker save`.

    func readSaved(
        _ content: [UInt8], _ selection: ImageSelection
    ) throws(ImageError) -> ImageContents {
        let document = try JSONDocument(content, name: "manifest.json", limits: limits)
        var suited: [(image: JSONDocument, names: [String])] = []
        var present: [String] = []
        for element in try document.elements() {
            let names = try element.texts("RepoTags")
            present += names
            let isSuited =
                switch selection {
                case .only: true
                case .named(let name):
                    names.contains { $0 == name || $0.hasSuffix("/" + name) }
                case .digest(let digest):
                    try element.required("Config").text().contains(digest.hexadecimal)
                }
            if isSuited { suited.append((element, names)) }
        }
        guard let (image, names) = suited.first, suited.count == 1 else {
            throw Self.choiceError(selection, present, isAmbiguous: !suited.isEmpty)
        }
        let configPath = try image.required("Config").text()
        guard let content = try archive.document(configPath) else {
            throw ImageError(.malformed, "`\(archive.description)` has no `\(configPath)`")
        }
        let configuration = try ImageConfiguration(
            JSONDocument(content, name: "config.json", limits: limits), limits: limits)
        let files = try image.texts("Layers")
        try check(configuration.diffIDs.count, files.count)
        return ImageContents(
            identifier: SHA256.digest(of: content), manifest: nil, names: names,
            configuration: configuration,
            layers: configuration.diffIDs.map {
                LayerDescriptor(diffID: $0, blob: nil, blobBytes: nil)
            }, files: files)
    }
}
