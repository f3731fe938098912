internal import JSON

/// A reference to a blob, with what it is said to be.
struct BlobDescriptor {
    let mediaType: String
    let digest: Digest
    let bytes: UInt64
    let platform: Platform?
    /// The name that the tools give it: `org.opencontainers.image.ref.name` and the like.
    let names: [String]

    init(_ document: JSONDocument) throws(ImageError) {
        mediaType = try document.text("mediaType") ?? ""
        digest = try document.required("digest").digest()
        bytes = try document.required("size").count()
        platform = try document.member("platform").map {
            (platform) throws(ImageError) in try Platform(platform)
        }
        let keys = [
            "org.opencontainers.image.ref.name", "io.containerd.image.name",
        ]
        let annotations = try document.member("annotations")
        var names: [String] = []
        for key in keys {
            if let name = try annotations?.text(key) { names.append(name) }
        }
        self.names = names
    }
}

extension Platform {
    init(_ document: JSONDocument) throws(ImageError) {
        self.init(
            system: try document.text("os") ?? "",
            architecture: try document.text("architecture") ?? "",
            variant: try document.text("variant"))
    }
}

/// The media types of what images are made of.
enum MediaType {
    static let indexes: Set<String> = [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ]
    static let manifests: Set<String> = [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ]
    static let configs: Set<String> = [
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    ]
    static let layers: Set<String> = [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
    ]
}

/// What an image's manifest says.
struct ImageManifest {
    let config: BlobDescriptor
    let layers: [BlobDescriptor]

    init(_ document: JSONDocument, limits: ImageLimits) throws(ImageError) {
        guard try document.member("schemaVersion")?.count() == 2 else {
            throw ImageError(.unsupported, "\(document.path) is not of schema version 2")
        }
        config = try BlobDescriptor(document.required("config"))
        guard MediaType.configs.contains(config.mediaType) else {
            throw ImageError(
                .unsupported,
                "\(document.path) is no image: its configuration is"
                    + " `\(config.mediaType)`")
        }
        let elements = try document.required("layers").elements()
        guard elements.count <= limits.layers else {
            throw ImageError(
                .limitExceeded,
                "\(elements.count) layers are more than the \(limits.layers) allowed")
        }
        var layers: [BlobDescriptor] = []
        for element in elements {
            let layer = try BlobDescriptor(element)
            guard MediaType.layers.contains(layer.mediaType) else {
                throw ImageError(
                    .unsupported, "\(element.path) is of the type `\(layer.mediaType)`")
            }
            guard layer.bytes <= limits.packedLayerBytes else {
                throw ImageError(.limitExceeded, "\(element.path) has \(layer.bytes) bytes")
            }
            layers.append(layer)
        }
        self.layers = layers
    }
}

/// What an image's configuration says.
struct ImageConfiguration {
    let platform: Platform
    let config: ImageConfig
    let created: String
    let diffIDs: [Digest]

    init(_ document: JSONDocument, limits: ImageLimits) throws(ImageError) {
        platform = try Platform(document)
        created = try document.text("created") ?? ""
        if let config = try document.member("config") {
            self.config = try ImageConfig(config)
        } else {
            config = ImageConfig()
        }
        let rootfs = try document.required("rootfs")
        guard try rootfs.text("type") == "layers" else {
            throw ImageError(.unsupported, "\(rootfs.path) is not made of layers")
        }
        var diffIDs: [Digest] = []
        for element in try rootfs.member("diff_ids")?.elements() ?? [] {
            diffIDs.append(try element.digest())
        }
        guard diffIDs.count <= limits.layers else {
            throw ImageError(
                .limitExceeded, "\(diffIDs.count) layers are more than the \(limits.layers) allowed"
            )
        }
        self.diffIDs = diffIDs
    }
}
