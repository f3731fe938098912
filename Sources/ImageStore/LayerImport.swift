internal import LinuxKernel

/// What a layer's content is announced as.
public struct LayerDescriptor: Equatable, Sendable {
    /// Of the archive, unpacked: the name of the layer in the store.
    public let diffID: Digest
    /// Of the archive as it comes, and its length; nothing where only the content is named.
    public let blob: Digest?
    public let blobBytes: UInt64?
}

/// Makes the image of one layer from its archive, in one pass: the packed bytes are digested,
/// unpacked, digested again and taken apart, and what they hold is checked and written.
struct LayerImport {
    let limits: ImageLimits
    let policy: LayerPolicy
    let packing: LayerPacking
    /// The largest size of the layer's file: what the store has left.
    let room: UInt64
    /// Told now and then how many packed bytes were read, also when that is as many as before;
    /// throws to stop.
    let observe: (UInt64) throws(ImageError) -> Void

    /// What the layer holds, and what its file is known by.
    struct Result {
        let file: ImageFileDigests
        let contentBytes: UInt64
        let entries: Int
        let devices: Int
        let whiteouts: Int
        let droppedAttributes: Int
        let implicitDirectories: [[UInt8]]
    }

    func run(
        _ source: any ByteStream, as layer: LayerDescriptor, to file: consuming Descriptor,
        directory: borrowing Descriptor
    ) throws(ImageError) -> Result {
        let names = UTF8Names()
        _ = names
        let packed = MeteredStream(
            source, limit: min(limits.packedLayerBytes, layer.blobBytes ?? .max),
            what: "the layer's archive", observe: observe)
        let content = try ArchiveReader(packed, as: .content, what: "the layer")
        let (limits, observe) = (limits, observe)
        let unpacked = MeteredStream(
            content, limit: limits.layerBytes, what: "the unpacked layer"
        ) { (count) throws(ImageError) in
            guard count <= 256 << 20 || count / limits.expansion <= packed.count else {
                throw ImageError(
                    .limitExceeded,
                    "the layer unpacks to more than \(limits.expansion) times its size")
            }
            try observe(packed.count)
        }
        let image = try LayerFile(
            file, directory: directory, policy: policy, limits: limits, packing: packing,
            room: room)
        try image.fill(from: ArchiveReader(unpacked, as: .files, what: "the layer"))
        // What lies behind the end of the archive counts for the digests.
        try unpacked.drain()
        try packed.drain()
        try verify(layer, packed: packed, unpacked: unpacked.finish())
        return Result(
            file: try image.finish(identifier: layer.diffID.identifier),
            contentBytes: image.contentBytes,
            entries: image.tree.nodes.count, devices: image.tree.deviceCount,
            whiteouts: image.tree.whiteoutCount,
            droppedAttributes: image.tree.droppedAttributes,
            implicitDirectories: image.tree.implicitDirectories)
    }

    private func verify(
        _ layer: LayerDescriptor, packed: MeteredStream, unpacked: Digest
    ) throws(ImageError) {
        if let bytes = layer.blobBytes, packed.count != bytes {
            throw ImageError(
                .digestMismatch,
                "the layer's archive has \(packed.count) bytes, and \(bytes) were announced")
        }
        let digest = packed.finish()
        if let blob = layer.blob, digest != blob {
            throw ImageError(
                .digestMismatch, "the layer's archive has the digest \(digest), not \(blob)",
                hint: "the archive is damaged: fetch it again")
        }
        guard unpacked == layer.diffID else {
            throw ImageError(
                .digestMismatch,
                "the unpacked layer has the digest \(unpacked), not \(layer.diffID)",
                hint: "the image's configuration belongs to other layers")
        }
    }
}
